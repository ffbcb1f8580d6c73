//! What is on the streams is the same whatever drives a node.

use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use smoq_runtime::{
    ClientOptions, Connection, Origin, Recordings, connect,
    core::{
        Announced, Config, Discover, Version,
        wire::{Hop, SessionCode, TrackInfo},
    },
    quic::tape::streams,
};

use super::tools::*;

/// Of each version, the streams of the session that `smoq_sim::Scripted` describes.
const GOLDEN: &str = include_str!("session.txt");

const GROUPS: u64 = 3;
const FRAMES: u64 = 2;

async fn publish(
    origin: &Origin,
    name: &str,
) -> (smoq_runtime::Broadcast, smoq_runtime::TrackWriter) {
    let broadcast = origin.create(&path(name)).await.unwrap();
    let mut track = broadcast.track("video", TrackInfo::default()).await.unwrap();
    for sequence in 0..GROUPS {
        let mut group = track.group().await.unwrap();
        for frame in 0..FRAMES {
            let payload = vec![(sequence * FRAMES + frame) as u8; 5 + 10 * frame as usize];
            group.write(sequence * 100 + frame, Bytes::from(payload)).await.unwrap();
        }
        group.finish().unwrap();
    }
    track.finish().unwrap();
    broadcast.announce().await.unwrap();
    (broadcast, track)
}

/// Reads all of what the other side publishes. What is given back keeps the subscription.
async fn read(
    origin: &Origin,
    name: &str,
) -> (smoq_runtime::Announcements, smoq_runtime::Subscription) {
    let mut announced = origin.announced(&path("")).await.unwrap();
    loop {
        let Announced::Active { path: at, .. } = announced.next().await.unwrap() else { continue };
        if at == path(name) {
            let mut subscription = origin.subscribe(&at, "video", lossless()).await.unwrap();
            let groups = read_all(&mut subscription).await;
            assert_eq!(groups.len() as u64, GROUPS);
            return (announced, subscription);
        }
    }
}

async fn session<R: Bed>(runtime: R, version: Version) -> String {
    let (sender, receiver) = sync_channel(1 << 16);
    let node = |hop| Config { hop: Hop::new(hop).unwrap(), seed: 1, ..Config::default() };
    let relay = Relay::with(runtime, |options| {
        options.node = node(7);
        options.discover = Discover::OnDemand;
        options.record = Some(Recordings { to: vec![sender], limit: u64::MAX });
    });
    let here = relay.server.origin();
    let (_down, mut down) = publish(&here, "down").await;
    let options = ClientOptions { node: node(9), ..relay.options(version) };
    let client: Connection = connect(&relay.runtime, &relay.url(""), options).await.unwrap();
    let there = client.origin();
    // Before the server asks: how many there are at first is told.
    let (_up, mut up) = publish(&there, "up").await;
    let kept = join(read(&here, "up"), read(&there, "down")).await;
    let finished = join(up.finished(), down.finished()).await;
    assert_eq!(finished, (Ok(()), Ok(())));
    client.close(SessionCode::NO_ERROR, "").await;
    drop(kept);
    relay.server.shutdown(SessionCode::NO_ERROR, "").await;
    let recording: Vec<u8> = receiver.try_iter().flatten().collect();
    streams(recording.into()).unwrap()
}

pub(crate) async fn a_session_has_the_same_bytes_everywhere<R: Bed>(runtime: R) {
    let mut found = String::new();
    for version in Version::ALL {
        found.push_str(&format!("{version}\n{}", session(runtime.clone(), version).await));
    }
    assert_eq!(found, GOLDEN, "found:\n{found}");
}

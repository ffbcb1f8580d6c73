//! FETCH with moq-tokio: one group, without a subscription, in both directions.

mod direct;
mod support;

use moq_peer::{Groups, Role, Shape, Sink, Source};
use smoq_tokio::{
    SubscribeError, Subscription,
    core::{
        Path,
        wire::{StreamCode, TrackInfo},
    },
};
use support::{BROADCAST, Case, Deadline, TRACK, matrix};

/// A frame is more than a packet, and the group that is fetched neither the first nor the last.
const SHAPE: Shape = Shape { groups: 5, frames: 3, frame_size: 4000 };
const FETCHED: u64 = 2;
const MISSING: u64 = 7;

async fn the_peer_fetches_from_smoq(case: Case) {
    let deadline = Deadline::without_binary();
    let server = direct::listen();
    let origin = server.0.origin();
    let path = Path::new(BROADCAST).expect("a path");
    let broadcast = deadline.step("smoq to publish", origin.create(&path)).await;
    let info = TrackInfo { max_age_ms: 60_000, timescale: 1000, ..TrackInfo::default() };
    let mut track = deadline.step("smoq to add a track", broadcast.track(TRACK, info)).await;
    for (sequence, frames) in SHAPE.groups() {
        let mut group = deadline.step("a group of smoq's", track.group_at(sequence)).await;
        for frame in frames {
            deadline.step("a frame of smoq's", group.write(sequence, frame)).await;
        }
        group.finish().expect("end the group");
    }
    track.finish().expect("end the track");
    deadline.step("smoq to announce", broadcast.announce()).await;

    let sink = Sink::new();
    let _link = direct::dial(&deadline, &server, case, Role::Subscribe(&sink)).await;
    let frames = deadline.step("the group", sink.fetch(BROADCAST, TRACK, FETCHED)).await;
    assert_eq!(frames, SHAPE.groups()[&FETCHED]);
    let refused = async {
        match sink.fetch(BROADCAST, TRACK, MISSING).await {
            Ok(frames) => Err(format!("{} frames of a group that there is not", frames.len())),
            Err(error) => Ok(error),
        }
    };
    let error = deadline.step("the refusal of a group", refused).await;
    assert!(error.is_not_found(), "{error:?}");
}

async fn smoq_fetches_from_the_peer(case: Case) {
    let deadline = Deadline::without_binary();
    let source = Source::new(BROADCAST, TRACK).expect("announce the broadcast");
    source.write(&SHAPE.groups()).expect("write the groups");
    let (client, _server) = direct::connect(&deadline, case, Role::Publish(&source)).await;
    let path = Path::new(BROADCAST).expect("a path");
    let origin = client.origin();

    let fetch = deadline.step("smoq to ask", origin.fetch(&path, TRACK, FETCHED, 0)).await;
    let groups = deadline.step("the group", read(fetch)).await;
    assert_eq!(groups, Groups::from([(FETCHED, SHAPE.groups()[&FETCHED].clone())]));

    source.finish().expect("end the track");
    let fetch = deadline.step("smoq to ask", origin.fetch(&path, TRACK, MISSING, 0)).await;
    let refused = async {
        match read(fetch).await {
            Ok(groups) => Err(format!("{} groups that there are not", groups.len())),
            Err(error) => Ok(error),
        }
    };
    let error = deadline.step("the refusal of a group", refused).await;
    assert_eq!(error, SubscribeError::Failed(StreamCode::NOT_FOUND));
}

async fn read(mut fetch: Subscription) -> Result<Groups, SubscribeError> {
    let mut groups = Groups::new();
    while let Some(mut group) = fetch.next_group().await? {
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = group.next_frame().await {
            frames.push(frame.payload);
        }
        groups.insert(group.sequence(), frames);
    }
    Ok(groups)
}

matrix! {
    [the_peer_fetches_from_smoq, smoq_fetches_from_the_peer]
    lite_05 => "moq-lite-05" over "moqt",
    lite_06 => "moq-lite-06" over "moqt",
    lite_05_web => "moq-lite-05" over "https",
    lite_06_web => "moq-lite-06" over "https",
}

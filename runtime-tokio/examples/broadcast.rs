//! A broadcast: one publisher, many viewers, and one who comes late.
//!
//!     cargo run -p smoq-tokio --example broadcast
//!
//! The publisher sends each group once, however many watch. It prints:
//!
//!     8 viewers have seen [0, 1, 2, 3, 4]
//!     who came late has seen [2, 3, 4]

mod support;

use std::time::Duration;

use bytes::Bytes;
use smoq_tokio::{
    ClientOptions, Connection, Subscription, TrackWriter, Url, connect,
    core::{Path, Start, SubscribeOptions, wire::TrackInfo},
    quic::Trust,
};
use support::{Result, server};

const VIEWERS: usize = 8;
const TRACK: &str = "video";

#[tokio::main]
async fn main() -> Result {
    let (_server, url, trust) = server("", |_| {})?;
    let publisher = connect(&url, ClientOptions::new(trust.clone())).await?;
    let broadcast = publisher.origin().create(&Path::new("show")?).await?;
    let mut track = broadcast.track(TRACK, TrackInfo::default()).await?;
    broadcast.announce().await?;

    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(Viewer::new(&url, &trust, Start::From(0)).await?);
    }
    write(&mut track, 3).await?;
    for viewer in &mut viewers {
        viewer.watch(3).await?;
    }
    // Who is late begins with the newest group, which the server still has.
    let mut late = Viewer::new(&url, &trust, Start::Latest).await?;
    late.watch(1).await?;
    write(&mut track, 2).await?;
    for viewer in viewers.iter_mut().chain([&mut late]) {
        viewer.watch(2).await?;
    }
    assert!(viewers.iter().all(|viewer| viewer.seen == viewers[0].seen));
    println!("{VIEWERS} viewers have seen {:?}", viewers[0].seen);
    println!("who came late has seen {:?}", late.seen);
    Ok(())
}

/// Adds groups of two frames each.
async fn write(track: &mut TrackWriter, groups: u32) -> Result {
    for _ in 0..groups {
        let mut group = track.group().await?;
        group.write(0, Bytes::from_static(b"a picture")).await?;
        group.write(40, Bytes::from_static(b"what has changed since")).await?;
        group.finish()?;
    }
    Ok(())
}

struct Viewer {
    subscription: Subscription,
    seen: Vec<u64>,
    /// The subscription ends with it.
    _connection: Connection,
}

impl Viewer {
    async fn new(url: &Url, trust: &Trust, start: Start) -> Result<Self> {
        let connection = connect(url, ClientOptions::new(trust.clone())).await?;
        let (origin, name) = (connection.origin(), Path::new("show")?);
        origin.announced(&name).await?.next().await?;
        // However old a group is, it is not left out.
        let options =
            SubscribeOptions { start, max_age: Duration::MAX, ..SubscribeOptions::default() };
        let subscription = origin.subscribe(&name, TRACK, options).await?;
        Ok(Self { subscription, seen: Vec::new(), _connection: connection })
    }

    async fn watch(&mut self, groups: u32) -> Result {
        for _ in 0..groups {
            let mut group = self.subscription.next_group().await?.ok_or("the track has ended")?;
            while group.next_frame().await?.is_some() {}
            self.seen.push(group.sequence());
        }
        self.seen.sort_unstable();
        Ok(())
    }
}

#[test]
fn it_works() {
    main().unwrap();
}

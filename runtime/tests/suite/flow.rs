//! Readers and writers of different speed.

use bytes::Bytes;
use smoq_runtime::{
    Connection, GroupReader, Subscription, TrackWriter,
    core::wire::{SessionCode, TrackInfo},
};

use super::tools::*;

/// A broadcast of one track, and a client's subscription to everything in it.
async fn flow<R: Bed>(
    relay: &Relay<R>,
) -> (smoq_runtime::Broadcast, TrackWriter, Connection, Subscription) {
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let client = relay.client().await;
    let subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    (broadcast, track, client, subscription)
}

async fn write_group(track: &mut TrackWriter, frames: u64, size: usize) {
    let mut group = track.group().await.unwrap();
    for frame in 0..frames {
        group.write(frame, Bytes::from(vec![frame as u8; size])).await.unwrap();
    }
    group.finish().unwrap();
}

pub(crate) async fn groups_are_read_in_any_order<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (_broadcast, mut track, _client, mut subscription) = flow(&relay).await;
    // Each is much more than what is read ahead.
    for _ in 0..3 {
        write_group(&mut track, 64, 16 << 10).await;
    }
    track.finish().unwrap();
    let mut readers = Vec::new();
    while let Some(group) = subscription.next_group().await.unwrap() {
        readers.push(group);
    }
    let given: Vec<_> = readers.iter().map(GroupReader::sequence).collect();
    assert_eq!(given.len(), 3, "{given:?}");
    for reader in readers.iter_mut().rev() {
        let mut frames = 0;
        while let Some(frame) = reader.next_frame().await.unwrap() {
            assert_eq!(frame.payload, vec![frames as u8; 16 << 10]);
            frames += 1;
        }
        assert_eq!(frames, 64);
    }
}

pub(crate) async fn a_slow_reader_delays_nobody<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (_broadcast, mut track, client, mut slow) = flow(&relay).await;
    let mut fast = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    write_group(&mut track, 64, 16 << 10).await;
    let mut stalled = slow.next_group().await.unwrap().unwrap();
    assert!(stalled.next_frame().await.unwrap().is_some());
    for _ in 0..20 {
        write_group(&mut track, 4, 16 << 10).await;
    }
    track.finish().unwrap();
    assert_eq!(read_all(&mut fast).await.len(), 21);
    let mut left = 0;
    while stalled.next_frame().await.unwrap().is_some() {
        left += 1;
    }
    assert_eq!(left, 63);
    assert_eq!(read_all(&mut slow).await.len(), 20);
}

pub(crate) async fn cancelled_reads_lose_nothing<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (_broadcast, mut track, _client, mut subscription) = flow(&relay).await;
    let write = async {
        for _ in 0..20 {
            write_group(&mut track, 30, 2000).await;
            yield_now().await;
        }
        track.finish().unwrap();
    };
    // Every future is dropped after one poll.
    let read = async {
        let mut groups = 0;
        loop {
            let next = loop {
                match poll_once(subscription.next_group()) {
                    Some(next) => break next.unwrap(),
                    None => yield_now().await,
                }
            };
            let Some(mut group) = next else { return groups };
            let mut frames = 0;
            loop {
                match poll_once(group.next_frame()) {
                    None => yield_now().await,
                    Some(Ok(Some(frame))) => {
                        assert_eq!((frame.index, frame.payload.len()), (frames, 2000));
                        frames += 1;
                    }
                    Some(end) => break assert_eq!(end, Ok(None)),
                }
            }
            assert_eq!(frames, 30);
            groups += 1;
        }
    };
    let (groups, ()) = join(read, write).await;
    assert_eq!(groups, 20);
}

pub(crate) async fn drained_waits_for_the_slowest<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (_broadcast, mut track, _client, mut subscription) = flow(&relay).await;
    let write = async {
        for _ in 0..40 {
            write_group(&mut track, 8, 16 << 10).await;
            track.drained(256 << 10).await.unwrap();
        }
        track.drained(0).await.unwrap();
        track.finish().unwrap();
        track.finished().await.unwrap();
    };
    let (groups, ()) = join(read_all(&mut subscription), write).await;
    assert_eq!(groups.len(), 40);
    drop(subscription);
    // Without subscribers there is nothing to wait for.
    track.drained(0).await.unwrap();
}

pub(crate) async fn finished_means_that_it_arrived<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (publisher, subscriber) = (relay.client().await, relay.client().await);
    let broadcast = publisher.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let origin = subscriber.origin();
    origin.announced(&path("a")).await.unwrap().next().await.unwrap();
    let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    for _ in 0..30 {
        write_group(&mut track, 8, 16 << 10).await;
    }
    track.finish().unwrap();
    track.finished().await.unwrap();
    publisher.close(SessionCode::NO_ERROR, "done").await;
    assert_eq!(read_all(&mut subscription).await.len(), 30);
}

pub(crate) async fn wanted_follows_the_subscribers<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    assert!(!track.is_wanted());
    assert!(poll_once(track.wanted()).is_none());
    let client = relay.client().await;
    let subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    assert!(track.is_wanted());
    drop(subscription);
    while track.is_wanted() {
        yield_now().await;
    }
}

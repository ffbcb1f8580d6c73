//! What applications do that are in a hurry, large, slow, or cut off.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use smoq_runtime::{
    GroupError, Origin, ServerEvent, connect,
    core::{
        Announced, Limits, Version,
        wire::{SessionCode, TrackInfo},
    },
};

use super::tools::*;

/// Everything that waits, once.
async fn everything<R: Bed>(relay: &Relay<R>) {
    let (publisher, subscriber) = (relay.client().await, relay.client().await);
    let broadcast = publisher.origin().create(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    broadcast.announce().await.unwrap();
    let origin = subscriber.origin();
    let mut announced = origin.announced(&path("a")).await.unwrap();
    announced.next().await.unwrap();
    let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    let mut group = track.group().await.unwrap();
    group.write(0, Bytes::from_static(b"one")).await.unwrap();
    group.start_frame(1, 3).await.unwrap();
    group.write_chunk(Bytes::from_static(b"two")).await.unwrap();
    group.finish().unwrap();
    track.drained(0).await.unwrap();
    subscription.info().await.unwrap();
    subscription.update(lossless()).await.unwrap();
    let mut reader = subscription.next_group().await.unwrap().unwrap();
    assert_eq!(&*reader.next_frame().await.unwrap().unwrap().payload, b"one");
    assert_eq!(&*reader.next_chunk().await.unwrap().unwrap().data, b"two");
    assert_eq!(reader.next_frame().await, Ok(None));
    track.finish().unwrap();
    track.finished().await.unwrap();
    assert!(subscription.next_group().await.unwrap().is_none());
    relay.server.stats().await.unwrap();
    publisher.close(SessionCode::NO_ERROR, "").await;
    assert!(matches!(announced.next().await, Ok(Announced::Ended { .. })));
}

pub(crate) async fn whatever_is_cancelled_leaves_nothing_behind<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let mut polls = 0;
    // Dropped at its first wait, at its second, and so on until it gets to its end.
    while cut(everything(&relay), polls).await.is_none() {
        polls += 1;
        let mut stats = relay.server.stats().await.unwrap();
        while (stats.sessions, stats.routes, stats.subscriptions) != (0, 0, 0) {
            yield_now().await;
            stats = relay.server.stats().await.unwrap();
        }
    }
    assert!(polls > 5, "{polls}");
}

/// Drops the future when it still waits after so many polls.
async fn cut<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

pub(crate) async fn cancelled_writes_write_nothing<R: Bed>(runtime: R) {
    // More than the queue to a driver holds, so where the driver is on this thread it is full.
    const FRAMES: u64 = 600;
    let relay = Relay::new(runtime);
    let client = relay.client().await;
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    let mut group = track.group().await.unwrap();
    let payload = Bytes::from(vec![1; 16 << 10]);
    for frame in 0..FRAMES {
        while poll_once(group.write(frame, payload.clone())).is_none() {
            yield_now().await;
        }
    }
    group.finish().unwrap();
    track.finish().unwrap();
    let mut reader = subscription.next_group().await.unwrap().unwrap();
    for index in 0..FRAMES {
        let frame = reader.next_frame().await.unwrap().unwrap();
        assert_eq!((frame.index, frame.timestamp, frame.payload), (index, index, payload.clone()));
    }
    assert_eq!(reader.next_frame().await, Ok(None));
}

pub(crate) async fn who_pauses_gets_all_later<R: Bed>(runtime: R) {
    const GROUPS: u64 = 20;
    const SIZE: usize = 100_000;
    const WINDOW: u32 = 64 << 10;
    let relay = Relay::new(runtime);
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut options = relay.options(Version::ALL[0]);
    options.transport.receive_window = WINDOW;
    let client = connect(&relay.runtime, &relay.url(""), options).await.unwrap();
    let mut subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    client.pause().await.unwrap();
    for _ in 0..GROUPS {
        let mut group = track.group().await.unwrap();
        group.write(0, vec![7; SIZE].into()).await.unwrap();
        group.finish().unwrap();
    }
    track.finish().unwrap();
    let mut all = pin!(async {
        for _ in 0..GROUPS {
            let mut group = subscription.next_group().await.unwrap().unwrap();
            assert_eq!(group.next_frame().await.unwrap().unwrap().payload.len(), SIZE);
        }
    });
    // However long it waits.
    for _ in 0..1000 {
        assert!(cut(all.as_mut(), 0).await.is_none(), "it was read");
        yield_now().await;
    }
    client.resume().await.unwrap();
    all.await;
}

pub(crate) async fn a_stalled_reader_keeps_what_its_store_holds<R: Bed>(runtime: R) {
    const GROUPS: u64 = 32;
    const SIZE: usize = 256 << 10;
    let relay = Relay::new(runtime);
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut options = relay.options(Version::ALL[0]);
    options.node.limits = Limits { store_bytes: 4 * SIZE, ..Limits::default() };
    let stalled = connect(&relay.runtime, &relay.url(""), options).await.unwrap();
    let mut subscription = stalled.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    for _ in 0..GROUPS {
        let mut group = track.group().await.unwrap();
        group.write(0, vec![7; SIZE].into()).await.unwrap();
        group.finish().unwrap();
        // The network is not what loses.
        track.drained(0).await.unwrap();
    }
    track.finish().unwrap();
    track.finished().await.unwrap();

    let mut whole = Vec::new();
    while let Some(mut group) = subscription.next_group().await.unwrap() {
        match group.next_frame().await {
            Ok(frame) => {
                assert_eq!(frame.unwrap().payload.len(), SIZE);
                whole.push(group.sequence());
            }
            Err(GroupError::Reset(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(whole.contains(&(GROUPS - 1)), "the newest is there: {whole:?}");
    assert!(whole.len() <= 5, "{whole:?}: its store, and what is read ahead");
}

pub(crate) async fn thousands_of_tasks_read<R: Bed>(runtime: R) {
    const CLIENTS: usize = 4;
    const READERS: usize = 500;
    let relay = Relay::new(runtime);
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = relay.client().await;
        for _ in 0..READERS {
            relay.runtime.spawn(read_two(client.origin(), done.clone()));
        }
        clients.push(client);
    }
    for _ in 0..2 {
        let mut group = track.group().await.unwrap();
        group.write(0, Bytes::from_static(b"x")).await.unwrap();
        group.finish().unwrap();
    }
    track.finish().unwrap();
    while done.load(Ordering::SeqCst) < CLIENTS * READERS {
        yield_now().await;
    }
}

async fn read_two(origin: Origin, done: Arc<AtomicUsize>) {
    let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
    assert_eq!(read_all(&mut subscription).await, [0, 1].map(|group| (group, vec![b"x".to_vec()])));
    done.fetch_add(1, Ordering::SeqCst);
}

pub(crate) async fn who_was_cut_off_comes_back<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    let origin = relay.server.origin();
    let mut announced = origin.announced(&path("")).await.unwrap();
    for round in 0..5 {
        let mut client = relay.client().await;
        let session = loop {
            match relay.server.next().await.unwrap() {
                ServerEvent::Connected { session, .. } => break session,
                event => assert!(matches!(event, ServerEvent::Closed { .. }), "{event:?}"),
            }
        };
        // The same names as before.
        let broadcast = client.origin().publish(&path("cam")).await.unwrap();
        let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
        assert!(matches!(announced.next().await, Ok(Announced::Active { .. })));
        let mut subscription = origin.subscribe(&path("cam"), "t", lossless()).await.unwrap();
        let mut group = track.group().await.unwrap();
        group.write(round, Bytes::from_static(b"x")).await.unwrap();
        let mut reader = subscription.next_group().await.unwrap().unwrap();
        assert_eq!(reader.next_frame().await.unwrap().unwrap().timestamp, round);
        relay.server.close_session(session, SessionCode::NO_ERROR, "come back").await.unwrap();
        assert_eq!(client.closed().await.0.reason, "come back");
        assert_eq!(announced.next().await, Ok(Announced::Ended { path: path("cam") }));
        assert!(reader.next_frame().await.is_err() && subscription.next_group().await.is_err());
    }
}

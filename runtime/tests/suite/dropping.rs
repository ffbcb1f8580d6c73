//! Handles go, in any order.

use bytes::Bytes;
use smoq_runtime::{
    Error, ServerEvent, SubscribeError,
    core::{
        Announced, ClosedBy,
        wire::{SessionCode, StreamCode, TrackInfo},
    },
};

use super::tools::*;

pub(crate) async fn the_last_handle_closes_the_connection<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    let client = relay.client().await;
    let origin = client.origin();
    drop(client);
    let broadcast = origin.publish(&path("a")).await.unwrap();
    drop(origin);
    let mut announced = relay.server.origin().announced(&path("a")).await.unwrap();
    let first = announced.next().await.unwrap();
    assert!(matches!(first, Announced::Active { .. }), "the broadcast keeps the connection");
    drop(broadcast);
    let closed = relay.closed().await;
    assert_eq!((closed.by, closed.code), (ClosedBy::Peer, SessionCode::NO_ERROR));
}

pub(crate) async fn handles_may_be_dropped_in_any_order<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    for order in permutations(4) {
        let client = relay.client().await;
        let broadcast = client.origin().publish(&path("a")).await.unwrap();
        let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
        let mut group = track.group().await.unwrap();
        group.write(0, Bytes::from_static(b"x")).await.unwrap();
        let mut handles = [
            Some(Box::new(client) as Box<dyn Send>),
            Some(Box::new(broadcast)),
            Some(Box::new(track)),
            Some(Box::new(group)),
        ];
        for index in order {
            handles[index] = None;
        }
        assert_eq!(relay.closed().await.code, SessionCode::NO_ERROR);
    }
    // And those who read.
    let server = relay.server.origin();
    let broadcast = server.publish(&path("b")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut writer = track.group().await.unwrap();
    writer.write(0, Bytes::from_static(b"x")).await.unwrap();
    for order in permutations(4) {
        let client = relay.client().await;
        let announced = client.origin().announced(&path("b")).await.unwrap();
        let mut subscription =
            client.origin().subscribe(&path("b"), "t", lossless()).await.unwrap();
        let mut group = subscription.next_group().await.unwrap().unwrap();
        assert!(group.next_frame().await.unwrap().is_some());
        let mut handles = [
            Some(Box::new(client) as Box<dyn Send>),
            Some(Box::new(announced)),
            Some(Box::new(subscription)),
            Some(Box::new(group)),
        ];
        for index in order {
            handles[index] = None;
        }
        assert_eq!(relay.closed().await.code, SessionCode::NO_ERROR);
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![vec![]];
    };
    let mut all = Vec::new();
    for shorter in permutations(last) {
        for place in 0..=last {
            let mut longer = shorter.clone();
            longer.insert(place, last);
            all.push(longer);
        }
    }
    all
}

pub(crate) async fn a_lost_connection_fails_the_writers<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    let mut client = relay.client().await;
    let origin = client.origin();
    let broadcast = origin.publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut group = track.group().await.unwrap();
    let Some(ServerEvent::Connected { session, .. }) = relay.server.next().await else {
        panic!("the session begins")
    };
    relay.server.close_session(session, SessionCode::NO_ERROR, "").await.unwrap();
    let reason = client.closed().await;
    let lost = Some(Error::Disconnected(reason));
    assert_eq!(track.wanted().await.err(), lost);
    assert_eq!(track.finished().await.err(), lost);
    assert_eq!(group.write(0, Bytes::new()).await.err(), lost);
    assert_eq!(track.group().await.err(), lost);
    assert_eq!(broadcast.track("u", TrackInfo::default()).await.err(), lost);
    assert_eq!(origin.publish(&path("b")).await.err(), lost);
}

pub(crate) async fn a_lost_connection_ends_the_announcements<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let mut client = relay.client().await;
    let _broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut announced = client.origin().announced(&path("")).await.unwrap();
    assert!(matches!(announced.next().await, Ok(Announced::Active { .. })));
    relay.server.shutdown(SessionCode::NO_ERROR, "over").await;
    assert_eq!(announced.next().await, Ok(Announced::Ended { path: path("a") }));
    let lost = Err(Error::Disconnected(client.closed().await));
    assert_eq!(announced.next().await, lost);
    assert_eq!(announced.try_next().map(|_| ()), lost.clone().map(|_: Announced| ()));
    let mut late = client.origin().announced(&path("")).await.unwrap();
    assert_eq!(late.next().await, lost);
}

pub(crate) async fn who_sees_a_subscription_fail_is_told_why<R: Bed>(runtime: R) {
    for _ in 0..20 {
        let relay = Relay::new(runtime.clone());
        let client = relay.client().await;
        let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
        let _track = broadcast.track("t", TrackInfo::default()).await.unwrap();
        let origin = client.origin();
        let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
        subscription.info().await.unwrap();
        relay.server.shutdown(SessionCode::NO_ERROR, "over").await;
        let error = subscription.next_group().await.err();
        assert_eq!(error, Some(SubscribeError::Failed(StreamCode::SESSION_CLOSED)));
        let reason = client.try_closed().expect("the connection is known to be over").0;
        assert_eq!((reason.by, &*reason.reason), (ClosedBy::Peer, "over"));
    }
}

pub(crate) async fn groups_outlive_their_subscription<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let client = relay.client().await;
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    let mut writer = track.group().await.unwrap();
    writer.write(0, Bytes::from_static(b"one")).await.unwrap();
    let mut reader = subscription.next_group().await.unwrap().unwrap();
    drop(subscription);
    writer.write(1, Bytes::from_static(b"two")).await.unwrap();
    writer.finish().unwrap();
    for expected in [b"one", b"two"] {
        assert_eq!(&*reader.next_frame().await.unwrap().unwrap().payload, expected);
    }
    assert_eq!(reader.next_frame().await, Ok(None));
    drop(reader);
    while track.is_wanted() {
        yield_now().await;
    }
}

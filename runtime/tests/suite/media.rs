//! What is published arrives.

use std::collections::BTreeSet;

use bytes::Bytes;
use smoq_runtime::{
    Error, GroupError, SubscribeError, TryError,
    core::{
        Announced, Misuse, SubscribeOptions, Version,
        wire::{MAX_DATAGRAM, StreamCode, TrackInfo},
    },
};

use super::tools::*;

fn payload(group: u64, frame: u64) -> Bytes {
    let size = (group * 7 + frame * 131) % 3000;
    vec![(group + frame) as u8; size as usize].into()
}

fn expected(groups: u64, frames: u64) -> Vec<(u64, Frames)> {
    let group = |group| (0..frames).map(|frame| payload(group, frame).to_vec()).collect();
    (0..groups).map(|sequence| (sequence, group(sequence))).collect()
}

pub(crate) async fn every_version_carries_media<R: Bed>(runtime: R) {
    for version in Version::ALL {
        let relay = Relay::new(runtime.clone());
        let (publisher, subscriber) =
            (relay.client_of(version).await, relay.client_of(version).await);
        assert_eq!((publisher.version(), subscriber.version()), (version, version));
        let info = TrackInfo { timescale: 90_000, ..TrackInfo::default() };

        let broadcast = publisher.origin().create(&path("room/cam")).await.unwrap();
        let mut track = broadcast.track("video", info).await.unwrap();
        broadcast.announce().await.unwrap();
        let mut announced = subscriber.origin().announced(&path("room")).await.unwrap();
        let Ok(Announced::Active { path: at, .. }) = announced.next().await else {
            panic!("the broadcast is there")
        };
        assert_eq!(at, path("room/cam"));
        let origin = subscriber.origin();
        let mut subscription = origin.subscribe(&at, "video", lossless()).await.unwrap();

        track.wanted().await.unwrap();
        for sequence in 0..3 {
            let mut group = track.group().await.unwrap();
            assert_eq!(group.sequence(), sequence);
            for frame in 0..5 {
                let timestamp = sequence * 1000 + frame;
                group.write(timestamp, payload(sequence, frame)).await.unwrap();
            }
            group.finish().unwrap();
        }
        track.finish().unwrap();
        if version.has_track() {
            assert_eq!(subscription.info().await.unwrap().timescale, info.timescale);
        }
        assert_eq!(read_all(&mut subscription).await, expected(3, 5), "{version:?}");
        track.finished().await.unwrap();
    }
}

pub(crate) async fn one_group_is_fetched<R: Bed>(runtime: R) {
    for version in Version::ALL {
        let relay = Relay::new(runtime.clone());
        let (publisher, subscriber) =
            (relay.client_of(version).await, relay.client_of(version).await);
        let broadcast = publisher.origin().publish(&path("a")).await.unwrap();
        let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
        for sequence in 0..3 {
            let mut group = track.group().await.unwrap();
            group.write(sequence, payload(sequence, 0)).await.unwrap();
            group.finish().unwrap();
        }
        let origin = subscriber.origin();
        origin.announced(&path("a")).await.unwrap().next().await.unwrap();
        let mut there = origin.fetch(&path("a"), "t", 1, 0).await.unwrap();
        let mut missing = origin.fetch(&path("a"), "t", 9, 0).await.unwrap();
        let not_found = SubscribeError::Failed(StreamCode::NOT_FOUND);
        assert_eq!(missing.next_group().await.err(), Some(not_found), "{version}");
        if !version.serves_fetch() {
            assert_eq!(there.next_group().await.err(), Some(not_found), "{version}");
            continue;
        }
        let mut group = there.next_group().await.unwrap().unwrap();
        assert_eq!(group.sequence(), 1, "{version}");
        let frame = group.next_frame().await.unwrap().unwrap();
        assert_eq!((frame.timestamp, frame.payload), (1, payload(1, 0)), "{version}");
        assert_eq!(group.next_frame().await, Ok(None), "{version}");
        assert!(there.next_group().await.unwrap().is_none(), "{version}");
    }
}

pub(crate) async fn a_server_publishes_and_subscribes_itself<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let client = relay.client().await;
    let here = relay.server.origin().publish(&path("here")).await.unwrap();
    let there = client.origin().publish(&path("there")).await.unwrap();
    for (broadcast, reader) in [(here, client.origin()), (there, relay.server.origin())] {
        let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
        reader.announced(broadcast.path()).await.unwrap().next().await.unwrap();
        let mut subscription = reader.subscribe(broadcast.path(), "t", lossless()).await.unwrap();
        let mut group = track.group().await.unwrap();
        group.write(5, Bytes::from_static(b"hello")).await.unwrap();
        group.finish().unwrap();
        track.finish().unwrap();
        let mut group = subscription.next_group().await.unwrap().unwrap();
        let frame = group.next_frame().await.unwrap().unwrap();
        assert_eq!((frame.index, frame.timestamp, &*frame.payload), (0, 5, &b"hello"[..]));
        assert_eq!(group.next_frame().await, Ok(None));
        assert!(subscription.next_group().await.unwrap().is_none());
    }
}

pub(crate) async fn many_groups_arrive_whole<R: Bed>(runtime: R) {
    const GROUPS: u64 = 500;
    let relay = Relay::new(runtime);
    let (publisher, subscriber) = (relay.client().await, relay.client().await);
    let broadcast = publisher.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let origin = subscriber.origin();
    origin.announced(&path("a")).await.unwrap().next().await.unwrap();
    // Few groups are on their way at a time: on a burst of many, the newest come first.
    let window = |from| SubscribeOptions { end: Some(from + 31), ..lossless() };
    let mut subscription = origin.subscribe(&path("a"), "t", window(0)).await.unwrap();
    let read = async {
        let mut ahead = BTreeSet::new();
        let mut next = 0;
        while let Some(mut group) = subscription.next_group().await.unwrap() {
            let sequence = group.sequence();
            for frame in 0..8 {
                let whole = group.next_frame().await.unwrap().unwrap();
                assert_eq!((whole.index, whole.payload), (frame, payload(sequence, frame)));
            }
            assert_eq!(group.next_frame().await, Ok(None));
            assert!(ahead.insert(sequence));
            while ahead.remove(&next) {
                next += 1;
            }
            subscription.update(window(next)).await.unwrap();
        }
        assert!(ahead.is_empty(), "{next} is missing before {ahead:?}");
        next
    };
    let write = async {
        for sequence in 0..GROUPS {
            let mut group = track.group().await.unwrap();
            for frame in 0..8 {
                group.write(frame, payload(sequence, frame)).await.unwrap();
            }
            group.finish().unwrap();
        }
        track.finish().unwrap();
        track.finished().await.unwrap();
    };
    let (groups, ()) = join(read, write).await;
    assert_eq!(groups, GROUPS);
}

pub(crate) async fn streamed_frames_arrive_as_they_are_written<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let client = relay.client().await;
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();

    let mut writer = track.group().await.unwrap();
    writer.start_frame(3, 10).await.unwrap();
    writer.write_chunk(Bytes::from_static(b"01234")).await.unwrap();
    let mut reader = subscription.next_group().await.unwrap().unwrap();
    let chunk = reader.next_chunk().await.unwrap().unwrap();
    assert_eq!((chunk.frame, chunk.timestamp, chunk.size, chunk.offset), (0, 3, 10, 0));
    assert!(!chunk.is_last() && b"01234".starts_with(&chunk.data));
    writer.write_chunk(Bytes::from_static(b"56789")).await.unwrap();
    writer.start_frame(4, 6).await.unwrap();
    writer.write_chunk(Bytes::from_static(b"abc")).await.unwrap();
    writer.write_chunk(Bytes::from_static(b"def")).await.unwrap();
    writer.finish().unwrap();
    let frame = reader.next_frame().await.unwrap().unwrap();
    assert_eq!((frame.index, &*frame.payload), (1, &b"abcdef"[..]), "the begun frame is left out");
    assert_eq!(reader.next_frame().await, Ok(None));
}

pub(crate) async fn misuse_is_told_on_the_handle<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let origin = relay.server.origin();
    let misuse = |misuse| Some(Error::Misuse(misuse));
    let broadcast = origin.publish(&path("a")).await.unwrap();
    assert_eq!(origin.publish(&path("a")).await.err(), misuse(Misuse::DuplicateBroadcast));
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let twice = broadcast.track("t", TrackInfo::default()).await;
    assert_eq!(twice.err(), misuse(Misuse::DuplicateTrack));
    let timeless = TrackInfo { timescale: 0, ..TrackInfo::default() };
    assert_eq!(broadcast.track("u", timeless).await.err(), misuse(Misuse::Timescale));

    let too_large = track.group_at(u64::MAX).await;
    assert_eq!(too_large.err(), misuse(Misuse::Sequence));
    track.group_at(5).await.unwrap().finish().unwrap();
    let mut again = track.group_at(5).await.unwrap();
    let error = loop {
        match again.write(0, Bytes::new()).await {
            Ok(()) => yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Misuse(Misuse::DuplicateGroup(5)));

    let mut group = track.try_group().unwrap();
    assert_eq!(group.sequence(), 6);
    assert_eq!(group.write(u64::MAX, Bytes::new()).await.err(), misuse(Misuse::Timestamp));
    group.start_frame(0, 3).await.unwrap();
    let early = group.try_write(0, Bytes::new());
    assert_eq!(early, Err(TryError::Failed(Error::Misuse(Misuse::FrameSize))));
    let long = group.write_chunk(Bytes::from_static(b"1234")).await;
    assert_eq!(long.err(), misuse(Misuse::FrameSize));
    assert_eq!(group.finish().err(), misuse(Misuse::FrameSize));
    track.finish().unwrap();
    assert_eq!(track.group().await.err(), misuse(Misuse::TrackFinished));
}

pub(crate) async fn an_unknown_broadcast_fails<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    for version in Version::ALL {
        let client = relay.client_of(version).await;
        let origin = client.origin();
        let mut subscription =
            origin.subscribe(&path("nobody"), "t", SubscribeOptions::default()).await.unwrap();
        let error = subscription.next_group().await.err().unwrap();
        let known = [StreamCode::NOT_FOUND, StreamCode::UNROUTABLE].map(SubscribeError::Failed);
        assert!(known.contains(&error), "{version:?}: {error}");
        assert!(error.to_string().contains("check"), "{error}");
        if version.has_track() {
            assert_eq!(subscription.info().await, Err(error));
        }
    }
}

pub(crate) async fn announcements_come_and_go<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (publisher, subscriber) = (relay.client().await, relay.client().await);
    let mut announced = subscriber.origin().announced(&path("room")).await.unwrap();
    assert_eq!(poll_once(announced.next()), None);
    let outside = publisher.origin().publish(&path("elsewhere")).await.unwrap();
    for round in 0..3 {
        let at = path(&format!("room/{round}"));
        let broadcast = publisher.origin().publish(&at).await.unwrap();
        let news = announced.next().await.unwrap();
        assert!(matches!(&news, Announced::Active { path, .. } if *path == at), "{news:?}");
        drop(broadcast);
        assert_eq!(announced.next().await, Ok(Announced::Ended { path: at }));
    }
    assert_eq!(announced.try_next(), Ok(None));
    drop(outside);
}

pub(crate) async fn dropped_writers_abort<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let client = relay.client().await;
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    let mut writer = track.group().await.unwrap();
    writer.write(0, Bytes::from_static(b"x")).await.unwrap();
    let mut reader = subscription.next_group().await.unwrap().unwrap();
    assert_eq!(&*reader.next_frame().await.unwrap().unwrap().payload, b"x");
    drop(writer);
    assert_eq!(reader.next_frame().await, Err(GroupError::Reset(StreamCode::CANCEL)));
    drop(track);
    let error = subscription.next_group().await.err().unwrap();
    assert!(matches!(error, SubscribeError::Failed(_)), "{error}");
}

pub(crate) async fn datagrams_are_groups_of_one_frame<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (publisher, subscriber) = (relay.client().await, relay.client().await);
    let broadcast = publisher.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let origin = subscriber.origin();
    origin.announced(&path("a")).await.unwrap().next().await.unwrap();
    let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    let too_large = track.datagram(0, Bytes::from(vec![0; MAX_DATAGRAM + 1])).await;
    assert_eq!(too_large, Err(Misuse::DatagramSize.into()));
    // Some may be lost. Streams are not, so what has come when they have is all that comes of the others.
    let write = async {
        for sequence in 0..20 {
            if sequence % 2 == 0 {
                track.datagram(sequence, payload(sequence, 0)).await.unwrap();
            } else {
                let mut group = track.group().await.unwrap();
                group.write(sequence, payload(sequence, 0)).await.unwrap();
                group.finish().unwrap();
            }
        }
        track.finish().unwrap();
    };
    let read = async {
        let mut came = [0; 2];
        while let Some(mut group) = subscription.next_group().await.unwrap() {
            let sequence = group.sequence();
            let whole = group.next_frame().await.unwrap().unwrap();
            assert_eq!((whole.timestamp, whole.payload), (sequence, payload(sequence, 0)));
            assert_eq!(group.next_frame().await, Ok(None));
            came[usize::from(sequence % 2 == 0)] += 1;
        }
        came
    };
    let (came, ()) = join(read, write).await;
    assert_eq!(came[0], 10, "{came:?}");
    assert!(came[1] > 0, "{came:?}");
}

//! Datagrams with moq-tokio, in both directions. What its `recv_datagram` gives did not come on a stream.

mod direct;
mod support;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use moq_peer::{Role, Sink, Source};
use smoq_tokio::core::{Path, Start, SubscribeOptions, wire::TrackInfo};
use support::{BROADCAST, Case, Deadline, TRACK, matrix};

/// Each may be lost, so they are written until one has arrived.
const PAUSE: Duration = Duration::from_millis(10);

fn payload(sequence: u64) -> Bytes {
    vec![sequence as u8; 500].into()
}

fn timestamp(sequence: u64) -> u64 {
    sequence * 7
}

async fn the_peer_receives_a_datagram_of_smoq(case: Case) {
    let deadline = Deadline::without_binary();
    let server = direct::listen();
    let origin = server.0.origin();
    let path = Path::new(BROADCAST).expect("a path");
    let broadcast = deadline.step("smoq to publish", origin.publish(&path)).await;
    let add = broadcast.track(TRACK, TrackInfo::default());
    let mut track = deadline.step("smoq to add a track", add).await;
    let sink = Sink::new();
    let _link = direct::dial(&deadline, &server, case, Role::Subscribe(&sink)).await;
    let subscribe = sink.datagrams(BROADCAST, TRACK);
    let mut datagrams = deadline.step("the peer to subscribe", subscribe).await;
    let write = async {
        for sequence in 0.. {
            let write = track.datagram(timestamp(sequence), payload(sequence));
            deadline.step("smoq to write", write).await;
            tokio::time::sleep(PAUSE).await;
        }
    };
    let (sequence, millis, data) = tokio::select! {
        datagram = deadline.step("a datagram of smoq's", datagrams.next()) => datagram,
        () = write => unreachable!("it writes for ever"),
    };
    assert_eq!((millis, data), (timestamp(sequence), payload(sequence)));
}

async fn smoq_receives_a_datagram_of_the_peer(case: Case) {
    let deadline = Deadline::without_binary();
    let source = Source::new(BROADCAST, TRACK).expect("announce the broadcast");
    let (client, _server) = direct::connect(&deadline, case, Role::Publish(&source)).await;
    let path = Path::new(BROADCAST).expect("a path");
    let origin = client.origin();
    let options = SubscribeOptions {
        start: Start::From(0),
        max_age: Duration::MAX,
        ..SubscribeOptions::default()
    };
    let subscribe = origin.subscribe(&path, TRACK, options);
    let mut subscription = deadline.step("smoq to subscribe", subscribe).await;
    let write = async {
        deadline.step("smoq's subscription", source.wanted()).await;
        for sequence in 0.. {
            source.datagram(timestamp(sequence), payload(sequence)).expect("the track lives");
            tokio::time::sleep(PAUSE).await;
        }
    };
    let read = async {
        let group = deadline.step("a datagram of the peer's", subscription.next_group()).await;
        let mut group = group.expect("the track goes on");
        let frame = deadline.step("its frame", group.next_frame()).await.expect("it has one");
        assert_eq!(deadline.step("its end", group.next_frame()).await, None);
        Ok::<_, Infallible>((group.sequence(), frame.timestamp, frame.payload))
    };
    let (sequence, millis, data) = tokio::select! {
        datagram = deadline.step("a datagram", read) => datagram,
        () = write => unreachable!("it writes for ever"),
    };
    assert_eq!((millis, data), (timestamp(sequence), payload(sequence)));
}

matrix! {
    [the_peer_receives_a_datagram_of_smoq, smoq_receives_a_datagram_of_the_peer]
    lite_05 => "moq-lite-05" over "moqt",
    lite_06 => "moq-lite-06" over "moqt",
    lite_05_web => "moq-lite-05" over "https",
    lite_06_web => "moq-lite-06" over "https",
}

//! Datagrams with moq-tokio, both ways: its `recv_datagram` gives nothing that came on a stream.

#[path = "support/pair.rs"]
mod pair;

use std::time::Duration;

use bytes::Bytes;
use moq_peer::{Role, Server, Sink, Source};
use pair::{dial, ours, step, versions};
use smoq_tokio::core::{Path, Start, SubscribeOptions, wire::TrackInfo};

/// What is written until one of them has arrived: each may be lost.
const PAUSE: Duration = Duration::from_millis(10);

fn payload(sequence: u64) -> Bytes {
    vec![sequence as u8; 500].into()
}

#[tokio::test]
async fn the_peer_receives_those_of_smoq() {
    for (version, theirs) in versions().filter(|(version, _)| version.has_datagrams()) {
        for scheme in ["moqt", "https"] {
            let (server, dial) = ours(scheme, theirs);
            let cam = Path::new("room/cam").expect("a path");
            let broadcast = step("the broadcast", server.origin().publish(&cam)).await;
            let mut track = step("the track", broadcast.track("video", TrackInfo::default())).await;
            let sink = Sink::new();
            let link = step("the peer to connect", dial.connect(Role::Subscribe(&sink))).await;
            let mut datagrams =
                step("the peer to subscribe", sink.datagrams("room/cam", "video")).await;
            let write = async {
                for sequence in 0.. {
                    track.datagram(sequence * 7, payload(sequence)).await.expect("the track lives");
                    tokio::time::sleep(PAUSE).await;
                }
            };
            let (sequence, millis, data) = tokio::select! {
                datagram = step("a datagram of smoq's", datagrams.next()) => datagram,
                () = write => unreachable!("it writes for ever"),
            };
            assert_eq!(
                (millis, data),
                (sequence * 7, payload(sequence)),
                "{version} over {scheme}"
            );
            drop(link);
        }
    }
}

#[tokio::test]
async fn smoq_receives_those_of_the_peer() {
    for (version, theirs) in versions().filter(|(version, _)| version.has_datagrams()) {
        for scheme in ["moqt", "https"] {
            let source = Source::new("room/cam", "video").expect("announce the broadcast");
            let start = Server::start(Some(theirs), Role::Publish(&source));
            let server = step("the peer to listen", start).await;
            let client = dial(scheme, &server, version).await;
            let cam = Path::new("room/cam").expect("a path");
            let options = SubscribeOptions {
                start: Start::From(0),
                max_age: Duration::MAX,
                ..SubscribeOptions::default()
            };
            let origin = client.origin();
            let subscribe = origin.subscribe(&cam, "video", options);
            let mut subscription = step("smoq to subscribe", subscribe).await;
            let write = async {
                step("somebody to subscribe", source.wanted()).await;
                for sequence in 0.. {
                    source.datagram(sequence * 7, payload(sequence)).expect("the track lives");
                    tokio::time::sleep(PAUSE).await;
                }
            };
            let read = async {
                let group = step("a datagram of the peer's", subscription.next_group()).await;
                let mut group = group.expect("the track goes on");
                let frame = step("its frame", group.next_frame()).await.expect("it has one");
                assert_eq!(step("its end", group.next_frame()).await, None);
                (group.sequence(), frame.timestamp, frame.payload)
            };
            let (sequence, millis, data) = tokio::select! {
                datagram = read => datagram,
                () = write => unreachable!("it writes for ever"),
            };
            assert_eq!(
                (millis, data),
                (sequence * 7, payload(sequence)),
                "{version} over {scheme}"
            );
        }
    }
}

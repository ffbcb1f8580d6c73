//! The program of `docs/drive-it-yourself.md`: it is the one on the page, and it does what the page says.

#[path = "../examples/drive_it_yourself.rs"]
#[allow(dead_code)]
mod program;
mod support;

use bytes::Bytes;
use smoq_core::{Path, wire::TrackInfo};
use smoq_quic::{Trust, parse_fingerprint};
use smoq_tokio::{ClientOptions, connect};
use support::{RelayForTests, in_time};

const PAGE: &str = include_str!("../../docs/drive-it-yourself.md");
const PROGRAM: &str = include_str!("../examples/drive_it_yourself.rs");

#[test]
fn the_page_shows_it() {
    let blocks: Vec<_> = PAGE.split("```rust\n").skip(1).collect();
    let shown: Vec<_> = blocks.iter().filter_map(|block| block.split("```").next()).collect();
    assert!(shown == [PROGRAM], "copy embed/examples/drive_it_yourself.rs to the page again");
    assert!(PROGRAM.lines().count() < 80);
}

#[test]
fn it_prints_what_is_published() {
    let relay = RelayForTests::start();
    let (address, pin) = (relay.address, relay.fingerprint.clone());
    let publisher = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(publish(&relay));
    });
    let watch = move || {
        let mut printed = Vec::new();
        program::watch(address, &pin, "hello", &mut printed).map(|()| printed)
    };
    assert_eq!(in_time(watch).unwrap(), b"hello world");
    publisher.join().unwrap();
}

/// What `smoq publish --wait` does.
async fn publish(relay: &RelayForTests) {
    let pin = parse_fingerprint(&relay.fingerprint).unwrap();
    let url = format!("moqt://{}", relay.address).parse().unwrap();
    let options = ClientOptions::new(Trust::Fingerprints(vec![pin]));
    let connection = connect(&url, options).await.unwrap();
    let broadcast = connection.origin().create(&Path::new("hello").unwrap()).await.unwrap();
    let mut track = broadcast.track("data", TrackInfo::default()).await.unwrap();
    broadcast.announce().await.unwrap();
    track.wanted().await.unwrap();
    let mut group = track.group().await.unwrap();
    group.write(0, Bytes::from_static(b"hello ")).await.unwrap();
    group.write(1, Bytes::from_static(b"world")).await.unwrap();
    group.finish().unwrap();
    track.finish().unwrap();
    track.finished().await.unwrap();
}

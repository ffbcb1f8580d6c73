//! Encoding and decoding of the messages on hot paths.

use bytes::BytesMut;
use divan::{Bencher, black_box};
use smoq_core::{
    Path, Version,
    wire::{
        Announce, Cost, FrameHeader, GroupHeader, Hop, Hops, Message, Subscribe, SubscribeParams,
    },
};

const VERSIONS: [Version; 4] = Version::ALL;

fn main() {
    divan::main();
}

fn subscribe() -> Subscribe {
    let broadcast = Path::new("room/cam").expect("a valid path");
    let params = SubscribeParams { priority: 7, max_age_ms: 250, ..SubscribeParams::default() };
    Subscribe { id: 5, broadcast, track: "video".into(), params }
}

fn announce() -> Announce {
    let mut hops = Hops::new();
    for hop in [7, 9, 1 << 50] {
        hops.push(Hop::new(hop).expect("a small number")).expect("few hops");
    }
    Announce::Start { suffix: Path::new("room/cam").expect("a valid path"), hops, cost: Cost::ZERO }
}

fn encoded(version: Version, encode: impl Fn(&mut BytesMut, Version)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out, version);
    out
}

#[divan::bench(args = VERSIONS)]
fn encode_frame(bencher: Bencher<'_, '_>, version: Version) {
    let header = FrameHeader { delta: 3000, size: 4096 };
    let mut out = BytesMut::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        black_box(header).encode(&mut out, version);
    });
}

#[divan::bench(args = VERSIONS)]
fn decode_frame(bencher: Bencher<'_, '_>, version: Version) {
    let header = FrameHeader { delta: 3000, size: 4096 };
    let bytes = encoded(version, |out, version| header.encode(out, version));
    bencher.bench_local(|| FrameHeader::take(black_box(&bytes), version));
}

#[divan::bench(args = VERSIONS)]
fn encode_group(bencher: Bencher<'_, '_>, version: Version) {
    let header = GroupHeader { subscribe: 5, sequence: 80_000, first_frame: 0 };
    let mut out = BytesMut::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        black_box(header).encode(&mut out, version);
    });
}

#[divan::bench(args = VERSIONS)]
fn decode_group(bencher: Bencher<'_, '_>, version: Version) {
    let header = GroupHeader { subscribe: 5, sequence: 80_000, first_frame: 0 };
    let bytes = encoded(version, |out, version| header.encode(out, version));
    bencher.bench_local(|| GroupHeader::take(black_box(&bytes), 1024, version));
}

#[divan::bench(args = VERSIONS)]
fn encode_subscribe(bencher: Bencher<'_, '_>, version: Version) {
    let subscribe = subscribe();
    let mut out = BytesMut::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        black_box(&subscribe).encode(&mut out, version);
    });
}

#[divan::bench(args = VERSIONS)]
fn decode_subscribe(bencher: Bencher<'_, '_>, version: Version) {
    let bytes = encoded(version, |out, version| subscribe().encode(out, version));
    bencher.bench_local(|| Subscribe::take(black_box(&bytes), 1024, version));
}

#[divan::bench(args = VERSIONS)]
fn encode_announce(bencher: Bencher<'_, '_>, version: Version) {
    let announce = announce();
    let mut out = BytesMut::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        black_box(&announce).encode(&mut out, version);
    });
}

#[divan::bench(args = VERSIONS)]
fn decode_announce(bencher: Bencher<'_, '_>, version: Version) {
    let bytes = encoded(version, |out, version| announce().encode(out, version));
    bencher.bench_local(|| Announce::take(black_box(&bytes), 1024, version));
}

//! Bytes of a peer.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use smoq_bench::VIDEO;
use smoq_core::{
    Batch, Carrier, Discover, Id, Link, NextGroup, Node, Path, Session, SessionConfig, Side, Start,
    SubscribeOptions, Time, Version,
    wire::{
        Announce, Cost, DecodeError, FrameHeader, GroupHeader, Hop, Hops, Message, Setup,
        Subscribe, SubscribeParams, TrackInfo,
    },
};

use crate::counted_from_here;

const VERSION: Version = Version::Lite06;

/// What a message may be long.
const LIMIT: usize = 1024;

/// The messages on hot paths, each as often as the others.
pub(crate) fn messages() {
    let path = Path::new("room/cam").expect("a valid path");
    let params = SubscribeParams { priority: 7, max_age_ms: 250, ..SubscribeParams::default() };
    let subscribe = Subscribe { id: 5, broadcast: path.clone(), track: "video".into(), params };
    let mut hops = Hops::new();
    for hop in [7, 9, 1 << 50] {
        hops.push(Hop::new(hop).expect("a small number")).expect("few hops");
    }
    let announce = Announce::Start { suffix: path, hops, cost: Cost::ZERO };
    let group = GroupHeader { subscribe: 5, sequence: 80_000, first_frame: 0 };
    let frame = FrameHeader { delta: 3000, size: 4096 };
    let setup = encoded(|out| Setup::default().encode(out, VERSION));
    let subscribe = encoded(|out| subscribe.encode(out, VERSION));
    let announce = encoded(|out| announce.encode(out, VERSION));
    let group = encoded(|out| group.encode(out, VERSION));
    let frame = encoded(|out| frame.encode(out, VERSION));
    counted_from_here(&mut || {
        for _ in 0..1000 {
            complete(Setup::take(black_box(&setup), LIMIT, VERSION));
            complete(Subscribe::take(black_box(&subscribe), LIMIT, VERSION));
            complete(Announce::take(black_box(&announce), LIMIT, VERSION));
            complete(GroupHeader::take(black_box(&group), LIMIT, VERSION));
            complete(Ok(FrameHeader::take(black_box(&frame), VERSION)));
        }
    });
}

fn encoded(encode: impl Fn(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out);
    out
}

fn complete<T>(decoded: Result<Option<T>, DecodeError>) {
    assert!(black_box(decoded).is_ok_and(|message| message.is_some()), "it is complete and valid");
}

/// Groups that come from another node, each in one piece per stream.
pub(crate) fn group() {
    let mut upstream = End::new(Side::Server);
    let mut downstream = End::new(Side::Client);
    let path = Path::new("live").expect("a valid path");
    let now = Time::ZERO;
    let broadcast = upstream.node.publish(now, &path).expect("a new path");
    let track = upstream.node.create_track(now, broadcast, "video", TrackInfo::default());
    let track = track.expect("a new track");
    exchange(&mut upstream, &mut downstream);
    let options = SubscribeOptions { start: Start::From(0), ..SubscribeOptions::default() };
    let reader = downstream.node.subscribe(now, &path, "video", options).expect("a valid name");
    exchange(&mut upstream, &mut downstream);
    let payload = Bytes::from(vec![0x5a; VIDEO.size]);
    for round in 0..20 {
        let (group, _) = upstream.node.create_group(now, track, None).expect("a running track");
        for timestamp in 0..VIDEO.frames {
            let frame = payload.clone();
            upstream.node.write_frame(now, group, timestamp, frame).expect("an open group");
        }
        upstream.node.finish_group(now, group).expect("an open group");
        let mut batch = upstream.take();
        if round < 19 {
            downstream.hear(batch);
        } else {
            counted_from_here(&mut || downstream.hear(batch.take()));
        }
        exchange(&mut upstream, &mut downstream);
        let next = downstream.node.next_group(now, reader).expect("a subscription");
        assert!(matches!(next, NextGroup::Group { .. }), "group {round} came: {next:?}");
    }
}

/// A node and its end of a link.
struct End {
    node: Node,
    link: Link,
    session: Id<Session>,
    scratch: Vec<Bytes>,
}

impl End {
    fn new(side: Side) -> Self {
        let hop = if side == Side::Client { 1 } else { 2 };
        let hop = Hop::new(hop).expect("a small number");
        let mut node = Node::new(smoq_core::Config { hop, ..Default::default() });
        let config = SessionConfig::client(VERSION, Carrier::Link, "");
        let config = SessionConfig { side, discover: Discover::Everything, ..config };
        let session = node.add_session(Time::ZERO, config);
        Self { node, link: Link::new(side, 1 << 20, 64), session, scratch: Vec::new() }
    }

    fn take(&mut self) -> Option<Batch> {
        while self.node.poll_session().is_some() {
            self.link.pump(&mut self.node, Time::ZERO, self.session, &mut self.scratch);
        }
        while self.node.poll_event().is_some() {}
        self.link.take()
    }

    fn hear(&mut self, batch: Option<Batch>) {
        if let Some(batch) = batch {
            self.link.handle(&mut self.node, Time::ZERO, self.session, batch);
        }
    }
}

/// Until neither has anything to say.
fn exchange(one: &mut End, other: &mut End) {
    loop {
        let batches = [one.take(), other.take()];
        if batches.iter().all(Option::is_none) {
            return;
        }
        let [from_one, from_other] = batches;
        other.hear(from_one);
        one.hear(from_other);
    }
}

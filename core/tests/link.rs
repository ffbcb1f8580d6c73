//! Links between nodes of one process.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use smoq_core::{
    Announced, Batch, Carrier, Closed, ClosedBy, Config, Dir, Discover, Event, Heard, Id, Limits,
    Link, NextGroup, Node, Path, Read, Session, SessionConfig, Side, Start, StreamId,
    SubscribeOptions, Time, Version,
    binding::Transport,
    wire::{Hop, SessionCode, StreamCode, TrackInfo},
};

const WINDOW: usize = 1000;
const OVERHEAD: usize = 64;
const STREAMS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Open(Dir),
    /// On one of the streams that are open, in pieces.
    Write(usize, Vec<usize>),
    Finish(usize),
    /// The end with this index makes a batch.
    Take(usize),
    /// The end with this index is given the oldest batch.
    Hear(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pieces = prop::collection::vec(0usize..300, 0..4);
    let step = prop_oneof![
        1 => prop_oneof![Just(Dir::Bi), Just(Dir::Uni)].prop_map(Step::Open),
        4 => (0usize..8, pieces).prop_map(|(stream, pieces)| Step::Write(stream, pieces)),
        1 => (0usize..8).prop_map(Step::Finish),
        2 => (0usize..2).prop_map(Step::Take),
        2 => (0usize..2).prop_map(Step::Hear),
    ];
    prop::collection::vec(step, 0..300)
}

/// Two ends and what is between them; the first one writes.
struct Pair {
    ends: [Link; 2],
    between: [VecDeque<Batch>; 2],
    written: BTreeMap<StreamId, (Vec<u8>, bool)>,
    read: BTreeMap<StreamId, (Vec<u8>, bool)>,
    /// Bytes read by the second end, and those that the first was told of.
    flight: usize,
    acked: Vec<StreamId>,
    blocked: Vec<StreamId>,
    byte: u8,
}

impl Pair {
    fn new() -> Self {
        let ends = [Side::Client, Side::Server].map(|side| Link::new(side, WINDOW, STREAMS));
        Self {
            ends,
            between: Default::default(),
            written: BTreeMap::new(),
            read: BTreeMap::new(),
            flight: 0,
            acked: Vec::new(),
            blocked: Vec::new(),
            byte: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Open(dir) => {
                if let Some(stream) = self.ends[0].open(*dir) {
                    assert!(self.written.insert(stream, Default::default()).is_none());
                }
            }
            Step::Write(index, pieces) => {
                let open: Vec<_> = self.written.iter().filter(|(_, (_, fin))| !fin).collect();
                let Some(&(&stream, _)) = open.get(*index) else { return };
                let mut chunks: Vec<Bytes> = Vec::new();
                let mut byte = self.byte;
                for size in pieces {
                    chunks.push(
                        (0..*size)
                            .map(|_| {
                                byte = byte.wrapping_add(7);
                                byte
                            })
                            .collect(),
                    );
                }
                let all = chunks.concat();
                let room = self.ends[0].room();
                let taken = self.ends[0].write(stream, &mut chunks);
                assert_eq!(taken, all.len().min(room), "it takes all that there is room for");
                if taken < all.len() {
                    self.blocked.push(stream);
                }
                self.byte = all[..taken].last().copied().unwrap_or(self.byte);
                self.flight += taken;
                assert!(self.flight <= WINDOW, "{} bytes are on their way", self.flight);
                self.written.get_mut(&stream).unwrap().0.extend(&all[..taken]);
            }
            Step::Finish(index) => {
                let open = self.written.iter().filter(|(_, (_, fin))| !fin);
                let Some(stream) = open.map(|(stream, _)| *stream).nth(*index) else { return };
                self.ends[0].finish(stream);
                self.written.get_mut(&stream).unwrap().1 = true;
            }
            Step::Take(end) => {
                let batch = self.ends[*end].take();
                self.between[1 - end].extend(batch);
            }
            Step::Hear(end) => {
                let Some(batch) = self.between[*end].pop_front() else { return };
                let Self { ends, read, flight, acked, blocked, .. } = self;
                let mut credited = 0;
                ends[*end].hear(batch, |heard| match heard {
                    Heard::Opened(stream, _) => {
                        assert!(read.insert(stream, Default::default()).is_none());
                    }
                    Heard::Received(stream, data, fin) => {
                        let (bytes, ended) = read.get_mut(&stream).expect("it was opened");
                        assert!(!*ended);
                        bytes.extend(&data);
                        *ended = fin;
                        credited += data.len();
                    }
                    Heard::Acked(stream) => acked.push(stream),
                    Heard::Writable(stream) => blocked.retain(|other| *other != stream),
                    other => panic!("{other:?}"),
                });
                *flight -= credited;
            }
        }
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(steps in steps()) {
        let mut pair = Pair::new();
        steps.iter().for_each(|step| pair.step(step));
        for (stream, (bytes, _)) in &pair.read {
            prop_assert!(pair.written[stream].0.starts_with(bytes), "in order");
        }
        for _ in 0..3 {
            for end in [0, 1] {
                pair.step(&Step::Take(end));
                while !pair.between[1 - end].is_empty() {
                    pair.step(&Step::Hear(1 - end));
                }
            }
        }
        prop_assert_eq!(&pair.written, &pair.read);
        prop_assert!(pair.blocked.is_empty(), "who was refused is told when there is room");
        let finished = pair.written.iter().filter(|(_, (_, fin))| *fin);
        pair.acked.sort_unstable();
        prop_assert_eq!(finished.map(|(stream, _)| *stream).collect::<Vec<_>>(), pair.acked);
        prop_assert!(pair.ends[0].room() > WINDOW * 3 / 4, "what was handled is given back");
        prop_assert!(pair.ends.iter_mut().all(|end| end.take().is_none()));
    }
}

fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

/// Nodes, each linked to each other one.
struct Shards {
    now: Time,
    nodes: Vec<Node>,
    /// Between which two, by the node that they belong to.
    links: BTreeMap<(usize, usize), (Link, Id<Session>)>,
    /// Nodes that handle nothing of what the others say.
    asleep: Vec<usize>,
    waiting: BTreeMap<(usize, usize), VecDeque<Batch>>,
    /// How many were made.
    batches: usize,
}

impl Shards {
    fn new(count: usize) -> Self {
        Self::with(count, &Limits::default(), 5 * STREAMS)
    }

    fn with(count: usize, limits: &Limits, streams: usize) -> Self {
        let mut nodes: Vec<_> = (1..=count as u64)
            .map(|hop| {
                let limits = limits.clone();
                Node::new(Config {
                    hop: Hop::new(hop).unwrap(),
                    seed: hop,
                    limits,
                    ..Config::default()
                })
            })
            .collect();
        let mut links = BTreeMap::new();
        for (from, node) in nodes.iter_mut().enumerate() {
            for to in (0..count).filter(|to| *to != from) {
                let side = if from < to { Side::Client } else { Side::Server };
                let session = node.add_session(Time::ZERO, config(side));
                links.insert((from, to), (Link::new(side, WINDOW, streams), session));
            }
        }
        let mut shards = Self {
            now: Time::ZERO,
            nodes,
            links,
            asleep: Vec::new(),
            waiting: BTreeMap::new(),
            batches: 0,
        };
        shards.settle();
        shards
    }

    fn settle(&mut self) {
        let mut scratch = Vec::new();
        loop {
            let mut any = false;
            for (&(from, to), (link, session)) in &mut self.links {
                if self.asleep.contains(&from) {
                    continue;
                }
                while let Some(batch) = self.waiting.entry((to, from)).or_default().pop_front() {
                    link.handle(&mut self.nodes[from], self.now, *session, batch);
                }
                link.pump(&mut self.nodes[from], self.now, *session, &mut scratch);
                if let Some(batch) = link.take() {
                    self.waiting.entry((from, to)).or_default().push_back(batch);
                    self.batches += 1;
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    fn violations(&self) -> u64 {
        self.nodes.iter().map(|node| node.stats().violations).sum()
    }
}

fn config(side: Side) -> SessionConfig {
    let config = SessionConfig::client(Version::Lite06, Carrier::Link, "");
    SessionConfig { side, discover: Discover::Everything, ..config }
}

fn lossless() -> SubscribeOptions {
    SubscribeOptions {
        max_age: core::time::Duration::MAX,
        start: Start::From(0),
        ..SubscribeOptions::default()
    }
}

/// All that a reader has, joined.
fn read(node: &mut Node, now: Time, reader: Id<smoq_core::Reader>) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        let id = match node.next_group(now, reader).unwrap() {
            NextGroup::Group { id, .. } => id,
            NextGroup::Pending => return (bytes, false),
            NextGroup::End => return (bytes, true),
            NextGroup::Failed(code) => panic!("{code}"),
        };
        while let Read::Chunk(chunk) = node.read(id, usize::MAX).unwrap() {
            bytes.extend(&chunk.data);
        }
    }
}

#[test]
fn a_broadcast_on_one_shard_is_read_on_all() {
    let mut shards = Shards::new(3);
    let now = shards.now;
    let node = &mut shards.nodes[0];
    let broadcast = node.publish(now, &path("cam")).unwrap();
    let track = node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    shards.settle();
    let mut readers = Vec::new();
    for node in &mut shards.nodes {
        for _ in 0..10 {
            readers.push(node.subscribe(now, &path("cam"), "video", lossless()).unwrap());
        }
    }
    shards.settle();
    let listeners = shards.nodes[0].backlog(track).unwrap().subscribers;
    assert_eq!(listeners, 10 + 2, "its own, and one for each other shard");
    let mut sent = Vec::new();
    for sequence in 0..20u8 {
        let (group, _) = shards.nodes[0].create_group(now, track, None).unwrap();
        let payload = vec![sequence; 900 * usize::from(sequence)];
        sent.extend(&payload);
        shards.nodes[0].write_frame(now, group, 0, payload.into()).unwrap();
        shards.nodes[0].finish_group(now, group).unwrap();
        shards.settle();
    }
    shards.nodes[0].finish_track(now, track).unwrap();
    shards.settle();
    for (index, reader) in readers.into_iter().enumerate() {
        let (bytes, ended) = read(&mut shards.nodes[index / 10], now, reader);
        assert!(ended && bytes == sent, "reader {index}");
    }
    assert_eq!(shards.violations(), 0);
}

#[test]
fn shards_do_not_announce_to_each_other_what_is_not_theirs() {
    let mut shards = Shards::new(4);
    let now = shards.now;
    let watchers: Vec<_> =
        shards.nodes.iter_mut().map(|node| node.watch(now, &Path::root())).collect();
    let before = shards.batches;
    let broadcast = shards.nodes[0].publish(now, &path("cam")).unwrap();
    shards.settle();
    assert_eq!(shards.batches - before, 3, "one for each of the others");
    for (node, watcher) in shards.nodes.iter_mut().zip(&watchers) {
        assert_eq!(node.stats().routes, 1);
        let announced = node.poll_announced(*watcher).unwrap();
        assert!(matches!(announced, Some(Announced::Active { path: at, .. }) if at == path("cam")));
    }
    shards.nodes[0].unpublish(now, broadcast).unwrap();
    shards.settle();
    for (node, watcher) in shards.nodes.iter_mut().zip(&watchers) {
        assert_eq!(node.stats().routes, 0);
        let announced = node.poll_announced(*watcher).unwrap();
        assert_eq!(announced, Some(Announced::Ended { path: path("cam") }));
    }
}

#[test]
fn a_shard_that_sleeps_holds_nobody_up_and_is_owed_no_more_than_a_window() {
    let mut shards = Shards::new(3);
    let now = shards.now;
    let node = &mut shards.nodes[0];
    let broadcast = node.publish(now, &path("cam")).unwrap();
    let track = node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    shards.settle();
    let readers = [1, 2].map(|shard| {
        shards.nodes[shard].subscribe(now, &path("cam"), "video", lossless()).unwrap()
    });
    shards.settle();
    shards.asleep.push(2);
    let before = shards.links[&(0, 2)].0.clone();
    let mut sent = Vec::new();
    for sequence in 0..100u8 {
        let (group, _) = shards.nodes[0].create_group(now, track, None).unwrap();
        let payload = vec![sequence; 500];
        sent.extend(&payload);
        shards.nodes[0].write_frame(now, group, 0, payload.into()).unwrap();
        shards.nodes[0].finish_group(now, group).unwrap();
        shards.settle();
    }
    shards.nodes[0].finish_track(now, track).unwrap();
    shards.settle();
    assert_eq!(read(&mut shards.nodes[1], now, readers[0]), (sent.clone(), true));
    assert!(before.room() > WINDOW / 2 && shards.links[&(0, 2)].0.room() == 0);
    let waiting = &shards.waiting[&(0, 2)];
    assert!(waiting.len() <= WINDOW / OVERHEAD + 5 * STREAMS, "{} batches", waiting.len());
    shards.asleep.clear();
    shards.settle();
    assert_eq!(read(&mut shards.nodes[2], now, readers[1]), (sent, true));
    assert_eq!(shards.violations(), 0);
}

/// What one peer may keep a node busy with is not what all peers of another shard may.
#[test]
fn limits_for_peers_are_not_limits_for_links() {
    let limits = Limits {
        session_buffer: 8,
        peer_streams: 3,
        announcements: 3,
        violations: 0,
        ..Limits::default()
    };
    let mut shards = Shards::with(2, &limits, 1000);
    let now = shards.now;
    let names: Vec<_> = (0..50).map(|index| format!("camera number {index}")).collect();
    for name in &names {
        let broadcast = shards.nodes[0].publish(now, &path(name)).unwrap();
        let track =
            shards.nodes[0].create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
        let (group, _) = shards.nodes[0].create_group(now, track, None).unwrap();
        shards.nodes[0].write_frame(now, group, 0, name.clone().into()).unwrap();
    }
    shards.settle();
    let readers: Vec<_> = names
        .iter()
        .map(|name| shards.nodes[1].subscribe(now, &path(name), "video", lossless()).unwrap())
        .collect();
    shards.settle();
    for (name, reader) in names.iter().zip(readers) {
        let (bytes, _) = read(&mut shards.nodes[1], now, reader);
        assert_eq!(bytes, name.as_bytes());
    }
    assert_eq!(shards.violations(), 0);
}

/// What a shard does not get to in time is no fault of the other's.
#[test]
fn patience_with_peers_is_not_that_with_links() {
    let mut shards = Shards::new(2);
    let now = shards.now;
    let broadcast = shards.nodes[0].publish(now, &path("cam")).unwrap();
    let track =
        shards.nodes[0].create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    shards.nodes[1].publish(now, &path("mic")).unwrap();
    shards.settle();
    let _reader = shards.nodes[1].subscribe(now, &path("cam"), "video", lossless()).unwrap();
    shards.settle();
    shards.asleep.push(1);
    let (group, _) = shards.nodes[0].create_group(now, track, None).unwrap();
    shards.nodes[0].write_frame(now, group, 0, vec![7; 2 * WINDOW].into()).unwrap();
    shards.settle();
    assert_eq!(shards.links[&(0, 1)].0.room(), 0);
    // What it asks for has a stream, and no room for a word.
    let reader = shards.nodes[0].subscribe(now, &path("mic"), "audio", lossless()).unwrap();
    shards.settle();
    shards.asleep = vec![0];
    shards.settle();
    for second in 1..100 {
        shards.now = Time::from_millis(second * 1000);
        shards.nodes[1].handle_timeout(shards.now);
    }
    assert_eq!(shards.violations(), 0);
    shards.asleep.clear();
    shards.settle();
    let asked = shards.nodes[0].next_group(shards.now, reader).unwrap();
    assert_eq!(asked, NextGroup::Failed(StreamCode::NOT_FOUND), "it was heard in the end");
}

#[test]
fn a_link_that_closes_says_why() {
    let mut shards = Shards::new(2);
    let (now, session) = (shards.now, shards.links[&(0, 1)].1);
    shards.nodes[0].publish(now, &path("cam")).unwrap();
    shards.settle();
    shards.nodes[0].close(now, session, SessionCode::NO_ERROR, "over").unwrap();
    shards.settle();
    assert!(shards.links.values().all(|(link, _)| link.is_over()));
    let events = std::iter::from_fn(|| shards.nodes[1].poll_event());
    let closed = events.filter_map(|event| match event {
        Event::Closed { closed, .. } => Some(closed),
        _ => None,
    });
    let why = Closed { by: ClosedBy::Peer, code: SessionCode::NO_ERROR, reason: "over".into() };
    assert_eq!(closed.collect::<Vec<_>>(), [why]);
    assert_eq!((shards.nodes[1].stats().routes, shards.nodes[1].stats().sessions), (0, 0));
}

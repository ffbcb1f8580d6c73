//! Honest nodes with random verbs: everything arrives where nothing is lost on purpose, and where it
//! is, what arrives is a prefix and the rest is accounted for. `PROPTEST_CASES` asks for more cases.

mod common;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use common::{script::*, *};
use proptest::prelude::*;
use smoq_core::{
    Carrier, Config, Group, Id, Limits, SessionConfig, Side, Start, SubscribeOptions, Version,
    wire::{GroupHeader, Message, StreamCode, SubscribeParams, SubscribeResponse, TrackInfo},
};
use smoq_sim::{Bench, Connection, LinkConfig, NodeId, Viewer, World};

#[derive(Clone, Debug)]
enum Verb {
    Open(usize),
    Frame(usize, usize),
    /// A frame in two pieces, the second after a while.
    Chunks(usize, usize),
    Close(usize),
    Abort(usize),
    Join(usize, usize, u64),
    Leave(usize),
    Update(usize, u8),
    Read(usize),
    Run(u64),
    Stall(usize, bool),
    Cut(usize),
}

fn verb() -> impl Strategy<Value = Verb> {
    let (source, viewer) = (|| 0..2_usize, || 0..8_usize);
    let size = || prop_oneof![0..100_usize, 0..5000_usize, Just(20_000)];
    let join = |(node, source, start)| Verb::Join(node, source, start);
    prop_oneof![
        8 => source().prop_map(Verb::Open),
        10 => (source(), size()).prop_map(|(source, size)| Verb::Frame(source, size)),
        3 => (source(), size()).prop_map(|(source, size)| Verb::Chunks(source, size)),
        6 => source().prop_map(Verb::Close),
        4 => (viewer(), source(), 0..4_u64).prop_map(join),
        1 => viewer().prop_map(Verb::Leave),
        2 => (viewer(), any::<u8>()).prop_map(|(viewer, priority)| Verb::Update(viewer, priority)),
        3 => viewer().prop_map(Verb::Read),
        8 => (0..5000_u64).prop_map(Verb::Run),
    ]
}

/// Verbs that lose something are among them.
fn harmful() -> impl Strategy<Value = Verb> {
    prop_oneof![
        46 => verb(),
        3 => (0..2_usize).prop_map(Verb::Abort),
        2 => (0..3_usize, any::<bool>()).prop_map(|(end, stalled)| Verb::Stall(end, stalled)),
        1 => (0..3_usize).prop_map(Verb::Cut),
        2 => (0..30_000_000_u64).prop_map(Verb::Run),
    ]
}

fn link() -> impl Strategy<Value = LinkConfig> {
    let rate = prop::option::of(20_000..10_000_000_u64);
    let sizes = (1500..100_000_usize, 1000..50_000_usize, 1..5000_usize);
    (0..50_u64, 0..50_u64, rate, sizes, 2..20_u64, 0..40_u64).prop_map(
        |(latency, jitter, rate, (window, stream_window, piece), streams, partial)| LinkConfig {
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(jitter),
            rate,
            window,
            stream_window,
            streams,
            piece,
            partial,
            ..LinkConfig::default()
        },
    )
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

const TRACKS: [&str; 2] = ["cam", "room/mic"];

/// A publisher, a relay, two viewers behind the relay and one at the publisher itself.
struct Stage {
    world: World,
    sources: [Source; 2],
    open: [Option<Id<Group>>; 2],
    nodes: [NodeId; 3],
    relay: NodeId,
    versions: [Version; 4],
    link: LinkConfig,
    connections: [Connection; 3],
    viewers: Vec<(usize, Viewer)>,
    gone: Vec<(usize, Viewer)>,
    counter: u64,
}

impl Stage {
    fn new(seed: u64, versions: [Version; 4], link: LinkConfig, limits: Limits) -> Self {
        let mut world = World::new(seed);
        let publisher = world.node(Config::default());
        let relay = world.node(Config { limits, ..relay_config(100) });
        let nodes = [(); 3].map(|()| world.node(Config::default()));
        let mut index = 0;
        let mut connect = |world: &mut World, client, server| {
            let version = versions[index];
            index += 1;
            let client_config = SessionConfig::client(version, Carrier::Raw, "");
            let server_config = SessionConfig::server(version, Carrier::Raw, "");
            world.connect_with(client, server, [client_config, server_config], link.clone())
        };
        connect(&mut world, publisher, relay);
        let connections = [
            connect(&mut world, nodes[0], relay),
            connect(&mut world, nodes[1], relay),
            connect(&mut world, nodes[2], publisher),
        ];
        let sources = TRACKS.map(|name| Source::new(&mut world, publisher, name, "video"));
        world.run_until_idle();
        let open = [None, None];
        let (viewers, gone, counter) = (Vec::new(), Vec::new(), 0);
        Self {
            world,
            sources,
            open,
            nodes,
            relay,
            versions,
            link,
            connections,
            viewers,
            gone,
            counter,
        }
    }

    fn open(&mut self, source: usize) {
        self.close(source);
        let (group, _) = self.sources[source].open_group(&mut self.world, None, &[]);
        self.open[source] = Some(group);
    }

    fn close(&mut self, source: usize) {
        if let Some(group) = self.open[source].take() {
            let (node, now) = (self.sources[source].node, self.world.now());
            _ = self.world[node].finish_group(now, group);
        }
    }

    fn frame(&mut self, source: usize, size: usize, pause: bool) {
        let Some(group) = self.open[source] else { return };
        self.counter += 1;
        let (time, fill) = (self.counter * 10, self.counter as u8);
        let payload: Vec<u8> = (0..size).map(|at| fill.wrapping_add(at as u8)).collect();
        let (node, now) = (self.sources[source].node, self.world.now());
        let data = Bytes::from(payload.clone());
        let written = if pause {
            let first = self.world[node].start_frame(now, group, time, size as u64);
            let half = data.slice(..size / 2);
            first.and_then(|()| self.world[node].write_chunk(now, group, half)).and_then(|()| {
                self.world.run_for(Duration::from_millis(3));
                let now = self.world.now();
                self.world[node].write_chunk(now, group, data.slice(size / 2..))
            })
        } else {
            self.world[node].write_frame(now, group, time, data)
        };
        if written.is_ok() {
            let mut last = self.sources[source].published.last_entry().expect("a group is open");
            last.get_mut().push((time, payload));
        }
    }

    fn act(&mut self, verb: &Verb, starts: bool) {
        let viewers = self.viewers.len();
        let some = |index: usize| if viewers == 0 { None } else { Some(index % viewers) };
        match verb {
            Verb::Open(source) => self.open(*source),
            Verb::Frame(source, size) => self.frame(*source, *size, false),
            Verb::Chunks(source, size) => self.frame(*source, *size, true),
            Verb::Close(source) => self.close(*source),
            Verb::Abort(source) => {
                if let Some(group) = self.open[*source].take() {
                    let (node, now) = (self.sources[*source].node, self.world.now());
                    _ = self.world[node].abort_group(now, group, StreamCode::application(1));
                }
            }
            Verb::Join(node, source, start) => {
                let start = match start {
                    1 if starts => Start::Latest,
                    2 if starts => Start::Aged { floor: 0 },
                    3 if starts => Start::From(3),
                    _ => Start::From(0),
                };
                let options = SubscribeOptions { start, ..live() };
                let node = self.nodes[node % 3];
                let name = TRACKS[*source];
                let viewer = Viewer::new(&mut self.world, node, name, "video", options);
                self.viewers.push((*source, viewer));
            }
            Verb::Leave(index) => {
                if let Some(index) = some(*index) {
                    let (source, viewer) = self.viewers.swap_remove(index);
                    let now = self.world.now();
                    let node = viewer.node;
                    self.world[node].unsubscribe(now, viewer.reader).unwrap();
                    self.gone.push((source, viewer));
                }
            }
            Verb::Update(index, priority) => {
                if let Some(index) = some(*index) {
                    let (_, viewer) = &self.viewers[index];
                    let options = SubscribeOptions { priority: *priority, ..from(0) };
                    let now = self.world.now();
                    let node = viewer.node;
                    self.world[node].update_subscription(now, viewer.reader, options).unwrap();
                }
            }
            Verb::Read(index) => {
                if let Some(index) = some(*index) {
                    self.viewers[index].1.read_pieces(&mut self.world, 999);
                }
            }
            Verb::Run(micros) => self.world.run_for(Duration::from_micros(*micros)),
            Verb::Stall(at, stalled) => {
                self.world.stall(self.connections[*at], Side::Client, *stalled);
            }
            Verb::Cut(at) => {
                self.world.cut(self.connections[*at]);
                let server = if *at == 2 { self.sources[0].node } else { self.relay };
                let version = self.versions[at + 1];
                let configs = [
                    SessionConfig::client(version, Carrier::Raw, ""),
                    SessionConfig::server(version, Carrier::Raw, ""),
                ];
                let link = self.link.clone();
                self.connections[*at] =
                    self.world.connect_with(self.nodes[*at], server, configs, link);
            }
        }
    }

    /// Heals everything, ends the tracks, and lets everybody get what is left.
    fn end(&mut self) {
        for connection in self.connections {
            self.world.stall(connection, Side::Client, false);
        }
        for source in 0..2 {
            self.close(source);
            self.sources[source].finish(&mut self.world);
        }
        self.world.run_until_idle();
        self.world.run_for(Duration::from_secs(8));
        self.viewers.iter_mut().for_each(|(_, viewer)| viewer.read(&mut self.world));
    }

    /// Whether a viewer saw nothing but prefixes of what was published, timestamps included where
    /// they travel all the way.
    fn check_prefixes(&self) {
        for (source, viewer) in self.viewers.iter().chain(&self.gone) {
            let hops = match self.nodes.iter().position(|node| *node == viewer.node) {
                Some(2) => vec![self.versions[3]],
                at => vec![self.versions[0], self.versions[1 + at.expect("a viewer's node")]],
            };
            let stamped = hops.iter().all(|version| version.has_timestamps());
            for (sequence, log) in &viewer.groups {
                let published = &self.sources[*source].published[sequence];
                assert!(log.frames.len() <= published.len(), "more frames than published");
                for (index, (got, original)) in log.frames.iter().zip(published).enumerate() {
                    let whole = index + 1 < log.frames.len() || log.missing == 0;
                    assert!(original.1.starts_with(&got.1), "group {sequence} frame {index}");
                    assert!(!whole || got.1.len() == original.1.len());
                    assert!(!stamped || got.0 == original.0, "{} is not {}", got.0, original.0);
                }
                if log.end == Some(Ok(())) {
                    assert_eq!(
                        log.frames.len(),
                        published.len(),
                        "group {sequence} is not complete"
                    );
                }
            }
        }
    }
}

fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(default),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn everything_arrives(
        seed: u64,
        versions in [version(), version(), version(), version()],
        link in link(),
        verbs in prop::collection::vec(verb(), 1..60),
    ) {
        let mut stage = Stage::new(seed, versions, link, Limits::default());
        verbs.iter().for_each(|verb| stage.act(verb, false));
        stage.end();
        stage.check_prefixes();
        for (source, viewer) in &stage.viewers {
            prop_assert_eq!(viewer.end, Some(Ok(())));
            let published = &stage.sources[*source];
            prop_assert_eq!(viewer.complete(), published.payloads(0..u64::MAX));
        }
        for node in stage.nodes.into_iter().chain([stage.relay, stage.sources[0].node]) {
            prop_assert_eq!(stage.world[node].stats().violations, 0);
        }
        // A quiet network is quiet: nobody wakes anybody for nothing.
        let steps = stage.world.steps();
        stage.world.run_for(Duration::from_secs(100));
        prop_assert!(stage.world.steps() - steps < 3000);
    }

    #[test]
    fn what_is_lost_on_the_way_leaves_prefixes(
        seed: u64,
        versions in [version(), version(), version(), version()],
        link in link(),
        verbs in prop::collection::vec(harmful(), 1..80),
        store_bytes in prop_oneof![Just(1_usize), 3000..60_000_usize],
        reorder in 1..8_usize,
    ) {
        let limits = Limits {
            store_bytes,
            reorder,
            group_bytes: 30_000,
            group_frames: 6,
            store_age: Duration::from_secs(10),
            ..Limits::default()
        };
        let mut stage = Stage::new(seed, versions, link, limits.clone());
        for verb in &verbs {
            stage.act(verb, true);
            prop_assert!(stage.world[stage.relay].stats().store_bytes <= store_bytes);
        }
        stage.end();
        stage.check_prefixes();
        for (_, viewer) in &stage.viewers {
            // Nobody is left waiting, neither for the track nor inside a group.
            prop_assert!(viewer.end.is_some(), "{:?}", viewer);
            prop_assert!(viewer.groups.values().all(|log| log.end.is_some()), "{:?}", viewer);
        }
        for (_, viewer) in std::mem::take(&mut stage.viewers) {
            let now = stage.world.now();
            stage.world[viewer.node].unsubscribe(now, viewer.reader).unwrap();
        }
        stage.world.run_for(Duration::from_secs(5));
        let stats = stage.world[stage.relay].stats();
        prop_assert_eq!([stats.tracks, stats.groups, stats.subscriptions], [0; 3]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Abort(usize),
    Room(usize),
    Credit(u64),
    Acknowledge,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3000_usize).prop_map(Step::Publish),
        1 => (0..3000_usize).prop_map(Step::Abort),
        4 => (0..4000_usize).prop_map(Step::Room),
        4 => (0..3_u64).prop_map(Step::Credit),
        2 => Just(Step::Acknowledge),
        1 => (0..9000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn every_group_is_accounted_for(
        version in prop::sample::select(vec![Version::Lite05, Version::Lite06]),
        before in 0..4_usize,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let limits = Limits {
            store_bytes: 8000,
            store_age: Duration::from_secs(5),
            ..Limits::default()
        };
        let mut bench = Bench::new(Config { limits, ..Config::default() });
        let now = bench.now();
        let broadcast = bench.node.publish(now, &path("cam")).unwrap();
        let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
        let mut count = 0;
        let mut publish = |bench: &mut Bench, size: usize, abort: bool| {
            let now = bench.now();
            let (group, _) = bench.node.create_group(now, track, None).unwrap();
            count += 1;
            let payload = Bytes::from(vec![7; size]);
            _ = bench.node.write_frame(now, group, count * 100, payload);
            if abort {
                _ = bench.node.abort_group(now, group, StreamCode::application(2));
            } else {
                _ = bench.node.finish_group(now, group);
            }
            bench.run();
            count
        };
        for _ in 0..before {
            publish(&mut bench, 500, false);
        }
        let peer = bench.client(version);
        bench.grant(peer, |peer| (peer.room, peer.credit) = (200, [0, 1]));
        let all = version.start_is_floor();
        let params = SubscribeParams {
            start: Some(0).filter(|_| !all),
            max_age_ms: if all { u64::MAX >> 2 } else { 0 },
            ..SubscribeParams::default()
        };
        let request = subscribe(&mut bench, peer, 0, "cam", params);
        let mut published = before as u64;
        for step in &steps {
            match step {
                Step::Publish(size) => published = publish(&mut bench, *size, false),
                Step::Abort(size) => published = publish(&mut bench, *size, true),
                Step::Room(room) => bench.grant(peer, |peer| peer.room += room),
                Step::Credit(credit) => bench.grant(peer, |peer| peer.credit[1] += credit),
                Step::Acknowledge => bench.acknowledge(peer),
                Step::Pass(millis) => bench.pass(Duration::from_millis(*millis)),
            }
        }
        let now = bench.now();
        bench.node.finish_track(now, track).unwrap();
        bench.run();
        bench.grant(peer, |peer| (peer.room, peer.credit[1]) = (usize::MAX, u64::MAX));
        bench.acknowledge(peer);
        bench.acknowledge(peer);

        let mut fates = BTreeMap::<u64, Vec<&str>>::new();
        for sent in bench.groups(peer) {
            if sent.reset.is_none() {
                let sequence = heard_group(sent, version).0.sequence;
                fates.entry(sequence).or_default().push("delivered");
            } else if let Ok(Some((header, _))) = GroupHeader::take(&sent.bytes[1..], LIMIT, version) {
                fates.entry(header.sequence).or_default().push("reset");
            }
        }
        let sent = bench.sent(peer, request);
        prop_assert!(sent.fin, "{:?}", sent);
        let (mut first, mut end) = (None, None);
        for response in heard_responses(sent, version) {
            match response {
                SubscribeResponse::Start { group } => first = Some(group),
                SubscribeResponse::End { group } => end = Some(group),
                SubscribeResponse::Drop { first, last, .. } => {
                    (first..=last).for_each(|at| fates.entry(at).or_default().push("dropped"));
                }
                SubscribeResponse::Ok(_) => unreachable!("05 has no SUBSCRIBE_OK"),
            }
        }
        prop_assert_eq!(end, Some(published));
        for sequence in first.unwrap_or(published)..published {
            let fate = fates.get(&sequence).map(Vec::as_slice).unwrap_or_default();
            // A reset says nothing if what was sent before it is lost, so it is told in words too.
            let told = matches!(fate, ["delivered"] | ["dropped"] | ["reset", "dropped"]);
            prop_assert!(told, "group {} of {}: {:?}", sequence, published, fate);
        }
    }
}

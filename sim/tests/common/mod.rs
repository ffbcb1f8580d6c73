//! What several tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod script;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;
use smoq_core::{
    Announced, Broadcast, Config, Group, Id, Path, Start, SubscribeOptions, Track, Version,
    Watcher,
    wire::{Hop, TrackInfo},
};
use smoq_sim::{Connection, NodeId, World};

pub fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

pub fn hop(id: u64) -> Hop {
    Hop::new(id).unwrap()
}

pub fn relay_config(id: u64) -> Config {
    Config { hop: hop(id), seed: id, ..Config::default() }
}

/// A viewer that wants every group, and all of it.
pub fn live() -> SubscribeOptions {
    SubscribeOptions { max_age: Duration::MAX, ..SubscribeOptions::default() }
}

pub fn from(group: u64) -> SubscribeOptions {
    SubscribeOptions { start: Start::From(group), ..live() }
}

/// What is spoken on the two hops from publisher to viewer: each version alone, and some mixtures.
pub fn hops() -> Vec<(Version, Version)> {
    let same = Version::ALL.map(|version| (version, version));
    let mixed = [
        (Version::Lite06, Version::Lite03),
        (Version::Lite03, Version::Lite06),
        (Version::Lite05, Version::Lite04),
        (Version::Lite04, Version::Lite05),
        (Version::Lite06, Version::Lite05),
        (Version::Lite05, Version::Lite06),
    ];
    same.into_iter().chain(mixed).collect()
}

/// Frames whose timestamps and payload tell where they belong.
pub fn frames(group: u64, count: u64, size: usize) -> Vec<(u64, Bytes)> {
    let frame = |index: u64| {
        let seed = group * 31 + index * 7;
        let payload: Vec<u8> = (0..size as u64).map(|at| (seed + at) as u8).collect();
        (group * 1000 + index * 33, Bytes::from(payload))
    };
    (0..count).map(frame).collect()
}

pub type Frames = Vec<(u64, Vec<u8>)>;

/// A publisher of one track that remembers what it published.
pub struct Source {
    pub node: NodeId,
    pub broadcast: Id<Broadcast>,
    pub track: Id<Track>,
    pub published: BTreeMap<u64, Frames>,
}

impl Source {
    pub fn new(world: &mut World, node: NodeId, broadcast: &str, track: &str) -> Self {
        let now = world.now();
        let broadcast = world[node].publish(now, &path(broadcast)).unwrap();
        let info = TrackInfo { max_age_ms: 60_000, ..TrackInfo::default() };
        let track = world[node].create_track(now, broadcast, track, info).unwrap();
        Self { node, broadcast, track, published: BTreeMap::new() }
    }

    /// Publishes a complete group, one after the highest so far.
    pub fn group(&mut self, world: &mut World, frames: &[(u64, Bytes)]) -> u64 {
        self.group_at(world, None, frames)
    }

    pub fn group_at(
        &mut self,
        world: &mut World,
        sequence: Option<u64>,
        frames: &[(u64, Bytes)],
    ) -> u64 {
        let (group, sequence) = self.open_group(world, sequence, frames);
        let now = world.now();
        world[self.node].finish_group(now, group).unwrap();
        sequence
    }

    /// Begins a group with some frames.
    pub fn open_group(
        &mut self,
        world: &mut World,
        sequence: Option<u64>,
        frames: &[(u64, Bytes)],
    ) -> (Id<Group>, u64) {
        let now = world.now();
        let node = &mut world[self.node];
        let (group, sequence) = node.create_group(now, self.track, sequence).unwrap();
        for (timestamp, payload) in frames {
            node.write_frame(now, group, *timestamp, payload.clone()).unwrap();
        }
        let kept = frames.iter().map(|(timestamp, payload)| (*timestamp, payload.to_vec()));
        self.published.insert(sequence, kept.collect());
        (group, sequence)
    }

    pub fn finish(&self, world: &mut World) {
        let now = world.now();
        world[self.node].finish_track(now, self.track).unwrap();
    }

    /// The payloads of some groups, as [`smoq_sim::Viewer::complete`] has them.
    pub fn payloads(&self, range: Range<u64>) -> BTreeMap<u64, Vec<u8>> {
        let joined = |frames: &Frames| frames.iter().flat_map(|(_, data)| data.clone()).collect();
        self.published.range(range).map(|(group, frames)| (*group, joined(frames))).collect()
    }
}

/// A publisher, a relay and two viewers.
pub struct Net {
    pub publisher: NodeId,
    pub relay: NodeId,
    pub viewers: [NodeId; 2],
    pub up: Connection,
    pub down: [Connection; 2],
}

impl Net {
    pub fn new(world: &mut World, up: Version, down: Version) -> Self {
        let publisher = world.node(Config::default());
        let relay = world.node(relay_config(100));
        let viewers = [(); 2].map(|()| world.node(Config::default()));
        let up = world.connect(publisher, relay, up, "");
        let down = viewers.map(|viewer| world.connect(viewer, relay, down, ""));
        world.run_until_idle();
        Self { publisher, relay, viewers, up, down }
    }

    pub fn nodes(&self) -> [NodeId; 4] {
        [self.publisher, self.relay, self.viewers[0], self.viewers[1]]
    }
}

/// Nobody broke a rule.
pub fn assert_quiet(world: &mut World, net: &Net) {
    for node in net.nodes() {
        let violations = world[node].stats().violations;
        assert_eq!(violations, 0, "{:?}", world.events(node));
    }
}

/// All that a watcher has to tell.
pub fn announced(world: &mut World, node: NodeId, watcher: Id<Watcher>) -> Vec<Announced> {
    std::iter::from_fn(|| world[node].poll_announced(watcher).unwrap()).collect()
}

/// A world for a scenario. `SIM_SEED` runs all scenarios in other ones.
pub fn world(scenario: u64) -> World {
    let seed = std::env::var("SIM_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    World::new(scenario + seed * 1000)
}

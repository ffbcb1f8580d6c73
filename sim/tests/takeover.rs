//! One publisher follows another under the same name, while nobody has noticed yet that the first one
//! has gone: its connection is silent, and somebody still listens.

mod common;

use std::time::Duration;

use common::{script::*, *};
use smoq_core::{
    Carrier, Config, Discover, SessionConfig, Side, StreamId, Version,
    wire::{Announce, AnnounceOk, Cost, Hop, Hops, SubscribeParams},
};
use smoq_sim::{Bench, LinkConfig, NodeId, PeerId, Viewer, World};

/// Two shards of a server.
fn shards(world: &mut World) -> [NodeId; 2] {
    let shards = [101, 102].map(|id| world.node(relay_config(id)));
    let configs = [Side::Client, Side::Server].map(|side| {
        let link = SessionConfig::client(Version::Lite06, Carrier::Link, "");
        SessionConfig { side, discover: Discover::Everything, ..link }
    });
    world.connect_with(shards[0], shards[1], configs, LinkConfig::default());
    shards
}

/// A publisher of `cam` at a relay, and its first group.
fn publisher(world: &mut World, relay: NodeId, version: Version, hop: Hop, life: u64) -> Source {
    let node = world.node(Config { hop, seed: 1000 + life, ..Config::default() });
    world.connect(node, relay, version, "");
    let mut source = Source::new(world, node, "cam", "video");
    source.group(world, &frames(10 * life, 1, 10));
    world.run_until_idle();
    source
}

fn viewer(world: &mut World, relay: NodeId, version: Version) -> Viewer {
    let node = world.node(Config::default());
    world.connect(node, relay, version, "");
    world.run_until_idle();
    let viewer = Viewer::new(world, node, "cam", "video", live());
    world.run_until_idle();
    viewer
}

/// Whether each viewer gets the next group of a publisher.
fn hear<const N: usize>(
    world: &mut World,
    source: &mut Source,
    viewers: [&mut Viewer; N],
) -> [bool; N] {
    // Groups of other lives have other frames.
    let group = source.published[&0][0].0 / 1000 + source.published.len() as u64;
    let sequence = source.group(world, &frames(group, 1, 1000));
    world.run_until_idle();
    let sent = source.payloads(sequence..sequence + 1);
    viewers.map(|viewer| {
        viewer.read(world);
        assert_eq!(viewer.end, None);
        viewer.complete().get(&sequence) == sent.get(&sequence)
    })
}

#[test]
fn a_new_subscriber_gets_the_publisher_that_took_over() {
    for version in Version::ALL {
        for hop in [Hop::UNKNOWN, hop(7)] {
            let world = &mut world(17);
            let relay = world.node(relay_config(100));
            let mut first = publisher(world, relay, version, hop, 1);
            let mut old = viewer(world, relay, version);
            assert_eq!(hear(world, &mut first, [&mut old]), [true], "{version} {hop:?}");
            let mut second = publisher(world, relay, version, hop, 2);
            let mut new = viewer(world, relay, version);
            let heard = hear(world, &mut second, [&mut old, &mut new]);
            assert_eq!(heard, [false, true], "{version} {hop:?}");
            let heard = hear(world, &mut first, [&mut old, &mut new]);
            assert_eq!(heard, [true, false], "{version} {hop:?}: it was not gone after all");
            assert_eq!(world[relay].stats().violations, 0, "{version} {hop:?}");
        }
    }
}

/// Wherever the two publishers are, all shards agree who is heard.
#[test]
fn a_new_subscriber_on_any_shard_gets_the_publisher_that_took_over() {
    for version in [Version::Lite03, Version::Lite05, Version::Lite06] {
        for place in 0..2 {
            let world = &mut world(18);
            let shards = shards(world);
            let mut first = publisher(world, shards[0], version, Hop::UNKNOWN, 1);
            let mut old = shards.map(|shard| viewer(world, shard, version));
            assert_eq!(hear(world, &mut first, old.each_mut()), [true; 2], "{version} {place}");
            let mut second = publisher(world, shards[place], version, Hop::UNKNOWN, 2);
            let mut new = shards.map(|shard| viewer(world, shard, version));
            let heard = hear(world, &mut second, new.each_mut());
            assert_eq!(heard, [true; 2], "{version} {place}");
            assert_eq!(hear(world, &mut first, old.each_mut()), [true; 2], "{version} {place}");
            for source in [&first, &second] {
                let listeners = world[source.node].backlog(source.track).unwrap().subscribers;
                assert_eq!(listeners, 1, "{version} {place}");
            }
        }
    }
}

#[test]
fn who_republishes_over_the_same_session_is_heard_on_every_shard() {
    for version in [Version::Lite03, Version::Lite05, Version::Lite06] {
        let world = &mut world(19);
        let shards = shards(world);
        let mut source = publisher(world, shards[0], version, Hop::UNKNOWN, 1);
        for life in 2..5 {
            let mut old = shards.map(|shard| viewer(world, shard, version));
            assert_eq!(hear(world, &mut source, old.each_mut()), [true; 2], "{version}");
            let now = world.now();
            world[source.node].unpublish(now, source.broadcast).unwrap();
            source = Source::new(world, source.node, "cam", "video");
            source.group(world, &frames(10 * life, 1, 10));
            world.run_until_idle();
            for viewer in &mut old {
                viewer.read(world);
                assert!(matches!(viewer.end, Some(Err(_))), "{version}: they are told");
            }
            let mut new = shards.map(|shard| viewer(world, shard, version));
            assert_eq!(hear(world, &mut source, new.each_mut()), [true; 2], "{version}");
        }
        let stats = shards.map(|shard| world[shard].stats());
        assert_eq!(stats.map(|stats| stats.violations), [0; 2], "{version}");
    }
}

/// Announces `cam`, ends that, and so on.
struct Flapping {
    peer: PeerId,
    version: Version,
    asked: StreamId,
    times: u64,
}

impl Flapping {
    fn new(bench: &mut Bench, peer: PeerId) -> Self {
        let (version, asked) = (bench[peer].version, bench.requests(peer, 1)[0]);
        if version.has_announce_ok() {
            bench.send(peer, asked, &message(&AnnounceOk { hop: hop(77), active: 0 }, version));
        }
        Self { peer, version, asked, times: 0 }
    }

    fn begin(&mut self, bench: &mut Bench) {
        let mut hops = Hops::new();
        if self.version.sender_appends_hop() {
            let own = if self.version.has_hop_ids() { hop(77) } else { Hop::UNKNOWN };
            hops.push(own).unwrap();
        }
        let cost = if self.version.has_announce_ids() { Cost::ZERO } else { Cost::UNKNOWN };
        say(bench, self.peer, self.asked, &Announce::Start { suffix: path("cam"), hops, cost });
    }

    fn end(&mut self, bench: &mut Bench) {
        let end = match self.version {
            Version::Lite06 => Announce::EndId { id: self.times },
            _ => Announce::End { suffix: path("cam") },
        };
        self.times += 1;
        say(bench, self.peer, self.asked, &end);
    }
}

/// Whoever announces the name again and again, and listens to it all the time, makes no second
/// subscription at the publisher, and takes nobody away from it.
#[test]
fn who_flaps_costs_its_rival_nothing() {
    for version in Version::ALL {
        let mut bench = Bench::new(relay_config(100));
        let peers = [(); 4].map(|()| bench.client(version));
        let [publisher, viewer, rival, accomplice] = peers;
        announce(&mut bench, publisher, "cam");
        let watched = subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        accept(&mut bench, publisher, 0);
        let asked = |bench: &Bench, peer| [2, 6].map(|kind| bench.requests(peer, kind).len());
        let before = asked(&bench, publisher);
        let mut flapping = Flapping::new(&mut bench, rival);
        for round in 0..20 {
            flapping.begin(&mut bench);
            for (at, peer) in [rival, accomplice].into_iter().enumerate() {
                subscribe(&mut bench, peer, 2 * round + at as u64, "cam", Default::default());
            }
            bench.pass(Duration::from_millis(100));
            flapping.end(&mut bench);
            subscribe(&mut bench, accomplice, 2 * round, "cam", Default::default());
        }
        assert_eq!(asked(&bench, publisher), before, "{version}");
        assert_eq!(asked(&bench, rival), before, "{version}: nor any at itself");
        assert_eq!(bench.sent(viewer, watched).reset, None, "{version}");
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

/// Behind a relay that knows many publishers of a name there is a feed for a few of them.
#[test]
fn feeds_of_one_session_are_few_whatever_it_announces() {
    for version in [Version::Lite05, Version::Lite06] {
        let mut bench = Bench::new(relay_config(100));
        let [relay, viewer] = [(); 2].map(|()| bench.client(version));
        let stream = announcing(&mut bench, relay);
        for round in 0..20 {
            let mut hops = Hops::new();
            hops.push(hop(1000 + round)).unwrap();
            let suffix = path("cam");
            let announce = match (round, version) {
                (1.., Version::Lite06) => Announce::Update { id: 0, hops, cost: Cost::ZERO },
                (_, Version::Lite06) => Announce::Start { suffix, hops, cost: Cost::ZERO },
                _ => Announce::Start { suffix, hops, cost: Cost::UNKNOWN },
            };
            say(&mut bench, relay, stream, &announce);
            let stream = subscribe(&mut bench, viewer, round, "cam", Default::default());
            assert_eq!(bench.sent(viewer, stream).reset, None, "{version}");
        }
        assert_eq!(bench.requests(relay, 2).len(), 4, "{version}");
    }
}

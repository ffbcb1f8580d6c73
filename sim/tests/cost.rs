//! What the way to a peer costs.

mod common;

use common::{script::*, *};
use smoq_core::{
    Carrier, Dir, Discover, SessionConfig, Version,
    wire::{Announce, AnnounceOk, Cost, Message, Setup, varint},
};
use smoq_sim::{Bench, LinkConfig, PeerId, Viewer, World};

/// Where a viewer at one end of two relays gets a track of the other end from: whether a third one, to which both have a
/// connection, has it too. The one with the publisher dials, or the one with the viewer.
fn goes_round(version: Version, cost: Option<u64>, publisher_dials: bool) -> bool {
    let world = &mut World::new(1);
    let [here, there, between] = [1, 2, 3].map(|id| world.node(relay_config(id)));
    let mut dial = |client, server, cost| {
        let discover = Discover::Everything;
        let ours = SessionConfig::client(version, Carrier::Raw, "");
        let ours = SessionConfig { discover, cost, ..ours };
        let theirs = SessionConfig::server(version, Carrier::Raw, "");
        world.connect_with(client, server, [ours, theirs], LinkConfig::default());
    };
    dial(here, there, cost);
    dial(here, between, None);
    dial(between, there, None);
    let (at, watched) = if publisher_dials { (here, there) } else { (there, here) };
    let [publisher, viewer] = [at, watched].map(|relay| {
        let node = world.node(Default::default());
        world.connect(node, relay, version, "");
        node
    });
    let mut source = Source::new(world, publisher, "cam", "video");
    world.run_until_idle();
    let mut viewer = Viewer::new(world, viewer, "cam", "video", live());
    world.run_until_idle();
    source.group(world, &frames(0, 3, 200));
    world.run_until_idle();
    viewer.read(world);
    assert_eq!(viewer.complete(), source.payloads(0..1), "{version} {cost:?}");
    world[between].stats().tracks > 0
}

#[test]
fn the_price_of_a_connection_counts_in_both_directions() {
    for version in [Version::Lite05, Version::Lite06] {
        for publisher_dials in [false, true] {
            let round = |cost| goes_round(version, cost, publisher_dials);
            assert!(!round(None) && !round(Some(0)) && !round(Some(1)), "{version}");
            assert!(round(Some(10)) && round(Some(u64::MAX)), "{version}");
        }
    }
}

/// A relay, a publisher whose SETUP may come late, and a viewer who is told of everything.
fn told(config: SessionConfig, setups: &[Setup]) -> Vec<Cost> {
    let version = config.version;
    let mut bench = Bench::new(relay_config(100));
    let viewer = bench.client(version);
    let watched = ask_announcements(&mut bench, viewer, "");
    let publisher = bench.peer(config);
    announce(&mut bench, publisher, "cam");
    for setup in setups {
        say_setup(&mut bench, publisher, setup);
    }
    let mut rest = &bench.sent(viewer, watched).bytes[..];
    rest = &rest[AnnounceOk::take(rest, usize::MAX, version).unwrap().unwrap().1..];
    let mut costs = Vec::new();
    while let Some((announce, used)) = Announce::take(rest, usize::MAX, version).unwrap() {
        rest = &rest[used..];
        match announce {
            Announce::Start { cost, .. } | Announce::Update { cost, .. } => costs.push(cost),
            other => panic!("{other:?}"),
        }
    }
    costs
}

fn say_setup(bench: &mut Bench, peer: PeerId, setup: &Setup) {
    let stream = bench.open(peer, Dir::Uni);
    let bytes = typed(1, setup, bench[peer].version);
    bench.finish(peer, stream, &bytes);
}

#[test]
fn what_a_peer_says_counts_unless_there_is_a_price_of_ones_own() {
    let version = Version::Lite06;
    // It has no path in its SETUP, so it is let in before that comes.
    let config =
        |cost| SessionConfig { cost, ..SessionConfig::server(version, Carrier::WebTransport, "") };
    let both = |price| Cost { warm: price, cold: price };
    let says = |cost| [Setup { cost, ..Setup::default() }];
    assert_eq!(told(config(None), &says(None)), [both(1)]);
    assert_eq!(told(config(None), &says(Some(0))), [both(1), both(0)]);
    assert_eq!(told(config(None), &says(Some(varint::MAX))), [both(1), both(varint::MAX)]);
    assert_eq!(told(config(Some(4)), &says(Some(9))), [both(4)]);
}

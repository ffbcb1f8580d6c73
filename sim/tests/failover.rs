//! Subscriptions go on when a relay above is lost: another way is taken, or the same one when it is back.

mod common;

use std::time::Duration;

use common::*;
use smoq_core::{
    Carrier, Config, Discover, SessionConfig, Version,
    wire::{StreamCode, TrackInfo},
};
use smoq_sim::{Connection, LinkConfig, NodeId, Viewer, World};

const REJOIN: Duration = Duration::from_secs(30);

fn relay(world: &mut World, id: u64) -> NodeId {
    world.node(Config { rejoin: REJOIN, ..relay_config(id) })
}

/// One relay dials another.
fn dial(world: &mut World, client: NodeId, server: NodeId, version: Version) -> Connection {
    let config = SessionConfig {
        discover: Discover::Everything,
        ..SessionConfig::client(version, Carrier::Raw, "")
    };
    let configs = [config, SessionConfig::server(version, Carrier::Raw, "")];
    world.connect_with(client, server, configs, LinkConfig::default())
}

/// Who publishes at a relay, or watches there.
fn client(world: &mut World, relay: NodeId, version: Version) -> (NodeId, Connection) {
    let node = world.node(Config::default());
    let connection = world.connect(node, relay, version, "");
    (node, connection)
}

/// A broadcast at a relay, and its publisher's connection.
fn publish(world: &mut World, relay: NodeId, version: Version) -> (Source, Connection) {
    let (publisher, home) = client(world, relay, version);
    let source = Source::new(world, publisher, "cam", "video");
    world.run_until_idle();
    (source, home)
}

/// Two relays, one below the other, and a broadcast at the one above.
struct Chain {
    above: NodeId,
    below: NodeId,
    link: Connection,
    source: Source,
    home: Connection,
}

impl Chain {
    fn new(world: &mut World, version: Version) -> Self {
        let [above, below] = [1, 2].map(|id| relay(world, id));
        let link = dial(world, below, above, version);
        let (source, home) = publish(world, above, version);
        Self { above, below, link, source, home }
    }
}

fn viewer(world: &mut World, relay: NodeId, version: Version) -> Viewer {
    let (node, _) = client(world, relay, version);
    world.run_until_idle();
    let viewer = Viewer::new(world, node, "cam", "video", live());
    world.run_until_idle();
    viewer
}

/// Publishes a group, which everybody gets, and which the publisher sends once.
fn arrives(world: &mut World, source: &mut Source, viewers: &mut [Viewer], context: &str) {
    let number = source.published.len() as u64;
    let sequence = source.group(world, &frames(number, 3, 2000));
    world.run_until_idle();
    let sent = source.payloads(sequence..sequence + 1);
    for (index, viewer) in viewers.iter_mut().enumerate() {
        viewer.read(world);
        assert_eq!(viewer.end, None, "{context}: viewer {index}, group {sequence}");
        let got = viewer.complete();
        assert_eq!(got.get(&sequence), sent.get(&sequence), "{context}: viewer {index}");
    }
    let listeners = world[source.node].backlog(source.track).unwrap().subscribers;
    assert_eq!(listeners, 1, "{context}: of group {sequence} there is one copy");
}

/// Nothing of a track is left when nobody listens any more.
fn clean(world: &mut World, viewers: Vec<Viewer>, relays: &[NodeId], context: &str) {
    for viewer in viewers {
        let now = world.now();
        world[viewer.node].unsubscribe(now, viewer.reader).unwrap();
    }
    world.run_for(2 * REJOIN);
    for relay in relays {
        let stats = world[*relay].stats();
        let left = (stats.tracks, stats.store_bytes, stats.subscriptions, stats.violations);
        assert_eq!(left, (0, 0, 0, 0), "{context}");
    }
}

#[test]
fn a_relay_above_may_be_started_again() {
    for version in Version::ALL {
        let context = version.to_string();
        let world = &mut world(31);
        let Chain { mut above, below, mut link, mut source, mut home } = Chain::new(world, version);
        let publisher = source.node;
        let mut viewers = [viewer(world, below, version), viewer(world, below, version)];
        for life in 1..4 {
            for _ in 0..3 {
                arrives(world, &mut source, &mut viewers, &context);
            }
            world.cut(link);
            world.cut(home);
            world.run_for(REJOIN / 3);
            above = relay(world, 10 + life);
            // Either may be back first.
            if life % 2 == 0 {
                home = world.connect(publisher, above, version, "");
                world.run_until_idle();
                link = dial(world, below, above, version);
            } else {
                link = dial(world, below, above, version);
                world.run_until_idle();
                home = world.connect(publisher, above, version, "");
            }
            world.run_until_idle();
            if life == 3 {
                // A publisher may have nothing new to say for a while.
                world.run_for(2 * REJOIN);
            }
        }
        arrives(world, &mut source, &mut viewers, &context);
        source.finish(world);
        world.run_for(REJOIN / 2);
        for viewer in &mut viewers {
            viewer.read(world);
            assert_eq!(viewer.end, Some(Ok(())), "{version}");
            assert_eq!(viewer.complete(), source.payloads(0..100), "{version}");
        }
        clean(world, viewers.into(), &[above, below], &context);
    }
}

#[test]
fn who_waits_does_so_for_a_while() {
    for version in Version::ALL {
        let world = &mut world(32);
        let Chain { below, link, mut source, .. } = Chain::new(world, version);
        let mut viewers = vec![viewer(world, below, version)];
        arrives(world, &mut source, &mut viewers, "before");
        world.cut(link);
        world.run_for(REJOIN - Duration::from_secs(1));
        viewers[0].read(world);
        assert_eq!(viewers[0].end, None, "{version}");
        world.run_for(Duration::from_secs(2));
        viewers[0].read(world);
        assert_eq!(viewers[0].end, Some(Err(StreamCode::SESSION_CLOSED)), "{version}");
        clean(world, viewers, &[below], &version.to_string());
    }
}

#[test]
fn a_publisher_that_is_lost_is_not_waited_for() {
    for version in Version::ALL {
        let world = &mut world(33);
        let Chain { above, below, mut source, home, .. } = Chain::new(world, version);
        let mut viewers = vec![viewer(world, above, version), viewer(world, below, version)];
        arrives(world, &mut source, &mut viewers, "before");
        world.cut(home);
        world.run_for(Duration::from_secs(1));
        for viewer in &mut viewers {
            viewer.read(world);
            assert_eq!(viewer.end, Some(Err(StreamCode::SESSION_CLOSED)), "{version}");
        }
        clean(world, viewers, &[above, below], &version.to_string());
    }
}

#[test]
fn who_counts_anew_is_another_publisher() {
    for (version, watched) in Version::ALL.into_iter().flat_map(|v| [(v, false), (v, true)]) {
        let context = format!("{version}, watched: {watched}");
        let world = &mut world(34);
        let Chain { below, link, mut source, .. } = Chain::new(world, version);
        let mut viewers = vec![viewer(world, below, version)];
        for _ in 0..5 {
            arrives(world, &mut source, &mut viewers, &context);
        }
        world.cut(link);
        let other = relay(world, 3);
        let (mut another, _) = publish(world, other, version);
        let mut there = Vec::new();
        if watched {
            there.push(viewer(world, other, version));
        }
        another.group(world, &frames(100, 3, 2000));
        world.run_until_idle();
        dial(world, below, other, version);
        world.run_for(REJOIN / 3);
        // Who comes now has nothing to do with the one before.
        viewers.push(viewer(world, below, version));
        viewers[1].read(world);
        assert_eq!(viewers[1].complete(), another.payloads(0..1), "{context}");
        world.run_for(REJOIN);
        viewers[0].read(world);
        assert_eq!(viewers[0].end, Some(Err(StreamCode::SESSION_CLOSED)), "{context}");
        assert_eq!(viewers[0].complete(), source.payloads(0..5), "{context}");
        arrives(world, &mut another, &mut viewers[1..], &context);
        viewers.append(&mut there);
        clean(world, viewers, &[below, other], &context);
    }
}

/// Two publishers of one name, each heard by somebody. Who loses the first one joins those who listen to the
/// other if that has come as far, and is told otherwise.
#[test]
fn nobody_waits_for_another_publisher_to_come_as_far() {
    for version in Version::ALL {
        for far in [false, true] {
            let context = format!("{version} {far}");
            let world = &mut world(37);
            let [one, two, below] = [1, 2, 3].map(|id| relay(world, id));
            let link = dial(world, below, one, version);
            dial(world, below, two, version);
            let (mut source, _) = publish(world, one, version);
            let mut old = vec![viewer(world, below, version)];
            for _ in 0..5 {
                arrives(world, &mut source, &mut old, &context);
            }
            let (mut another, _) = publish(world, two, version);
            let mut new = vec![viewer(world, below, version)];
            for _ in 0..if far { 8 } else { 2 } {
                arrives(world, &mut another, &mut new, &context);
            }
            world.cut(link);
            world.run_until_idle();
            arrives(world, &mut another, &mut new, &context);
            old[0].read(world);
            if far {
                arrives(world, &mut another, &mut old, &context);
            } else {
                assert_eq!(old[0].end, Some(Err(StreamCode::SESSION_CLOSED)), "{context}");
                assert_eq!(old[0].complete(), source.payloads(0..5), "{context}");
            }
            old.append(&mut new);
            clean(world, old, &[below], &context);
        }
    }
}

#[test]
fn a_track_without_groups_is_found_again() {
    for version in Version::ALL {
        let context = version.to_string();
        let world = &mut world(38);
        let Chain { below, link, mut source, home, .. } = Chain::new(world, version);
        let publisher = source.node;
        let mut viewers = vec![viewer(world, below, version)];
        world.cut(link);
        world.cut(home);
        world.run_for(REJOIN / 3);
        let above = relay(world, 11);
        dial(world, below, above, version);
        world.connect(publisher, above, version, "");
        world.run_for(2 * REJOIN);
        arrives(world, &mut source, &mut viewers, &context);
        clean(world, viewers, &[above, below], &context);
    }
}

/// Up to 04 a publisher says that it is done by closing the subscription, also if nothing was left to send. Later
/// it says where the end is, and what was there before shows that this is another track. Nobody is to blame.
#[test]
fn who_waits_is_told_the_end() {
    for version in Version::ALL {
        let world = &mut world(39);
        let Chain { below, link, mut source, .. } = Chain::new(world, version);
        let mut viewers = vec![viewer(world, below, version)];
        for _ in 0..5 {
            arrives(world, &mut source, &mut viewers, "before");
        }
        world.cut(link);
        let other = relay(world, 3);
        dial(world, below, other, version);
        let (mut another, _) = publish(world, other, version);
        another.group(world, &frames(100, 3, 2000));
        another.finish(world);
        world.run_for(REJOIN / 3);
        viewers[0].read(world);
        let end = if version.has_end() { None } else { Some(Ok(())) };
        assert_eq!(viewers[0].end, end, "{version}");
        clean(world, viewers, &[below, other], &version.to_string());
    }
}

/// The last group was on its way, and another publisher has one of that number, and more.
#[test]
fn what_is_behind_the_end_of_another_publisher_is_no_offence() {
    for version in Version::ALL.into_iter().filter(|version| version.has_end()) {
        let world = &mut world(40);
        let Chain { below, link, mut source, .. } = Chain::new(world, version);
        let mut viewers = vec![viewer(world, below, version)];
        arrives(world, &mut source, &mut viewers, "before");
        source.open_group(world, None, &frames(7, 2, 2000));
        source.finish(world);
        world.run_until_idle();
        world.cut(link);
        let other = relay(world, 3);
        dial(world, below, other, version);
        let (mut another, _) = publish(world, other, version);
        for number in 0..4 {
            another.group(world, &frames(100 + number, 3, 2000));
            world.run_until_idle();
        }
        world.run_for(2 * REJOIN);
        viewers[0].read(world);
        assert!(matches!(viewers[0].end, Some(Err(_))), "{version}: {:?}", viewers[0].end);
        clean(world, viewers, &[below, other], &version.to_string());
    }
}

/// Up to 04 nobody says what a track is like: it is in the default scale.
#[test]
fn a_source_without_descriptions_has_the_default_one() {
    for (timescale, told) in [(1000, false), (1000, true), (90_000, true)] {
        let world = &mut world(41);
        let [above, other, below] = [1, 2, 3].map(|id| relay(world, id));
        let link = dial(world, below, above, Version::Lite06);
        let (publisher, home) = client(world, above, Version::Lite06);
        let mut source = Source::new(world, publisher, "cam", "audio");
        let info = TrackInfo { timescale, ..TrackInfo::default() };
        let now = world.now();
        source.track = world[publisher].create_track(now, source.broadcast, "video", info).unwrap();
        let (node, _) = client(world, below, Version::Lite06);
        world.run_until_idle();
        let mut viewers = [Viewer::new(world, node, "cam", "video", live())];
        if told {
            world.run_until_idle();
            arrives(world, &mut source, &mut viewers, "before");
        } else {
            while world[below].stats().tracks == 0 {
                world.run_for(Duration::from_millis(1));
            }
        }
        world.cut(link);
        world.cut(home);
        dial(world, below, other, Version::Lite04);
        world.connect(publisher, other, Version::Lite06, "");
        world.run_until_idle();
        if timescale == 1000 {
            arrives(world, &mut source, &mut viewers, "after");
            world.run_for(2 * REJOIN);
            arrives(world, &mut source, &mut viewers, "later");
        } else {
            viewers[0].read(world);
            assert_eq!(viewers[0].end, Some(Err(StreamCode::TIMESTAMP_MISMATCH)));
        }
        clean(world, viewers.into(), &[below, other], "");
    }
}

#[test]
fn what_was_on_its_way_is_told_as_lost() {
    for version in Version::ALL {
        let world = &mut world(35);
        let [a, b, c] = [1, 2, 3].map(|id| relay(world, id));
        let mut link = dial(world, c, a, version);
        dial(world, b, a, version);
        let (mut source, _) = publish(world, a, version);
        let mut viewers = vec![viewer(world, c, version)];
        arrives(world, &mut source, &mut viewers, "before");
        let (group, cut) = source.open_group(world, None, &frames(7, 2, 2000));
        world.run_until_idle();
        world.cut(link);
        link = dial(world, c, b, version);
        world.run_until_idle();
        let now = world.now();
        world[source.node].finish_group(now, group).unwrap();
        arrives(world, &mut source, &mut viewers, "after");
        assert!(!viewers[0].complete().contains_key(&cut), "{version}");
        assert!(matches!(viewers[0].groups[&cut].end, Some(Err(_))), "{version}: it is told");
        world.cut(link);
        clean(world, viewers, &[a, b, c], &version.to_string());
    }
}

/// Rings of relays, the publisher at the first one, a viewer at each. One link after the other dies and comes
/// back, and so does one relay.
#[test]
fn a_ring_survives_each_of_its_links() {
    for version in Version::ALL.into_iter().filter(|version| version.has_hop_ids()) {
        for size in [3, 4, 5] {
            let world = &mut world(36);
            let relays: Vec<_> = (1..=size).map(|id| relay(world, id)).collect();
            let mut links: Vec<_> = (0..relays.len())
                .map(|at| dial(world, relays[at], relays[(at + 1) % relays.len()], version))
                .collect();
            let (publisher, _) = client(world, relays[0], version);
            let mut source = Source::new(world, publisher, "cam", "video");
            world.run_until_idle();
            let mut viewers: Vec<_> = relays.iter().map(|at| viewer(world, *at, version)).collect();
            for broken in 0..relays.len() {
                let context = format!("{version}, {size} relays, link {broken}");
                arrives(world, &mut source, &mut viewers, &context);
                let pulled: Vec<_> = relays.iter().map(|at| world[*at].stats().tracks).collect();
                assert_eq!(pulled, vec![1; relays.len()], "{context}: one copy on each relay");
                world.cut(links[broken]);
                arrives(world, &mut source, &mut viewers, &format!("{context} is cut"));
                let next = relays[(broken + 1) % relays.len()];
                links[broken] = dial(world, relays[broken], next, version);
                world.run_until_idle();
            }
            // What the viewers have had is all of it.
            for viewer in &viewers {
                assert_eq!(viewer.complete().len(), source.published.len(), "{version} {size}");
            }
            clean(world, viewers, &relays, &version.to_string());
        }
    }
}

//! Several relays, and who may do what.

mod common;

use std::time::Duration;

use common::*;
use smoq_core::{
    Admission, Announced, Carrier, ClosedBy, Config, Discover, Event, Grant, SessionConfig,
    Version,
    wire::{SessionCode, StreamCode},
};
use smoq_sim::{LinkConfig, NodeId, Viewer, World};

/// Connects two relays, each of which wants to know everything of the other.
fn peer(world: &mut World, client: NodeId, server: NodeId, version: Version) {
    let mut config = SessionConfig::client(version, Carrier::Raw, "");
    config.discover = Discover::Everything;
    let configs = [config, SessionConfig::server(version, Carrier::Raw, "")];
    world.connect_with(client, server, configs, LinkConfig::default());
}

#[test]
fn a_chain_of_relays_serves_its_end() {
    for version in Version::ALL {
        let mut world = world(1);
        let relays = [1, 2, 3, 4].map(|id| world.node(relay_config(id)));
        for pair in relays.windows(2) {
            peer(&mut world, pair[1], pair[0], version);
        }
        let [publisher, node] = [(); 2].map(|()| world.node(Config::default()));
        world.connect(publisher, relays[0], version, "");
        world.connect(node, relays[3], version, "");
        let mut source = Source::new(&mut world, publisher, "cam", "video");
        let now = world.now();
        let watcher = world[node].watch(now, &path(""));
        world.run_until_idle();
        let seen = announced(&mut world, node, watcher);
        let [Announced::Active { hops, .. }] = seen.as_slice() else { panic!("{seen:?}") };
        if version.has_hop_ids() {
            assert_eq!(hops.as_slice()[1..], [1, 2, 3, 4].map(hop), "{version}");
        }
        let mut viewer = Viewer::new(&mut world, node, "cam", "video", from(0));
        world.run_until_idle();
        for group in 0..10 {
            source.group(&mut world, &frames(group, 3, 900));
        }
        source.finish(&mut world);
        world.run_for(Duration::from_secs(12));
        viewer.read(&mut world);
        assert_eq!(viewer.complete(), source.payloads(0..10), "{version}");
        assert_eq!(viewer.end, Some(Ok(())), "{version}");
        let now = world.now();
        world[node].unsubscribe(now, viewer.reader).unwrap();
        world.run_until_idle();
        for relay in relays {
            let stats = world[relay].stats();
            assert_eq!((stats.tracks, stats.store_bytes, stats.violations), (0, 0, 0), "{version}");
        }
    }
}

#[test]
fn a_triangle_of_relays_does_not_go_in_circles() {
    for version in Version::ALL {
        let mut world = world(2);
        let relays = [1, 2, 3].map(|id| world.node(relay_config(id)));
        let [a, b, c] = relays;
        for (client, server) in [(a, b), (b, c), (c, a)] {
            peer(&mut world, client, server, version);
        }
        let publisher = world.node(Config::default());
        world.connect(publisher, a, version, "");
        let now = world.now();
        let watchers = relays.map(|relay| world[relay].watch(now, &path("")));
        world.run_until_idle();
        for round in 0..3 {
            let steps = world.steps();
            let mut source = Source::new(&mut world, publisher, "cam", "video");
            world.run_until_idle();
            for (index, relay) in relays.into_iter().enumerate() {
                let seen = announced(&mut world, relay, watchers[index]);
                let Some(Announced::Active { hops, .. }) = seen.last() else { panic!("{seen:?}") };
                assert!(!hops.contains(hop(index as u64 + 1)), "{version}: {hops:?}");
                if version.has_hop_ids() {
                    assert_eq!(hops.len(), if relay == a { 1 } else { 2 }, "{version} {hops:?}");
                }
            }
            let mut viewer = Viewer::new(&mut world, c, "cam", "video", live());
            world.run_until_idle();
            source.group(&mut world, &frames(round, 1, 10));
            world.run_until_idle();
            viewer.read(&mut world);
            assert_eq!(viewer.complete(), source.payloads(0..1), "{version}");
            let now = world.now();
            world[publisher].unpublish(now, source.broadcast).unwrap();
            world[c].unsubscribe(now, viewer.reader).unwrap();
            world.run_until_idle();
            for (index, relay) in relays.into_iter().enumerate() {
                let seen = announced(&mut world, relay, watchers[index]);
                assert!(
                    matches!(seen.last(), Some(Announced::Ended { .. })),
                    "{version}: {seen:?}"
                );
                let stats = world[relay].stats();
                assert_eq!((stats.routes, stats.tracks, stats.violations), (0, 0, 0), "{version}");
            }
            let steps = world.steps() - steps;
            assert!(steps < 2000, "{version}: {steps} steps for one broadcast");
        }
    }
}

#[test]
fn another_way_is_taken_when_one_is_lost() {
    for version in Version::ALL {
        let mut world = world(3);
        let relays = [1, 2, 3].map(|id| world.node(relay_config(id)));
        let [a, b, c] = relays;
        for (client, server) in [(a, b), (b, c)] {
            peer(&mut world, client, server, version);
        }
        let direct = world.connect(c, a, version, "");
        let publisher = world.node(Config::default());
        world.connect(publisher, a, version, "");
        let mut source = Source::new(&mut world, publisher, "cam", "video");
        let now = world.now();
        let watcher = world[c].watch(now, &path(""));
        world.run_until_idle();
        assert!(!announced(&mut world, c, watcher).is_empty());
        world.cut(direct);
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, c, "cam", "video", live());
        world.run_until_idle();
        source.group(&mut world, &frames(0, 1, 10));
        world.run_until_idle();
        viewer.read(&mut world);
        assert_eq!(viewer.complete(), source.payloads(0..1), "{version}");
    }
}

/// A relay that decides about a peer, and the peer.
fn asked(world: &mut World, relay: NodeId, version: Version, path: &str) -> (NodeId, Event) {
    let node = world.node(Config::default());
    let server = SessionConfig {
        admission: Admission::Ask,
        ..SessionConfig::server(version, Carrier::Raw, "")
    };
    let client = SessionConfig::client(version, Carrier::Raw, path);
    world.events(relay);
    world.connect_with(node, relay, [client, server], LinkConfig::default());
    world.run_until_idle();
    (node, world.events(relay).remove(0))
}

#[test]
fn a_peer_is_let_in_as_far_as_it_was_granted() {
    for version in Version::ALL {
        let mut world = world(4);
        let relay = world.node(relay_config(100));
        let now = world.now();
        let seen = world[relay].watch(now, &path(""));
        let (publisher, event) = asked(&mut world, relay, version, "/room?jwt=x");
        let Event::Request { session, path: request } = event else { panic!("{event:?}") };
        // On raw QUIC the path travels from 05 on.
        assert_eq!(request, if version.has_setup() { "/room?jwt=x" } else { "" });
        let mut source = Source::new(&mut world, publisher, "cam", "video");
        source.group(&mut world, &frames(0, 1, 10));
        let mut early = Viewer::new(&mut world, publisher, "mic", "audio", live());
        world.run_until_idle();
        assert_eq!(announced(&mut world, relay, seen), [], "nothing before it is let in");
        let root = if version.has_setup() { "room" } else { "" };
        let now = world.now();
        let grant = Grant { publish: Some(path(root)), subscribe: None };
        world[relay].grant(now, session, grant.clone()).unwrap();
        world[relay].grant(now, session, grant).unwrap_err();
        world.run_until_idle();
        let changes = announced(&mut world, relay, seen);
        let [Announced::Active { path: found, .. }] = changes.as_slice() else {
            panic!("{changes:?}")
        };
        assert_eq!(*found, path("room/cam"), "{version}");
        early.read(&mut world);
        assert_eq!(early.end, Some(Err(StreamCode::SESSION_CLOSED)), "no grant to subscribe");

        let (viewer, event) = asked(&mut world, relay, version, "/");
        let Event::Request { session, .. } = event else { panic!("{event:?}") };
        let grant = Grant { publish: None, subscribe: Some(path("")) };
        let now = world.now();
        world[relay].grant(now, session, grant).unwrap();
        let _denied = Source::new(&mut world, viewer, "room/mic", "audio");
        let mut got = Viewer::new(&mut world, viewer, "room/cam", "video", live());
        world.run_until_idle();
        got.read(&mut world);
        assert_eq!(got.complete(), source.payloads(0..1), "{version}");
        assert_eq!(announced(&mut world, relay, seen), [], "no grant to publish");
    }
}

#[test]
fn each_direction_has_a_place_of_its_own() {
    for version in Version::ALL {
        let mut world = world(6);
        let relay = world.node(relay_config(100));
        let now = world.now();
        let seen = world[relay].watch(now, &path("client"));
        let watchers = [0, 1].map(|client: u64| {
            let (node, event) = asked(&mut world, relay, version, "/");
            let Event::Request { session, .. } = event else { panic!("{event:?}") };
            let [publish, subscribe] = ["client", "echo"].map(|at| path(&format!("{at}/{client}")));
            let grant = Grant { publish: Some(publish), subscribe: Some(subscribe) };
            let now = world.now();
            world[relay].grant(now, session, grant.clone()).unwrap();
            assert_eq!(world.events(relay), [Event::Ready { session, version, grant }]);
            (node, world[node].watch(now, &path("")))
        });
        for (client, (node, watcher)) in (0..).zip(watchers) {
            let mut call = Source::new(&mut world, node, "cam", "video");
            call.group(&mut world, &frames(client, 1, 10));
            world.run_until_idle();
            let changes = announced(&mut world, relay, seen);
            let [Announced::Active { path: found, .. }] = changes.as_slice() else {
                panic!("{version}: {changes:?}")
            };
            assert_eq!(*found, path(&format!("client/{client}/cam")), "{version}");
            assert_eq!(announced(&mut world, node, watcher).len(), 1, "its own");
            let mut heard = Viewer::new(&mut world, relay, found.as_str(), "video", live());
            world.run_until_idle();
            heard.read(&mut world);
            assert_eq!(heard.complete(), call.payloads(0..1), "{version}");

            // The answer has the same name for the client, and lies elsewhere.
            let echo = format!("echo/{client}/back");
            let mut answer = Source::new(&mut world, relay, &echo, "video");
            answer.group(&mut world, &frames(client + 2, 1, 10));
            world.run_until_idle();
            let changes = announced(&mut world, node, watcher);
            let [Announced::Active { path: found, .. }] = changes.as_slice() else {
                panic!("{version}: {changes:?}")
            };
            assert_eq!(*found, path("back"), "{version}");
            let mut got = Viewer::new(&mut world, node, "back", "video", live());
            world.run_until_idle();
            got.read(&mut world);
            assert_eq!(got.complete(), answer.payloads(0..1), "{version}");
            for (other, watcher) in watchers.into_iter().filter(|(other, _)| *other != node) {
                assert_eq!(announced(&mut world, other, watcher), [], "{version}");
            }
            assert_eq!(announced(&mut world, relay, seen), [], "echoes are not the clients'");
        }
        assert_eq!(world[relay].stats().violations, 0, "{version}");
    }
}

#[test]
fn a_client_may_hear_under_the_names_that_it_publishes_under() {
    for version in Version::ALL {
        let mut world = world(7);
        let relay = world.node(relay_config(100));
        let [theirs, mine] = ["theirs", "mine"].map(path);
        let grant = Grant { publish: Some(theirs), subscribe: Some(mine) };
        let client = world.node(Config::default());
        let config = SessionConfig { grant, ..SessionConfig::client(version, Carrier::Raw, "") };
        let server = SessionConfig {
            admission: Admission::Ask,
            ..SessionConfig::server(version, Carrier::Raw, "")
        };
        world.connect_with(client, relay, [config, server], LinkConfig::default());
        world.run_until_idle();
        let event = world.events(relay).remove(0);
        let Event::Request { session, .. } = event else { panic!("{event:?}") };
        let [publish, subscribe] = ["in", "out"].map(path);
        let now = world.now();
        let grant = Grant { publish: Some(publish), subscribe: Some(subscribe) };
        world[relay].grant(now, session, grant).unwrap();

        let mut call = Source::new(&mut world, client, "mine/cam", "video");
        call.group(&mut world, &frames(0, 1, 10));
        let mut answer = Source::new(&mut world, relay, "out/cam", "video");
        answer.group(&mut world, &frames(1, 1, 10));
        let now = world.now();
        let watcher = world[client].watch(now, &path("theirs"));
        world.run_until_idle();
        let changes = announced(&mut world, client, watcher);
        let [Announced::Active { path: found, .. }] = changes.as_slice() else {
            panic!("{version}: {changes:?}")
        };
        assert_eq!(*found, path("theirs/cam"), "{version}");
        for (node, at, source) in [(client, "theirs/cam", &answer), (relay, "in/cam", &call)] {
            let mut got = Viewer::new(&mut world, node, at, "video", live());
            world.run_until_idle();
            got.read(&mut world);
            assert_eq!(got.complete(), source.payloads(0..1), "{version}");
        }
        // What lies elsewhere is no business of the server's.
        let mut lost = Viewer::new(&mut world, client, "cam", "video", live());
        world.run_until_idle();
        lost.read(&mut world);
        assert_eq!(lost.end, Some(Err(StreamCode::UNROUTABLE)), "{version}");
    }
}

#[test]
fn a_refused_peer_is_told_why() {
    for version in Version::ALL {
        let mut world = world(5);
        let relay = world.node(relay_config(100));
        let (client, event) = asked(&mut world, relay, version, "/room");
        let Event::Request { session, .. } = event else { panic!("{event:?}") };
        let now = world.now();
        world[relay].close(now, session, SessionCode::UNAUTHORIZED, "token expired").unwrap();
        world.run_until_idle();
        let events = world.events(client);
        let Some(Event::Closed { closed, .. }) = events.last() else { panic!("{events:?}") };
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, SessionCode::UNAUTHORIZED));
        assert_eq!((closed.reason.as_str(), world[relay].stats().sessions), ("token expired", 0));
    }
}

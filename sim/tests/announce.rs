//! Honest nodes: who learns of which broadcast, under which name, and how refusals and closes sound.

mod common;

use common::*;
use smoq_core::{
    Announced, Carrier, Config, Event, NextGroup, SessionConfig, Version,
    wire::{SessionCode, StreamCode},
};
use smoq_sim::{LinkConfig, Viewer};

#[test]
fn announcements_come_and_go_through_a_relay() {
    for (up, down) in hops() {
        let mut world = world(5);
        let net = Net::new(&mut world, up, down);
        let now = world.now();
        let watcher = world[net.viewers[0]].watch(now, &path("room"));
        world.run_until_idle();
        assert_eq!(announced(&mut world, net.viewers[0], watcher), []);
        let source = Source::new(&mut world, net.publisher, "room/cam", "video");
        let _hidden = Source::new(&mut world, net.publisher, "roomy/cam", "video");
        world.run_until_idle();
        let seen = announced(&mut world, net.viewers[0], watcher);
        let [Announced::Active { path: found, hops }] = seen.as_slice() else {
            panic!("{up} {down}: {seen:?}");
        };
        assert_eq!(*found, path("room/cam"));
        // The relay knows the publisher by a number of its own, and puts itself behind.
        assert_eq!(hops.len(), 2, "{up} {down}: {hops:?}");
        if down.has_hop_ids() {
            assert_eq!(hops.as_slice()[1], hop(100), "{up} {down}");
        }
        // A second watcher is told what is there already.
        let second = world[net.viewers[1]].watch(now, &path(""));
        world.run_until_idle();
        assert_eq!(announced(&mut world, net.viewers[1], second).len(), 2);
        let now = world.now();
        world[net.publisher].unpublish(now, source.broadcast).unwrap();
        world.run_until_idle();
        let ended = Announced::Ended { path: path("room/cam") };
        assert_eq!(announced(&mut world, net.viewers[0], watcher), std::slice::from_ref(&ended));
        assert_eq!(announced(&mut world, net.viewers[1], second), [ended]);
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_broadcast_that_is_replaced_ends_and_comes_again() {
    for (up, down) in hops() {
        let mut world = world(6);
        let net = Net::new(&mut world, up, down);
        let now = world.now();
        let watcher = world[net.viewers[0]].watch(now, &path(""));
        let source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        assert_eq!(announced(&mut world, net.viewers[0], watcher).len(), 1);
        let now = world.now();
        world[net.publisher].unpublish(now, source.broadcast).unwrap();
        let _again = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let seen = announced(&mut world, net.viewers[0], watcher);
        let [Announced::Ended { .. }, Announced::Active { .. }] = seen.as_slice() else {
            panic!("{up} {down}: {seen:?}");
        };
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn an_unwatched_prefix_is_not_asked_for_any_more() {
    for version in Version::ALL {
        let mut world = world(7);
        let net = Net::new(&mut world, version, version);
        let (now, viewer) = (world.now(), net.viewers[0]);
        let watcher = world[viewer].watch(now, &path("room"));
        let _source = Source::new(&mut world, net.publisher, "room/cam", "video");
        world.run_until_idle();
        assert_eq!(world[viewer].stats().routes, 1, "{version}");
        let now = world.now();
        world[viewer].unwatch(now, watcher).unwrap();
        world.run_until_idle();
        assert_eq!(world[viewer].stats().routes, 0, "{version}");
        let watcher = world[viewer].watch(now, &path("room"));
        world.run_until_idle();
        assert_eq!(announced(&mut world, viewer, watcher).len(), 1, "{version}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_request_path_is_the_root_of_a_session() {
    let carriers = [Carrier::Raw, Carrier::WebTransport];
    for (version, carrier) in
        Version::ALL.into_iter().flat_map(|version| carriers.map(|carrier| (version, carrier)))
    {
        let mut world = world(8);
        let relay = world.node(relay_config(100));
        let [inside, outside] = [(); 2].map(|()| world.node(Config::default()));
        for (node, path) in [(inside, "/room/a?jwt=x"), (outside, "/")] {
            // On raw QUIC the server knows nothing of the path but what SETUP says.
            let told = if carrier == Carrier::Raw { "" } else { path };
            let client = SessionConfig::client(version, carrier, path);
            let server = SessionConfig::server(version, carrier, told);
            world.connect_with(node, relay, [client, server], LinkConfig::default());
        }
        let now = world.now();
        let watchers = [inside, outside].map(|node| world[node].watch(now, &path("")));
        let mut source = Source::new(&mut world, inside, "cam", "video");
        source.group(&mut world, &frames(0, 1, 10));
        let mut other = Source::new(&mut world, outside, "room/a/mic", "audio");
        other.group(&mut world, &frames(0, 1, 20));
        let _far = Source::new(&mut world, outside, "room/ab/mic", "audio");
        world.run_until_idle();
        let names = |changes: Vec<Announced>| -> Vec<String> {
            let name = |change| match change {
                Announced::Active { path, .. } => path.as_str().to_owned(),
                Announced::Ended { path } => panic!("{path} ended"),
            };
            let mut names: Vec<_> = changes.into_iter().map(name).collect();
            names.sort();
            names
        };
        let seen = announced(&mut world, inside, watchers[0]);
        assert_eq!(names(seen), ["cam", "mic"], "{version}");
        let seen = announced(&mut world, outside, watchers[1]);
        assert_eq!(names(seen), ["room/a/cam", "room/a/mic", "room/ab/mic"], "{version}");
        let mut down = Viewer::new(&mut world, outside, "room/a/cam", "video", live());
        let mut up = Viewer::new(&mut world, inside, "mic", "audio", live());
        world.run_until_idle();
        down.read(&mut world);
        up.read(&mut world);
        assert_eq!(down.complete(), source.payloads(0..1), "{version}");
        assert_eq!(up.complete(), other.payloads(0..1), "{version}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_code_that_says_why() {
    for (up, down) in hops() {
        let mut world = world(9);
        let net = Net::new(&mut world, up, down);
        let _source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let viewer = net.viewers[0];
        let mut nowhere = Viewer::new(&mut world, viewer, "other", "video", live());
        let mut nothing = Viewer::new(&mut world, viewer, "cam", "audio", live());
        world.run_until_idle();
        nowhere.read(&mut world);
        nothing.read(&mut world);
        assert_eq!(nowhere.end, Some(Err(StreamCode::UNROUTABLE)), "{up} {down}");
        assert_eq!(nothing.end, Some(Err(StreamCode::NOT_FOUND)), "{up} {down}");
        assert_quiet(&mut world, &net);
        for node in [viewer, net.relay] {
            assert_eq!(world[node].stats().tracks, usize::from(node == viewer) * 2);
        }
    }
}

#[test]
fn a_close_is_told_with_its_code() {
    for version in Version::ALL {
        let mut world = world(23);
        let net = Net::new(&mut world, version, version);
        let _source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        world.events(net.viewers[0]);
        let (now, code) = (world.now(), SessionCode::application(3));
        let session = net.down[0].server;
        world[net.relay].close(now, session, code, "maintenance").unwrap();
        world[net.relay].close(now, session, code, "maintenance").unwrap_err();
        world.run_until_idle();
        let closed = world.events(net.viewers[0]).into_iter().find_map(|event| match event {
            Event::Closed { closed, .. } => Some(closed),
            _ => None,
        });
        let closed = closed.expect("the peer is told");
        assert_eq!((closed.code, closed.reason.as_str()), (code, "maintenance"), "{version}");
        let now = world.now();
        let next = world[net.viewers[0]].next_group(now, viewer.reader).unwrap();
        assert_eq!(next, NextGroup::Failed(StreamCode::SESSION_CLOSED), "{version}");
        assert_eq!(world[net.relay].stats().sessions, 2);
    }
}

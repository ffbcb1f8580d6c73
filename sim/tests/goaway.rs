//! GOAWAY: what runs goes on, nothing new is asked, and other ways are better.

mod common;

use common::{script::*, *};
use smoq_core::{
    Config, Dir, Event, Misuse, SubscribeOptions, Version, Violation,
    wire::{Goaway, SessionCode, StreamCode, SubscribeParams},
};
use smoq_sim::{Bench, PeerId, Viewer};

const GOAWAY: u8 = 5;

fn with_goaway() -> impl Iterator<Item = Version> {
    Version::ALL.into_iter().filter(|version| version.has_goaway())
}

/// The peer says that it is about to go.
fn leave(bench: &mut Bench, peer: PeerId, uri: &str) {
    let bytes = typed(GOAWAY.into(), &Goaway { uri: uri.into() }, bench[peer].version);
    let stream = bench.open(peer, Dir::Bi);
    bench.finish(peer, stream, &bytes);
}

#[test]
fn it_is_said_once_and_with_an_end() {
    for version in with_goaway() {
        let mut bench = Bench::new(relay_config(100));
        let peer = bench.client(version);
        let (now, session) = (bench.now(), bench[peer].session);
        let too_long = "u".repeat(Goaway::MAX_URI + 1);
        assert_eq!(bench.node.goaway(now, session, &too_long), Err(Misuse::Uri));
        assert_eq!(bench.node.goaway(now, session, "moqt://b"), Ok(()));
        assert_eq!(bench.node.goaway(now, session, ""), Err(Misuse::GoingAway));
        bench.run();
        let streams = bench.requests(peer, GOAWAY);
        assert_eq!(streams.len(), 1, "{version}");
        let sent = bench.sent(peer, streams[0]);
        assert_eq!((&sent.bytes[..], sent.fin), (&b"\x05\x09\x08moqt://b"[..], true), "{version}");
        // Who asks all the same is answered.
        let asked = ask_announcements(&mut bench, peer, "");
        let publisher = bench.client(version);
        announce(&mut bench, publisher, "cam");
        let told = &bench.sent(peer, asked).bytes;
        assert!(told.windows(3).any(|bytes| bytes == b"cam"), "{version}: {told:?}");
    }
}

#[test]
fn version_03_cannot_say_it() {
    let mut bench = Bench::new(relay_config(100));
    let peer = bench.client(Version::Lite03);
    let (now, session) = (bench.now(), bench[peer].session);
    assert_eq!(bench.node.goaway(now, session, ""), Err(Misuse::NoGoaway));
}

#[test]
fn it_is_told_and_answered_with_an_end() {
    for version in with_goaway() {
        let mut bench = Bench::new(relay_config(100));
        let peer = bench.client(version);
        bench.events();
        leave(&mut bench, peer, "moqt://b");
        let (session, uri) = (bench[peer].session, "moqt://b".into());
        assert_eq!(bench.events(), [Event::Goaway { session, uri }], "{version}");
        leave(&mut bench, peer, "");
        assert_eq!(violations(&mut bench), [(None, Violation::DuplicateGoaway)], "{version}");
        let closed = bench[peer].closed.as_ref().map(|(code, _)| *code);
        assert_eq!(closed, Some(SessionCode::PROTOCOL_VIOLATION), "{version}");
    }
}

#[test]
fn nothing_new_is_asked_of_who_goes() {
    for version in with_goaway() {
        let mut bench = Bench::new(relay_config(100));
        let (publisher, viewer) = (bench.client(version), bench.client(version));
        announce(&mut bench, publisher, "cam");
        let running = subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        accept(&mut bench, publisher, 0);
        let asked = bench.requests(publisher, 2).len() + bench.requests(publisher, 6).len();
        leave(&mut bench, publisher, "");

        send_group(&mut bench, publisher, 0, 0, b"on");
        assert_eq!(bench.groups(viewer).len(), 1, "{version}: what runs goes on");
        assert_eq!(bench.sent(viewer, running).reset, None, "{version}");
        let (broadcast, track) = (path("cam"), "audio".into());
        let request = smoq_core::wire::Subscribe {
            id: 1,
            broadcast,
            track,
            params: SubscribeParams::default(),
        };
        let stream = bench.open_with(viewer, Dir::Bi, &typed(2, &request, version));
        assert_eq!(bench.sent(viewer, stream).reset, Some(StreamCode::GOING_AWAY), "{version}");
        let now_asked = bench.requests(publisher, 2).len() + bench.requests(publisher, 6).len();
        assert_eq!(now_asked, asked, "{version}");
    }
}

#[test]
fn what_is_announced_after_it_comes_last_too() {
    for version in with_goaway() {
        let mut bench = Bench::new(relay_config(100));
        let (leaving, staying) = (bench.client(version), bench.client(version));
        let viewer = bench.client(version);
        let stream = announcing(&mut bench, leaving);
        announce(&mut bench, staying, "cam");
        leave(&mut bench, leaving, "");
        say(&mut bench, leaving, stream, &start("cam", version));
        subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        answer_tracks(&mut bench, staying);
        assert_eq!(bench.requests(leaving, 2).len(), 0, "{version}");
        assert_eq!(bench.requests(staying, 2).len(), 1, "{version}");
    }
}

#[test]
fn requests_that_have_no_stream_yet_are_given_up() {
    for version in with_goaway() {
        let mut bench = Bench::new(relay_config(100));
        let (publisher, viewer) = (bench.client(version), bench.client(version));
        announce(&mut bench, publisher, "cam");
        bench.grant(publisher, |peer| peer.credit = [0; 2]);
        let stream = subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        assert_eq!(bench.sent(viewer, stream).reset, None, "{version}");
        leave(&mut bench, publisher, "");
        assert_eq!(bench.sent(viewer, stream).reset, Some(StreamCode::GOING_AWAY), "{version}");
    }
}

#[test]
fn new_viewers_go_another_way() {
    for version in with_goaway() {
        let mut world = world(1);
        let relay = world.node(relay_config(100));
        let sources: Vec<_> = [1, 2]
            .map(|seed| {
                let node = world.node(Config { seed, hop: hop(seed), ..Config::default() });
                let connection = world.connect(node, relay, version, "");
                world.run_until_idle();
                (node, connection, Source::new(&mut world, node, "cam", "video"))
            })
            .into();
        world.run_until_idle();
        // The newer of two equal ways is taken as a rule.
        let (node, connection, _) = &sources[1];
        let now = world.now();
        world[*node].goaway(now, connection.client, "").unwrap();
        world.run_until_idle();
        let viewer = world.node(Config::default());
        world.connect(viewer, relay, version, "");
        world.run_until_idle();
        let mut viewer =
            Viewer::new(&mut world, viewer, "cam", "video", SubscribeOptions::default());
        world.run_until_idle();
        let subscribed = |world: &mut smoq_sim::World, node| world[node].stats().subscriptions;
        assert_eq!(subscribed(&mut world, sources[0].0), 1, "{version}");
        assert_eq!(subscribed(&mut world, sources[1].0), 0, "{version}");
        viewer.read(&mut world);
        assert_eq!(viewer.end, None, "{version}");
    }
}

#[test]
fn a_session_is_quiet_when_nothing_runs_on_it() {
    for version in with_goaway() {
        let mut bench = Bench::new(relay_config(100));
        let (publisher, viewer) = (bench.client(version), bench.client(version));
        announce(&mut bench, publisher, "cam");
        let sessions = [publisher, viewer].map(|peer| bench[peer].session);
        let quiet = |bench: &Bench| sessions.map(|session| bench.node.is_quiet(session));
        assert_eq!(quiet(&bench), [true; 2], "{version}: what is announced does not count");
        let running = subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        assert_eq!(quiet(&bench), [false; 2], "{version}");
        accept(&mut bench, publisher, 0);
        assert_eq!(quiet(&bench), [false; 2], "{version}");
        bench.finish(viewer, running, &[]);
        assert_eq!(quiet(&bench), [true; 2], "{version}");

        let options = SubscribeOptions::default();
        let [here, nowhere] = ["cam", "none"].map(|name| {
            let now = bench.now();
            let reader = bench.node.subscribe(now, &path(name), "video", options.clone());
            bench.node.source(reader.unwrap())
        });
        assert_eq!((here, nowhere), (Ok(Some(sessions[0])), Ok(None)), "{version}");
        assert_eq!(quiet(&bench), [false, true], "{version}: what waits for a stream counts");
    }
}

#[test]
fn without_a_route_the_server_that_stays_is_asked() {
    for version in with_goaway() {
        for leaving in [0, 1] {
            let mut world = world(1);
            let node = world.node(Config::default());
            let servers = [1, 2].map(|seed| {
                let server = world.node(Config { seed, hop: hop(seed), ..Config::default() });
                (server, world.connect(node, server, version, ""))
            });
            world.run_until_idle();
            let ((server, connection), (_, stays)) = (&servers[leaving], &servers[1 - leaving]);
            let now = world.now();
            world[*server].goaway(now, connection.server, "").unwrap();
            world.run_until_idle();
            let now = world.now();
            let options = SubscribeOptions::default();
            let reader = world[node].subscribe(now, &path("cam"), "video", options).unwrap();
            assert_eq!(world[node].source(reader), Ok(Some(stays.client)), "{version}");
        }
    }
}

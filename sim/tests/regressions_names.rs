//! Faults that were found once, with names, announcements and routes.

mod common;

use common::{script::*, *};
use smoq_core::{
    Announced, Carrier, Config, Dir, Discover, Limits, Misuse, Path, PathError, SessionConfig,
    Version, Violation,
    wire::{
        Announce, Cost, DecodeError, Hops, MAX_TRACK_NAME, StreamCode, SubscribeParams, TrackInfo,
        varint,
    },
};
use smoq_sim::{Bench, LinkConfig, PeerId, Viewer};

/// A relay with a publisher of `cam` and some more peers.
fn relay<const N: usize>(version: Version, limits: Limits) -> (Bench, PeerId, [PeerId; N]) {
    let mut bench = Bench::new(Config { limits, ..relay_config(100) });
    let publisher = bench.client(version);
    announce(&mut bench, publisher, "cam");
    let others = [(); N].map(|()| bench.client(version));
    bench.events();
    (bench, publisher, others)
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode(value, &mut out);
    out
}

/// A length and bytes: a text, or a message.
fn framed(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len() as u64), bytes.to_vec()].concat()
}

/// SUBSCRIBE with names of any length.
fn raw_subscribe(broadcast: &str, track: &str, version: Version) -> Vec<u8> {
    let params = message(&SubscribeParams::default(), version);
    let body = [vec![0], framed(broadcast.as_bytes()), framed(track.as_bytes())].concat();
    [vec![2], framed(&[&body[..], &params[1..]].concat())].concat()
}

/// TRACK with names of any length.
fn raw_track(broadcast: &str, track: &str) -> Vec<u8> {
    let body = [framed(broadcast.as_bytes()), framed(track.as_bytes())].concat();
    [vec![6], framed(&body)].concat()
}

#[test]
fn long_names_are_refused_at_the_first_hop() {
    let (fits, long) = ("n".repeat(1024), "n".repeat(1025));
    assert_eq!((Path::MAX_BYTES, MAX_TRACK_NAME), (1024, 1024));
    let below = format!("cam/{}", &fits[..1020]);
    for version in Version::ALL {
        let path_error = Violation::Decode(DecodeError::Path(PathError::TooLong));
        let name_error = Violation::Decode(DecodeError::NameTooLong(1025));
        let mut cases = vec![
            (raw_subscribe(&long, "video", version), path_error.clone()),
            (raw_subscribe("cam", &long, version), name_error.clone()),
        ];
        if version.has_track() {
            cases.push((raw_track(&long, "video"), path_error));
            cases.push((raw_track("cam", &long), name_error));
        }
        for (bytes, error) in cases {
            let (mut bench, publisher, [hostile]) = relay(version, Limits::default());
            let stream = bench.open_with(hostile, Dir::Bi, &bytes);
            assert_eq!(violations(&mut bench), [(Some(stream), error)], "{version}");
            let code = Some(StreamCode::MALFORMED_TRACK);
            assert_eq!(bench.sent(hostile, stream).reset, code, "{version}");
            let asked = [2, 6].map(|kind| bench.requests(publisher, kind).len());
            assert_eq!(asked, [0, 0], "{version}: nobody else hears of it");
        }
        let (mut bench, publisher, [viewer]) = relay(version, Limits::default());
        bench.open_with(viewer, Dir::Bi, &raw_subscribe(&below, &fits, version));
        assert_eq!(violations(&mut bench), [], "{version}");
        let upstream = bench.requests(publisher, 2)[0];
        let (heard, _) = heard_subscribe(bench.sent(publisher, upstream), version);
        assert_eq!((heard.broadcast.as_str(), heard.track), (below.as_str(), fits.clone()));
    }
    let mut bench = Bench::new(Config::default());
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path("mic")).unwrap();
    let made = bench.node.create_track(now, broadcast, &long, TrackInfo::default());
    assert_eq!(made, Err(Misuse::TrackName));
    let reader = bench.node.subscribe(now, &path("mic"), &long, live());
    assert_eq!(reader, Err(Misuse::TrackName));
}

#[test]
fn a_long_announcement_costs_only_its_sender() {
    for version in Version::ALL {
        let (mut bench, _, [hostile, viewer]) = relay(version, Limits::default());
        let watched = ask_announcements(&mut bench, viewer, "");
        let before = bench.sent(viewer, watched).clone();
        let stream = announcing(&mut bench, hostile);
        let suffix = framed("n".repeat(1025).as_bytes());
        let bytes = match version {
            Version::Lite06 => [vec![0], framed(&[suffix, vec![0, 0, 0]].concat())].concat(),
            _ => framed(&[vec![1], suffix, vec![0]].concat()),
        };
        bench.send(hostile, stream, &bytes);
        let error = Violation::Decode(DecodeError::Path(PathError::TooLong));
        assert_eq!(violations(&mut bench), [(None, error)], "{version}");
        assert_eq!(*bench.sent(viewer, watched), before, "{version}");
    }
}

#[test]
fn a_path_too_long_below_its_root_does_not_exist() {
    let longest = "n".repeat(Path::MAX_BYTES);
    for version in Version::ALL {
        let mut bench = Bench::new(relay_config(100));
        let inside = bench.peer(SessionConfig::server(version, Carrier::WebTransport, "/room"));
        bench.greet(inside);
        let watcher = bench.client(version);
        let watched = ask_announcements(&mut bench, watcher, "");
        let before = bench.sent(watcher, watched).bytes.len();
        let stream = announce(&mut bench, inside, &longest);
        let refused = subscribe(&mut bench, inside, 0, &longest, SubscribeParams::default());
        assert_eq!(bench.sent(inside, refused).reset, Some(StreamCode::NOT_FOUND), "{version}");
        let end = if version.has_announce_ids() {
            Announce::EndId { id: 0 }
        } else {
            Announce::End { suffix: path(&longest) }
        };
        say(&mut bench, inside, stream, &end);
        assert_eq!(bench.sent(watcher, watched).bytes.len(), before, "{version}");
        // The other way round: the root of the session stands in front of what the peer is told.
        if !version.has_setup() {
            let outside = bench.peer(SessionConfig::client(version, Carrier::Raw, "/room"));
            let now = bench.now();
            bench.node.publish(now, &path(&longest)).unwrap();
            let stream = ask_announcements(&mut bench, outside, "");
            assert_eq!(bench.sent(outside, stream).bytes, [], "{version}");
        }
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn names_of_the_largest_size_pass_through_relays() {
    let (broadcast, track) = ("n".repeat(Path::MAX_BYTES), "t".repeat(MAX_TRACK_NAME));
    for version in Version::ALL {
        let mut world = world(1);
        let [publisher, viewer] = [(); 2].map(|()| world.node(Config::default()));
        let relays = [1, 2].map(|id| world.node(relay_config(id)));
        let everything = SessionConfig {
            discover: Discover::Everything,
            ..SessionConfig::client(version, Carrier::Raw, "")
        };
        let configs = [everything, SessionConfig::server(version, Carrier::Raw, "")];
        world.connect_with(relays[1], relays[0], configs, LinkConfig::default());
        world.connect(publisher, relays[0], version, "");
        world.connect(viewer, relays[1], version, "");
        let mut source = Source::new(&mut world, publisher, &broadcast, &track);
        source.group(&mut world, &frames(0, 2, 10));
        world.run_until_idle();
        let mut got = Viewer::new(&mut world, viewer, &broadcast, &track, from(0));
        world.run_until_idle();
        got.read(&mut world);
        assert_eq!(got.complete(), source.payloads(0..1), "{version}");
    }
}

#[test]
fn announcements_beyond_the_limit_can_be_ended() {
    let limits = || Limits { announcements: 3, ..Limits::default() };
    for version in Version::ALL {
        let (mut bench, publisher, []) = relay(version, limits());
        let stream = bench.requests(publisher, 1)[0];
        let names = ["x1", "x2", "declined", "declined too"];
        for name in names {
            say(&mut bench, publisher, stream, &start(name, version));
        }
        assert_eq!(bench.node.stats().routes, 3, "{version}");
        let end = |id: u64, name: &str| match version {
            Version::Lite06 => Announce::EndId { id },
            _ => Announce::End { suffix: path(name) },
        };
        say(&mut bench, publisher, stream, &end(3, names[2]));
        assert_eq!((violations(&mut bench), bench.node.stats().routes), (vec![], 3), "{version}");
        say(&mut bench, publisher, stream, &end(1, names[0]));
        say(&mut bench, publisher, stream, &start("x3", version));
        assert_eq!((violations(&mut bench), bench.node.stats().routes), (vec![], 3), "{version}");
        say(&mut bench, publisher, stream, &end(99, "never"));
        let broken = if version.has_announce_ids() {
            vec![(None, Violation::UnknownAnnouncement)]
        } else {
            vec![]
        };
        assert_eq!(violations(&mut bench), broken, "{version}");
    }
    for version in Version::ALL {
        let mut world = world(3);
        let publisher = world.node(Config::default());
        let first = world.node(relay_config(1));
        let second = world.node(Config { limits: limits(), ..relay_config(2) });
        let everything = SessionConfig {
            discover: Discover::Everything,
            ..SessionConfig::client(version, Carrier::Raw, "")
        };
        let configs = [everything, SessionConfig::server(version, Carrier::Raw, "")];
        world.connect_with(second, first, configs, LinkConfig::default());
        world.connect(publisher, first, version, "");
        for _ in 0..3 {
            let now = world.now();
            let names = (0..8).map(|index| path(&format!("cam{index}")));
            let broadcasts: Vec<_> =
                names.map(|name| world[publisher].publish(now, &name).unwrap()).collect();
            world.run_until_idle();
            assert_eq!(world[first].stats().routes, 8, "{version}");
            assert_eq!(world[second].stats().routes, 3, "{version}");
            for broadcast in broadcasts {
                let now = world.now();
                world[publisher].unpublish(now, broadcast).unwrap();
                world.run_until_idle();
            }
            for relay in [first, second] {
                let stats = world[relay].stats();
                assert_eq!((stats.routes, stats.violations), (0, 0), "{version}");
            }
            let sessions = [first, second].map(|relay| world[relay].stats().sessions);
            assert_eq!(sessions, [2, 1], "{version}");
        }
    }
}

#[test]
fn announcements_that_cannot_be_used_are_not_kept() {
    for version in Version::ALL {
        let (mut bench, publisher, [viewer]) = relay(version, Limits::default());
        let watched = ask_announcements(&mut bench, viewer, "");
        let before = bench.sent(viewer, watched).bytes.len();
        let stream = bench.requests(publisher, 1)[0];
        for pattern in ["*", "**", "a/*/b", "a/**"] {
            say(&mut bench, publisher, stream, &start(pattern, version));
        }
        assert_eq!(bench.sent(viewer, watched).bytes.len(), before, "{version}");
        assert_eq!(bench.node.stats().routes, 1, "{version}");
        say(&mut bench, publisher, stream, &start("a*/b**", version));
        assert_eq!(bench.node.stats().routes, 2, "{version}: a star inside a segment is a name");

        // Below a root they are too deep. They do not count as announcements either.
        let inside = bench.peer(SessionConfig::server(version, Carrier::WebTransport, "/room"));
        bench.greet(inside);
        let stream = announcing(&mut bench, inside);
        let deep = path(&"a/".repeat(Path::MAX_SEGMENTS));
        let mut many = bytes::BytesMut::new();
        for _ in 0..500 {
            start(deep.as_str(), version).encode(&mut many, version);
        }
        for _ in 0..100 {
            bench.send(inside, stream, &many);
        }
        assert_eq!(bench.node.stats().routes, 2, "{version}");
        say(&mut bench, inside, stream, &start("mic", version));
        assert_eq!((violations(&mut bench), bench.node.stats().routes), (vec![], 3), "{version}");
    }
}

#[test]
fn a_second_start_changes_the_route_in_place() {
    let version = Version::Lite05;
    let mut bench = Bench::new(relay_config(100));
    let now = bench.now();
    let watcher = bench.node.watch(now, &path(""));
    let publisher = bench.client(version);
    let stream = announce(&mut bench, publisher, "cam");
    let viewers = Version::ALL.map(|version| bench.client(version));
    let watched = viewers.map(|viewer| ask_announcements(&mut bench, viewer, ""));
    let served = subscribe(&mut bench, viewers[0], 0, "cam", SubscribeParams::default());
    let seen = |bench: &mut Bench| -> Vec<Announced> {
        std::iter::from_fn(|| bench.node.poll_announced(watcher).unwrap()).collect()
    };
    assert!(matches!(seen(&mut bench)[..], [Announced::Active { .. }]));
    let before: Vec<_> = viewers
        .iter()
        .zip(watched)
        .map(|(viewer, stream)| bench.sent(*viewer, stream).bytes.len())
        .collect();
    let mut hops = Hops::new();
    hops.push(hop(77)).unwrap();
    let again = Announce::Start { suffix: path("cam"), hops, cost: Cost::UNKNOWN };
    say(&mut bench, publisher, stream, &again);
    let ended = seen(&mut bench).into_iter().any(|seen| matches!(seen, Announced::Ended { .. }));
    assert!(!ended);
    for (index, viewer) in viewers.into_iter().enumerate() {
        let said = &bench.sent(viewer, watched[index]).bytes[before[index]..];
        match bench[viewer].version {
            Version::Lite03 | Version::Lite04 => assert_eq!(said, []),
            Version::Lite05 => assert_eq!(*said, *b"\x09\x01\x03cam\x02\x40\x4d\x37"),
            Version::Lite06 => assert_eq!((said[0], said[2]), (2, 0), "UPDATE of the first id"),
        }
    }
    assert_eq!((bench.node.stats().routes, violations(&mut bench)), (1, vec![]));
    assert_eq!(bench.sent(viewers[0], served).reset, None, "the subscription stands");
}

#[test]
fn relays_do_not_ask_each_other_in_circles() {
    for version in Version::ALL {
        let (mut bench, _, [viewer]) = relay(version, Limits::default());
        let dialed = bench.server(version);
        let stream = subscribe(&mut bench, viewer, 0, "nope", SubscribeParams::default());
        assert_eq!(bench.sent(viewer, stream).reset, Some(StreamCode::UNROUTABLE), "{version}");
        let asked = [2, 6].map(|kind| bench.requests(dialed, kind).len());
        assert_eq!(asked, [0, 0], "{version}");

        let mut world = world(2);
        let relays = [1, 2].map(|id| world.node(relay_config(id)));
        world.connect(relays[0], relays[1], version, "");
        world.connect(relays[1], relays[0], version, "");
        let client = world.node(Config::default());
        world.connect(client, relays[0], version, "");
        world.run_until_idle();
        let steps = world.steps();
        let mut viewer = Viewer::new(&mut world, client, "nope", "video", live());
        world.run_until_idle();
        viewer.read(&mut world);
        assert_eq!(viewer.end, Some(Err(StreamCode::UNROUTABLE)), "{version}");
        let steps = world.steps() - steps;
        assert!(steps < 100, "{version}: {steps} steps for one refusal");
    }
}

/// Who announces a broadcast itself is not asked for it, but must not have the other publisher asked
/// again and again.
#[test]
fn who_announces_what_it_watches_costs_its_publisher_nothing() {
    for version in Version::ALL {
        let (mut bench, publisher, [viewer, rival]) = relay(version, Limits::default());
        subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        accept(&mut bench, publisher, 0);
        let asked = |bench: &Bench| [2, 6].map(|kind| bench.requests(publisher, kind).len());
        let before = asked(&bench);
        let named = announcing(&mut bench, rival);
        say(&mut bench, rival, named, &rival_start(version));
        for id in 0..5 {
            subscribe(&mut bench, rival, id, "cam", SubscribeParams::default());
        }
        assert_eq!(asked(&bench), before, "{version}");
    }
}

/// An announcement of `cam` by somebody else than its publisher, and newer.
fn rival_start(version: Version) -> Announce {
    let mut hops = Hops::new();
    if version.sender_appends_hop() {
        hops.push(if version.has_hop_ids() { hop(77) } else { Default::default() }).unwrap();
    }
    let cost = if version.has_announce_ids() { Cost::ZERO } else { Cost::UNKNOWN };
    Announce::Start { suffix: path("cam"), hops, cost }
}

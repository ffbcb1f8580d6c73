//! Each number in `Limits` holds.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{script::*, *};
use smoq_core::{
    Carrier, Config, Dir, Event, Group, Id, Limits, Misuse, SessionConfig, Side, Track, Version,
    Violation,
    wire::{SessionCode, StreamCode, SubscribeParams, TrackInfo},
};
use smoq_sim::{Bench, LinkConfig, PeerId, Viewer};

/// A node with some limits and a local track.
fn node(limits: Limits) -> (Bench, Id<Track>) {
    let mut bench = Bench::new(Config { limits, ..Config::default() });
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path("cam")).unwrap();
    let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    (bench, track)
}

fn publish(bench: &mut Bench, track: Id<Track>, size: usize) -> Id<Group> {
    let now = bench.now();
    let (group, _) = bench.node.create_group(now, track, None).unwrap();
    bench.node.write_frame(now, group, 0, Bytes::from(vec![7; size])).unwrap();
    bench.node.finish_group(now, group).unwrap();
    group
}

/// A relay whose peer announces `cam`, and a subscriber of it.
fn relay(version: Version, limits: Limits) -> (Bench, PeerId, PeerId) {
    let mut bench = Bench::new(Config { limits, ..relay_config(100) });
    let publisher = bench.client(version);
    announce(&mut bench, publisher, "cam");
    let viewer = bench.client(version);
    subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
    accept(&mut bench, publisher, 0);
    bench.events();
    (bench, publisher, viewer)
}

fn closed(bench: &Bench, peer: PeerId) -> SessionCode {
    bench[peer].closed.as_ref().expect("the session is closed").0
}

#[test]
fn no_limit_is_without_a_test() {
    // Whoever adds a number adds a test below; that of `stall_timeout` is in slow.rs,
    // those of `wanted` and `wanted_timeout` are in requests.rs.
    let Limits {
        store_bytes: _,
        store_age: _,
        group_bytes: _,
        group_frames: _,
        message_bytes: _,
        session_buffer: _,
        peer_streams: _,
        announcements: _,
        announce_requests: _,
        reorder: _,
        violations: _,
        opening_timeout: _,
        request_timeout: _,
        wanted: _,
        wanted_timeout: _,
        stall_timeout: _,
    } = Limits::default();
}

#[test]
fn store_bytes() {
    let (mut bench, track) = node(Limits { store_bytes: 100_000, ..Limits::default() });
    let first = publish(&mut bench, track, 10_000);
    for _ in 0..50 {
        publish(&mut bench, track, 10_000);
        assert!(bench.node.stats().store_bytes <= 100_000);
    }
    let stats = bench.node.stats();
    assert_eq!(stats.groups as u64 + stats.groups_evicted, 51);
    assert!(stats.groups >= 8, "{stats:?}");
    let now = bench.now();
    assert_eq!(bench.node.finish_group(now, first), Err(Misuse::Stale));
}

#[test]
fn store_bytes_of_peers() {
    for version in Version::ALL {
        let limits = Limits { store_bytes: 100_000, ..Limits::default() };
        let (mut bench, publisher, _) = relay(version, limits);
        for sequence in 0..200 {
            send_group(&mut bench, publisher, 0, sequence, &[7; 3000]);
            assert!(bench.node.stats().store_bytes <= 100_000, "{version}");
        }
        // One group may not take everything from the others, and is cut off when it is too much.
        let mut bytes = group_header(0, 500, version);
        bytes.extend(&frame(0, &[7; 200_000], version)[..150_000]);
        bench.open_with(publisher, Dir::Uni, &bytes);
        assert!(bench.node.stats().store_bytes <= 100_000, "{version}");
        assert_eq!(bench[publisher].closed, None);
    }
}

#[test]
fn store_age() {
    let limits = Limits { store_age: Duration::from_secs(20), ..Limits::default() };
    let (mut bench, track) = node(limits);
    for _ in 0..5 {
        publish(&mut bench, track, 100);
    }
    bench.pass(Duration::from_secs(18));
    assert_eq!(bench.node.stats().groups, 5);
    publish(&mut bench, track, 100);
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.node.stats().groups, 1);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.node.stats().groups, 1, "the newest stays");
}

#[test]
fn group_bytes() {
    let limits = Limits { group_bytes: 1000, ..Limits::default() };
    let (mut bench, track) = node(limits.clone());
    let now = bench.now();
    let (group, _) = bench.node.create_group(now, track, None).unwrap();
    bench.node.write_frame(now, group, 0, Bytes::from(vec![0; 900])).unwrap();
    let more = bench.node.write_frame(now, group, 0, Bytes::from(vec![0; 100]));
    assert_eq!(more, Err(Misuse::GroupTooLarge));
    for version in Version::ALL {
        let (mut bench, publisher, viewer) = relay(version, limits.clone());
        let mut bytes = group_header(0, 0, version);
        bytes.extend(frame(0, &[0; 900], version));
        let stream = bench.open_with(publisher, Dir::Uni, &bytes);
        assert_eq!(violations(&mut bench), []);
        // The size alone is enough: nothing waits for the bytes.
        bench.send(publisher, stream, &frame(0, &[0; 100], version)[..4]);
        assert_eq!(violations(&mut bench), [(Some(stream), Violation::GroupTooLarge)]);
        let code = Some(StreamCode::GROUP_TOO_LARGE);
        assert_eq!(bench.sent(publisher, stream).stopped, code, "{version}");
        assert_eq!(bench.groups(viewer)[0].reset, code, "{version}");
    }
}

#[test]
fn group_frames() {
    let limits = Limits { group_frames: 3, ..Limits::default() };
    let (mut bench, track) = node(limits.clone());
    let now = bench.now();
    let (group, _) = bench.node.create_group(now, track, None).unwrap();
    for _ in 0..3 {
        bench.node.write_frame(now, group, 0, Bytes::new()).unwrap();
    }
    assert_eq!(bench.node.write_frame(now, group, 0, Bytes::new()), Err(Misuse::GroupTooLarge));
    for version in Version::ALL {
        let (mut bench, publisher, _) = relay(version, limits.clone());
        let mut bytes = group_header(0, 0, version);
        bytes.extend(frame(0, b"", version).repeat(3));
        let stream = bench.open_with(publisher, Dir::Uni, &bytes);
        assert_eq!(violations(&mut bench), []);
        bench.send(publisher, stream, &frame(0, b"", version));
        assert_eq!(violations(&mut bench), [(Some(stream), Violation::GroupTooLarge)]);
    }
}

#[test]
fn message_bytes() {
    for version in Version::ALL {
        let limits = Limits { message_bytes: 30, ..Limits::default() };
        let (mut bench, _, viewer) = relay(version, limits);
        subscribe(&mut bench, viewer, 1, "cam", SubscribeParams::default());
        assert_eq!(violations(&mut bench), [], "{version}");
        let long = "a".repeat(30);
        let stream = subscribe(&mut bench, viewer, 2, &long, SubscribeParams::default());
        let [(Some(found), Violation::Decode(_))] = violations(&mut bench)[..] else { panic!() };
        assert_eq!(found, stream, "{version}");
    }
}

#[test]
fn session_buffer() {
    for version in Version::ALL {
        let limits = Limits { session_buffer: 1000, ..Limits::default() };
        let (mut bench, _, hostile) = relay(version, limits);
        // Messages that are begun and never ended.
        let unfinished = [&[2, 0x40, 200][..], &[0; 150]].concat();
        for _ in 0..6 {
            bench.open_with(hostile, Dir::Bi, &unfinished);
        }
        assert_eq!(violations(&mut bench), [], "{version}");
        bench.open_with(hostile, Dir::Bi, &unfinished);
        assert_eq!(violations(&mut bench), [(None, Violation::TooMuchBuffered)], "{version}");
        assert_eq!(closed(&bench, hostile), SessionCode::PROTOCOL_VIOLATION);
    }
    // Requests that wait for a decision count as well.
    let limits = Limits { session_buffer: 1000, ..Limits::default() };
    let mut bench = Bench::new(Config { limits, ..Config::default() });
    let config = SessionConfig {
        admission: smoq_core::Admission::Ask,
        ..SessionConfig::server(Version::Lite06, Carrier::Raw, "")
    };
    let hostile = bench.peer(config);
    bench.greet(hostile);
    for id in 0..60 {
        subscribe(&mut bench, hostile, id, "cam", SubscribeParams::default());
    }
    assert_eq!(violations(&mut bench), [(None, Violation::TooMuchBuffered)]);
}

#[test]
fn peer_streams() {
    for version in Version::ALL {
        let limits = Limits { peer_streams: 10, ..Limits::default() };
        let (mut bench, _, hostile) = relay(version, limits);
        let open: Vec<_> = (0..9).map(|_| bench.open(hostile, Dir::Bi)).collect();
        assert_eq!(violations(&mut bench), [], "{version}");
        let stream = bench.open(hostile, Dir::Bi);
        assert_eq!(violations(&mut bench), [(Some(stream), Violation::TooManyStreams)]);
        let sent = bench.sent(hostile, stream);
        assert!(sent.reset.is_some() && sent.stopped.is_some(), "{version}");
        bench.reset(hostile, open[0], StreamCode::CANCEL);
        let sent = bench.sent(hostile, open[0]);
        assert!(sent.fin || sent.reset.is_some(), "{version}: whose other direction is ended too");
        bench.open(hostile, Dir::Bi);
        assert_eq!(violations(&mut bench), [], "{version}: a place was free again");
    }
}

#[test]
fn announcements() {
    for version in Version::ALL {
        let limits = Limits { announcements: 5, ..Limits::default() };
        let (mut bench, publisher, _) = relay(version, limits);
        let stream = bench.requests(publisher, 1)[0];
        for index in 1..5 {
            say(&mut bench, publisher, stream, &start(&format!("x{index}"), version));
        }
        assert_eq!((violations(&mut bench), bench.node.stats().routes), (vec![], 5), "{version}");
        say(&mut bench, publisher, stream, &start("x5", version));
        assert_eq!((violations(&mut bench), bench.node.stats().routes), (vec![], 5), "{version}");
        assert_eq!(bench[publisher].closed, None, "{version}: it is declined, no more");
    }
}

#[test]
fn announce_requests() {
    for version in Version::ALL {
        let limits = Limits { announce_requests: 3, ..Limits::default() };
        let (mut bench, _, hostile) = relay(version, limits);
        let open: Vec<_> = (0..3).map(|_| ask_announcements(&mut bench, hostile, "")).collect();
        assert_eq!(violations(&mut bench), [], "{version}");
        let stream = ask_announcements(&mut bench, hostile, "");
        let refused = (Some(stream), Violation::TooManyAnnounceRequests);
        assert_eq!(violations(&mut bench), [refused], "{version}");
        bench.reset(hostile, open[0], StreamCode::CANCEL);
        ask_announcements(&mut bench, hostile, "");
        assert_eq!(violations(&mut bench), [], "{version}: a place was free again");
    }
}

#[test]
fn reorder() {
    for version in Version::ALL {
        let limits = Limits { reorder: 4, ..Limits::default() };
        let (mut bench, publisher, viewer) = relay(version, limits);
        // Groups 0 and 5 are late: four others overtake 0, and one more gives it up.
        for sequence in [1, 2, 3, 4] {
            send_group(&mut bench, publisher, 0, sequence, b"x");
        }
        let heard = |bench: &Bench| -> Vec<u64> {
            let groups = bench.groups(viewer);
            groups.iter().map(|sent| heard_group(sent, version).0.sequence).collect()
        };
        if version.has_end() {
            send_group(&mut bench, publisher, 0, 0, b"x");
            assert_eq!(heard(&bench), [1, 2, 3, 4, 0], "{version}");
        }
        for sequence in [6, 7, 8, 9, 10] {
            send_group(&mut bench, publisher, 0, sequence, b"x");
        }
        let before = heard(&bench);
        send_group(&mut bench, publisher, 0, 5, b"x");
        assert_eq!(heard(&bench), before, "{version}: it is given up");
        assert_eq!(before.last(), Some(&10));
    }
}

#[test]
fn violations_of_one_peer() {
    for version in Version::ALL {
        let limits = Limits { violations: 3, ..Limits::default() };
        let (mut bench, _, hostile) = relay(version, limits);
        for _ in 0..3 {
            bench.open_with(hostile, Dir::Bi, &[0x3f]);
        }
        assert_eq!(violations(&mut bench).len(), 3);
        assert_eq!(bench[hostile].closed, None, "{version}");
        bench.open_with(hostile, Dir::Bi, &[0x3f]);
        assert_eq!(violations(&mut bench), [(None, Violation::TooManyViolations)], "{version}");
        assert_eq!(closed(&bench, hostile), SessionCode::PROTOCOL_VIOLATION, "{version}");
    }
}

#[test]
fn opening_timeout() {
    let limits = Limits { opening_timeout: Duration::from_secs(2), ..Limits::default() };
    let (mut bench, _, hostile) = relay(Version::Lite06, limits);
    let stream = bench.open_with(hostile, Dir::Bi, &[2]);
    bench.pass(Duration::from_millis(1900));
    assert_eq!(violations(&mut bench), []);
    bench.pass(Duration::from_millis(1100));
    assert_eq!(violations(&mut bench), [(Some(stream), Violation::OpeningTimeout)]);
}

#[test]
fn request_timeout() {
    for version in [Version::Lite05, Version::Lite06] {
        let limits = Limits { request_timeout: Duration::from_secs(2), ..Limits::default() };
        let mut bench = Bench::new(Config { limits, ..relay_config(100) });
        let publisher = bench.client(version);
        announce(&mut bench, publisher, "cam");
        let viewer = bench.client(version);
        let stream = subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        bench.pass(Duration::from_millis(1900));
        assert_eq!(bench.sent(viewer, stream).reset, None);
        bench.pass(Duration::from_millis(1200));
        let code = Some(StreamCode::CONTROL_TIMEOUT);
        assert_eq!(bench.sent(viewer, stream).reset, code, "{version}");
        assert_eq!(bench.node.stats().tracks, 0);
    }
}

#[test]
fn a_reader_that_stops_reading_costs_nobody_else() {
    for version in Version::ALL {
        let mut world = world(1);
        let publisher = world.node(Config::default());
        let limits = Limits { store_bytes: 300_000, ..Limits::default() };
        let relay = world.node(Config { limits, ..relay_config(100) });
        let [stuck, fine] = [(); 2].map(|()| world.node(Config::default()));
        world.connect(publisher, relay, version, "");
        let link = LinkConfig { window: 20_000, streams: 10, ..LinkConfig::default() };
        let configs = [
            SessionConfig::client(version, Carrier::Raw, ""),
            SessionConfig::server(version, Carrier::Raw, ""),
        ];
        let connection = world.connect_with(stuck, relay, configs, link);
        world.connect(fine, relay, version, "");
        let mut source = Source::new(&mut world, publisher, "cam", "video");
        world.run_until_idle();
        let mut viewers =
            [stuck, fine].map(|node| Viewer::new(&mut world, node, "cam", "video", from(0)));
        world.run_until_idle();
        world.stall(connection, Side::Client, true);
        for group in 0..100 {
            source.group(&mut world, &frames(group, 3, 5000));
            world.run_until_idle();
            viewers[1].read(&mut world);
            assert!(world[relay].stats().store_bytes <= 300_000, "{version}");
        }
        assert_eq!(viewers[1].complete(), source.payloads(0..100), "{version}");
        // When it reads again it gets what is still held, and is told what is not.
        world.stall(connection, Side::Client, false);
        world.run_for(Duration::from_secs(3));
        viewers[0].read(&mut world);
        let got = viewers[0].complete();
        let held = world[relay].stats().groups as u64;
        assert!(held < 50 && got.len() as u64 >= held, "{version}: {} of {held}", got.len());
        assert!(got.contains_key(&99), "{version}");
        for (sequence, payload) in got {
            assert_eq!(payload, source.payloads(sequence..sequence + 1)[&sequence]);
        }
        for log in viewers[0].groups.values() {
            assert!(log.end.is_some(), "{version}: {:?}", log.frames.len());
        }
        let quiet =
            world.events(relay).iter().all(|event| !matches!(event, Event::Violation { .. }));
        assert!(quiet, "{version}");
    }
}

#[test]
fn groups_without_frames_fill_no_store() {
    let limits = Limits { store_bytes: 20_000, ..Limits::default() };
    let (mut bench, track) = node(limits.clone());
    let now = bench.now();
    for _ in 0..200 {
        bench.node.create_group(now, track, None).unwrap();
        let held = bench.node.stats().store_bytes;
        assert!(held <= limits.store_bytes, "{held}");
    }
}

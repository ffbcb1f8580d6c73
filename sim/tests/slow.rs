//! Viewers that do not keep up: they miss what is too old, they are cut off when they take nothing at
//! all, and nobody else notices.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::*;
use smoq_core::{
    Carrier, Config, Event, Id, Limits, SessionConfig, Side, StreamId, SubscribeOptions, Time,
    Track, Version,
    wire::{SessionCode, StreamCode, SubscribeParams, SubscribeResponse, TrackInfo},
};
use smoq_sim::{Bench, Connection, LinkConfig, Peer, PeerId, Sent, Viewer, World};

const SECOND: Duration = Duration::from_secs(1);

/// How long a viewer may take nothing here.
const LIMIT: u64 = 10;

/// A relay with a publisher of 100 KiB each second, more than a stream takes at once, for so many of
/// `seconds`. One of its viewers is told the second, and reads or not; the other one reads. Gives the
/// seconds in which the first one was cut off, and the codes.
fn watch(
    version: Version,
    groups: u64,
    seconds: u64,
    mut viewer: impl FnMut(&mut World, Connection, &mut Viewer, u64),
) -> Vec<(u64, SessionCode)> {
    let world = &mut world(1);
    let limits = Limits { stall_timeout: Duration::from_secs(LIMIT), ..Limits::default() };
    let relay = world.node(Config { limits, ..relay_config(100) });
    let link = LinkConfig { partial: 0, ..LinkConfig::default() };
    let join = |world: &mut World| {
        let node = world.node(Config::default());
        let configs = [
            SessionConfig::client(version, Carrier::Raw, ""),
            SessionConfig::server(version, Carrier::Raw, ""),
        ];
        (node, world.connect_with(node, relay, configs, link.clone()))
    };
    let [(publisher, _), (slow, down), (other, _)] = [(); 3].map(|()| join(world));
    let mut source = Source::new(world, publisher, "cam", "video");
    world.run_until_idle();
    let mut slow = Viewer::new(world, slow, "cam", "video", live());
    let mut other = Viewer::new(world, other, "cam", "video", live());
    world.run_until_idle();
    let mut closes = Vec::new();
    for second in 0..seconds {
        if second < groups {
            source.group(world, &frames(second, 1, 100 << 10));
        }
        viewer(world, down, &mut slow, second);
        world.run_for(SECOND);
        other.read(world);
        closes.extend(world.events(relay).into_iter().filter_map(|event| match event {
            Event::Closed { session, closed } if session == down.server => {
                Some((second, closed.code))
            }
            _ => None,
        }));
    }
    assert_eq!(other.complete().len() as u64, groups, "{version}: the other has everything");
    closes
}

#[test]
fn who_takes_nothing_is_cut_off() {
    for version in Version::ALL {
        let closes = watch(version, 25, 25, |world, down, _, second| {
            if second == 3 {
                world.stall(down, Side::Client, true);
            }
        });
        let [(at, SessionCode::TIMEOUT)] = closes[..] else { panic!("{version}: {closes:?}") };
        assert!((3 + LIMIT..10 + LIMIT).contains(&at), "{version}: {at}");
    }
}

#[test]
fn who_takes_something_now_and_then_is_not() {
    for version in Version::ALL {
        let closes = watch(version, 40, 40, |world, down, slow, second| {
            world.stall(down, Side::Client, second % 8 != 0);
            slow.read(world);
        });
        assert_eq!(closes, [], "{version}");
    }
}

#[test]
fn who_waits_for_nothing_is_not() {
    for version in Version::ALL {
        let closes = watch(version, 0, 40, |world, down, _, second| {
            if second == 3 {
                world.stall(down, Side::Client, true);
            }
        });
        assert_eq!(closes, [], "{version}");
    }
}

/// A viewer that would rather have what is old than nothing.
fn patient() -> SubscribeParams {
    SubscribeParams { max_age_ms: 60_000, ..SubscribeParams::default() }
}

/// A node with a track, a viewer of it, and a group of 100 KiB for each of `seconds`; `before` each of
/// them the viewer grants what it likes. Gives how the session ended, and what became of the groups.
fn serve(
    version: Version,
    limits: Limits,
    seconds: u64,
    mut before: impl FnMut(&mut Peer, u64),
) -> (Option<(SessionCode, String)>, Vec<Sent>) {
    let bench = &mut Bench::new(Config { limits, ..Config::default() });
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path("cam")).unwrap();
    let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    let peer = bench.client(version);
    script::subscribe(bench, peer, 0, "cam", patient());
    for second in 0..seconds {
        bench.grant(peer, |peer| before(peer, second));
        let now = bench.now();
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.write_frame(now, group, 0, vec![7; 100 << 10].into()).unwrap();
        bench.node.finish_group(now, group).unwrap();
        bench.run();
        bench.pass(SECOND);
    }
    let groups = bench.groups(peer).into_iter().cloned().collect();
    (bench[peer].closed.clone(), groups)
}

#[test]
fn who_grants_no_stream_is_cut_off() {
    let limits = Limits { stall_timeout: Duration::from_secs(LIMIT), ..Limits::default() };
    for version in Version::ALL {
        let (closed, groups) = serve(version, limits.clone(), LIMIT - 2, |peer, _| {
            peer.credit[1] = 0;
        });
        assert_eq!((closed, groups.len()), (None, 0), "{version}: not yet");
        let (closed, _) = serve(version, limits.clone(), LIMIT + 3, |peer, _| peer.credit[1] = 0);
        let reason = "nothing was taken of what waited for 10 s".to_owned();
        assert_eq!(closed, Some((SessionCode::TIMEOUT, reason)), "{version}");
        let (closed, _) = serve(version, limits.clone(), 4 * LIMIT, |peer, second| {
            peer.credit[1] = u64::from(second % 8 == 0);
        });
        assert_eq!(closed, None, "{version}: one now and then");
    }
}

#[test]
fn who_takes_a_byte_now_and_then_is_not_cut_off() {
    let limits = Limits { stall_timeout: Duration::from_secs(LIMIT), ..Limits::default() };
    for version in Version::ALL {
        let (closed, groups) = serve(version, limits.clone(), 4 * LIMIT, |peer, second| {
            peer.room = if second == 0 { 1000 } else { usize::from(second % 8 == 0) };
        });
        assert_eq!(closed, None, "{version}");
        let taken: usize = groups.iter().map(|group| group.bytes.len()).sum();
        assert!(taken < 1010, "{version}: {taken}");
    }
}

/// A publisher with a track that a peer subscribes to, by which stream.
fn watched(limits: &Limits, version: Version) -> (Bench, Id<Track>, PeerId, StreamId) {
    let mut bench = Bench::new(Config { limits: limits.clone(), ..Config::default() });
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path("cam")).unwrap();
    let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    let peer = bench.client(version);
    let asked = script::subscribe(&mut bench, peer, 0, "cam", patient());
    (bench, track, peer, asked)
}

/// Requests that are answered are no sign of how a viewer takes groups.
#[test]
fn who_asks_and_takes_no_group_is_cut_off() {
    let limits = Limits { stall_timeout: Duration::from_secs(LIMIT), ..Limits::default() };
    for version in Version::ALL {
        let (mut bench, track, peer, _) = watched(&limits, version);
        let bench = &mut bench;
        bench.grant(peer, |peer| peer.credit[1] = 0);
        for second in 0..LIMIT + 3 {
            let now = bench.now();
            let (group, _) = bench.node.create_group(now, track, None).unwrap();
            bench.node.finish_group(now, group).unwrap();
            bench.run();
            script::subscribe(bench, peer, 1 + second, "cam", SubscribeParams::default());
            bench.pass(SECOND);
        }
        let code = bench[peer].closed.as_ref().map(|(code, _)| *code);
        assert_eq!(code, Some(SessionCode::TIMEOUT), "{version}");
    }
}

/// A viewer who lets one stream lie, as one does who forgot it, and goes on with others.
#[test]
fn a_stream_that_nobody_reads_is_reset_with_its_group() {
    let limits = Limits { store_age: Duration::from_secs(5), ..Limits::default() };
    for version in Version::ALL {
        let (closed, groups) = serve(version, limits.clone(), 8, |peer, second| {
            peer.stream_window = if second == 0 { 1000 } else { usize::MAX };
        });
        assert_eq!(closed, None, "{version}");
        let [first, others @ ..] = &groups[..] else { panic!("{version}: no groups") };
        assert_eq!(first.reset, Some(StreamCode::EVICTED), "{version}");
        assert!(others.iter().all(|group| group.fin), "{version}");
    }
}

/// What was handed to the transport goes with the reset, so the subscriber may never hear which group it
/// was: it is told all the same.
#[test]
fn a_group_that_is_reset_on_its_way_is_dropped_too() {
    let limits = Limits { store_age: Duration::from_secs(5), ..Limits::default() };
    // No room even for what the group is called, or room for that and a few bytes more.
    for (version, first) in
        Version::ALL.into_iter().flat_map(|version| [(version, 0), (version, 10)])
    {
        let (mut bench, track, peer, asked) = watched(&limits, version);
        let bench = &mut bench;
        let before = bench.sent(peer, asked).bytes.len();
        for second in 0..8 {
            let window = if second == 0 { first } else { usize::MAX };
            bench.grant(peer, |peer| peer.stream_window = window);
            let now = bench.now();
            let (group, _) = bench.node.create_group(now, track, None).unwrap();
            bench.node.write_frame(now, group, 0, vec![7; 100].into()).unwrap();
            bench.node.finish_group(now, group).unwrap();
            bench.run();
            bench.pass(SECOND);
        }
        let evicted = |sent: &&Sent| sent.reset == Some(StreamCode::EVICTED);
        let evicted: Vec<_> = bench[peer].sent.values().filter(evicted).collect();
        assert_eq!(evicted.len(), 1, "{version} {first}");
        assert_eq!(evicted[0].bytes.len(), first, "{version} {first}");
        if first == 0 {
            // The stream of the subscription has no room either.
            continue;
        }
        let drop = SubscribeResponse::Drop { first: 0, last: 0, code: StreamCode::EVICTED.0 };
        let mut expected = BytesMut::new();
        drop.encode(&mut expected, version);
        let told = &bench.sent(peer, asked).bytes[before..];
        assert!(told.ends_with(&expected), "{version} {first}: {told:?}");
    }
}

/// A publisher that reads no more of a subscription may well go on with it.
#[test]
fn who_reads_no_requests_is_not_cut_off() {
    let limits = Limits { stall_timeout: Duration::from_secs(LIMIT), ..Limits::default() };
    for version in Version::ALL {
        let bench = &mut Bench::new(Config { limits: limits.clone(), ..relay_config(100) });
        let [publisher, first, second] = [(); 3].map(|()| bench.client(version));
        script::announce(bench, publisher, "cam");
        script::subscribe(bench, first, 0, "cam", SubscribeParams::default());
        script::accept(bench, publisher, 0);
        let [asked] = bench.requests(publisher, 2)[..] else { panic!("{version}") };
        let before = bench.sent(publisher, asked).bytes.len();
        bench.grant(publisher, |peer| peer.stream_window = 0);
        let urgent = SubscribeParams { priority: 200, ..SubscribeParams::default() };
        script::subscribe(bench, second, 0, "cam", urgent);
        bench.pass(Duration::from_secs(4 * LIMIT));
        assert_eq!(bench.sent(publisher, asked).bytes.len(), before, "{version}: an update waits");
        assert_eq!(bench[publisher].closed, None, "{version}");
    }
}

/// A viewer whose streams all wait for more frames has none to give for another group.
#[test]
fn whose_streams_wait_for_frames_is_not_cut_off() {
    let limits = Limits { stall_timeout: Duration::from_secs(LIMIT), ..Limits::default() };
    for version in Version::ALL {
        let (mut bench, track, peer, _) = watched(&limits, version);
        let bench = &mut bench;
        bench.grant(peer, |peer| peer.credit[1] = 1);
        let now = bench.now();
        let [quiet, next] = [(); 2].map(|()| {
            let (group, _) = bench.node.create_group(now, track, None).unwrap();
            bench.node.write_frame(now, group, 0, vec![7; 100].into()).unwrap();
            bench.run();
            group
        });
        bench.pass(Duration::from_secs(4 * LIMIT));
        assert_eq!((&bench[peer].closed, bench.groups(peer).len()), (&None, 1), "{version}");
        let now = bench.now();
        bench.node.finish_group(now, quiet).unwrap();
        bench.run();
        bench.pass(Duration::from_secs(LIMIT + 3));
        let code = bench[peer].closed.as_ref().map(|(code, _)| *code);
        assert_eq!(code, Some(SessionCode::TIMEOUT), "{version}: now it could, for {next:?}");
    }
}

/// When each of 98 viewers has read what, beside two that do not keep up or do.
fn arrivals(slow: bool) -> Vec<(Time, usize, u64)> {
    let world = &mut world(2);
    let relay = world.node(relay_config(100));
    let publisher = world.node(Default::default());
    let version = Version::Lite06;
    world.connect(publisher, relay, version, "");
    let now = world.now();
    let broadcast = world[publisher].publish(now, &path("cam")).unwrap();
    let info = TrackInfo { max_age_ms: 2000, ..TrackInfo::default() };
    let track = world[publisher].create_track(now, broadcast, "video", info).unwrap();
    let mut source = Source { node: publisher, broadcast, track, published: Default::default() };
    let options = || SubscribeOptions { max_age: 2 * SECOND, ..SubscribeOptions::default() };
    let mut connections = Vec::new();
    let mut viewers: Vec<_> = (0..100)
        .map(|_| {
            let node = world.node(Default::default());
            connections.push(world.connect(node, relay, version, ""));
            world.run_until_idle();
            Viewer::new(world, node, "cam", "video", options())
        })
        .collect();
    world.run_until_idle();
    let [stopped, tenth] = [connections[98], connections[99]];
    let mut arrivals = Vec::new();
    for step in 0..200_u64 {
        if step % 10 == 0 {
            source.group(world, &frames(step, 2, 4 << 10));
        }
        if slow {
            world.stall(stopped, Side::Client, true);
            world.stall(tenth, Side::Client, step % 100 >= 10);
        }
        world.run_for(Duration::from_millis(10));
        for (number, viewer) in viewers.iter_mut().enumerate().take(98) {
            let before = viewer.groups.len();
            viewer.read(world);
            for group in before..viewer.groups.len() {
                arrivals.push((world.now(), number, viewer.order[group]));
            }
        }
    }
    let stats = world[relay].stats();
    assert!(stats.store_bytes < 8 << 20, "{stats:?}");
    arrivals
}

#[test]
fn nobody_else_notices() {
    let (without, with) = (arrivals(false), arrivals(true));
    assert_eq!(without.len(), 98 * 20);
    assert!(without == with, "others got theirs at other times");
}

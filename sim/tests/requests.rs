//! Tracks that the application makes when somebody asks for them.

mod common;

use std::time::Duration;

use common::{script::*, *};
use smoq_core::{
    Config, Dir, Event, Id, Limits, Misuse, NextGroup, Requests, Serve, StreamId, Version, Wanted,
    wire::{BidiType, Fetch, StreamCode, SubscribeParams, TrackInfo},
};
use smoq_sim::{Bench, NodeId, PeerId, World};

fn default() -> SubscribeParams {
    SubscribeParams::default()
}

/// A server that makes the tracks of `cam` on demand, and peers of it.
fn serving(version: Version, limits: Limits) -> (Bench, Id<Requests>, [PeerId; 2]) {
    let mut bench = Bench::new(Config { limits, ..relay_config(100) });
    let now = bench.now();
    let cam = bench.node.publish(now, &path("cam")).unwrap();
    let requests = bench.node.serve(now, Serve::Broadcast(cam)).unwrap();
    let peers = [bench.client(version), bench.client(version)];
    (bench, requests, peers)
}

fn wanted(bench: &mut Bench, requests: Id<Requests>) -> Option<Wanted> {
    bench.node.poll_wanted(requests).unwrap()
}

/// How often the application was told to look.
fn signals(bench: &mut Bench) -> usize {
    let wanted = |event: &Event| matches!(event, Event::Wanted { .. });
    bench.events().iter().filter(|event| wanted(event)).count()
}

fn fetch(bench: &mut Bench, peer: PeerId, group: u64) -> StreamId {
    let (broadcast, track) = (path("cam"), "video".into());
    let request = Fetch { broadcast, track, priority: 0, group, frame_start: 0, frame_end: None };
    let bytes = typed(BidiType::Fetch.to_varint(), &request, bench[peer].version);
    bench.open_with(peer, Dir::Bi, &bytes)
}

#[track_caller]
fn write_group(bench: &mut Bench, wanted: &Wanted, group: u64, payload: &'static [u8]) {
    let now = bench.now();
    let (group, _) = bench.node.create_group(now, wanted.track, Some(group)).unwrap();
    bench.node.write_frame(now, group, 0, payload.into()).unwrap();
    bench.node.finish_group(now, group).unwrap();
    bench.run();
}

#[test]
fn who_asks_waits_and_is_served_together_with_others() {
    for version in Version::ALL {
        let (mut bench, requests, [first, second]) = serving(version, Limits::default());
        let asked = subscribe(&mut bench, first, 0, "cam", default());
        let later = subscribe(&mut bench, second, 0, "cam", default());
        assert_eq!(signals(&mut bench), 1, "{version}");
        let request = wanted(&mut bench, requests).unwrap();
        assert_eq!((request.broadcast.as_str(), &request.name[..]), ("cam", "video"));
        assert_eq!(wanted(&mut bench, requests), None, "{version}");
        assert!(bench.sent(first, asked).bytes.is_empty(), "{version}: nothing is promised yet");

        let now = bench.now();
        let before = bench.node.create_group(now, request.track, None);
        assert_eq!(before, Err(Misuse::Stale), "{version}: it is not made yet");
        let info = TrackInfo { timescale: 0, ..TrackInfo::default() };
        assert_eq!(bench.node.accept(now, request.track, info), Err(Misuse::Timescale));
        bench.node.accept(now, request.track, TrackInfo::default()).unwrap();
        let again = bench.node.accept(now, request.track, TrackInfo::default());
        assert_eq!(again, Err(Misuse::Stale));
        bench.run();
        let demand = Event::Demand { track: request.track, wanted: true };
        assert!(bench.events().contains(&demand), "{version}");
        write_group(&mut bench, &request, 0, b"zero");
        for (peer, asked) in [(first, asked), (second, later)] {
            let [group] = bench.groups(peer)[..] else { panic!("{version}") };
            assert_eq!(heard_group(group, version).1, [(0, b"zero".to_vec())], "{version}");
            assert_eq!(heard_responses(bench.sent(peer, asked), version).len(), 1, "{version}");
        }
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn the_description_and_one_group_can_be_asked_for() {
    for version in Version::ALL.into_iter().filter(|version| version.serves_fetch()) {
        let (mut bench, requests, [first, second]) = serving(version, Limits::default());
        let group = fetch(&mut bench, first, 5);
        let request = wanted(&mut bench, requests).unwrap();
        let described = ask_track(&mut bench, second, "cam");
        assert_eq!(wanted(&mut bench, requests), None, "{version}: it is the same track");
        assert!(bench.sent(second, described).bytes.is_empty(), "{version}");
        let (now, info) = (bench.now(), TrackInfo { timescale: 90_000, ..TrackInfo::default() });
        bench.node.accept(now, request.track, info).unwrap();
        bench.run();
        let sent = bench.sent(second, described);
        assert_eq!((&sent.bytes[..], sent.fin), (&message(&info, version)[..], true), "{version}");
        write_group(&mut bench, &request, 5, b"five");
        let sent = bench.sent(first, group);
        assert_eq!((&sent.bytes[..], sent.fin), (&frame(0, b"five", version)[..], true));
        // What the track has passed is not made for one who asks later.
        let gone = fetch(&mut bench, second, 3);
        assert_eq!(bench.sent(second, gone).reset, Some(StreamCode::NOT_FOUND), "{version}");
    }
}

#[test]
fn what_is_declined_is_not_found() {
    for version in Version::ALL {
        let (mut bench, requests, [first, second]) = serving(version, Limits::default());
        let now = bench.now();
        let mut asked = vec![(first, subscribe(&mut bench, first, 0, "cam", default()))];
        if version.has_track() {
            asked.push((second, ask_track(&mut bench, second, "cam")));
            asked.push((second, fetch(&mut bench, second, 5)));
        }
        let reader = bench.node.subscribe(now, &path("cam"), "video", live()).unwrap();
        let request = wanted(&mut bench, requests).unwrap();
        let abort = bench.node.abort_track(now, request.track, StreamCode::NOT_FOUND);
        assert_eq!(abort, Err(Misuse::Stale), "{version}: it is not made");
        bench.node.decline(now, request.track, StreamCode::NOT_FOUND).unwrap();
        bench.run();
        for (peer, asked) in asked {
            assert_eq!(bench.sent(peer, asked).reset, Some(StreamCode::NOT_FOUND), "{version}");
        }
        let failed = NextGroup::Failed(StreamCode::NOT_FOUND);
        assert_eq!(bench.node.next_group(now, reader), Ok(failed), "{version}");
        // The next one asks anew, though somebody still holds what has failed.
        subscribe(&mut bench, first, 1, "cam", default());
        assert!(wanted(&mut bench, requests).is_some(), "{version}");
        bench.node.unsubscribe(now, reader).unwrap();
        bench.node.unserve(now, requests).unwrap();
        bench.run();
        let stats = bench.node.stats();
        assert_eq!((stats.tracks, stats.subscriptions), (0, 0), "{version}");
    }
}

#[test]
fn wanted_timeout() {
    let limit = Duration::from_secs(3);
    for version in Version::ALL {
        let limits = Limits { wanted_timeout: limit, ..Limits::default() };
        let (mut bench, requests, [told, untold]) = serving(version, limits);
        let early = subscribe(&mut bench, told, 0, "cam", default());
        let request = wanted(&mut bench, requests).unwrap();
        bench.pass(limit / 2);
        let reader = bench.node.subscribe(bench.now(), &path("cam"), "other", live()).unwrap();
        let late = subscribe(&mut bench, untold, 0, "cam", default());
        bench.pass(limit);
        for (peer, asked) in [(told, early), (untold, late)] {
            assert_eq!(bench.sent(peer, asked).reset, Some(StreamCode::NOT_FOUND), "{version}");
        }
        let now = bench.now();
        let accepted = bench.node.accept(now, request.track, TrackInfo::default());
        assert_eq!(accepted, Err(Misuse::Stale), "{version}");
        bench.pass(limit);
        assert_eq!(wanted(&mut bench, requests), None, "{version}");
        let failed = NextGroup::Failed(StreamCode::NOT_FOUND);
        assert_eq!(bench.node.next_group(now, reader), Ok(failed), "{version}");
        bench.node.unsubscribe(now, reader).unwrap();
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
        // Nothing waits any more.
        bench.pass(limit);
        assert_eq!(bench.node.poll_timeout(), None, "{version}");
    }
}

#[test]
fn one_peer_waits_for_so_many() {
    for version in Version::ALL {
        let limits = Limits { wanted: 2, ..Limits::default() };
        let mut bench = Bench::new(Config { limits, ..relay_config(100) });
        let now = bench.now();
        let requests = bench.node.serve(now, Serve::Below(path(""))).unwrap();
        let [greedy, modest] = [(); 2].map(|()| bench.client(version));
        let asked = [0, 1, 2]
            .map(|id| subscribe(&mut bench, greedy, id, ["a", "b", "c"][id as usize], default()));
        assert_eq!(bench.sent(greedy, asked[2]).reset, Some(StreamCode::NO_CAPACITY), "{version}");
        assert_eq!(bench.sent(greedy, asked[1]).reset, None, "{version}");
        // What others wait for is no burden, and others have their own share.
        subscribe(&mut bench, modest, 0, "a", default());
        subscribe(&mut bench, modest, 1, "c", default());
        subscribe(&mut bench, modest, 2, "d", default());
        let names = std::iter::from_fn(|| wanted(&mut bench, requests));
        let names: Vec<_> = names.map(|wanted| wanted.broadcast.to_string()).collect();
        assert_eq!(names, ["a", "b", "c", "d"], "{version}");
        // Who takes one back may ask for another one.
        bench.reset(greedy, asked[1], StreamCode::CANCEL);
        let other = subscribe(&mut bench, greedy, 3, "e", default());
        assert_eq!(bench.sent(greedy, other).reset, None, "{version}");
        assert_eq!(bench.node.stats().tracks, 4, "{version}");
    }
}

#[test]
fn who_leaves_waits_no_more() {
    for version in Version::ALL {
        let (mut bench, requests, [first, second]) = serving(version, Limits::default());
        subscribe(&mut bench, first, 0, "cam", default());
        let told = wanted(&mut bench, requests).unwrap();
        bench.lose(first);
        let now = bench.now();
        let accepted = bench.node.accept(now, told.track, TrackInfo::default());
        assert_eq!(accepted, Err(Misuse::Stale), "{version}");
        for id in 0..100 {
            let asked = subscribe(&mut bench, second, id, "cam", default());
            bench.reset(second, asked, StreamCode::CANCEL);
        }
        assert_eq!(wanted(&mut bench, requests), None, "{version}: nobody waits");
        let stats = bench.node.stats();
        assert_eq!((stats.tracks, stats.subscriptions, stats.violations), (0, 0, 0), "{version}");
    }
}

#[test]
fn a_track_made_on_demand_is_there_until_it_is_over_and_unread() {
    for version in Version::ALL {
        let (mut bench, requests, [first, second]) = serving(version, Limits::default());
        let asked = subscribe(&mut bench, first, 0, "cam", default());
        let request = wanted(&mut bench, requests).unwrap();
        let now = bench.now();
        bench.node.accept(now, request.track, TrackInfo::default()).unwrap();
        write_group(&mut bench, &request, 0, b"zero");
        bench.reset(first, asked, StreamCode::CANCEL);
        // It goes on without anybody, and whoever comes finds it.
        let asked = subscribe(&mut bench, second, 0, "cam", default());
        assert_eq!(wanted(&mut bench, requests), None, "{version}");
        assert_eq!(bench.groups(second).len(), 1, "{version}");
        bench.node.finish_track(now, request.track).unwrap();
        bench.run();
        bench.reset(second, asked, StreamCode::CANCEL);
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
        subscribe(&mut bench, second, 1, "cam", default());
        let again = wanted(&mut bench, requests).unwrap();
        assert_ne!(again.track, request.track, "{version}");
        // One that is aborted too.
        bench.node.accept(now, again.track, TrackInfo::default()).unwrap();
        bench.node.abort_track(now, again.track, StreamCode::CANCEL).unwrap();
        bench.run();
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
    }
}

#[test]
fn a_track_made_on_demand_that_nobody_reads_goes_in_time() {
    let limit = Duration::from_secs(3);
    for version in Version::ALL {
        let limits = Limits { wanted_timeout: limit, ..Limits::default() };
        let (mut bench, requests, [first, second]) = serving(version, limits);
        let asked = subscribe(&mut bench, first, 0, "cam", default());
        let request = wanted(&mut bench, requests).unwrap();
        let now = bench.now();
        bench.node.accept(now, request.track, TrackInfo::default()).unwrap();
        bench.pass(2 * limit);
        bench.reset(first, asked, StreamCode::CANCEL);
        bench.pass(limit / 2);
        // Whoever comes in time keeps it.
        let asked = subscribe(&mut bench, second, 0, "cam", default());
        bench.pass(2 * limit);
        let unread = Event::Unread { track: request.track };
        assert!(!bench.events().contains(&unread), "{version}");
        bench.reset(second, asked, StreamCode::CANCEL);
        bench.pass(limit / 2);
        if version.has_track() {
            // Who asks what it is like does not.
            let described = ask_track(&mut bench, second, "cam");
            assert!(bench.sent(second, described).fin, "{version}");
        }
        bench.pass(limit);
        assert!(bench.events().contains(&unread), "{version}");
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
        let now = bench.now();
        let group = bench.node.create_group(now, request.track, None);
        assert_eq!(group, Err(Misuse::Stale), "{version}");
        // One that nobody has ever read.
        if version.has_track() {
            ask_track(&mut bench, first, "cam");
            let request = wanted(&mut bench, requests).unwrap();
            bench.node.accept(now, request.track, TrackInfo::default()).unwrap();
            bench.pass(2 * limit);
            assert_eq!(bench.node.stats().tracks, 0, "{version}");
        }
        bench.pass(limit);
        assert_eq!(bench.node.poll_timeout(), None, "{version}");
    }
}

#[test]
fn a_track_that_is_made_by_name_goes_to_who_waits() {
    for version in Version::ALL {
        let mut bench = Bench::new(relay_config(100));
        let now = bench.now();
        let requests = bench.node.serve(now, Serve::Below(path("cam"))).unwrap();
        let viewer = bench.client(version);
        let asked = subscribe(&mut bench, viewer, 0, "cam", default());
        let request = wanted(&mut bench, requests).unwrap();
        let cam = bench.node.publish(now, &path("cam")).unwrap();
        let track = bench.node.create_track(now, cam, "video", TrackInfo::default()).unwrap();
        assert_eq!(track, request.track, "{version}");
        let again = bench.node.create_track(now, cam, "video", TrackInfo::default());
        assert_eq!(again, Err(Misuse::DuplicateTrack), "{version}");
        let late = bench.node.decline(now, track, StreamCode::NOT_FOUND);
        assert_eq!(late, Err(Misuse::Stale), "{version}: it is made");
        write_group(&mut bench, &request, 0, b"zero");
        assert_eq!(bench.groups(viewer).len(), 1, "{version}");
        // It is one of the broadcast like any other.
        bench.node.finish_track(now, track).unwrap();
        bench.reset(viewer, asked, StreamCode::CANCEL);
        assert_eq!(bench.node.stats().tracks, 1, "{version}");
        bench.node.unpublish(now, cam).unwrap();
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
    }
}

#[test]
fn the_longest_path_serves_and_a_peer_that_announces_is_asked_before() {
    let version = Version::Lite06;
    let mut bench = Bench::new(relay_config(100));
    let now = bench.now();
    let [all, rooms] =
        ["", "rooms"].map(|at| bench.node.serve(now, Serve::Below(path(at))).unwrap());
    let twice = bench.node.serve(now, Serve::Below(path("rooms")));
    assert_eq!(twice, Err(Misuse::DuplicateRequests));
    let [publisher, viewer] = [(); 2].map(|()| bench.client(version));
    announce(&mut bench, publisher, "rooms/theirs");
    for (id, name) in ["rooms/theirs", "rooms/a/b", "rooms", "room"].into_iter().enumerate() {
        subscribe(&mut bench, viewer, id as u64, name, default());
    }
    assert_eq!(bench.requests(publisher, 2).len(), 1);
    let mut names = |requests| {
        let all = std::iter::from_fn(|| wanted(&mut bench, requests));
        all.map(|wanted| wanted.broadcast.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(all), names(rooms)),
        (vec!["room".into()], vec!["rooms/a/b".into(), "rooms".into()])
    );
}

#[test]
fn a_broadcast_takes_its_requests_with_it() {
    for version in Version::ALL {
        let (mut bench, requests, [viewer, _]) = serving(version, Limits::default());
        let asked = subscribe(&mut bench, viewer, 0, "cam", default());
        let now = bench.now();
        // Only it is served, not what is below it.
        let below = subscribe(&mut bench, viewer, 1, "cam/low", default());
        assert_eq!(bench.sent(viewer, below).reset, Some(StreamCode::NOT_FOUND), "{version}");
        bench.events();
        let broadcast = bench.node.create_broadcast(now, &path("cam"));
        assert_eq!(broadcast, Err(Misuse::DuplicateBroadcast));
        let cam = Id::from_bits(0);
        bench.node.unpublish(now, cam).unwrap();
        bench.run();
        assert_eq!(bench.sent(viewer, asked).reset, Some(StreamCode::CANCEL), "{version}");
        assert!(bench.events().contains(&Event::Wanted { requests }), "{version}");
        assert_eq!(bench.node.poll_wanted(requests), Err(Misuse::Stale), "{version}");
        assert_eq!(bench.node.serve(now, Serve::Broadcast(cam)), Err(Misuse::Stale), "{version}");
    }
}

/// A publisher behind a relay makes what a viewer of it asks for.
fn chain(world: &mut World, up: Version, down: Version, served: &str) -> [NodeId; 2] {
    let net = Net::new(world, up, down);
    let now = world.now();
    let node = &mut world[net.publisher];
    node.publish(now, &path(served)).unwrap();
    node.serve(now, Serve::Below(path(served))).unwrap();
    world.run_until_idle();
    [net.publisher, net.viewers[0]]
}

#[test]
fn what_is_below_an_announcement_is_asked_for_through_a_relay() {
    for (up, down) in hops() {
        let world = &mut world(5);
        let [publisher, viewer] = chain(world, up, down, "rooms");
        let now = world.now();
        let reader = world[viewer].subscribe(now, &path("rooms/7"), "chat", live()).unwrap();
        world.run_until_idle();
        let now = world.now();
        let request = world.events(publisher).into_iter().find_map(|event| match event {
            Event::Wanted { requests } => Some(requests),
            _ => None,
        });
        let node = &mut world[publisher];
        let request = node.poll_wanted(request.unwrap()).unwrap().unwrap();
        assert_eq!((request.broadcast.as_str(), &request.name[..]), ("rooms/7", "chat"));
        node.accept(now, request.track, TrackInfo::default()).unwrap();
        let (group, _) = node.create_group(now, request.track, None).unwrap();
        node.write_frame(now, group, 0, "hello".into()).unwrap();
        node.finish_group(now, group).unwrap();
        world.run_until_idle();
        let now = world.now();
        let next = world[viewer].next_group(now, reader);
        assert!(matches!(next, Ok(NextGroup::Group { sequence: 0, .. })), "{up} {down}: {next:?}");
    }
}

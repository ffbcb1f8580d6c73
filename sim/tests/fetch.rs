//! FETCH: one group by itself, from the store, from where it is, or when it comes.

mod common;

use bytes::BytesMut;
use common::{script::*, *};
use smoq_core::{
    Config, Dir, Limits, Misuse, NextGroup, Read, StreamId, Version, Violation,
    wire::{BidiType, Fetch, Message, StreamCode, SubscribeParams, SubscribeResponse, varint},
};
use smoq_sim::{Bench, PeerId};

const FETCH: u8 = 3;

fn serving() -> impl Iterator<Item = Version> {
    Version::ALL.into_iter().filter(|version| version.serves_fetch())
}

fn request(name: &str, group: u64) -> Fetch {
    let (broadcast, track) = (path(name), "video".into());
    Fetch { broadcast, track, priority: 9, group, frame_start: 0, frame_end: None }
}

fn ask(bench: &mut Bench, peer: PeerId, request: &Fetch) -> StreamId {
    let bytes = typed(BidiType::Fetch.to_varint(), request, bench[peer].version);
    bench.open_with(peer, Dir::Bi, &bytes)
}

/// A relay with a publisher of `cam` that has been asked for nothing, and two viewers.
fn relay(version: Version) -> (Bench, PeerId, [PeerId; 2]) {
    let mut bench = Bench::new(relay_config(100));
    let publisher = bench.client(version);
    announce(&mut bench, publisher, "cam");
    let viewers = [bench.client(version), bench.client(version)];
    (bench, publisher, viewers)
}

/// One with a viewer that subscribes, and has got group 0.
fn live(version: Version) -> (Bench, PeerId, [PeerId; 2]) {
    let (mut bench, publisher, viewers) = relay(version);
    subscribe(&mut bench, viewers[0], 0, "cam", SubscribeParams::default());
    accept(&mut bench, publisher, 0);
    send_group(&mut bench, publisher, 0, 0, b"zero");
    (bench, publisher, viewers)
}

#[track_caller]
fn assert_answer(bench: &Bench, peer: PeerId, stream: StreamId, bytes: &[u8]) {
    let sent = bench.sent(peer, stream);
    assert_eq!((&sent.bytes[..], sent.fin, sent.reset), (bytes, true, None));
}

#[test]
fn what_is_held_is_given_from_the_store() {
    for version in serving() {
        let (mut bench, publisher, [viewer, late]) = live(version);
        for peer in [viewer, late] {
            let asked = ask(&mut bench, peer, &request("cam", 0));
            assert_answer(&bench, peer, asked, &frame(0, b"zero", version));
        }
        assert_eq!(bench.requests(publisher, FETCH), [], "{version}: nobody else was asked");
        let asked = bench.requests(publisher, 2)[0];
        let (_, updates) = heard_subscribe(bench.sent(publisher, asked), version);
        assert_eq!(updates, [], "{version}: the subscription wants what it wanted");
    }
}

#[test]
fn a_group_that_comes_is_given_as_it_comes() {
    for version in serving() {
        let (mut bench, publisher, [viewer, late]) = live(version);
        subscribe(&mut bench, viewer, 1, "cam", SubscribeParams::default());
        let stream = bench.open(publisher, Dir::Uni);
        bench.send(publisher, stream, &group_header(0, 1, version));
        bench.send(publisher, stream, &frame(5, b"first", version));
        let asked = ask(&mut bench, late, &request("cam", 1));
        let first = frame(5, b"first", version);
        assert_eq!(bench.sent(late, asked).bytes, first, "{version}");
        let second = frame(7, b"second", version);
        bench.finish(publisher, stream, &second);
        assert_answer(&bench, late, asked, &[first, second].concat());
    }
}

#[test]
fn the_next_group_is_awaited_where_it_comes_anyway() {
    for version in serving() {
        let (mut bench, publisher, [_, late]) = live(version);
        let asked = ask(&mut bench, late, &request("cam", 1));
        assert_eq!(bench.requests(publisher, FETCH), [], "{version}");
        assert!(bench.sent(late, asked).bytes.is_empty(), "{version}");
        send_group(&mut bench, publisher, 0, 1, b"one");
        assert_answer(&bench, late, asked, &frame(1000, b"one", version));
        // One that is passed over there may be had by itself.
        let skipped = ask(&mut bench, late, &request("cam", 2));
        send_group(&mut bench, publisher, 0, 3, b"three");
        let [upstream] = bench.requests(publisher, FETCH)[..] else { panic!("{version}") };
        bench.finish(publisher, upstream, &frame(7, b"two", version));
        assert_answer(&bench, late, skipped, &frame(7, b"two", version));
    }
}

#[test]
fn what_a_subscription_will_not_bring_is_not_awaited_there() {
    for version in serving() {
        // It has not said yet where it is.
        let (mut bench, publisher, [viewer, late]) = relay(version);
        subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        ask(&mut bench, late, &request("cam", 0));
        assert_eq!(bench.requests(publisher, FETCH).len(), 1, "{version}");
        // It pauses before.
        let (mut bench, publisher, [viewer, late]) = relay(version);
        let params = SubscribeParams { end: Some(0), ..SubscribeParams::default() };
        subscribe(&mut bench, viewer, 0, "cam", params);
        accept(&mut bench, publisher, 0);
        send_group(&mut bench, publisher, 0, 0, b"zero");
        ask(&mut bench, late, &request("cam", 1));
        assert_eq!(bench.requests(publisher, FETCH).len(), 1, "{version}");
    }
}

#[test]
fn frames_wait_for_what_says_how_to_read_them() {
    for version in serving() {
        let (mut bench, publisher, _) = relay(version);
        let now = bench.now();
        let reader = bench.node.fetch(now, &path("cam"), "video", 3, 0).unwrap();
        bench.run();
        let upstream = bench.requests(publisher, FETCH)[0];
        bench.send(publisher, upstream, &frame(1, b"early", version));
        let next = bench.node.next_group(now, reader);
        assert_eq!(next, Ok(NextGroup::Pending), "{version}");
        answer_tracks(&mut bench, publisher);
        let next = bench.node.next_group(now, reader);
        assert!(matches!(next, Ok(NextGroup::Group { sequence: 3, .. })), "{version}: {next:?}");
    }
}

#[test]
fn a_peer_waits_for_so_many_groups_and_nobody_live_behind_them() {
    for version in serving() {
        let (mut bench, publisher, [viewer, other]) = relay(version);
        bench.grant(publisher, |peer| peer.credit[0] = 0);
        let asked: Vec<_> =
            (0..40).map(|group| ask(&mut bench, viewer, &request("cam", group))).collect();
        let refused = |stream: &&StreamId| {
            bench.sent(viewer, **stream).reset == Some(StreamCode::NO_CAPACITY)
        };
        assert_eq!(asked.iter().filter(refused).count(), 8, "{version}");
        subscribe(&mut bench, other, 0, "cam", SubscribeParams::default());
        bench.grant(publisher, |peer| peer.credit[0] = 34);
        assert_eq!(bench.requests(publisher, 2).len(), 1, "{version}");
        assert_eq!(bench.requests(publisher, FETCH), [], "{version}");
    }
}

#[test]
fn who_fetches_takes_no_history_from_others() {
    for version in serving() {
        let limits = Limits { store_bytes: 200_000, ..Limits::default() };
        let mut bench = Bench::new(Config { limits, ..relay_config(100) });
        let [publisher, viewer, greedy] = [(); 3].map(|()| bench.client(version));
        let stream = announce(&mut bench, publisher, "cam");
        say(&mut bench, publisher, stream, &start("old", version));
        subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        accept(&mut bench, publisher, 0);
        for group in 0..8 {
            send_group(&mut bench, publisher, 0, group, &[7; 2000]);
        }
        bench.grant(greedy, |peer| peer.stream_window = 0);
        for group in 0..20 {
            ask(&mut bench, greedy, &request("old", group));
            answer_tracks(&mut bench, publisher);
            let upstream = *bench.requests(publisher, FETCH).last().unwrap();
            bench.finish(publisher, upstream, &frame(0, &[8; 20_000], version));
        }
        for group in 8..12 {
            send_group(&mut bench, publisher, 0, group, &[7; 8000]);
        }
        for group in 1..12 {
            let asked = ask(&mut bench, viewer, &request("cam", group));
            let sent = bench.sent(viewer, asked);
            assert!(sent.fin && sent.reset.is_none(), "{version}: group {group} has gone");
        }
    }
}

#[test]
fn many_are_one_request_upstream() {
    for version in serving() {
        let (mut bench, publisher, viewers) = relay(version);
        let asked = viewers.map(|viewer| ask(&mut bench, viewer, &request("cam", 7)));
        let [upstream] = bench.requests(publisher, FETCH)[..] else { panic!("{version}") };
        let expected = typed(FETCH.into(), &request("cam", 7), version);
        let sent = bench.sent(publisher, upstream);
        assert_eq!((&sent.bytes[..], sent.fin), (&expected[..], false), "{version}");
        let [first, second] = [frame(1, b"a", version), frame(1, b"b", version)];
        // In pieces that end anywhere, and before the answer that says how to read it.
        bench.send(publisher, upstream, &first[..1]);
        bench.send(publisher, upstream, &first[1..]);
        answer_tracks(&mut bench, publisher);
        bench.finish(publisher, upstream, &second);
        for (viewer, asked) in viewers.into_iter().zip(asked) {
            assert_answer(&bench, viewer, asked, &[&first[..], &second].concat());
        }
        assert!(bench.sent(publisher, upstream).fin, "{version}");
        assert_eq!(bench.requests(publisher, 2), [], "{version}: nobody subscribed");
        for peer in [publisher, viewers[0], viewers[1]] {
            bench.acknowledge(peer);
        }
        let stats = bench.node.stats();
        let left = (stats.tracks, stats.groups, stats.subscriptions, stats.store_bytes);
        assert_eq!((left, stats.violations), ((0, 0, 0, 0), 0), "{version}");
    }
}

#[test]
fn refusals_and_cuts_are_passed_on() {
    for version in serving() {
        let (mut bench, publisher, [refused, cut]) = relay(version);
        let asked = ask(&mut bench, refused, &request("cam", 7));
        answer_tracks(&mut bench, publisher);
        let upstream = bench.requests(publisher, FETCH)[0];
        bench.reset(publisher, upstream, StreamCode::OLD);
        assert_eq!(bench.sent(refused, asked).reset, Some(StreamCode::OLD), "{version}");

        let asked = ask(&mut bench, cut, &request("cam", 8));
        let upstream = bench.requests(publisher, FETCH)[1];
        bench.send(publisher, upstream, &frame(1, b"half", version));
        bench.reset(publisher, upstream, StreamCode::EVICTED);
        assert_eq!(bench.sent(cut, asked).reset, Some(StreamCode::EVICTED), "{version}");
        // It is asked for again by the next one.
        ask(&mut bench, cut, &request("cam", 8));
        assert_eq!(bench.requests(publisher, FETCH).len(), 3, "{version}");

        let gone = ask(&mut bench, cut, &request("nowhere", 0));
        assert_eq!(bench.sent(cut, gone).reset, Some(StreamCode::UNROUTABLE), "{version}");
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn a_publisher_that_does_not_answer_is_given_up() {
    for version in serving() {
        let (mut bench, publisher, [viewer, _]) = relay(version);
        let asked = ask(&mut bench, viewer, &request("cam", 7));
        answer_tracks(&mut bench, publisher);
        bench.pass(Limits::default().request_timeout * 2);
        let reset = bench.sent(viewer, asked).reset;
        assert_eq!(reset, Some(StreamCode::CONTROL_TIMEOUT), "{version}");

        // One that stops in the middle too.
        let asked = ask(&mut bench, viewer, &request("cam", 8));
        answer_tracks(&mut bench, publisher);
        let upstream = bench.requests(publisher, FETCH)[1];
        bench.send(publisher, upstream, &frame(1, b"half", version));
        bench.pass(Limits::default().request_timeout * 2);
        assert!(bench.sent(viewer, asked).reset.is_some(), "{version}");
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
    }
}

#[test]
fn a_request_that_is_taken_back_is_taken_back_upstream() {
    for version in serving() {
        let (mut bench, publisher, viewers) = relay(version);
        let asked = viewers.map(|viewer| ask(&mut bench, viewer, &request("cam", 7)));
        let upstream = bench.requests(publisher, FETCH)[0];
        bench.reset(viewers[0], asked[0], StreamCode::CANCEL);
        assert_eq!(bench.sent(publisher, upstream).stopped, None, "{version}: one still waits");
        bench.stop(viewers[1], asked[1], StreamCode::CANCEL);
        let sent = bench.sent(publisher, upstream);
        assert_eq!((sent.stopped, sent.fin), (Some(StreamCode::CANCEL), true), "{version}");
        assert_eq!(bench.node.stats().subscriptions, 0, "{version}");

        // In the middle of the answer too.
        let asked = ask(&mut bench, viewers[0], &request("cam", 8));
        answer_tracks(&mut bench, publisher);
        let upstream = bench.requests(publisher, FETCH)[1];
        bench.send(publisher, upstream, &frame(1, b"half", version));
        bench.reset(viewers[0], asked, StreamCode::CANCEL);
        assert_eq!(bench.sent(viewers[0], asked).reset, Some(StreamCode::CANCEL), "{version}");
        assert_eq!(bench.sent(publisher, upstream).stopped, Some(StreamCode::CANCEL), "{version}");
        let stats = bench.node.stats();
        assert_eq!((stats.tracks, stats.groups, stats.violations), (0, 0, 0), "{version}");
    }
}

#[test]
fn who_ends_its_side_at_once_is_answered() {
    for version in serving() {
        let (mut bench, publisher, [held, fetched]) = live(version);
        for (peer, group) in [(held, 0), (fetched, 9)] {
            let stream = bench.open(peer, Dir::Bi);
            let bytes = typed(FETCH.into(), &request("cam", group), version);
            bench.finish(peer, stream, &bytes);
            for upstream in bench.requests(publisher, FETCH) {
                bench.finish(publisher, upstream, &frame(0, b"zero", version));
            }
            assert_answer(&bench, peer, stream, &frame(0, b"zero", version));
        }
    }
}

#[test]
fn nothing_may_follow_a_request() {
    for version in serving() {
        let (mut bench, publisher, [held, fetched]) = live(version);
        bench.grant(held, |peer| peer.stream_window = 0);
        for (peer, group) in [(held, 0), (fetched, 9)] {
            let asked = ask(&mut bench, peer, &request("cam", group));
            bench.send(peer, asked, b"more");
            assert_eq!(violations(&mut bench), [(Some(asked), Violation::Unexpected)], "{version}");
            assert!(bench.sent(peer, asked).reset.is_some(), "{version}");
        }
        let upstream = bench.requests(publisher, FETCH)[0];
        assert!(bench.sent(publisher, upstream).stopped.is_some(), "{version}");
    }
}

#[test]
fn versions_that_do_not_serve_it_refuse_it() {
    for version in Version::ALL.into_iter().filter(|version| !version.serves_fetch()) {
        let (mut bench, publisher, [_, late]) = live(version);
        let asked = ask(&mut bench, late, &request("cam", 0));
        assert_eq!(bench.sent(late, asked).reset, Some(StreamCode::CANCEL), "{version}");
        // Nor are they asked.
        let newest = bench.client(Version::Lite06);
        let asked = ask(&mut bench, newest, &request("cam", 9));
        assert_eq!(bench.sent(newest, asked).reset, Some(StreamCode::NOT_FOUND), "{version}");
        assert_eq!(bench.requests(publisher, FETCH), [], "{version}");
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn some_frames_of_a_group_can_be_wanted() {
    let version = Version::Lite06;
    let (mut bench, publisher, [viewer, _]) = relay(version);
    let wanted = Fetch { frame_start: 1, frame_end: Some(2), ..request("cam", 3) };
    let asked = ask(&mut bench, viewer, &wanted);
    answer_tracks(&mut bench, publisher);
    let upstream = bench.requests(publisher, FETCH)[0];
    let mut whole = BytesMut::new();
    varint::encode(FETCH.into(), &mut whole);
    request("cam", 3).encode(&mut whole, version);
    assert_eq!(bench.sent(publisher, upstream).bytes, whole, "others may want all of it");
    let bytes: Vec<u8> = (0..4).flat_map(|at| frame(10, &[b'a' + at], version)).collect();
    bench.finish(publisher, upstream, &bytes);
    // The first delta counts from zero.
    let expected = [frame(20, b"b", version), frame(10, b"c", version)].concat();
    assert_answer(&bench, viewer, asked, &expected);
}

#[test]
fn who_has_all_frames_gets_an_end_without_any() {
    let version = Version::Lite06;
    let (mut bench, _, [_, late]) = live(version);
    // Group 0 has one frame. Who asks for what follows it has missed nothing.
    for frame_start in [1, 9] {
        let asked = ask(&mut bench, late, &Fetch { frame_start, ..request("cam", 0) });
        assert_answer(&bench, late, asked, &[]);
    }
    assert_eq!(bench.node.stats().violations, 0);
}

#[test]
fn a_group_that_is_dropped_is_not_awaited() {
    for version in serving() {
        let (mut bench, publisher, [_, late]) = live(version);
        let awaited = ask(&mut bench, late, &request("cam", 1));
        assert_eq!(bench.requests(publisher, FETCH), [], "{version}");
        let asked = bench.requests(publisher, 2)[0];
        let drop = SubscribeResponse::Drop { first: 1, last: 2, code: 0 };
        respond(&mut bench, publisher, asked, &drop);
        // It is asked for by itself, and so is what is asked for later.
        let later = ask(&mut bench, late, &request("cam", 2));
        let upstream = bench.requests(publisher, FETCH);
        assert_eq!(upstream.len(), 2, "{version}");
        for (upstream, asked) in upstream.into_iter().zip([awaited, later]) {
            bench.reset(publisher, upstream, StreamCode::NOT_FOUND);
            assert_eq!(bench.sent(late, asked).reset, Some(StreamCode::NOT_FOUND), "{version}");
        }
        // What comes after it is awaited as before.
        send_group(&mut bench, publisher, 0, 3, b"three");
        let asked = ask(&mut bench, late, &request("cam", 4));
        send_group(&mut bench, publisher, 0, 4, b"four");
        assert_answer(&bench, late, asked, &frame(4000, b"four", version));
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn a_fetch_keeps_no_subscription_alive() {
    for version in serving() {
        let (mut bench, publisher, [viewer, late]) = relay(version);
        let subscribed = subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default());
        accept(&mut bench, publisher, 0);
        send_group(&mut bench, publisher, 0, 0, b"zero");
        let upstream = bench.requests(publisher, 2)[0];
        // One is on its way of a group that is held, one of a group that comes.
        let stream = bench.open(publisher, Dir::Uni);
        bench.send(publisher, stream, &group_header(0, 1, version));
        bench.grant(late, |peer| peer.stream_window = 2);
        let [held, coming] = [0, 1].map(|group| ask(&mut bench, late, &request("cam", group)));
        bench.finish(viewer, subscribed, &[]);
        assert!(!bench.sent(publisher, upstream).fin, "{version}: a group comes that is wanted");
        bench.finish(publisher, stream, &frame(1, b"one", version));
        assert!(bench.sent(publisher, upstream).fin, "{version}: nobody subscribes any more");
        // Who subscribes now has a subscription of its own.
        subscribe(&mut bench, viewer, 1, "cam", SubscribeParams::default());
        assert_eq!(bench.requests(publisher, 2).len(), 2, "{version}");
        let session = bench[late].session;
        bench.grant(late, |peer| peer.stream_window = usize::MAX);
        for asked in [held, coming] {
            let now = bench.now();
            bench.node.handle_writable(now, session, asked);
        }
        bench.run();
        assert_answer(&bench, late, held, &frame(0, b"zero", version));
        assert_answer(&bench, late, coming, &frame(1, b"one", version));
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn an_application_fetches_through_a_chain_of_relays() {
    for version in serving() {
        let world = &mut world(23);
        let relays = [100, 101].map(|id| world.node(relay_config(id)));
        let [publisher, viewer] = [1, 2].map(|seed| {
            let config = Config { seed, hop: hop(seed), ..Config::default() };
            world.node(config)
        });
        world.connect(publisher, relays[0], version, "");
        world.connect(relays[0], relays[1], version, "");
        world.connect(viewer, relays[1], version, "");
        let mut source = Source::new(world, publisher, "cam", "video");
        for group in 0..3 {
            source.group(world, &frames(group, 3, 5000));
        }
        let now = world.now();
        world[viewer].watch(now, &path(""));
        world.run_until_idle();
        let now = world.now();
        let node = &mut world[viewer];
        assert_eq!(node.fetch(now, &path("cam"), "video", varint::MAX, 0), Err(Misuse::Sequence));
        let [there, missing] =
            [1, 7].map(|group| node.fetch(now, &path("cam"), "video", group, 0).unwrap());
        world.run_until_idle();
        let node = &mut world[viewer];
        assert_eq!(
            node.next_group(now, missing),
            Ok(NextGroup::Failed(StreamCode::NOT_FOUND)),
            "{version}"
        );
        let Ok(NextGroup::Group { id, sequence: 1 }) = node.next_group(now, there) else {
            panic!("{version}")
        };
        let mut bytes = Vec::new();
        loop {
            match node.read(id, usize::MAX) {
                Ok(Read::Chunk(chunk)) => bytes.extend_from_slice(&chunk.data),
                read => break assert_eq!(read, Ok(Read::End), "{version}"),
            }
        }
        assert_eq!(Some(&bytes), source.payloads(1..2).get(&1), "{version}");
        assert_eq!(node.next_group(now, there), Ok(NextGroup::End), "{version}");
        for reader in [there, missing] {
            node.unsubscribe(now, reader).unwrap();
        }
        world.run_until_idle();
        for node in [relays[0], relays[1], viewer] {
            let stats = world[node].stats();
            let left = (stats.tracks, stats.groups, stats.subscriptions, stats.violations);
            assert_eq!(left, (0, 0, 0, 0), "{version}");
        }
    }
}

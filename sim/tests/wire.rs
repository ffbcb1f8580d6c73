//! What a node says on the wire, seen by scripted peers.

mod common;

use bytes::Bytes;
use common::{script::*, *};
use smoq_core::{
    Config, Dir, Event, StreamId, Version,
    wire::{GroupOrder, StreamCode, SubscribeParams, SubscribeResponse, TrackInfo},
};
use smoq_sim::{Bench, PeerId};

fn params(priority: u8, max_age_ms: u64) -> SubscribeParams {
    SubscribeParams { priority, max_age_ms, ..SubscribeParams::default() }
}

/// A relay with a publisher of `cam` and some more peers.
fn relay<const N: usize>(version: Version) -> (Bench, PeerId, [PeerId; N]) {
    let mut bench = Bench::new(relay_config(100));
    let publisher = bench.client(version);
    announce(&mut bench, publisher, "cam");
    let others = [(); N].map(|()| bench.client(version));
    (bench, publisher, others)
}

/// A publisher with a local track `cam/video` of some groups, and its peer.
fn origin(version: Version, groups: u64) -> (Bench, PeerId) {
    let mut bench = Bench::new(Config::default());
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path("cam")).unwrap();
    let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    for sequence in 0..groups {
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        for (time, payload) in frames(sequence, 4, 5) {
            bench.node.write_frame(now, group, time, payload).unwrap();
        }
        bench.node.finish_group(now, group).unwrap();
    }
    let peer = bench.client(version);
    (bench, peer)
}

#[test]
fn many_subscribers_are_one_upstream() {
    for version in Version::ALL {
        let (mut bench, publisher, [a, b, c]) = relay(version);
        let from = |group| SubscribeParams { start: Some(group), ..params(50, 100) };
        let streams = [
            (a, subscribe(&mut bench, a, 0, "cam", params(10, 2000))),
            (b, subscribe(&mut bench, b, 7, "cam", params(90, 100))),
            (c, subscribe(&mut bench, c, 1 << 40, "cam", from(3))),
        ];
        let upstream = bench.requests(publisher, 2);
        assert_eq!(upstream.len(), 1, "{version}");
        let told = |bench: &Bench| {
            let (first, updates) = heard_subscribe(bench.sent(publisher, upstream[0]), version);
            assert_eq!(
                (first.id, first.broadcast, first.track.as_str()),
                (0, path("cam"), "video")
            );
            (first.params, updates)
        };
        let (first, updates) = told(&bench);
        assert_eq!((first.priority, first.max_age_ms), (10, 2000), "{version}");
        let last = updates.last().unwrap();
        assert_eq!((last.priority, last.max_age_ms, last.end), (90, 2000, None), "{version}");
        // 06 says how far back by the age and the floor, and here nobody has a floor for all.
        let start = if version.start_is_floor() { None } else { Some(3) };
        assert_eq!(last.start, start, "{version}");

        let count = updates.len();
        bench.finish(streams[1].0, streams[1].1, &[]);
        let (_, updates) = told(&bench);
        assert_eq!((updates.len(), updates[count].priority), (count + 1, 50), "{version}");
        assert!(bench.sent(streams[1].0, streams[1].1).fin, "FIN is answered with FIN");
        for (peer, stream) in [streams[0], streams[2]] {
            bench.reset(peer, stream, StreamCode::CANCEL);
        }
        let sent = bench.sent(publisher, upstream[0]);
        assert!(sent.fin && sent.stopped == Some(StreamCode::CANCEL), "{version}: {sent:?}");
        assert_eq!(violations(&mut bench), [], "{version}");
        assert_eq!((bench.node.stats().tracks, bench.node.stats().subscriptions), (0, 0));
    }
}

#[test]
fn an_upstream_has_an_end_only_if_all_subscribers_have() {
    for version in Version::ALL {
        let (mut bench, publisher, [a, b]) = relay(version);
        let until = |end| SubscribeParams { end, ..params(1, 0) };
        let first = subscribe(&mut bench, a, 0, "cam", until(Some(4)));
        subscribe(&mut bench, b, 0, "cam", until(Some(9)));
        let ends = |bench: &Bench| -> Vec<Option<u64>> {
            let stream = bench.requests(publisher, 2)[0];
            let (first, updates) = heard_subscribe(bench.sent(publisher, stream), version);
            [first.params].into_iter().chain(updates).map(|params| params.end).collect()
        };
        bench.send(a, first, &message(&until(None), version));
        bench.send(a, first, &message(&until(Some(5)), version));
        assert_eq!(ends(&bench), [Some(4), Some(9), None, Some(9)], "{version}");
    }
}

#[test]
fn a_subscription_is_answered_as_its_version_wants() {
    for version in Version::ALL {
        let (mut bench, peer) = origin(version, 3);
        let stream = subscribe(&mut bench, peer, 5, "cam", params(1, 0));
        let sent = bench.sent(peer, stream);
        let [response] = heard_responses(sent, version).try_into().unwrap();
        match response {
            SubscribeResponse::Ok(ok) => assert!(version.has_subscribe_ok() && ok.priority == 1),
            response => assert_eq!(response, SubscribeResponse::Start { group: 2 }, "{version}"),
        }
        let groups = bench.groups(peer);
        assert_eq!(groups.len(), 1, "{version}: only the newest");
        let (header, frames) = heard_group(groups[0], version);
        assert_eq!((header.subscribe, header.sequence, header.first_frame), (5, 2, 0));
        assert!(groups[0].fin && frames.len() == 4);
        let deltas: Vec<_> = frames.iter().map(|(delta, _)| *delta).collect();
        let stamped = version.has_timestamps();
        assert_eq!(deltas, if stamped { [2000, 33, 33, 33] } else { [0; 4] }, "{version}");
    }
}

#[test]
fn the_end_of_a_track_is_told_when_everything_has_arrived() {
    for version in Version::ALL {
        let mut bench = Bench::new(Config::default());
        let now = bench.now();
        let broadcast = bench.node.publish(now, &path("cam")).unwrap();
        let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
        let peer = bench.client(version);
        let stream = subscribe(&mut bench, peer, 0, "cam", params(1, 0));
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.write_frame(now, group, 0, Bytes::from_static(b"x")).unwrap();
        bench.node.finish_track(now, track).unwrap();
        bench.run();
        let responses = heard_responses(bench.sent(peer, stream), version);
        let end = responses.contains(&SubscribeResponse::End { group: 1 });
        assert_eq!(end, version.has_end(), "told while the group is on its way");
        bench.node.finish_group(now, group).unwrap();
        bench.run();
        assert!(!bench.sent(peer, stream).fin, "{version}: the group is not acknowledged");
        bench.acknowledge(peer);
        assert!(bench.sent(peer, stream).fin, "{version}");
        assert_eq!(bench.node.stats().subscriptions, 1, "{version}: the end is on its way");
        bench.acknowledge(peer);
        assert_eq!(bench.node.stats().subscriptions, 0, "{version}");
    }
}

/// Subscribes while nothing may be sent, then lets everything go.
fn order_of_sending(
    bench: &mut Bench,
    peer: PeerId,
    requests: &[(u64, SubscribeParams)],
) -> Vec<(u64, u64)> {
    let version = bench[peer].version;
    bench.grant(peer, |peer| peer.room = 0);
    for (id, params) in requests {
        subscribe(bench, peer, *id, "cam", params.clone());
    }
    bench.grant(peer, |peer| {
        peer.order.clear();
        peer.room = usize::MAX;
    });
    let order = bench[peer].order.clone();
    let groups = order.iter().filter(|stream| stream.0 & 2 != 0);
    let heard = groups.map(|stream| heard_group(bench.sent(peer, *stream), version).0);
    heard.map(|header| (header.subscribe, header.sequence)).collect()
}

#[test]
fn what_is_most_urgent_goes_first() {
    for version in Version::ALL {
        let all = |priority, order| {
            let start = if version.start_is_floor() { None } else { Some(0) };
            SubscribeParams { order, start, ..params(priority, u64::MAX >> 2) }
        };
        let newest = |priority| all(priority, GroupOrder::NewestFirst);
        let (mut bench, peer) = origin(version, 3);
        let order =
            order_of_sending(&mut bench, peer, &[(0, newest(5)), (1, newest(9)), (2, newest(5))]);
        let expected = [1, 0, 2].map(|id| [2, 1, 0].map(|group| (id, group))).concat();
        assert_eq!(order, expected, "{version}");

        if version.has_group_order() {
            let (mut bench, peer) = origin(version, 3);
            let order = order_of_sending(&mut bench, peer, &[(0, all(5, GroupOrder::OldestFirst))]);
            assert_eq!(order, [(0, 0), (0, 1), (0, 2)], "{version}");
        }
    }
}

#[test]
fn among_equals_the_publishers_priority_decides() {
    for version in Version::ALL {
        let mut bench = Bench::new(Config::default());
        let now = bench.now();
        for (name, priority) in [("low", 20), ("high", 30), ("none", 20)] {
            let broadcast = bench.node.publish(now, &path(name)).unwrap();
            let info = TrackInfo { priority, ..TrackInfo::default() };
            let track = bench.node.create_track(now, broadcast, "video", info).unwrap();
            let (group, _) = bench.node.create_group(now, track, None).unwrap();
            bench.node.finish_group(now, group).unwrap();
        }
        // With a stream for each group, and with one stream at a time.
        for streams in [u64::MAX, 0] {
            for (first, expected) in [(5, [1, 0, 2]), (6, [0, 1, 2])] {
                let peer = bench.client(version);
                bench.grant(peer, |peer| (peer.room, peer.credit[1]) = (0, streams));
                for (id, name) in ["low", "high", "none"].into_iter().enumerate() {
                    let priority = if id == 0 { first } else { 5 };
                    subscribe(&mut bench, peer, id as u64, name, params(priority, 0));
                }
                bench.grant(peer, |peer| {
                    peer.order.clear();
                    peer.room = usize::MAX;
                });
                for _ in 0..3 {
                    bench.grant(peer, |peer| peer.credit[1] = peer.credit[1].saturating_add(1));
                }
                let order = bench[peer].order.iter().filter(|stream| stream.0 & 2 != 0);
                let header = |stream: &StreamId| heard_group(bench.sent(peer, *stream), version).0;
                let order: Vec<_> = order.map(|stream| header(stream).subscribe).collect();
                assert_eq!(order, expected, "{version}, {streams} streams, {first}");
            }
        }
    }
}

#[test]
fn an_update_moves_groups_on_their_way() {
    for version in Version::ALL {
        let (mut bench, peer) = origin(version, 1);
        bench.grant(peer, |peer| peer.room = 0);
        let streams = [0, 1].map(|id| subscribe(&mut bench, peer, id, "cam", params(5, 0)));
        bench.send(peer, streams[1], &message(&params(6, 0), version));
        bench.grant(peer, |peer| {
            peer.order.clear();
            peer.room = usize::MAX;
        });
        let order = bench[peer].order.iter().filter(|stream| stream.0 & 2 != 0);
        let ids: Vec<_> = order
            .map(|stream| heard_group(bench.sent(peer, *stream), version).0.subscribe)
            .collect();
        assert_eq!(ids, [1, 0], "{version}");
        let group = |id: StreamId| bench.sent(peer, id).priority;
        let control = bench.sent(peer, streams[0]).priority;
        let uni = bench[peer].opened.iter().filter(|stream| stream.0 & 2 != 0);
        assert!(uni.skip(usize::from(version.has_setup())).all(|id| group(*id) < control));
    }
}

#[test]
fn an_end_is_a_pause_on_the_wire_too() {
    for version in Version::ALL {
        let (mut bench, peer) = origin(version, 10);
        let age = if version.start_is_floor() { u64::MAX >> 2 } else { 0 };
        let start = if version.start_is_floor() { None } else { Some(0) };
        let until = |end| SubscribeParams { start, end: Some(end), ..params(1, age) };
        let stream = subscribe(&mut bench, peer, 0, "cam", until(1));
        let sequences = |bench: &Bench| -> Vec<u64> {
            let groups = bench.groups(peer);
            groups.iter().map(|sent| heard_group(sent, version).0.sequence).collect()
        };
        assert_eq!(sequences(&bench), [0, 1], "{version}");
        bench.acknowledge(peer);
        assert!(!bench.sent(peer, stream).fin, "{version}");
        bench.send(peer, stream, &message(&until(4), version));
        assert_eq!(sequences(&bench), [0, 1, 2, 3, 4], "{version}");
    }
}

#[test]
fn frame_bounds_cut_the_first_and_the_last_group() {
    let version = Version::Lite06;
    let (mut bench, peer) = origin(version, 3);
    let bounded = SubscribeParams {
        start: Some(1),
        frame_start: 2,
        end: Some(2),
        frame_end: Some(0),
        ..params(1, u64::MAX >> 2)
    };
    subscribe(&mut bench, peer, 0, "cam", bounded);
    let heard: Vec<_> =
        bench.groups(peer).into_iter().map(|sent| (heard_group(sent, version), sent.fin)).collect();
    let [((first, cut), _), ((last, short), true)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((first.sequence, first.first_frame), (1, 2));
    // The first header is made anew, from zero; the rest is as it was.
    let published = frames(1, 4, 5);
    assert_eq!(*cut, [(1066, published[2].1.to_vec()), (33, published[3].1.to_vec())]);
    assert_eq!((last.sequence, last.first_frame), (2, 0));
    assert_eq!(*short, [(2000, frames(2, 1, 5)[0].1.to_vec())]);
}

#[test]
fn the_start_is_told_and_not_below_the_one_asked_for() {
    for version in [Version::Lite05, Version::Lite06] {
        let (mut bench, peer) = origin(version, 3);
        let asked = SubscribeParams { start: Some(1), ..params(1, u64::MAX >> 2) };
        let stream = subscribe(&mut bench, peer, 0, "cam", asked);
        let told = heard_responses(bench.sent(peer, stream), version);
        let Some(SubscribeResponse::Start { group }) = told.first() else { panic!("{told:?}") };
        assert!(*group >= 1, "{version}: {told:?}");
        let sequences: Vec<_> = bench
            .groups(peer)
            .into_iter()
            .map(|sent| heard_group(sent, version).0.sequence)
            .collect();
        assert_eq!(sequences.iter().min(), Some(group), "{version}: {sequences:?}");
    }
}

#[test]
fn groups_from_the_middle_keep_their_place_through_a_relay() {
    let version = Version::Lite06;
    let (mut bench, publisher, [viewer]) = relay(version);
    subscribe(&mut bench, viewer, 0, "cam", params(1, 0));
    accept(&mut bench, publisher, 4);
    let header = smoq_core::wire::GroupHeader { subscribe: 0, sequence: 4, first_frame: 3 };
    let mut bytes = typed(0, &header, version);
    bytes.extend(frame(77, b"abc", version));
    let stream = bench.open(publisher, Dir::Uni);
    bench.finish(publisher, stream, &bytes);
    let (header, frames) = heard_group(bench.groups(viewer)[0], version);
    assert_eq!((header.sequence, header.first_frame), (4, 3));
    assert_eq!(frames, [(77, b"abc".to_vec())]);
}

#[test]
fn the_same_group_again_is_not_wanted() {
    for version in Version::ALL {
        let (mut bench, publisher, [viewer]) = relay(version);
        subscribe(&mut bench, viewer, 0, "cam", params(1, 0));
        accept(&mut bench, publisher, 3);
        send_group(&mut bench, publisher, 0, 3, b"first");
        let stream = bench.open_with(publisher, Dir::Uni, &group_header(0, 3, version));
        let sent = bench[publisher].sent.get(&stream).cloned().unwrap_or_default();
        assert_eq!(sent.stopped, Some(StreamCode::INTERNAL), "{version}");
        assert_eq!(bench.groups(viewer).len(), 1, "{version}");
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn groups_that_cross_an_unsubscribe_are_turned_away() {
    for version in Version::ALL {
        let (mut bench, publisher, [viewer]) = relay(version);
        let stream = subscribe(&mut bench, viewer, 0, "cam", params(1, 0));
        bench.finish(viewer, stream, &[]);
        let late = bench.open_with(publisher, Dir::Uni, &group_header(0, 0, version));
        assert_eq!(bench.sent(publisher, late).stopped, Some(StreamCode::CANCEL), "{version}");
        assert_eq!(violations(&mut bench), [], "{version}");
        assert_eq!(bench.node.stats().tracks, 0);
    }
}

#[test]
fn a_viewer_that_stops_a_group_gets_the_next() {
    for version in Version::ALL {
        let (mut bench, peer) = origin(version, 1);
        bench.grant(peer, |peer| peer.room = 10);
        let request = subscribe(&mut bench, peer, 0, "cam", params(1, 0));
        let uni = *bench[peer].opened.iter().rfind(|stream| stream.0 & 2 != 0).unwrap();
        bench.stop(peer, uni, StreamCode::CANCEL);
        assert_eq!(bench.sent(peer, uni).reset, Some(StreamCode::CANCEL), "{version}");
        let sent = bench.sent(peer, request);
        assert!(!sent.fin && sent.reset.is_none(), "{version}: the subscription stands");
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn a_path_is_sent_in_setup_by_clients_only() {
    use smoq_core::{Carrier, Discover, SessionConfig};
    for version in [Version::Lite05, Version::Lite06] {
        let mut bench = Bench::new(relay_config(9));
        let config = SessionConfig::client(version, Carrier::Raw, "room?jwt=x");
        let client = bench.peer(SessionConfig { discover: Discover::Everything, ..config });
        let server = bench.peer(SessionConfig::server(version, Carrier::Raw, ""));
        let uni = |bench: &Bench, peer: PeerId| -> (Vec<u8>, bool) {
            let first = bench[peer].opened.iter().find(|stream| stream.0 & 2 != 0).unwrap();
            let sent = bench.sent(peer, *first);
            (sent.bytes.clone(), sent.fin)
        };
        let path = b"\x01\x14\x03\x01\x01\x01\x02\x0b/room?jwt=x\x05\x01\x09".to_vec();
        assert_eq!(uni(&bench, client), (path, true), "{version}");
        assert_eq!(uni(&bench, server), (b"\x01\x07\x02\x01\x01\x01\x05\x01\x09".to_vec(), true));
        assert_eq!(bench.requests(client, 1).len(), 1, "a client asks at once");
        assert!(bench.requests(server, 1).is_empty(), "a server asks for nothing before SETUP");
        bench.events();
        bench.greet(server);
        assert_eq!(bench.requests(server, 1).len(), 1);
        let ready = bench.events().into_iter().any(|event| matches!(event, Event::Ready { .. }));
        assert!(ready, "{version}");
    }
}

#[test]
fn announcements_are_said_as_the_version_has_them() {
    for (version, expected) in [
        (Version::Lite03, &b"\x06\x01\x03cam\x01"[..]),
        (Version::Lite04, b"\x07\x01\x03cam\x01\x09"),
        (Version::Lite05, b"\x02\x09\x01\x06\x01\x03cam\x00"),
        (Version::Lite06, b"\x02\x09\x01\x00\x07\x03cam\x00\x00\x00"),
    ] {
        let mut bench = Bench::new(relay_config(9));
        let now = bench.now();
        bench.node.publish(now, &path("room/cam")).unwrap();
        let peer = bench.client(version);
        let stream = ask_announcements(&mut bench, peer, "room/");
        assert_eq!(bench.sent(peer, stream).bytes, expected, "{version}");
    }
}

#[test]
fn a_route_that_changes_is_updated_or_told_again() {
    for version in Version::ALL {
        let (mut bench, _far, [near, viewer]) = relay(version);
        let stream = ask_announcements(&mut bench, viewer, "");
        let before = bench.sent(viewer, stream).bytes.len();
        // A second way to the same broadcast is as good, and newer.
        announce(&mut bench, near, "cam");
        let said = &bench.sent(viewer, stream).bytes[before..];
        match version {
            Version::Lite03 | Version::Lite04 => assert_eq!(said, [], "{version}"),
            Version::Lite05 => assert_eq!(said[..6], *b"\x07\x01\x03cam", "{version}"),
            Version::Lite06 => assert_eq!(said.first(), Some(&2), "{version}"),
        }
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn a_subscription_that_was_not_sent_yet_is_forgotten_with_its_subscriber() {
    for version in [Version::Lite05, Version::Lite06] {
        let (mut bench, publisher, [a, b]) = relay(version);
        bench.grant(publisher, |peer| peer.credit[0] = 0);
        let gone = subscribe(&mut bench, a, 0, "cam", params(77, 0));
        ask_track(&mut bench, b, "cam");
        bench.finish(a, gone, &[]);
        bench.grant(publisher, |peer| peer.credit[0] = 9);
        assert!(bench.requests(publisher, 2).is_empty(), "{version}: nobody listens");
        subscribe(&mut bench, b, 0, "cam", SubscribeParams { start: Some(3), ..params(5, 0) });
        let stream = bench.requests(publisher, 2)[0];
        let (first, updates) = heard_subscribe(bench.sent(publisher, stream), version);
        assert_eq!((first.params.priority, first.params.start), (5, Some(3)), "{version}");
        assert_eq!(updates, [], "{version}");
    }
}

#[test]
fn a_description_that_comes_last_is_waited_for() {
    use smoq_core::NextGroup;
    for version in [Version::Lite05, Version::Lite06] {
        let mut bench = Bench::new(Config::default());
        let peer = bench.server(version);
        let now = bench.now();
        let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
        bench.run();
        let stream = bench.requests(peer, 2)[0];
        respond(&mut bench, peer, stream, &SubscribeResponse::Start { group: 0 });
        send_group(&mut bench, peer, 0, 0, b"x");
        respond(&mut bench, peer, stream, &SubscribeResponse::End { group: 1 });
        bench.finish(peer, stream, &[]);
        let pending = bench.node.next_group(now, reader).unwrap();
        assert_eq!(pending, NextGroup::Pending, "{version}: nobody knows what its times mean");
        answer_tracks(&mut bench, peer);
        let next = bench.node.next_group(now, reader).unwrap();
        assert!(matches!(next, NextGroup::Group { sequence: 0, .. }), "{version}: {next:?}");
        assert_eq!(bench.node.next_group(now, reader).unwrap(), NextGroup::End, "{version}");
    }
}

#[test]
fn what_a_track_is_like_goes_before_its_groups() {
    for version in [Version::Lite05, Version::Lite06] {
        let (mut bench, peer) = origin(version, 1);
        bench.grant(peer, |peer| peer.room = 0);
        subscribe(&mut bench, peer, 0, "cam", params(255, 0));
        let asked = ask_track(&mut bench, peer, "cam");
        bench.grant(peer, |peer| {
            peer.order.clear();
            peer.room = usize::MAX;
        });
        let order = &bench[peer].order;
        let group = order.iter().position(|stream| stream.0 & 2 != 0).unwrap();
        assert!(order[..group].contains(&asked), "{version}: {order:?}");
    }
}

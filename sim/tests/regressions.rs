//! Faults that were found once, each with what a peer or the application would have seen of it.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{script::*, *};
use smoq_core::{
    Admission, Carrier, Command, Config, Dir, Event, Grant, Group, Id, Limits, Misuse, NextGroup,
    Node, Path, Read, Reader, Session, SessionConfig, StreamId, Time, Track, Version, Violation,
    wire::{self, Announce, StreamCode, SubscribeParams, SubscribeResponse, TrackInfo, varint},
};
use smoq_sim::{Bench, PeerId};

/// Everything that there is or will be, as this version says it.
fn everything(version: Version, priority: u8) -> SubscribeParams {
    let floor = version.start_is_floor();
    let start = Some(0).filter(|_| !floor);
    let max_age_ms = varint::MAX;
    SubscribeParams { priority, start, max_age_ms, ..SubscribeParams::default() }
}

/// A relay with a publisher of `cam` and some more peers.
fn relay<const N: usize>(version: Version, limits: Limits) -> (Bench, PeerId, [PeerId; N]) {
    let mut bench = Bench::new(Config { limits, ..relay_config(100) });
    let publisher = bench.client(version);
    announce(&mut bench, publisher, "cam");
    let others = [(); N].map(|()| bench.client(version));
    bench.events();
    (bench, publisher, others)
}

/// A node with a local track `cam/video`.
fn origin(limits: Limits) -> (Bench, Id<Track>) {
    let mut bench = Bench::new(Config { limits, ..Config::default() });
    let track = local_track(&mut bench, "cam");
    (bench, track)
}

fn local_track(bench: &mut Bench, broadcast: &str) -> Id<Track> {
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path(broadcast)).unwrap();
    bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap()
}

fn begin_group(bench: &mut Bench, track: Id<Track>, size: usize) -> Id<Group> {
    let now = bench.now();
    let (group, _) = bench.node.create_group(now, track, None).unwrap();
    bench.node.write_frame(now, group, 0, Bytes::from(vec![7; size])).unwrap();
    group
}

fn publish_group(bench: &mut Bench, track: Id<Track>, size: usize) {
    let (group, now) = (begin_group(bench, track, size), bench.now());
    bench.node.finish_group(now, group).unwrap();
}

/// Subscribe ids and sequences of the groups that a peer was sent, in the order of opening.
fn heard_groups(bench: &Bench, peer: PeerId) -> Vec<(u64, u64)> {
    let headers = bench.groups(peer).into_iter().map(|sent| heard_group(sent, bench[peer].version));
    headers.map(|(header, _)| (header.subscribe, header.sequence)).collect()
}

/// A publisher whose first groups have come, and its subscription.
fn fed(version: Version, groups: u64) -> (Bench, PeerId, StreamId, PeerId, StreamId) {
    let (mut bench, publisher, [viewer]) = relay(version, Limits::default());
    let served = subscribe(&mut bench, viewer, 0, "cam", everything(version, 0));
    accept(&mut bench, publisher, 0);
    for sequence in 0..groups {
        send_group(&mut bench, publisher, 0, sequence, b"x");
    }
    let upstream = bench.requests(publisher, 2)[0];
    assert_eq!(violations(&mut bench), [], "{version}");
    (bench, publisher, upstream, viewer, served)
}

#[test]
fn an_end_that_cannot_be_true_is_not_passed_on() {
    let ends = |bench: &Bench, viewer, served, version| -> Vec<u64> {
        let responses = heard_responses(bench.sent(viewer, served), version);
        let end = |response| match response {
            SubscribeResponse::End { group } => Some(group),
            _ => None,
        };
        responses.into_iter().filter_map(end).collect()
    };
    for version in [Version::Lite05, Version::Lite06] {
        // What the publisher says, what is wrong with it, what the viewer hears of it.
        for (said, wrong, heard) in [
            (&[0][..], Some(0), &[][..]),
            (&[3], Some(3), &[]),
            (&[4], if version == Version::Lite05 { None } else { Some(4) }, &[5][..]),
            (&[5, 5], None, &[5]),
            (&[9, 9], None, &[9]),
            (&[9, 8], Some(8), &[9]),
            (&[9, 10], Some(10), &[9]),
        ] {
            let (mut bench, publisher, upstream, viewer, served) = fed(version, 5);
            for group in said {
                respond(&mut bench, publisher, upstream, &SubscribeResponse::End { group: *group });
            }
            let heard = if said == [4] && wrong.is_some() { &[] } else { heard };
            assert_eq!(ends(&bench, viewer, served, version), heard, "{version} {said:?}");
            let broken: Vec<_> =
                wrong.map(|end| (Some(upstream), Violation::End(end))).into_iter().collect();
            assert_eq!(violations(&mut bench), broken, "{version} {said:?}");
            let stopped = bench.sent(publisher, upstream).stopped;
            assert_eq!(stopped, wrong.map(|_| StreamCode::MALFORMED_TRACK), "{version} {said:?}");
            assert_eq!(bench[publisher].closed, None);
        }
    }
}

#[test]
fn a_flood_of_updates_is_told_to_the_transport_once() {
    for version in Version::ALL {
        let (mut bench, track) = origin(Limits::default());
        (0..300).for_each(|_| publish_group(&mut bench, track, 1));
        let peer = bench.client(version);
        bench.grant(peer, |peer| peer.room = 0);
        let stream = subscribe(&mut bench, peer, 0, "cam", everything(version, 0));
        let open = bench[peer].opened.iter().filter(|stream| stream.0 & 2 != 0).count();
        assert!(open >= 300, "{version}: {open}");
        let (now, session) = (bench.now(), bench[peer].session);
        let update = |index: u8| message(&everything(version, 1 + index % 2), version);
        let pieces: Vec<_> = (0..=255).cycle().take(1000).map(update).collect();
        for flood in [vec![pieces.concat()], pieces] {
            for piece in flood {
                bench.node.handle_recv(now, session, stream, piece.into(), false);
            }
            let commands = std::iter::from_fn(|| bench.node.poll_command(session)).count();
            assert!(commands <= open, "{version}: {commands} commands for {open} streams");
        }
        // The last one says 2.
        let others = [1, 3].map(|priority| {
            subscribe(&mut bench, peer, u64::from(priority), "cam", everything(version, priority))
        });
        assert_eq!(others.len(), 2);
        bench.grant(peer, |peer| {
            peer.order.clear();
            peer.room = usize::MAX;
        });
        let order = bench[peer].order.iter().filter(|stream| stream.0 & 3 == 3);
        let mut ids: Vec<_> = order
            .filter(|stream| bench.sent(peer, **stream).bytes.first() == Some(&0))
            .map(|stream| heard_group(bench.sent(peer, *stream), version).0.subscribe)
            .collect();
        ids.dedup();
        assert_eq!(ids, [3, 0, 1], "{version}");
    }
}

/// A node that is driven by hand.
fn dialed(version: Version) -> (Node, Id<Session>) {
    let mut node = Node::new(Config::default());
    let session = node.add_session(Time::ZERO, SessionConfig::client(version, Carrier::Raw, ""));
    if version.has_setup() {
        assert!(node.wants_open(session, Dir::Uni));
        node.handle_granted(Time::ZERO, session, StreamId(2), Dir::Uni);
    }
    (node, session)
}

#[test]
fn a_stream_may_be_stopped_between_an_offer_and_its_answer() {
    for version in Version::ALL {
        let (mut node, session) = dialed(version);
        node.subscribe(Time::ZERO, &path("cam"), "video", live()).unwrap();
        for number in 0.. {
            if !node.wants_open(session, Dir::Bi) {
                break;
            }
            node.handle_granted(Time::ZERO, session, StreamId(number * 4), Dir::Bi);
        }
        let (mut chunks, mut offers) = (Vec::new(), 0);
        while let Some(offer) = node.poll_send(Time::ZERO, session, 1000, &mut chunks) {
            offers += 1;
            assert!(offers < 10, "{version}");
            node.handle_stopped(Time::ZERO, session, offer.stream, StreamCode::CANCEL);
            node.sent(Time::ZERO, session, offer.stream, offer.bytes);
        }
        assert!(offers >= 1, "{version}");
    }
}

#[test]
fn a_stream_that_is_needed_no_more_is_given_back() {
    for version in Version::ALL {
        let (mut node, session) = dialed(version);
        while node.poll_command(session).is_some() {}
        let code = StreamCode::CANCEL;
        for (dir, stream) in [(Dir::Bi, StreamId(0)), (Dir::Uni, StreamId(6))] {
            assert!(!node.wants_open(session, dir), "{version}");
            node.handle_granted(Time::ZERO, session, stream, dir);
            assert_eq!(node.poll_session(), Some(session), "{version}");
            let commands: Vec<_> = std::iter::from_fn(|| node.poll_command(session)).collect();
            let mut expected = vec![Command::Reset { stream, code }];
            if dir == Dir::Bi {
                expected.push(Command::Stop { stream, code });
            }
            assert_eq!(commands, expected, "{version}");
        }
    }
}

#[test]
fn nobody_is_asked_for_one_who_has_left() {
    for version in [Version::Lite05, Version::Lite06] {
        let (mut bench, publisher, [asker]) = relay(version, Limits::default());
        let stream = ask_track(&mut bench, asker, "cam");
        let upstream = bench.requests(publisher, 6)[0];
        let (now, session) = (bench.now(), bench[asker].session);
        bench.node.handle_reset(now, session, stream, StreamCode::CANCEL);
        let named: Vec<_> = std::iter::from_fn(|| bench.node.poll_session()).collect();
        assert!(named.contains(&bench[publisher].session), "{version}: {named:?}");
        bench.grant(publisher, |_| {});
        let sent = bench.sent(publisher, upstream);
        assert!(sent.fin && sent.stopped == Some(StreamCode::CANCEL), "{version}: {sent:?}");
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
    }
}

/// The application subscribes to `cam/video` at a server.
fn listening(version: Version) -> (Bench, PeerId, Id<Reader>, StreamId) {
    let mut bench = Bench::new(Config::default());
    let peer = bench.server(version);
    let now = bench.now();
    let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
    bench.run();
    accept(&mut bench, peer, 0);
    let stream = bench.requests(peer, 2)[0];
    (bench, peer, reader, stream)
}

fn next(bench: &mut Bench, reader: Id<Reader>) -> NextGroup {
    let now = bench.now();
    bench.node.next_group(now, reader).unwrap()
}

fn end_of_three(bench: &mut Bench, peer: PeerId, stream: StreamId) {
    if bench[peer].version.has_end() {
        respond(bench, peer, stream, &SubscribeResponse::End { group: 3 });
    }
    bench.finish(peer, stream, &[]);
}

#[test]
fn a_group_may_arrive_after_the_end_of_its_subscription() {
    for version in Version::ALL {
        for late in [1, 2] {
            let (mut bench, peer, reader, stream) = listening(version);
            for sequence in (0..3).filter(|sequence| *sequence != late) {
                send_group(&mut bench, peer, 0, sequence, b"x");
            }
            end_of_three(&mut bench, peer, stream);
            bench.pass(Duration::from_millis(900));
            send_group(&mut bench, peer, 0, late, b"late");
            let mut got = Vec::new();
            while let NextGroup::Group { sequence, .. } = next(&mut bench, reader) {
                got.push(sequence);
            }
            got.sort_unstable();
            assert_eq!(got, [0, 1, 2], "{version}: group {late} was late");
            bench.pass(Duration::from_secs(2));
            assert_eq!(next(&mut bench, reader), NextGroup::End, "{version}");
            assert_eq!(violations(&mut bench), [], "{version}");
        }
    }
}

#[test]
fn a_group_that_never_arrives_is_not_waited_for() {
    for version in Version::ALL {
        let (mut bench, peer, reader, stream) = listening(version);
        send_group(&mut bench, peer, 0, 0, b"x");
        end_of_three(&mut bench, peer, stream);
        bench.pass(Duration::from_millis(2100));
        assert!(matches!(next(&mut bench, reader), NextGroup::Group { sequence: 0, .. }));
        assert_eq!(next(&mut bench, reader), NextGroup::End, "{version}");
        let late = bench.open_with(peer, Dir::Uni, &group_header(0, 1, version));
        assert_eq!(bench[peer].sent[&late].stopped, Some(StreamCode::CANCEL), "{version}");
    }
}

#[test]
fn a_group_that_is_still_arriving_is_not_cut_off() {
    for version in Version::ALL {
        let (mut bench, peer, reader, stream) = listening(version);
        send_group(&mut bench, peer, 0, 0, b"x");
        send_group(&mut bench, peer, 0, 1, b"x");
        let payload = frame(2000, b"in two parts", version);
        let (some, rest) = payload.split_at(6);
        let group = bench.open_with(peer, Dir::Uni, &group_header(0, 2, version));
        bench.send(peer, group, some);
        end_of_three(&mut bench, peer, stream);
        bench.pass(Duration::from_secs(5));
        bench.finish(peer, group, rest);
        let mut ids = Vec::new();
        while let NextGroup::Group { id, .. } = next(&mut bench, reader) {
            ids.push(id);
        }
        let last = *ids.last().unwrap();
        let mut read = Vec::new();
        let end = loop {
            match bench.node.read(last, usize::MAX).unwrap() {
                Read::Chunk(chunk) => read.extend_from_slice(&chunk.data),
                end => break end,
            }
        };
        assert_eq!((read.as_slice(), end), (&b"in two parts"[..], Read::End));
        assert_eq!((ids.len(), next(&mut bench, reader)), (3, NextGroup::End), "{version}");
    }
}

#[test]
fn questions_that_end_at_once_leave_nothing_behind() {
    for version in [Version::Lite05, Version::Lite06] {
        let (mut bench, _) = origin(Limits { peer_streams: 10, ..Limits::default() });
        let peer = bench.client(version);
        let question = wire::Track { broadcast: path("cam"), track: "video".into() };
        for _ in 0..100 {
            let stream = bench.open(peer, Dir::Bi);
            bench.finish(peer, stream, &typed(6, &question, version));
            assert!(bench.sent(peer, stream).fin, "{version}");
            bench.acknowledge(peer);
        }
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn a_finished_track_does_not_stand_in_for_the_next_one() {
    for version in Version::ALL {
        let (mut bench, publisher, [viewer]) = relay(version, Limits::default());
        let now = bench.now();
        let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
        bench.run();
        accept(&mut bench, publisher, 0);
        for sequence in 0..3 {
            send_group(&mut bench, publisher, 0, sequence, b"old");
        }
        let upstream = bench.requests(publisher, 2)[0];
        end_of_three(&mut bench, publisher, upstream);
        bench.pass(Duration::from_secs(2));
        while let NextGroup::Group { .. } = next(&mut bench, reader) {}
        assert_eq!(next(&mut bench, reader), NextGroup::End, "{version}");

        let stream = bench.requests(publisher, 1)[0];
        let end = match version {
            Version::Lite06 => Announce::EndId { id: 0 },
            _ => Announce::End { suffix: path("cam") },
        };
        say(&mut bench, publisher, stream, &end);
        say(&mut bench, publisher, stream, &start("cam", version));
        let served = subscribe(&mut bench, viewer, 0, "cam", everything(version, 0));
        assert_eq!(bench.requests(publisher, 2).len(), 2, "{version}");
        let asked = bench.requests(publisher, 6).len();
        assert_eq!(asked, if version.has_track() { 2 } else { 0 }, "{version}: anew");
        if version.has_track() {
            let info = TrackInfo { timescale: 90_000, ..TrackInfo::default() };
            let (request, info) = (bench.requests(publisher, 6)[1], message(&info, version));
            bench.finish(publisher, request, &info);
            let question = ask_track(&mut bench, viewer, "cam");
            assert_eq!(bench.sent(viewer, question).bytes, info, "{version}");
        }
        send_group(&mut bench, publisher, 1, 0, b"new");
        assert_eq!(heard_group(bench.groups(viewer)[0], version).1[0].1, b"new", "{version}");
        assert!(!bench.sent(viewer, served).fin, "{version}");
        assert_eq!(next(&mut bench, reader), NextGroup::End, "{version}: the old one stays");
    }
}

#[test]
fn a_finished_track_ends_although_its_last_groups_were_evicted() {
    let limits = || Limits { store_bytes: 20_000, ..Limits::default() };
    for version in Version::ALL {
        // An open group goes for lack of room.
        let (mut bench, track) = origin(limits());
        let peer = bench.client(version);
        let stream = subscribe(&mut bench, peer, 0, "cam", everything(version, 0));
        let now = bench.now();
        let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
        let open = begin_group(&mut bench, track, 15_000);
        bench.run();
        bench.node.finish_track(now, track).unwrap();
        let other = local_track(&mut bench, "mic");
        begin_group(&mut bench, other, 8000);
        assert_eq!(bench.node.finish_group(now, open), Err(Misuse::Stale), "{version}");
        while let NextGroup::Group { .. } = next(&mut bench, reader) {}
        assert_eq!(next(&mut bench, reader), NextGroup::End, "{version}");
        bench.run();
        bench.acknowledge(peer);
        assert!(bench.sent(peer, stream).fin, "{version}");

        // A group that no subscriber had a stream for.
        let (mut bench, track) = origin(limits());
        let peer = bench.client(version);
        bench.grant(peer, |peer| peer.credit[1] = 0);
        let stream = subscribe(&mut bench, peer, 0, "cam", everything(version, 0));
        publish_group(&mut bench, track, 15_000);
        bench.node.finish_track(now, track).unwrap();
        bench.run();
        assert!(!bench.sent(peer, stream).fin, "{version}: the group waits");
        let other = local_track(&mut bench, "mic");
        begin_group(&mut bench, other, 8000);
        bench.run();
        assert!(bench.sent(peer, stream).fin, "{version}");
        assert_eq!(bench.groups(peer).len(), 0, "{version}");
    }
}

#[test]
fn a_start_is_not_above_what_was_sent_before_it() {
    for version in [Version::Lite05, Version::Lite06] {
        for promised in [0, 5] {
            let (mut bench, publisher, [viewer]) = relay(version, Limits::default());
            let served = subscribe(&mut bench, viewer, 0, "cam", everything(version, 0));
            answer_tracks(&mut bench, publisher);
            // More groups than are remembered, before the publisher says where it starts.
            for sequence in promised..promised + 80 {
                send_group(&mut bench, publisher, 0, sequence, b"x");
            }
            let upstream = bench.requests(publisher, 2)[0];
            let start = SubscribeResponse::Start { group: promised };
            respond(&mut bench, publisher, upstream, &start);
            let lowest = heard_groups(&bench, viewer).into_iter().map(|(_, group)| group).min();
            let responses = heard_responses(bench.sent(viewer, served), version);
            let [SubscribeResponse::Start { group }] = responses[..] else {
                panic!("{version}: {responses:?}")
            };
            assert!(Some(group) <= lowest, "{version}: START {group}, but {lowest:?} was sent");
        }
    }
}

#[test]
fn streams_are_opened_for_the_most_urgent_first() {
    for version in Version::ALL {
        let (mut bench, track) = origin(Limits::default());
        (0..2).for_each(|_| publish_group(&mut bench, track, 1));
        let peer = bench.client(version);
        bench.grant(peer, |peer| peer.credit[1] = 0);
        let streams = [(0, 5), (1, 9), (2, 5), (3, 7), (4, 8)].map(|(id, priority)| {
            subscribe(&mut bench, peer, id, "cam", everything(version, priority))
        });
        // One rises, one falls, one leaves.
        bench.send(peer, streams[2], &message(&everything(version, 200), version));
        bench.send(peer, streams[1], &message(&everything(version, 5), version));
        bench.finish(peer, streams[4], &[]);
        let mut order = Vec::new();
        for _ in 0..8 {
            bench.grant(peer, |peer| peer.credit[1] = 1);
            order = heard_groups(&bench, peer).into_iter().map(|(id, _)| id).collect();
        }
        assert_eq!(order, [2, 2, 3, 3, 0, 0, 1, 1], "{version}");
    }
}

#[test]
fn a_stream_begun_before_a_grant_has_its_time_too() {
    for version in Version::ALL {
        let mut bench = Bench::new(relay_config(100));
        let config = SessionConfig {
            admission: Admission::Ask,
            ..SessionConfig::server(version, Carrier::Raw, "")
        };
        let peer = bench.peer(config);
        bench.greet(peer);
        let stream = bench.open_with(peer, Dir::Bi, &[2]);
        bench.pass(Duration::from_secs(5));
        let session = bench[peer].session;
        assert!(matches!(bench.events()[..], [Event::Request { .. }]), "{version}");
        let now = bench.now();
        bench.node.grant(now, session, Grant::all(Path::root())).unwrap();
        bench.run();
        bench.pass(Duration::from_secs(12));
        let expected = [(Some(stream), Violation::OpeningTimeout)];
        assert_eq!(violations(&mut bench), expected, "{version}");
        assert_eq!(bench.sent(peer, stream).reset, Some(StreamCode::CONTROL_TIMEOUT));
    }
}

#[test]
fn a_question_that_never_gets_a_stream_times_out() {
    for version in [Version::Lite05, Version::Lite06] {
        let (mut bench, publisher, [viewer, asker]) = relay(version, Limits::default());
        bench.grant(publisher, |peer| peer.credit[0] = 0);
        let streams = [
            (viewer, subscribe(&mut bench, viewer, 0, "cam", SubscribeParams::default())),
            (asker, ask_track(&mut bench, asker, "cam")),
        ];
        bench.pass(Duration::from_secs(9));
        assert_eq!(bench.node.stats().tracks, 1, "{version}");
        bench.pass(Duration::from_secs(3));
        for (peer, stream) in streams {
            let code = Some(StreamCode::CONTROL_TIMEOUT);
            assert_eq!(bench.sent(peer, stream).reset, code, "{version}");
        }
        assert_eq!(bench.node.stats().tracks, 0, "{version}");
        bench.grant(publisher, |peer| peer.credit[0] = 9);
        let asked = [2, 6].map(|kind| bench.requests(publisher, kind).len());
        assert_eq!(asked, [0, 0], "{version}: nobody waits for it any more");
    }
}

#[test]
fn one_huge_group_does_not_push_out_small_tracks() {
    let (mut bench, small) = origin(Limits { store_bytes: 100_000, ..Limits::default() });
    (0..3).for_each(|_| publish_group(&mut bench, small, 100));
    let single = local_track(&mut bench, "mic");
    publish_group(&mut bench, single, 100);
    let huge = local_track(&mut bench, "film");
    let (group, now) = (begin_group(&mut bench, huge, 10_000), bench.now());
    let written = std::iter::from_fn(|| {
        bench.node.write_frame(now, group, 0, Bytes::from(vec![7; 10_000])).ok()
    });
    assert!(written.take(100).count() < 20, "it is given up itself");
    assert_eq!((bench.node.stats().groups, bench.node.stats().groups_evicted), (4, 1));
    for (name, groups) in [("cam", 3), ("mic", 1)] {
        let reader = bench.node.subscribe(now, &path(name), "video", from(0)).unwrap();
        let got = std::iter::from_fn(|| match next(&mut bench, reader) {
            NextGroup::Group { sequence, .. } => Some(sequence),
            _ => None,
        });
        assert!(got.eq(0..groups), "{name}");
    }
}

#[test]
fn the_end_of_a_session_is_told_before_what_it_ends() {
    for version in Version::ALL {
        let (mut bench, publisher, []) = relay(version, Limits::default());
        let now = bench.now();
        let watcher = bench.node.watch(now, &Path::root());
        assert!(bench.node.poll_announced(watcher).unwrap().is_some());
        assert_eq!(bench.node.poll_announced(watcher), Ok(None));
        let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
        assert!(matches!(next(&mut bench, reader), NextGroup::Pending));
        bench.run();
        bench.events();
        let session = bench[publisher].session;
        bench.lose(publisher);
        let events = bench.events();
        assert!(
            matches!(events[0], Event::Closed { session: closed, .. } if closed == session),
            "{version}: {events:?}"
        );
        assert!(events.contains(&Event::Readable { reader }), "{version}: {events:?}");
        assert!(events.contains(&Event::Announced { watcher }), "{version}: {events:?}");
    }
}

#[test]
fn a_track_that_is_never_described_fails_although_all_of_it_came() {
    for version in [Version::Lite05, Version::Lite06] {
        let mut bench = Bench::new(Config::default());
        let server = bench.server(version);
        let now = bench.now();
        let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
        bench.run();
        let stream = bench.requests(server, 2)[0];
        respond(&mut bench, server, stream, &SubscribeResponse::Start { group: 0 });
        respond(&mut bench, server, stream, &SubscribeResponse::End { group: 1 });
        send_group(&mut bench, server, 0, 0, b"frame");
        bench.pass(Duration::from_secs(12));
        let now = bench.now();
        let next = bench.node.next_group(now, reader).unwrap();
        assert_eq!(next, NextGroup::Failed(StreamCode::CONTROL_TIMEOUT), "{version}");
    }
}

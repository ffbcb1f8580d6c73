//! Peers that break rules: the rule is named, only that stream or that session ends, with the right
//! code, and nobody else notices.

mod common;

use std::time::Duration;

use common::{script::*, *};
use smoq_core::{
    Carrier, ClosedBy, Config, Dir, Event, Limits, SessionConfig, StreamId, Version, Violation,
    wire::{
        Announce, DecodeError, SessionCode, Setup, StreamCode, SubscribeParams, TrackInfo, varint,
    },
};
use smoq_sim::{Bench, PeerId};

/// A relay with a publisher of `cam`, a hostile peer, and a bystander.
struct Scene {
    bench: Bench,
    publisher: PeerId,
    hostile: PeerId,
    bystander: PeerId,
    watched: StreamId,
    version: Version,
}

impl Scene {
    fn new(version: Version) -> Self {
        Self::limited(version, Limits::default())
    }

    fn limited(version: Version, limits: Limits) -> Self {
        let mut bench = Bench::new(Config { limits, ..relay_config(100) });
        let publisher = bench.client(version);
        announce(&mut bench, publisher, "cam");
        let hostile = bench.client(version);
        let bystander = bench.client(version);
        let watched = subscribe(&mut bench, bystander, 0, "cam", SubscribeParams::default());
        accept(&mut bench, publisher, 0);
        bench.events();
        Self { bench, publisher, hostile, bystander, watched, version }
    }

    /// The hostile peer subscribes too, so that it may be sent groups, and announces what it is asked.
    fn feed(&mut self) -> StreamId {
        announce(&mut self.bench, self.hostile, "evil");
        let viewer = self.bench.client(self.version);
        subscribe(&mut self.bench, viewer, 0, "evil", SubscribeParams::default());
        accept(&mut self.bench, self.hostile, 0);
        self.bench.events();
        self.bench.requests(self.hostile, 2)[0]
    }

    /// One rule was broken, and it cost this stream.
    fn lost_stream(&mut self, stream: StreamId, error: Violation, code: StreamCode) {
        let version = self.version;
        assert_eq!(violations(&mut self.bench), [(Some(stream), error)], "{version}");
        let sent = self.bench.sent(self.hostile, stream);
        let codes = [sent.reset, sent.stopped];
        assert!(codes.contains(&Some(code)), "{version}: {codes:?}, not {code}");
        assert!(codes.iter().flatten().all(|other| *other == code), "{version}: {codes:?}");
        assert_eq!(self.bench[self.hostile].closed, None, "{version}");
        self.bystander_works();
    }

    /// One rule was broken, and it cost the session.
    fn lost_session(&mut self, error: Violation, code: SessionCode) {
        let (version, peer) = (self.version, self.hostile);
        let session = self.bench[peer].session;
        let events = self.bench.events();
        let reason = error.to_string();
        let broken = Event::Violation { session, stream: None, error };
        assert_eq!(events.first(), Some(&broken), "{version}");
        let closed = events.iter().find_map(|event| match event {
            Event::Closed { session: other, closed } if *other == session => Some(closed.clone()),
            _ => None,
        });
        let closed = closed.expect("the session is closed");
        assert_eq!((closed.by, closed.code), (ClosedBy::Local, code), "{version}");
        assert_eq!(self.bench[peer].closed, Some((code, reason)), "{version}");
        self.bystander_works();
    }

    /// Another session of the node gets a group, and memory returns when all have left.
    fn bystander_works(&mut self) {
        let Self { bench, publisher, bystander, .. } = self;
        let before = bench.groups(*bystander).len();
        send_group(bench, *publisher, 0, 100 + before as u64, b"still here");
        assert_eq!(bench.groups(*bystander).len(), before + 1);
        assert!(bench.sent(*bystander, self.watched).reset.is_none());
        assert_eq!(bench[*publisher].closed, None);
    }
}

#[test]
fn an_unknown_stream_type_costs_the_stream() {
    for version in Version::ALL {
        for dir in [Dir::Bi, Dir::Uni] {
            let mut scene = Scene::new(version);
            let stream = scene.bench.open_with(scene.hostile, dir, &[0x7f, 0xff]);
            scene.lost_stream(stream, Violation::StreamType(0x3fff), StreamCode::CANCEL);
        }
    }
}

#[test]
fn garbage_on_each_kind_of_request_costs_the_stream() {
    for version in Version::ALL {
        // ANNOUNCE, SUBSCRIBE and TRACK with a body of one byte, which holds none of them.
        for kind in [1, 2, 6] {
            if kind == 6 && !version.has_track() {
                continue;
            }
            let mut scene = Scene::new(version);
            let stream = scene.bench.open_with(scene.hostile, Dir::Bi, &[kind, 1, 0xff]);
            let error = Violation::Decode(DecodeError::Truncated);
            scene.lost_stream(stream, error, StreamCode::MALFORMED_TRACK);
        }
    }
}

#[test]
fn garbage_in_a_group_header_costs_the_stream() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        let stream = scene.bench.open_with(scene.hostile, Dir::Uni, &[0, 1, 0]);
        let error = Violation::Decode(DecodeError::Truncated);
        scene.lost_stream(stream, error, StreamCode::MALFORMED_TRACK);
    }
}

#[test]
fn requests_that_are_not_served_are_refused_without_blame() {
    for version in Version::ALL.into_iter().filter(|version| !version.serves_fetch()) {
        let mut scene = Scene::new(version);
        let stream = scene.bench.open_with(scene.hostile, Dir::Bi, &[3, 0]);
        let sent = scene.bench.sent(scene.hostile, stream);
        assert_eq!(sent.reset, Some(StreamCode::CANCEL), "{version}");
        assert_eq!(violations(&mut scene.bench), []);
    }
}

#[test]
fn a_stream_that_ends_before_it_says_what_it_is_costs_the_stream() {
    for version in Version::ALL {
        for (dir, bytes) in [(Dir::Bi, &[][..]), (Dir::Bi, &[2, 40, 1]), (Dir::Uni, &[0, 2, 0])] {
            let mut scene = Scene::new(version);
            let stream = scene.bench.open(scene.hostile, dir);
            scene.bench.finish(scene.hostile, stream, bytes);
            let (bench, hostile) = (&mut scene.bench, scene.hostile);
            let expected = [(Some(stream), Violation::Truncated)];
            assert_eq!(violations(bench), expected, "{version} {dir:?}");
            assert_eq!(bench[hostile].closed, None);
            scene.bystander_works();
        }
    }
}

#[test]
fn a_stream_that_says_nothing_is_given_up() {
    for version in Version::ALL {
        for dir in [Dir::Bi, Dir::Uni] {
            let limits = Limits { opening_timeout: Duration::from_secs(4), ..Default::default() };
            let mut scene = Scene::limited(version, limits);
            // A byte of a number of two.
            let stream = scene.bench.open_with(scene.hostile, dir, &[0x40]);
            scene.bench.pass(Duration::from_millis(3900));
            assert_eq!(violations(&mut scene.bench), [], "{version}");
            scene.bench.pass(Duration::from_millis(1200));
            scene.lost_stream(stream, Violation::OpeningTimeout, StreamCode::CONTROL_TIMEOUT);
        }
    }
}

#[test]
fn a_group_stream_without_a_byte_is_no_offence() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        // QUIC opens it together with a later one; its sender may have more urgent ones.
        scene.bench.open(scene.hostile, Dir::Uni);
        scene.bench.pass(Duration::from_secs(60));
        assert_eq!(violations(&mut scene.bench), [], "{version}");
    }
}

#[test]
fn a_client_that_says_no_setup_is_sent_away() {
    for version in [Version::Lite05, Version::Lite06] {
        let mut scene = Scene::new(version);
        scene.hostile = scene.bench.peer(SessionConfig::server(version, Carrier::Raw, ""));
        scene.bench.pass(Duration::from_secs(9));
        assert_eq!(violations(&mut scene.bench), []);
        scene.bench.pass(Duration::from_secs(2));
        scene.lost_session(Violation::SetupTimeout, SessionCode::TIMEOUT);
    }
}

#[test]
fn a_bad_setup_costs_the_session() {
    for version in [Version::Lite05, Version::Lite06] {
        let too_long = |length| {
            let error = DecodeError::TooLong { length, limit: Limits::default().message_bytes };
            Violation::Decode(error)
        };
        let twice = Violation::Decode(DecodeError::DuplicateParameter(9));
        let deep = "/a".repeat(33);
        let deep = Setup { path: Some(deep), ..Setup::default() };
        let cases = [
            (b"\x01\x05\x02\x09\x00\x09\x00".to_vec(), twice),
            (b"\x01\x80\x10\x00\x00".to_vec(), too_long(0x10_0000)),
            (
                typed(1, &deep, version),
                Violation::RequestPath(smoq_core::PathError::TooManySegments),
            ),
        ];
        for (bytes, error) in cases {
            let mut scene = Scene::new(version);
            scene.hostile = scene.bench.peer(SessionConfig::server(version, Carrier::Raw, ""));
            scene.bench.open_with(scene.hostile, Dir::Uni, &bytes);
            scene.lost_session(error, SessionCode::PROTOCOL_VIOLATION);
        }
        let mut scene = Scene::new(version);
        scene.hostile = scene.bench.peer(SessionConfig::server(version, Carrier::Raw, ""));
        let stream = scene.bench.open(scene.hostile, Dir::Uni);
        scene.bench.finish(scene.hostile, stream, b"\x01\x09\x01");
        scene.lost_session(Violation::Truncated, SessionCode::PROTOCOL_VIOLATION);
    }
}

#[test]
fn a_second_setup_costs_the_session() {
    for version in [Version::Lite05, Version::Lite06] {
        let mut scene = Scene::new(version);
        scene.bench.greet(scene.hostile);
        scene.lost_session(Violation::DuplicateSetup, SessionCode::PROTOCOL_VIOLATION);
    }
}

#[test]
fn only_clients_on_raw_quic_send_a_path() {
    for version in [Version::Lite05, Version::Lite06] {
        let setup = Setup { path: Some("/x".into()), ..Setup::default() };
        for config in [
            SessionConfig::client(version, Carrier::Raw, ""),
            SessionConfig::server(version, Carrier::WebTransport, "/x"),
        ] {
            let mut scene = Scene::new(version);
            scene.hostile = scene.bench.peer(config);
            scene.bench.events();
            scene.bench.open_with(scene.hostile, Dir::Uni, &typed(1, &setup, version));
            scene.lost_session(Violation::UnexpectedPath, SessionCode::PROTOCOL_VIOLATION);
        }
    }
}

#[test]
fn a_length_above_the_limit_is_refused_before_the_body() {
    for version in Version::ALL {
        for (dir, kind) in [(Dir::Bi, 2), (Dir::Bi, 1), (Dir::Uni, 0)] {
            let limits = Limits { message_bytes: 100, ..Limits::default() };
            let mut scene = Scene::limited(version, limits);
            let stream = scene.bench.open_with(scene.hostile, dir, &[kind, 0x40, 101]);
            let error = Violation::Decode(DecodeError::TooLong { length: 101, limit: 100 });
            scene.lost_stream(stream, error, StreamCode::MALFORMED_TRACK);
            // The largest allowed one is waited for.
            scene.bench.open_with(scene.hostile, dir, &[kind, 0x40, 100]);
            assert_eq!(violations(&mut scene.bench), []);
        }
    }
}

#[test]
fn a_subscribe_id_is_used_once_at_a_time() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        subscribe(&mut scene.bench, scene.hostile, 7, "cam", SubscribeParams::default());
        let again =
            subscribe(&mut scene.bench, scene.hostile, 7, "cam", SubscribeParams::default());
        scene.lost_stream(again, Violation::DuplicateSubscribe(7), StreamCode::INTERNAL);
    }
}

#[test]
fn a_malformed_update_costs_the_subscription() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        let params = SubscribeParams::default();
        let stream = subscribe(&mut scene.bench, scene.hostile, 7, "cam", params);
        scene.bench.send(scene.hostile, stream, &[1, 0]);
        let error = Violation::Decode(DecodeError::Truncated);
        scene.lost_stream(stream, error, StreamCode::MALFORMED_TRACK);
        assert_eq!(scene.bench.node.stats().subscriptions, 1, "{version}");
    }
}

#[test]
fn bytes_after_a_request_that_has_no_more_cost_the_stream() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        let stream = ask_announcements(&mut scene.bench, scene.hostile, "");
        scene.bench.send(scene.hostile, stream, &[0]);
        scene.lost_stream(stream, Violation::Unexpected, StreamCode::INTERNAL);
    }
}

#[test]
fn a_group_for_a_subscription_that_never_was_costs_the_stream() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        let header = group_header(0, 1, version);
        let stream = scene.bench.open_with(scene.hostile, Dir::Uni, &header);
        scene.lost_stream(stream, Violation::UnknownSubscribe(0), StreamCode::CANCEL);
    }
}

#[test]
fn a_frame_cut_short_costs_the_group() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        scene.feed();
        let mut bytes = group_header(0, 1, version);
        bytes.extend(&frame(0, b"abc", version)[..3]);
        let stream = scene.bench.open(scene.hostile, Dir::Uni);
        scene.bench.finish(scene.hostile, stream, &bytes);
        let expected = [(Some(stream), Violation::FrameSize)];
        assert_eq!(violations(&mut scene.bench), expected, "{version}");
        scene.bystander_works();
    }
}

#[test]
fn a_timestamp_out_of_range_costs_the_group() {
    for version in [Version::Lite05, Version::Lite06] {
        for deltas in [&[-1][..], &[(1 << 61) - 1, 1], &[5, -6]] {
            let mut scene = Scene::new(version);
            scene.feed();
            let mut bytes = group_header(0, 1, version);
            for delta in deltas {
                bytes.extend(frame(*delta, b"x", version));
            }
            let stream = scene.bench.open_with(scene.hostile, Dir::Uni, &bytes);
            scene.lost_stream(stream, Violation::Timestamp, StreamCode::MALFORMED_TRACK);
        }
    }
}

#[test]
fn a_group_after_the_end_costs_the_group() {
    for version in [Version::Lite05, Version::Lite06] {
        let mut scene = Scene::new(version);
        let request = scene.feed();
        let end = smoq_core::wire::SubscribeResponse::End { group: 3 };
        respond(&mut scene.bench, scene.hostile, request, &end);
        let header = group_header(0, 4, version);
        let stream = scene.bench.open_with(scene.hostile, Dir::Uni, &header);
        scene.lost_stream(stream, Violation::GroupAfterEnd(4), StreamCode::MALFORMED_TRACK);
    }
}

#[test]
fn answers_out_of_turn_cost_the_subscription() {
    use smoq_core::wire::SubscribeResponse;
    for version in [Version::Lite03, Version::Lite04] {
        let mut scene = Scene::new(version);
        announce(&mut scene.bench, scene.hostile, "evil");
        let viewer = scene.bench.client(version);
        let wait = subscribe(&mut scene.bench, viewer, 0, "evil", SubscribeParams::default());
        scene.bench.events();
        let stream = scene.bench.requests(scene.hostile, 2)[0];
        let drop = SubscribeResponse::Drop { first: 0, last: 1, code: 0 };
        respond(&mut scene.bench, scene.hostile, stream, &drop);
        scene.lost_stream(stream, Violation::SubscribeResponse, StreamCode::INTERNAL);
        assert!(scene.bench.sent(viewer, wait).reset.is_some(), "its subscriber is told");
    }
}

#[test]
fn malformed_answers_cost_the_request() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        let stream = scene.feed();
        scene.bench.send(scene.hostile, stream, &[9, 0]);
        let error = Violation::Decode(DecodeError::UnknownType(9));
        scene.lost_stream(stream, error, StreamCode::MALFORMED_TRACK);
        if !version.has_track() {
            continue;
        }
        for (bytes, error) in [
            (message(&TrackInfo::default(), version), Violation::Unexpected),
            (vec![1, 0], Violation::Decode(DecodeError::Truncated)),
        ] {
            let mut scene = Scene::new(version);
            announce(&mut scene.bench, scene.hostile, "evil");
            let viewer = scene.bench.client(version);
            subscribe(&mut scene.bench, viewer, 0, "evil", SubscribeParams::default());
            scene.bench.events();
            let stream = scene.bench.requests(scene.hostile, 6)[0];
            let bytes =
                if error == Violation::Unexpected { [bytes, vec![0]].concat() } else { bytes };
            scene.bench.send(scene.hostile, stream, &bytes);
            let found = violations(&mut scene.bench);
            assert_eq!(found, [(Some(stream), error)], "{version}");
            scene.bystander_works();
        }
    }
}

#[test]
fn a_bad_announcement_costs_the_session() {
    for version in Version::ALL {
        let ids = version.has_announce_ids();
        let bad_status = Violation::Decode(DecodeError::InvalidStatus(9));
        let mut cases = vec![];
        if ids {
            cases.push((vec![1, 1, 5], Violation::UnknownAnnouncement));
            cases.push((vec![2, 4, 5, 0, 0, 0], Violation::UnknownAnnouncement));
        } else {
            cases.push((vec![3, 9, 0, 0], bad_status));
        }
        for (bytes, error) in cases {
            let mut scene = Scene::new(version);
            let stream = announcing(&mut scene.bench, scene.hostile);
            scene.bench.send(scene.hostile, stream, &bytes);
            scene.lost_session(error, SessionCode::PROTOCOL_VIOLATION);
        }
    }
}

#[test]
fn the_same_announcement_twice_costs_the_session() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        let stream = announce(&mut scene.bench, scene.hostile, "evil");
        scene.bench.events();
        say(&mut scene.bench, scene.hostile, stream, &start("evil", version));
        if version == Version::Lite05 {
            // Here it replaces the first.
            assert_eq!(violations(&mut scene.bench), []);
        } else {
            scene.lost_session(Violation::DuplicateAnnouncement, SessionCode::PROTOCOL_VIOLATION);
        }
    }
}

#[test]
fn a_hop_twice_in_a_list_costs_the_session() {
    for version in [Version::Lite04, Version::Lite05, Version::Lite06] {
        let mut scene = Scene::new(version);
        let stream = announcing(&mut scene.bench, scene.hostile);
        let bytes: &[u8] = match version {
            Version::Lite06 => &[0, 7, 1, b'x', 2, 7, 7, 0, 0],
            _ => &[6, 1, 1, b'x', 2, 7, 7],
        };
        scene.bench.send(scene.hostile, stream, bytes);
        let error = smoq_core::wire::HopsError::Duplicate(hop(7));
        let error = Violation::Decode(DecodeError::Hops(error));
        scene.lost_session(error, SessionCode::PROTOCOL_VIOLATION);
    }
}

#[test]
fn an_announcement_of_ones_own_hop_or_of_too_many_is_left_out() {
    for version in [Version::Lite04, Version::Lite05, Version::Lite06] {
        let many: Vec<u64> = (200..232).collect();
        for ids in [&[100][..], many.as_slice()] {
            let mut scene = Scene::new(version);
            let stream = announcing(&mut scene.bench, scene.hostile);
            let routes = scene.bench.node.stats().routes;
            let mut hops = smoq_core::wire::Hops::new();
            ids.iter().for_each(|id| hops.push(hop(*id)).unwrap());
            let cost = smoq_core::wire::Cost::UNKNOWN;
            let looped = Announce::Start { suffix: path("loop"), hops, cost };
            say(&mut scene.bench, scene.hostile, stream, &looped);
            let heard =
                subscribe(&mut scene.bench, scene.bystander, 5, "loop", SubscribeParams::default());
            let refused = scene.bench.sent(scene.bystander, heard).reset;
            if ids.len() == 1 {
                assert_eq!(scene.bench.node.stats().routes, routes, "{version}");
                assert_eq!(refused, Some(StreamCode::UNROUTABLE), "{version}");
            }
            assert_eq!(violations(&mut scene.bench), [], "{version}");
            scene.bystander_works();
        }
    }
}

#[test]
fn a_number_that_never_ends_is_waited_for_in_bounds() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        scene.feed();
        let mut bytes = group_header(0, 1, version);
        bytes.push(0xff);
        let stream = scene.bench.open_with(scene.hostile, Dir::Uni, &bytes);
        let held = scene.bench.node.stats().store_bytes;
        for _ in 0..6 {
            scene.bench.send(scene.hostile, stream, &[0xff]);
        }
        assert_eq!(scene.bench.node.stats().store_bytes, held, "{version}");
        let mut huge = Vec::new();
        varint::encode(varint::MAX, &mut huge);
        scene.bench.reset(scene.hostile, stream, StreamCode::CANCEL);
        let mut bytes = group_header(0, 2, version);
        bytes.extend(if version.has_timestamps() { [vec![0], huge].concat() } else { huge });
        let stream = scene.bench.open_with(scene.hostile, Dir::Uni, &bytes);
        scene.lost_stream(stream, Violation::GroupTooLarge, StreamCode::GROUP_TOO_LARGE);
    }
}

#[test]
fn memory_returns_when_a_hostile_peer_has_left() {
    for version in Version::ALL {
        let mut scene = Scene::new(version);
        scene.feed();
        let before = scene.bench.node.stats();
        for sequence in 1..50 {
            let mut bytes = group_header(0, sequence, version);
            bytes.extend(frame(0, &[7; 1000], version));
            scene.bench.open_with(scene.hostile, Dir::Uni, &bytes);
            scene.bench.open_with(scene.hostile, Dir::Bi, &[2, 50, 0, 0]);
        }
        assert!(scene.bench.node.stats().store_bytes > before.store_bytes + 49_000);
        scene.bench.lose(scene.hostile);
        let after = scene.bench.node.stats();
        assert_eq!((after.sessions, after.groups), (before.sessions - 1, before.groups));
        assert_eq!(after.store_bytes, before.store_bytes, "{version}");
        scene.bystander_works();
    }
}

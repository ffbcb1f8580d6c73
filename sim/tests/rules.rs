//! Rules of the draft that no other test holds: see `docs/status.md`.

mod common;

use std::collections::BTreeMap;

use common::{script::*, *};
use smoq_core::{
    Admission, Carrier, Config, Dir, Event, Grant, Path, SessionConfig, StreamId, Version,
    Violation,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, Cost, Hops, Message, ProbeLevel, SessionCode, Setup,
        SetupRole, StreamCode, SubscribeOk, SubscribeParams, SubscribeResponse, TrackInfo, varint,
    },
};
use smoq_sim::{Bench, PeerId};

const WITH_SETUP: [Version; 2] = [Version::Lite05, Version::Lite06];

/// Every group that there is or will be, as this version says it.
fn everything(version: Version) -> SubscribeParams {
    let floor = version.start_is_floor();
    let start = Some(0).filter(|_| !floor);
    let max_age_ms = if floor { varint::MAX } else { 0 };
    SubscribeParams { start, max_age_ms, ..SubscribeParams::default() }
}

/// A relay with a publisher of `cam`, whose hop is 55.
fn relay(version: Version) -> (Bench, PeerId, StreamId) {
    let mut bench = Bench::new(relay_config(100));
    let publisher = bench.client(version);
    let stream = announce(&mut bench, publisher, "cam");
    (bench, publisher, stream)
}

/// What that publisher says of a broadcast that comes from the hop 33.
fn far(suffix: &str, version: Version) -> Announce {
    let mut hops = Hops::new();
    hops.push(hop(33)).unwrap();
    if version.sender_appends_hop() {
        hops.push(hop(55)).unwrap();
    }
    let cost = if version.has_announce_ids() { Cost::ZERO } else { Cost::UNKNOWN };
    Announce::Start { suffix: path(suffix), hops, cost }
}

/// A peer that dials the node and says this SETUP.
fn client_with(bench: &mut Bench, version: Version, setup: &Setup) -> PeerId {
    let peer = bench.peer(SessionConfig::server(version, Carrier::Raw, ""));
    let stream = bench.open(peer, Dir::Uni);
    bench.finish(peer, stream, &typed(1, setup, version));
    peer
}

/// A peer that names its hop as its version has it, and the stream on which it is told what there is.
fn watching(bench: &mut Bench, version: Version, id: u64) -> (PeerId, StreamId) {
    let named = Some(hop(id)).filter(|hop| hop.is_known());
    let peer = if version.has_setup() {
        client_with(bench, version, &Setup { hop: named, ..Setup::default() })
    } else {
        bench.client(version)
    };
    (peer, ask_without(bench, peer, if version.has_setup() { 0 } else { id }))
}

/// Asks for everything that did not pass through a hop.
fn ask_without(bench: &mut Bench, peer: PeerId, id: u64) -> StreamId {
    let request = AnnounceRequest { prefix: Path::root(), exclude_hop: hop(id) };
    let bytes = typed(1, &request, bench[peer].version);
    bench.open_with(peer, Dir::Bi, &bytes)
}

/// What a peer knows to be there, after all that it was told on a stream.
fn told(bench: &Bench, peer: PeerId, stream: StreamId) -> Vec<String> {
    let version = bench[peer].version;
    let mut rest = &bench.sent(peer, stream).bytes[..];
    if version.has_announce_ok() {
        rest = &rest[AnnounceOk::take(rest, LIMIT, version).unwrap().unwrap().1..];
    }
    let (mut active, mut next) = (BTreeMap::new(), 0);
    while let Some((announce, used)) = Announce::take(rest, LIMIT, version).unwrap() {
        rest = &rest[used..];
        match announce {
            Announce::Start { suffix, .. } => {
                active.insert(next, suffix.as_str().to_owned());
                next += 1;
            }
            Announce::End { suffix } => active.retain(|_, known| known != suffix.as_str()),
            Announce::EndId { id } => _ = active.remove(&id),
            Announce::Update { .. } | Announce::Other { .. } => {}
        }
    }
    active.into_values().collect()
}

fn closed(bench: &Bench, peer: PeerId) -> Option<SessionCode> {
    bench[peer].closed.as_ref().map(|(code, _)| *code)
}

#[test]
fn a_request_waits_for_the_setup() {
    for version in WITH_SETUP {
        let mut bench = Bench::new(relay_config(100));
        let now = bench.now();
        let broadcast = bench.node.publish(now, &path("cam")).unwrap();
        let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.finish_group(now, group).unwrap();
        let viewer = bench.peer(SessionConfig::server(version, Carrier::Raw, ""));
        let stream = subscribe(&mut bench, viewer, 0, "cam", everything(version));
        let sent = bench.sent(viewer, stream);
        assert_eq!((&sent.bytes[..], sent.reset, sent.stopped), (&[][..], None, None), "{version}");
        assert_eq!(bench.groups(viewer).len(), 0, "{version}");
        bench.greet(viewer);
        let told = heard_responses(bench.sent(viewer, stream), version);
        assert_eq!(told, [SubscribeResponse::Start { group: 0 }], "{version}");
        assert_eq!(bench.groups(viewer).len(), 1, "{version}");
    }
}

#[test]
fn setup_is_said_once_and_not_passed_on() {
    for version in WITH_SETUP {
        let mut bench = Bench::new(relay_config(9));
        let full = Setup {
            probe: ProbeLevel::Increase,
            path: Some("/room?jwt=x".into()),
            role: SetupRole::Publisher,
            cost: Some(7),
            hop: Some(hop(55)),
        };
        let before = bench.client(version);
        let loud = client_with(&mut bench, version, &full);
        announce(&mut bench, loud, "cam");
        let after = bench.client(version);
        for viewer in [before, after] {
            let watched = ask_announcements(&mut bench, viewer, "");
            assert_eq!(told(&bench, viewer, watched), ["room/cam"], "{version}");
            subscribe(&mut bench, viewer, 0, "room/cam", SubscribeParams::default());
        }
        for peer in [before, loud, after] {
            let uni = bench[peer].opened.iter().filter(|stream| stream.0 & 2 != 0);
            let setups: Vec<_> = uni.map(|stream| bench.sent(peer, *stream)).collect();
            let [setup] = setups[..] else { panic!("{version}: {setups:?}") };
            assert_eq!(
                (&setup.bytes[..], setup.fin),
                (&b"\x01\x07\x02\x01\x01\x01\x05\x01\x09"[..], true)
            );
        }
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn a_path_is_not_said_where_a_uri_says_it() {
    for version in WITH_SETUP {
        let mut bench = Bench::new(relay_config(9));
        let config = SessionConfig::client(version, Carrier::WebTransport, "/room?jwt=x");
        let peer = bench.peer(config);
        let sent = bench.sent(peer, bench[peer].opened[0]);
        assert_eq!(sent.bytes, b"\x01\x07\x02\x01\x01\x01\x05\x01\x09", "{version}");
    }
}

#[test]
fn a_server_has_no_role() {
    for version in WITH_SETUP {
        for role in [SetupRole::Publisher, SetupRole::Subscriber, SetupRole::Both] {
            for (config, allowed) in [
                (SessionConfig::client(version, Carrier::Raw, ""), role == SetupRole::Both),
                (SessionConfig::server(version, Carrier::Raw, ""), true),
            ] {
                let mut bench = Bench::new(Config::default());
                let peer = bench.peer(config);
                let setup = Setup { role, ..Setup::default() };
                bench.open_with(peer, Dir::Uni, &typed(1, &setup, version));
                let (expected, code) = if allowed {
                    (vec![], None)
                } else {
                    let code = SessionCode::PROTOCOL_VIOLATION;
                    (vec![(None, Violation::UnexpectedRole)], Some(code))
                };
                assert_eq!(violations(&mut bench), expected, "{version} {role:?}");
                assert_eq!(closed(&bench, peer), code, "{version} {role:?}");
            }
        }
    }
}

#[test]
fn the_end_of_what_was_never_announced_is_ignored_up_to_05() {
    for version in [Version::Lite03, Version::Lite04, Version::Lite05] {
        let (mut bench, publisher, stream) = relay(version);
        let (viewer, watched) = watching(&mut bench, version, 0);
        for name in ["never", "cam", "cam"] {
            say(&mut bench, publisher, stream, &Announce::End { suffix: path(name) });
        }
        assert_eq!(told(&bench, viewer, watched), [""; 0], "{version}");
        say(&mut bench, publisher, stream, &start("cam", version));
        assert_eq!(told(&bench, viewer, watched), ["cam"], "{version}");
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn a_retired_announce_id_costs_the_session() {
    let version = Version::Lite06;
    let (end, cost) = (Announce::EndId { id: 0 }, Cost::ZERO);
    for again in [end.clone(), Announce::Update { id: 0, hops: Hops::new(), cost }] {
        let (mut bench, publisher, stream) = relay(version);
        say(&mut bench, publisher, stream, &end);
        assert_eq!(violations(&mut bench), []);
        say(&mut bench, publisher, stream, &again);
        assert_eq!(violations(&mut bench), [(None, Violation::UnknownAnnouncement)]);
        assert_eq!(closed(&bench, publisher), Some(SessionCode::PROTOCOL_VIOLATION));
    }
}

#[test]
fn an_announcement_before_announce_ok_costs_the_session() {
    for version in WITH_SETUP {
        let mut bench = Bench::new(relay_config(100));
        let peer = bench.client(version);
        let stream = bench.requests(peer, 1)[0];
        say(&mut bench, peer, stream, &start("cam", version));
        let [(None, Violation::Decode(_))] = violations(&mut bench)[..] else {
            panic!("{version}")
        };
        assert_eq!(closed(&bench, peer), Some(SessionCode::PROTOCOL_VIOLATION), "{version}");
        assert_eq!(bench.node.stats().routes, 0, "{version}");
    }
}

#[test]
fn broadcasts_go_with_the_stream_that_announced_them() {
    for version in Version::ALL {
        for orderly in [true, false] {
            let (mut bench, publisher, stream) = relay(version);
            say(&mut bench, publisher, stream, &start("mic", version));
            let other = bench.client(version);
            announce(&mut bench, other, "other");
            let (viewer, watched) = watching(&mut bench, version, 0);
            assert_eq!(told(&bench, viewer, watched).len(), 3, "{version}");
            if orderly {
                bench.finish(publisher, stream, &[]);
                assert!(bench.sent(publisher, stream).fin, "{version}: FIN answers FIN");
            } else {
                bench.reset(publisher, stream, StreamCode::CANCEL);
            }
            assert_eq!(told(&bench, viewer, watched), ["other"], "{version}");
            assert_eq!((bench.node.stats().routes, closed(&bench, publisher)), (1, None));
            assert_eq!(violations(&mut bench), [], "{version}");
        }
    }
}

#[test]
fn nobody_is_told_of_what_passed_through_it() {
    for version in [Version::Lite04, Version::Lite05, Version::Lite06] {
        let (mut bench, publisher, stream) = relay(version);
        say(&mut bench, publisher, stream, &far("far", version));
        for (id, expected) in [(55, &[][..]), (33, &["cam"]), (44, &["cam", "far"])] {
            let (peer, watched) = watching(&mut bench, version, id);
            assert_eq!(told(&bench, peer, watched), expected, "{version}: hop {id}");
            if version.has_exclude_hop() {
                let peer = bench.client(version);
                let watched = ask_without(&mut bench, peer, id);
                assert_eq!(told(&bench, peer, watched), expected, "{version}: without {id}");
            }
        }
        if version.has_exclude_hop() {
            // Each request leaves out what it says, whoever its peer is and whatever else it asks.
            let (peer, _) = watching(&mut bench, version, 44);
            let some = ask_without(&mut bench, peer, 33);
            let all = ask_without(&mut bench, peer, 44);
            say(&mut bench, publisher, stream, &far("late", version));
            assert_eq!(told(&bench, peer, some), ["cam"], "{version}");
            assert_eq!(told(&bench, peer, all), ["cam", "far", "late"], "{version}");
        }
        // Nor is it told on the session itself, whatever it calls itself.
        let watched = ask_without(&mut bench, publisher, 44);
        assert_eq!(told(&bench, publisher, watched), [""; 0], "{version}");
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn nobody_is_served_what_passed_through_it() {
    for version in Version::ALL {
        // Alone, and when somebody else has the subscription already.
        for shared in [false, true] {
            let (mut bench, publisher, _) = relay(version);
            let mut asking = vec![publisher];
            if version.has_hop_ids() {
                asking.push(watching(&mut bench, version, 55).0);
            }
            let (other, _) = watching(&mut bench, version, 44);
            if shared {
                subscribe(&mut bench, other, 0, "cam", everything(version));
            }
            let upstream = bench.requests(publisher, 2).len();
            for peer in asking {
                let stream = subscribe(&mut bench, peer, 7, "cam", everything(version));
                let code = Some(StreamCode::UNROUTABLE);
                assert_eq!(bench.sent(peer, stream).reset, code, "{version}, shared: {shared}");
            }
            assert_eq!(bench.requests(publisher, 2).len(), upstream, "{version}");
            let stream = subscribe(&mut bench, other, 8, "cam", everything(version));
            assert_eq!(bench.sent(other, stream).reset, None, "{version}: another one is");
            assert_eq!(violations(&mut bench), [], "{version}");
        }
    }
}

#[test]
fn nobody_is_served_what_came_from_it_by_another_way() {
    for version in [Version::Lite04, Version::Lite05, Version::Lite06] {
        for shared in [false, true] {
            // The publisher is a relay, 55, between us and the origin, 33.
            let mut bench = Bench::new(relay_config(100));
            let publisher = bench.client(version);
            let stream = announcing(&mut bench, publisher);
            say(&mut bench, publisher, stream, &far("cam", version));
            let (other, _) = watching(&mut bench, version, 44);
            if shared {
                subscribe(&mut bench, other, 0, "cam", everything(version));
            }
            let (peer, _) = watching(&mut bench, version, 33);
            let stream = subscribe(&mut bench, peer, 0, "cam", everything(version));
            let code = Some(StreamCode::UNROUTABLE);
            assert_eq!(bench.sent(peer, stream).reset, code, "{version}, shared: {shared}");
        }
    }
}

#[test]
fn subscribe_ok_comes_before_any_drop() {
    for version in [Version::Lite03, Version::Lite04] {
        let (mut bench, publisher, _) = relay(version);
        let viewer = bench.client(version);
        let served = subscribe(&mut bench, viewer, 0, "cam", everything(version));
        assert_eq!(bench.sent(viewer, served).bytes, [], "{version}: it is not known yet");
        let upstream = bench.requests(publisher, 2)[0];
        let ok = SubscribeResponse::Ok(SubscribeOk::default());
        let drop = SubscribeResponse::Drop { first: 0, last: 2, code: 3 };
        let mut both = bytes::BytesMut::new();
        ok.encode(&mut both, version);
        drop.encode(&mut both, version);
        bench.send(publisher, upstream, &both);
        let [SubscribeResponse::Ok(_), second] =
            &heard_responses(bench.sent(viewer, served), version)[..]
        else {
            panic!("{version}")
        };
        assert_eq!(*second, drop, "{version}");
        // Who comes when groups have gone already is told nothing but OK.
        let late = bench.client(version);
        let served = subscribe(&mut bench, late, 0, "cam", everything(version));
        let responses = heard_responses(bench.sent(late, served), version);
        assert!(matches!(responses[..], [SubscribeResponse::Ok(_)]), "{version}: {responses:?}");
    }
}

#[test]
fn start_comes_before_any_drop() {
    for version in WITH_SETUP {
        let (mut bench, publisher, _) = relay(version);
        let viewer = bench.client(version);
        let served = subscribe(&mut bench, viewer, 0, "cam", everything(version));
        answer_tracks(&mut bench, publisher);
        let upstream = bench.requests(publisher, 2)[0];
        let drop = SubscribeResponse::Drop { first: 0, last: 2, code: 3 };
        respond(&mut bench, publisher, upstream, &drop);
        assert_eq!(bench.sent(viewer, served).bytes, [], "{version}: no range, no hole in it");
        let start = SubscribeResponse::Start { group: 3 };
        respond(&mut bench, publisher, upstream, &start);
        send_group(&mut bench, publisher, 0, 3, b"x");
        assert_eq!(heard_responses(bench.sent(viewer, served), version), [start], "{version}");
    }
}

#[test]
fn drops_of_the_publisher_are_passed_on() {
    for version in Version::ALL {
        let (mut bench, publisher, _) = relay(version);
        let viewer = bench.client(version);
        let served = subscribe(&mut bench, viewer, 0, "cam", everything(version));
        accept(&mut bench, publisher, 0);
        send_group(&mut bench, publisher, 0, 0, b"x");
        let upstream = bench.requests(publisher, 2)[0];
        let drop = |first, last, code| SubscribeResponse::Drop { first, last, code };
        for dropped in [drop(1, 1, 49), drop(3, 5, 0), drop(0, 0, 2)] {
            respond(&mut bench, publisher, upstream, &dropped);
        }
        let responses = heard_responses(bench.sent(viewer, served), version);
        assert_eq!(responses[1..], [drop(1, 1, 49), drop(3, 5, 0)], "{version}: 0 has come");
        assert_eq!(violations(&mut bench), [], "{version}");
    }
}

#[test]
fn track_information_does_not_change() {
    for version in WITH_SETUP {
        let (mut bench, publisher, _) = relay(version);
        let askers = [(); 3].map(|()| bench.client(version));
        let first = ask_track(&mut bench, askers[0], "cam");
        let second = ask_track(&mut bench, askers[1], "cam");
        let [upstream] = bench.requests(publisher, 6)[..] else { panic!("{version}") };
        let info = TrackInfo { timescale: 90_000, max_age_ms: 1234, ..TrackInfo::default() };
        // As long as somebody listens, the first answer is the answer.
        subscribe(&mut bench, askers[2], 0, "cam", everything(version));
        bench.send(publisher, upstream, &message(&info, version));
        let changed = TrackInfo { timescale: 1, ..TrackInfo::default() };
        bench.finish(publisher, upstream, &message(&changed, version));
        let third = ask_track(&mut bench, askers[2], "cam");
        for (peer, stream) in askers.into_iter().zip([first, second, third]) {
            let sent = bench.sent(peer, stream);
            assert_eq!((&sent.bytes, sent.fin), (&message(&info, version), true), "{version}");
        }
        assert_eq!(bench.requests(publisher, 6).len(), 1, "{version}: it is asked for once");
    }
}

#[test]
fn an_age_that_javascript_cannot_count_is_told_as_the_largest_it_can() {
    for version in WITH_SETUP {
        let (mut bench, publisher, _) = relay(version);
        let asker = bench.client(version);
        let asked = ask_track(&mut bench, asker, "cam");
        let [upstream] = bench.requests(publisher, 6)[..] else { panic!("{version}") };
        let info = TrackInfo { max_age_ms: u64::MAX, ..TrackInfo::default() };
        bench.finish(publisher, upstream, &message(&info, version));
        let told = TrackInfo { max_age_ms: 9_007_199_254_740_991, ..info };
        assert_eq!(bench.sent(asker, asked).bytes, message(&told, version), "{version}");
    }
}

#[test]
fn a_prefix_without_a_grant_is_met_with_silence() {
    for version in Version::ALL {
        for (subscribe, expected) in [(false, &[][..]), (true, &["cam"])] {
            let mut bench = Bench::new(relay_config(100));
            let now = bench.now();
            bench.node.publish(now, &path("room/cam")).unwrap();
            bench.node.publish(now, &path("hall/cam")).unwrap();
            let config = SessionConfig {
                admission: Admission::Ask,
                ..SessionConfig::server(version, Carrier::Raw, "")
            };
            let peer = bench.peer(config);
            bench.greet(peer);
            assert!(matches!(bench.events()[..], [Event::Request { .. }]), "{version}");
            let early = ask_announcements(&mut bench, peer, "");
            assert_eq!(bench.sent(peer, early).bytes, [], "{version}: nobody has decided yet");
            let room = path("room");
            let grant = Grant { subscribe: subscribe.then(|| room.clone()), publish: Some(room) };
            bench.node.grant(now, bench[peer].session, grant).unwrap();
            bench.run();
            let late = ask_announcements(&mut bench, peer, "");
            bench.node.publish(now, &path("hall/mic")).unwrap();
            bench.run();
            for stream in [early, late] {
                assert_eq!(told(&bench, peer, stream), expected, "{version}");
                let sent = bench.sent(peer, stream);
                assert_eq!((sent.fin, sent.reset, sent.stopped), (false, None, None));
                if version.has_announce_ok() {
                    let (ok, _) = AnnounceOk::take(&sent.bytes, LIMIT, version).unwrap().unwrap();
                    assert_eq!((ok.hop, ok.active), (hop(100), expected.len() as u64));
                }
            }
            assert_eq!(violations(&mut bench), [], "{version}");
        }
    }
}

#[test]
fn a_group_that_an_inclusive_end_names_is_no_offence() {
    let version = Version::Lite05;
    let (mut bench, publisher, _) = relay(version);
    let viewer = bench.client(version);
    subscribe(&mut bench, viewer, 0, "cam", everything(version));
    accept(&mut bench, publisher, 0);
    send_group(&mut bench, publisher, 0, 0, b"x");
    let upstream = bench.requests(publisher, 2)[0];
    respond(&mut bench, publisher, upstream, &SubscribeResponse::End { group: 1 });
    let stream = bench.open_with(publisher, Dir::Uni, &group_header(0, 1, version));
    assert_eq!(bench.sent(publisher, stream).stopped, Some(StreamCode::CANCEL));
    assert_eq!(violations(&mut bench), []);
    let stream = bench.open_with(publisher, Dir::Uni, &group_header(0, 2, version));
    assert_eq!(violations(&mut bench), [(Some(stream), Violation::GroupAfterEnd(2))]);
}

#[test]
fn track_information_goes_with_its_connection() {
    for version in WITH_SETUP {
        let (mut bench, publisher, _) = relay(version);
        let viewer = bench.client(version);
        let (mut publishers, mut told) = (vec![publisher], Vec::new());
        for timescale in [90_000, 48_000] {
            let publisher = *publishers.last().unwrap();
            let asked = ask_track(&mut bench, viewer, "cam");
            let [upstream] = bench.requests(publisher, 6)[..] else { panic!("{version}") };
            let info = TrackInfo { timescale, ..TrackInfo::default() };
            subscribe(&mut bench, viewer, timescale, "cam", everything(version));
            bench.finish(publisher, upstream, &message(&info, version));
            told.push(bench.sent(viewer, asked).bytes == message(&info, version));
            bench.lose(publisher);
            publishers.push(bench.client(version));
            announce(&mut bench, publishers[publishers.len() - 1], "cam");
        }
        assert_eq!(told, [true, true], "{version}");
    }
}

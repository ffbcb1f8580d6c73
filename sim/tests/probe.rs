//! PROBE: who asks how fast a connection is, is told when that changes.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::{script::*, *};
use smoq_core::{
    Carrier, Dir, Estimate, Event, Id, Misuse, Probed, Session, SessionConfig, StreamId, Version,
    Violation,
    wire::{Goaway, Message, Probe, ProbeLevel, Setup, StreamCode},
};
use smoq_sim::{Bench, LinkConfig, PeerId, World};

const PROBE: u8 = 4;
const SAMPLE: Duration = Duration::from_millis(100);

fn fast(bitrate: u64, millis: u64) -> Estimate {
    let (bitrate, rtt) = (Some(bitrate), Some(Duration::from_millis(millis)));
    Estimate { bitrate, rtt, app_limited: false }
}

fn report(bitrate: u64, millis: u64, version: Version) -> Probe {
    let rtt_ms = Some(millis).filter(|_| version.has_probe_rtt());
    Probe { bitrate: Some(bitrate), rtt_ms }
}

fn encoded(report: Probe, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    report.encode(&mut bytes, version);
    bytes
}

/// A node, and a peer of it that probes.
fn probed(version: Version, estimate: Estimate) -> (Bench, PeerId, StreamId) {
    let mut bench = Bench::new(relay_config(100));
    let peer = bench.client(version);
    bench.grant(peer, |peer| peer.estimate = estimate);
    let stream = bench.open_with(peer, Dir::Bi, &[PROBE]);
    (bench, peer, stream)
}

/// What the node has said on a stream.
fn reports(bench: &Bench, peer: PeerId, stream: StreamId) -> Vec<Probe> {
    let mut bytes = &bench.sent(peer, stream).bytes[..];
    let mut reports = Vec::new();
    while let Some((report, used)) = Probe::take(bytes, 100, bench[peer].version).unwrap() {
        reports.push(report);
        bytes = &bytes[used..];
    }
    assert!(bytes.is_empty());
    reports
}

#[track_caller]
fn assert_ended(bench: &Bench, peer: PeerId, stream: StreamId) {
    let sent = bench.sent(peer, stream);
    assert_eq!((sent.fin, sent.reset), (true, None));
}

#[test]
fn who_asks_is_told_at_once_and_when_it_changes() {
    for version in Version::ALL {
        let (mut bench, peer, stream) = probed(version, fast(1_000_000, 40));
        let mut expected = vec![report(1_000_000, 40, version)];
        assert_eq!(reports(&bench, peer, stream), expected, "{version}");
        let step = |bench: &mut Bench, estimate, after: Duration| {
            bench.grant(peer, |peer| peer.estimate = estimate);
            bench.pass(after);
            reports(bench, peer, stream)
        };
        // A quarter at once, a tenth in a while, the same again at last.
        expected.push(report(1_250_000, 40, version));
        assert_eq!(step(&mut bench, fast(1_250_000, 40), SAMPLE), expected, "{version}");
        let tenth = fast(1_375_000, 40);
        assert_eq!(step(&mut bench, tenth, SAMPLE * 50), expected, "{version}");
        expected.push(report(1_375_000, 40, version));
        assert_eq!(step(&mut bench, tenth, SAMPLE * 11), expected, "{version}");
        assert_eq!(step(&mut bench, tenth, SAMPLE * 98), expected, "{version}");
        expected.push(report(1_375_000, 40, version));
        assert_eq!(step(&mut bench, tenth, SAMPLE * 2), expected, "{version}");
        // A round trip that jumps, where there is one.
        if version.has_probe_rtt() {
            expected.push(report(1_375_000, 50, version));
        }
        assert_eq!(step(&mut bench, fast(1_375_000, 50), SAMPLE), expected, "{version}");
        // Less because there is less to send is no less.
        let idle = Estimate { app_limited: true, ..fast(10, 50) };
        assert_eq!(step(&mut bench, idle, SAMPLE * 80), expected, "{version}");
        // What is gone is said once.
        expected.push(Probe::default());
        assert_eq!(step(&mut bench, Estimate::default(), SAMPLE * 500), expected, "{version}");
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn who_hears_enough_is_told_no_more_and_nothing_is_measured() {
    for version in Version::ALL {
        for end in [Bench::finish_probe, Bench::reset_probe, Bench::stop_probe, Bench::lose_probe] {
            let (mut bench, peer, stream) = probed(version, fast(1000, 1));
            let timer = bench.node.poll_timeout();
            assert_eq!(timer, Some(bench.now().after(SAMPLE)), "{version}");
            end(&mut bench, peer, stream);
            bench.pass(SAMPLE);
            // A client has opened streams, so limits are looked at for a second.
            bench.pass(SAMPLE * 30);
            assert_eq!(bench.node.poll_timeout(), None, "{version}");
            assert_eq!(reports(&bench, peer, stream).len(), 1, "{version}");
            assert_eq!(bench.node.stats().violations, 0, "{version}");
        }
        let (mut bench, peer, stream) = probed(version, fast(1000, 1));
        bench.finish(peer, stream, &[]);
        assert_ended(&bench, peer, stream);
    }
}

trait Ends {
    fn finish_probe(&mut self, peer: PeerId, stream: StreamId);
    fn reset_probe(&mut self, peer: PeerId, stream: StreamId);
    fn stop_probe(&mut self, peer: PeerId, stream: StreamId);
    fn lose_probe(&mut self, peer: PeerId, stream: StreamId);
}

impl Ends for Bench {
    fn finish_probe(&mut self, peer: PeerId, stream: StreamId) {
        self.finish(peer, stream, &[]);
    }

    fn reset_probe(&mut self, peer: PeerId, stream: StreamId) {
        self.reset(peer, stream, StreamCode::CANCEL);
        assert_eq!(self.sent(peer, stream).reset, Some(StreamCode::CANCEL));
    }

    fn stop_probe(&mut self, peer: PeerId, stream: StreamId) {
        self.stop(peer, stream, StreamCode::CANCEL);
        assert_eq!(self.sent(peer, stream).stopped, Some(StreamCode::CANCEL));
    }

    fn lose_probe(&mut self, peer: PeerId, _: StreamId) {
        self.lose(peer);
    }
}

#[test]
fn a_stream_without_room_gets_the_latest_and_nothing_else() {
    for version in Version::ALL {
        let mut bench = Bench::new(relay_config(100));
        let peer = bench.client(version);
        bench.grant(peer, |peer| (peer.estimate, peer.room) = (fast(1000, 40), 0));
        let stream = bench.open_with(peer, Dir::Bi, &[PROBE]);
        for bitrate in [2000, 4000, 8000] {
            bench.grant(peer, |peer| peer.estimate = fast(bitrate, 40));
            bench.pass(SAMPLE);
        }
        bench.grant(peer, |peer| peer.room = usize::MAX);
        bench.pass(SAMPLE);
        assert_eq!(reports(&bench, peer, stream), [report(8000, 40, version)], "{version}");
    }
}

#[test]
fn a_peer_has_one_stream_for_it() {
    for version in Version::ALL {
        let (mut bench, peer, first) = probed(version, fast(1000, 1));
        let second = bench.open_with(peer, Dir::Bi, &[PROBE]);
        assert_eq!(bench.sent(peer, first).reset, Some(StreamCode::CANCEL), "{version}");
        bench.grant(peer, |peer| peer.estimate = fast(2000, 1));
        bench.pass(SAMPLE);
        assert_eq!(reports(&bench, peer, second).len(), 2, "{version}");
        assert_eq!(reports(&bench, peer, first).len(), 1, "{version}");
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn targets_are_read_and_change_nothing() {
    for version in Version::ALL {
        let (mut bench, peer, stream) = probed(version, fast(1000, 1));
        let target = encoded(report(1_000_000, 0, version), version);
        for byte in target.iter().chain(&target) {
            bench.send(peer, stream, &[*byte]);
        }
        bench.pass(SAMPLE * 2);
        assert_eq!(reports(&bench, peer, stream).len(), 1, "{version}");
        bench.finish(peer, stream, &target);
        assert_ended(&bench, peer, stream);

        for bytes in [&[9, 0][..], &[1, 0, 0xff]] {
            let bad = bench.open_with(peer, Dir::Bi, &[PROBE]);
            bench.finish(peer, bad, bytes);
            assert!(bench.sent(peer, bad).reset.is_some(), "{version}: {bytes:?}");
        }
        assert_eq!(bench.node.stats().violations, 2, "{version}");
    }
}

#[test]
fn a_transport_without_an_idea_refuses() {
    for version in Version::ALL {
        let (mut bench, peer, stream) = probed(version, Estimate::default());
        let sent = bench.sent(peer, stream);
        let heard = (&sent.bytes[..], sent.reset, sent.stopped);
        assert_eq!(heard, (&[][..], Some(StreamCode::CANCEL), Some(StreamCode::CANCEL)));
        bench.pass(SAMPLE * 30);
        assert_eq!((bench.node.poll_timeout(), bench.node.stats().violations), (None, 0));
    }
}

/// A node that has dialed a peer which says this of itself, and probes it.
fn probing(version: Version, level: ProbeLevel) -> (Bench, PeerId, Id<Session>) {
    let mut bench = Bench::new(relay_config(100));
    let peer = bench.peer(SessionConfig::client(version, Carrier::Raw, ""));
    let session = bench[peer].session;
    let now = bench.now();
    bench.node.probe(now, session).unwrap();
    if version.has_setup() {
        bench.run();
        assert_eq!(bench.requests(peer, PROBE), [], "{version}: it has not said that it can");
        let stream = bench.open(peer, Dir::Uni);
        let setup = Setup { probe: level, ..Setup::default() };
        bench.finish(peer, stream, &typed(1, &setup, version));
    }
    bench.run();
    (bench, peer, session)
}

fn probed_events(bench: &mut Bench) -> usize {
    bench.events().iter().filter(|event| matches!(event, Event::Probed { .. })).count()
}

#[test]
fn reports_of_a_peer_are_read_the_latest_once() {
    for version in Version::ALL {
        for level in [ProbeLevel::Report, ProbeLevel::Increase] {
            let (mut bench, peer, session) = probing(version, level);
            let [stream] = bench.requests(peer, PROBE)[..] else { panic!("{version}") };
            let sent = bench.sent(peer, stream);
            assert_eq!((&sent.bytes[..], sent.fin), (&[PROBE][..], false), "{version}: no target");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Pending), "{version}");
            let latest = report(3000, 7, version);
            let mut bytes = encoded(report(1000, 5, version), version);
            bytes.extend_from_slice(&encoded(latest, version));
            for byte in &bytes {
                bench.send(peer, stream, &[*byte]);
            }
            assert_eq!(probed_events(&mut bench), 1, "{version}");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Report(latest)), "{version}");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Pending), "{version}");
            let gone = Probe::default();
            bench.finish(peer, stream, &encoded(gone, version));
            assert_eq!(probed_events(&mut bench), 1, "{version}");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Report(gone)), "{version}");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Ended), "{version}");
            assert_ended(&bench, peer, stream);

            // It may be asked again.
            let now = bench.now();
            bench.node.probe(now, session).unwrap();
            bench.run();
            assert_eq!(bench.requests(peer, PROBE).len(), 2, "{version}");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Pending), "{version}");
        }
    }
}

#[test]
fn a_peer_that_cannot_tell_is_not_asked_or_refuses() {
    for version in Version::ALL {
        let (mut bench, peer, session) = probing(version, ProbeLevel::None);
        if let [stream] = bench.requests(peer, PROBE)[..] {
            assert!(!version.has_setup(), "{version}: its SETUP said so");
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Pending), "{version}");
            bench.reset(peer, stream, StreamCode::CANCEL);
        }
        assert_eq!(probed_events(&mut bench), 1, "{version}");
        assert_eq!(bench.node.poll_probe(session), Ok(Probed::Ended), "{version}");
        assert_eq!(bench.node.stats().violations, 0, "{version}");
    }
}

#[test]
fn a_bad_report_ends_it() {
    for version in Version::ALL {
        let (mut bench, peer, session) = probing(version, ProbeLevel::Report);
        let stream = bench.requests(peer, PROBE)[0];
        bench.send(peer, stream, &[9]);
        bench.finish(peer, stream, &[0]);
        assert_eq!(violations(&mut bench), [(Some(stream), Violation::Truncated)], "{version}");
        assert_eq!(bench.node.poll_probe(session), Ok(Probed::Ended), "{version}");
    }
}

#[test]
fn who_has_heard_enough_says_so() {
    for version in Version::ALL {
        let (mut bench, peer, session) = probing(version, ProbeLevel::Report);
        let stream = bench.requests(peer, PROBE)[0];
        let now = bench.now();
        // Asked twice is asked once.
        bench.node.probe(now, session).unwrap();
        bench.node.unprobe(now, session).unwrap();
        bench.run();
        let sent = bench.sent(peer, stream);
        assert_eq!((sent.fin, sent.stopped), (true, Some(StreamCode::CANCEL)), "{version}");
        bench.send(peer, stream, &encoded(report(1, 1, version), version));
        assert_eq!(probed_events(&mut bench), 0, "{version}");
        assert_eq!(bench.node.poll_probe(session), Err(Misuse::Stale), "{version}");
        assert_eq!(bench.node.unprobe(now, session), Err(Misuse::Stale), "{version}");

        // Before there is a stream for it, it is as if nothing had been.
        bench.grant(peer, |peer| peer.credit[0] = 0);
        bench.node.probe(now, session).unwrap();
        bench.run();
        bench.node.unprobe(now, session).unwrap();
        bench.grant(peer, |peer| peer.credit[0] = 9);
        assert_eq!(bench.requests(peer, PROBE), [stream], "{version}");
        bench.lose(peer);
        assert_eq!(bench.node.probe(now, session), Err(Misuse::Stale), "{version}");
    }
}

#[test]
fn a_peer_that_is_about_to_go_is_asked_nothing_new() {
    for version in Version::ALL.into_iter().filter(|version| *version != Version::Lite03) {
        for waiting in [false, true] {
            let (mut bench, peer, session) = probing(version, ProbeLevel::Report);
            let [stream] = bench.requests(peer, PROBE)[..] else { panic!("{version}") };
            let now = bench.now();
            if waiting {
                bench.grant(peer, |peer| peer.credit[0] = 0);
                bench.node.unprobe(now, session).unwrap();
                bench.node.probe(now, session).unwrap();
            }
            let goaway = typed(5, &Goaway { uri: String::new() }, version);
            let told = bench.open(peer, Dir::Bi);
            bench.finish(peer, told, &goaway);
            if !waiting {
                // What runs goes on.
                let latest = report(3000, 7, version);
                bench.send(peer, stream, &encoded(latest, version));
                assert_eq!(bench.node.poll_probe(session), Ok(Probed::Report(latest)));
                bench.node.unprobe(now, session).unwrap();
                bench.node.probe(now, session).unwrap();
            }
            bench.grant(peer, |peer| peer.credit[0] = 9);
            assert_eq!(bench.node.poll_probe(session), Ok(Probed::Ended), "{version}");
            assert_eq!(bench.requests(peer, PROBE), [stream], "{version}");
        }
    }
}

#[test]
fn who_goes_before_it_has_said_what_it_can_is_not_waited_for() {
    for version in Version::ALL.into_iter().filter(|version| version.has_setup()) {
        let mut bench = Bench::new(relay_config(100));
        let peer = bench.peer(SessionConfig::client(version, Carrier::Raw, ""));
        let (now, session) = (bench.now(), bench[peer].session);
        bench.node.probe(now, session).unwrap();
        let told = bench.open(peer, Dir::Bi);
        bench.finish(peer, told, &typed(5, &Goaway { uri: String::new() }, version));
        assert_eq!(bench.node.poll_probe(session), Ok(Probed::Ended), "{version}");
    }
}

#[test]
fn setup_says_what_is_true() {
    for version in Version::ALL.into_iter().filter(|version| version.has_setup()) {
        for (carrier, level) in [
            (Carrier::Raw, ProbeLevel::Report),
            (Carrier::WebTransport, ProbeLevel::Report),
            (Carrier::Link, ProbeLevel::None),
        ] {
            let mut bench = Bench::new(relay_config(100));
            let peer = bench.peer(SessionConfig::client(version, carrier, ""));
            let sent = &bench.sent(peer, bench[peer].opened[0]).bytes;
            let setup = Setup::take(&sent[1..], 100, version).unwrap().unwrap().0;
            assert_eq!(setup.probe, level, "{version} over {carrier}");
        }
    }
}

#[test]
fn two_nodes_tell_each_other() {
    for version in Version::ALL {
        let mut world = World::recorded(1);
        let [client, server] = [(); 2].map(|()| world.node(relay_config(100)));
        let link = LinkConfig {
            latency: Duration::from_millis(20),
            window: 50_000,
            partial: 0,
            ..LinkConfig::default()
        };
        let configs = [
            SessionConfig::client(version, Carrier::Raw, ""),
            SessionConfig::server(version, Carrier::Raw, ""),
        ];
        let connection = world.connect_with(client, server, configs, link);
        for (node, session) in [(client, connection.client), (server, connection.server)] {
            let now = world.now();
            world[node].probe(now, session).unwrap();
        }
        world.run_for(Duration::from_secs(1));
        for (node, session) in [(client, connection.client), (server, connection.server)] {
            let expected = Probed::Report(report(10_000_000, 40, version));
            assert_eq!(world[node].poll_probe(session), Ok(expected), "{version}");
        }
        // An idle connection is told of once in ten seconds.
        world.run_for(Duration::from_millis(8900));
        assert_eq!(world[client].poll_probe(connection.client), Ok(Probed::Pending), "{version}");
        world.run_for(Duration::from_millis(300));
        let again = world[client].poll_probe(connection.client);
        assert!(matches!(again, Ok(Probed::Report(_))), "{version}: {again:?}");
        for (node, session) in [(client, connection.client), (server, connection.server)] {
            let now = world.now();
            world[node].unprobe(now, session).unwrap();
        }
        world.run_until_idle();
    }
}

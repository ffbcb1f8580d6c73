//! Dialing: which address wins, and what is told when none does.

use std::{
    net::{SocketAddr, SocketAddrV6},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rustls::RootCertStore;
use smoq_core::{Version, wire::SessionCode};

use super::support::{CLIENT, Identity, SERVER, World, target, v4};
use crate::{
    CertificateProblem, ConnectError, Endpoint, EndpointConfig, Event, ServerConfig, Target,
    TlsError, Trust,
};

const DEAD: SocketAddr = v4(99);

fn localhost() -> Identity {
    Identity::new(&["localhost"])
}

fn fails(identity: &Identity, target: Target, trust: Trust) -> ConnectError {
    let mut world = World::pair(identity);
    let id = world.connect(target, trust);
    let error = world.outcome(id).unwrap_err();
    world.idle(Duration::from_secs(30));
    for host in world.hosts.values() {
        assert!(host.endpoint.is_idle());
        assert_eq!(host.endpoint.draining(), 0);
    }
    error
}

fn problem(error: ConnectError) -> CertificateProblem {
    match error {
        ConnectError::Certificate { problem, .. } => problem,
        error => panic!("{error}"),
    }
}

fn roots(identity: &Identity) -> Trust {
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    Trust::Roots(roots)
}

#[test]
fn every_version_can_be_agreed_and_the_server_prefers_the_newest() {
    let identity = localhost();
    for version in Version::ALL {
        let mut world = World::pair(&identity);
        let target = Target { versions: vec![version], ..target(&[SERVER]) };
        let id = world.connect(target, Trust::Insecure);
        assert_eq!(world.outcome(id).unwrap().version, version);
    }
    let mut world = World::pair(&identity);
    let versions = vec![Version::Lite03, Version::Lite05];
    let id = world.connect(Target { versions, ..target(&[SERVER]) }, Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap().version, Version::Lite05);
}

#[test]
fn a_session_takes_one_round_trip_and_a_server_speaks_within_it() {
    let mut world = World::pair(&localhost());
    let connected = world.connected();
    assert_eq!(connected.remote, SERVER);
    assert_eq!(world.elapsed(), 2 * world.link.latency);
    assert!(world.host(SERVER).events.is_empty(), "nothing is proved yet");
    world.idle(world.link.latency);
    let Event::Connected { connect, remote, server_name, .. } = &world.host(SERVER).events[0]
    else {
        panic!("the session comes first");
    };
    assert_eq!((*connect, *remote, server_name.as_deref()), (None, CLIENT, Some("localhost")));
    // The server's SETUP is in its first flight: the client has it together with the handshake.
    let ready = world.host(CLIENT).events.iter();
    assert_eq!(
        ready.filter(|event| matches!(event, Event::Core(smoq_core::Event::Ready { .. }))).count(),
        1
    );
}

#[test]
fn a_silent_address_costs_the_delay() {
    let mut world = World::pair(&localhost());
    let id = world.connect(target(&[DEAD, SERVER]), Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap().remote, SERVER);
    assert_eq!(world.elapsed(), Duration::from_millis(250) + 2 * world.link.latency);
    world.idle(Duration::from_secs(20));
    let packets = world.trace.iter().filter(|(.., to, _)| *to == DEAD).count();
    assert_eq!(packets, 2, "a hello and a close");
}

#[test]
fn a_closed_port_costs_its_round_trip() {
    let mut world = World::pair(&localhost());
    world.closed.insert(DEAD);
    let id = world.connect(target(&[DEAD, SERVER]), Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap().remote, SERVER);
    assert_eq!(world.elapsed(), 4 * world.link.latency);
}

#[test]
fn an_address_that_cannot_be_costs_nothing() {
    let mut world = World::pair(&localhost());
    let nowhere = SocketAddr::new(SERVER.ip(), 0);
    let id = world.connect(target(&[nowhere, SERVER]), Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap().remote, SERVER);
    assert_eq!(world.elapsed(), 2 * world.link.latency);
}

#[test]
fn the_first_handshake_wins_and_the_other_server_is_told() {
    let identity = localhost();
    let mut world = World::pair(&identity);
    world.add_server(v4(3), &identity);
    // Both answers are under way before the first of them arrives.
    world.link.latency = Duration::from_millis(200);
    let id = world.connect(target(&[SERVER, v4(3)]), Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap().remote, SERVER);
    world.idle(Duration::from_secs(3));
    assert_eq!(
        world
            .host(CLIENT)
            .events
            .iter()
            .filter(|event| matches!(event, Event::Connected { .. }))
            .count(),
        1
    );
    assert!(world.host(v4(3)).events.is_empty(), "its handshake was not done");
    assert!(world.host(v4(3)).endpoint.is_idle());
}

#[test]
fn both_families_take_turns() {
    let mut world = World::new();
    world.add(CLIENT, EndpointConfig::default());
    let six: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
    let six2: SocketAddr = "[2001:db8::2]:443".parse().unwrap();
    let id = world.connect(target(&[v4(50), v4(51), six, six2]), Trust::Insecure);
    world.outcome(id).unwrap_err();
    let mut order: Vec<SocketAddr> = Vec::new();
    for (.., to, _) in &world.trace {
        if !order.contains(to) {
            order.push(*to);
        }
    }
    assert_eq!(order, [six, v4(50), six2, v4(51)]);
}

#[test]
fn silence_ends_after_the_limit() {
    let mut world = World::pair(&localhost());
    let id = world.connect(target(&[DEAD, v4(98)]), Trust::Insecure);
    let error = world.outcome(id).unwrap_err();
    let after = Duration::from_secs(5);
    assert_eq!(error, ConnectError::Timeout { remote: v4(98), after });
    assert_eq!(world.elapsed(), after);
    assert!(world.host(CLIENT).endpoint.is_idle());
}

#[test]
fn a_report_about_a_scoped_address_is_understood() {
    let mut world = World::new();
    world.add(CLIENT, EndpointConfig::default());
    let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0, 7));
    let id = world.connect(target(&[scoped]), Trust::Insecure);
    let now = world.now;
    let reported = SocketAddr::new(scoped.ip(), 443);
    world.host(CLIENT).endpoint.handle_unreachable(now, reported);
    assert_eq!(world.outcome(id).unwrap_err(), ConnectError::Unreachable(reported));
}

#[test]
fn the_most_telling_failure_is_reported() {
    let mut world = World::pair(&localhost());
    world.closed.insert(DEAD);
    let id = world.connect(target(&[DEAD, v4(98)]), Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap_err(), ConnectError::Unreachable(DEAD));
}

#[test]
fn unreachable_is_believed_only_before_the_first_answer() {
    let mut world = World::pair(&localhost());
    let id = world.connect(target(&[SERVER]), Trust::Insecure);
    world.run(Duration::from_secs(1), answered).unwrap();
    world.idle(world.link.latency);
    let now = world.now;
    world.host(CLIENT).endpoint.handle_unreachable(now, SERVER);
    let connected = world.outcome(id).unwrap();
    assert_eq!(world.host(CLIENT).endpoint.remote_address(connected.session), Some(SERVER));
}

#[test]
fn a_target_that_cannot_work_is_refused_at_once() {
    let mut world = World::pair(&localhost());
    let now = world.now;
    let tls = super::support::client_tls(Trust::Insecure);
    let endpoint = &mut world.host(CLIENT).endpoint;
    let mut try_it = |target| Endpoint::connect(endpoint, now, target, &tls).unwrap_err();
    assert_eq!(try_it(target(&[])), ConnectError::NoAddress("localhost".into()));
    let host = "what a name".to_owned();
    let wrong = Target { host: host.clone(), ..target(&[SERVER]) };
    assert_eq!(try_it(wrong), ConnectError::InvalidHost(host));
    let none = Target { versions: Vec::new(), ..target(&[SERVER]) };
    assert_eq!(try_it(none), ConnectError::NoVersions);
}

#[test]
fn dialing_can_be_cancelled() {
    let mut world = World::pair(&localhost());
    let id = world.connect(target(&[DEAD]), Trust::Insecure);
    world.step();
    let now = world.now;
    world.host(CLIENT).endpoint.cancel(now, id);
    world.idle(Duration::from_secs(10));
    assert!(world.host(CLIENT).events.is_empty());
    assert!(world.host(CLIENT).endpoint.is_idle());
    assert_eq!(world.host(CLIENT).endpoint.poll_timeout(), None);
}

#[test]
fn a_server_without_a_common_version_says_so() {
    let identity = localhost();
    let mut world = World::pair(&identity);
    let versions = vec![Version::Lite03];
    let server = Some(ServerConfig { versions, ..ServerConfig::new(identity.server_tls()) });
    world.add(SERVER, EndpointConfig { server, ..EndpointConfig::default() });
    let versions = vec![Version::Lite06];
    let id = world.connect(Target { versions, ..target(&[SERVER]) }, Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap_err(), ConnectError::NoCommonVersion);
    assert!(world.host(SERVER).events.is_empty());
}

#[test]
fn roots_decide_who_is_believed() {
    let identity = localhost();
    let mut world = World::pair(&identity);
    let id = world.connect(target(&[SERVER]), roots(&identity));
    world.outcome(id).unwrap();

    let error = fails(&identity, target(&[SERVER]), roots(&localhost()));
    assert_eq!(problem(error), CertificateProblem::UnknownIssuer);
    let elsewhere = Target { host: "example.com".into(), ..target(&[SERVER]) };
    assert_eq!(problem(fails(&identity, elsewhere, roots(&identity))), CertificateProblem::Name);
    let old = Identity::valid_until(&["localhost"], 2001);
    assert_eq!(problem(fails(&old, target(&[SERVER]), roots(&old))), CertificateProblem::Expired);
}

#[test]
fn a_pinned_certificate_is_believed_whatever_its_name_and_no_other_is() {
    let identity = Identity::new(&["somewhere.example"]);
    let pins = || Trust::Fingerprints(vec![[0; 32], identity.fingerprint()]);
    let mut world = World::pair(&identity);
    let id = world.connect(target(&[SERVER]), pins());
    world.outcome(id).unwrap();

    let error = fails(&localhost(), target(&[SERVER]), pins());
    assert_eq!(problem(error), CertificateProblem::Fingerprint);
    let old = Identity::valid_until(&["localhost"], 2001);
    let pinned = Trust::Fingerprints(vec![old.fingerprint()]);
    assert_eq!(problem(fails(&old, target(&[SERVER]), pinned)), CertificateProblem::Expired);
}

#[test]
fn trusting_nobody_is_a_mistake() {
    let none = crate::ClientTls::new(Trust::Roots(RootCertStore::empty()));
    assert_eq!(none.unwrap_err(), TlsError::NoRoots);
    let none = crate::ClientTls::new(Trust::Fingerprints(Vec::new()));
    assert_eq!(none.unwrap_err(), TlsError::NoFingerprints);
}

#[test]
fn a_full_server_is_silent_and_a_busy_one_asks_for_proof() {
    let identity = localhost();
    let limited = |max_handshakes| {
        let mut world = World::pair(&identity);
        let server =
            Some(ServerConfig { max_handshakes, ..ServerConfig::new(identity.server_tls()) });
        world.add(SERVER, EndpointConfig { server, ..EndpointConfig::default() });
        world
    };
    let mut full = limited(0);
    let id = full.connect(target(&[SERVER]), Trust::Insecure);
    assert!(matches!(full.outcome(id).unwrap_err(), ConnectError::Timeout { .. }));
    assert!(full.trace.iter().all(|(_, from, ..)| *from == CLIENT));

    let mut busy = limited(2);
    let first = busy.connect(target(&[SERVER]), Trust::Insecure);
    let second = busy.connect(target(&[SERVER]), Trust::Insecure);
    busy.outcome(first).unwrap();
    assert_eq!(busy.elapsed(), 2 * busy.link.latency);
    busy.outcome(second).unwrap();
    assert_eq!(busy.elapsed(), 4 * busy.link.latency, "a Retry costs a round trip");
    for _ in 0..3 {
        let one_by_one = busy.connect(target(&[SERVER]), Trust::Insecure);
        busy.outcome(one_by_one).unwrap();
    }
}

#[test]
fn a_server_has_so_many_connections_and_no_more() {
    let identity = localhost();
    let mut world = World::pair(&identity);
    let server = ServerConfig { max_connections: 2, ..ServerConfig::new(identity.server_tls()) };
    world.add(SERVER, EndpointConfig { server: Some(server), ..EndpointConfig::default() });
    for _ in 0..2 {
        let welcome = world.connect(target(&[SERVER]), Trust::Insecure);
        world.outcome(welcome).unwrap();
    }
    let late = world.connect(target(&[SERVER]), Trust::Insecure);
    assert_eq!(world.outcome(late).unwrap_err(), ConnectError::Refused);
}

/// Datagrams from a stranger in an unknown version, which are answered with those that we know.
fn flood(now: Instant, endpoint: &mut Endpoint, count: usize) {
    let mut hello = BytesMut::zeroed(1200);
    hello[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
    hello[14] = 8;
    for _ in 0..count {
        endpoint.handle_datagram(now, DEAD, None, 0, hello.clone());
    }
}

#[test]
fn strangers_cannot_delay_a_shutdown() {
    let mut world = World::pair(&localhost());
    world.connected();
    world.idle(Duration::from_millis(100));
    let now = world.now;
    let endpoint = &mut world.host(SERVER).endpoint;
    let mut buf = Vec::new();
    flood(now, endpoint, 1000);
    let transmit = endpoint.poll_transmit(now, 1, &mut buf);
    assert_eq!(transmit.map(|transmit| transmit.remote), Some(DEAD));
    endpoint.close_all(now, SessionCode::NO_ERROR, "");
    flood(now, endpoint, 1000);
    let sent = std::iter::from_fn(|| endpoint.poll_transmit(now, 1, &mut buf));
    assert_eq!(sent.map(|transmit| transmit.remote).collect::<Vec<_>>(), [CLIENT]);
    assert!(endpoint.is_idle());
}

#[test]
fn strangers_and_sessions_take_turns() {
    let mut world = World::pair(&localhost());
    world.connected();
    world.idle(Duration::from_millis(100));
    let now = world.now;
    let host = world.host(SERVER);
    let Event::Connected { session, .. } = host.events[0] else {
        panic!("the session comes first")
    };
    flood(now, &mut host.endpoint, 10);
    let time = host.endpoint.time(now);
    host.endpoint.node_mut().close(time, session, SessionCode::NO_ERROR, "").unwrap();
    let mut buf = Vec::new();
    let sent = std::iter::from_fn(|| host.endpoint.poll_transmit(now, 1, &mut buf));
    let sent: Vec<_> = sent.map(|transmit| transmit.remote).collect();
    assert_eq!((sent.len(), sent[1]), (11, CLIENT));
}

/// The server has sent something.
fn answered(world: &mut World) -> Option<()> {
    world.trace.iter().any(|(_, from, ..)| *from == SERVER).then_some(())
}

#[test]
fn nothing_is_told_of_a_client_that_goes_silent_in_its_handshake() {
    for version in Version::ALL {
        let mut world = World::pair(&localhost());
        world.connect(Target { versions: vec![version], ..target(&[SERVER]) }, Trust::Insecure);
        world.run(Duration::from_secs(1), answered).unwrap();
        world.hosts.remove(&CLIENT);
        let idle = |world: &mut World| world.host(SERVER).endpoint.is_idle().then_some(());
        world.run(Duration::from_secs(6), idle).expect("it is forgotten");
        assert!(world.host(SERVER).events.is_empty(), "{:?}", world.host(SERVER).events);
    }
}

#[test]
fn a_server_hears_of_a_session_before_what_it_does() {
    for version in Version::ALL {
        let mut world = World::pair(&localhost());
        world.connect(Target { versions: vec![version], ..target(&[SERVER]) }, Trust::Insecure);
        world.idle(Duration::from_millis(200));
        let events = &world.host(SERVER).events;
        assert!(matches!(events[0], Event::Connected { .. }), "{events:?}");
        assert!(matches!(events[1], Event::Core(smoq_core::Event::Ready { .. })), "{events:?}");
    }
}

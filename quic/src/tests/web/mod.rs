//! WebTransport: how sessions come and go.

mod hostile;

use std::{net::SocketAddr, time::Duration};

use smoq_core::{Admission, Carrier, ClosedBy, Event as Core, Version, wire::SessionCode};

use super::support::{CARRIERS, CLIENT, Identity, SERVER, World, closes, target};
use crate::{
    ConnectError, Endpoint, EndpointConfig, Event, ServerConfig, Target, Trust,
    connection::PATIENCE,
};

fn web() -> Target {
    Target { carrier: Carrier::WebTransport, ..target(&[SERVER]) }
}

fn identity() -> Identity {
    Identity::new(&["localhost"])
}

/// A world whose server accepts connections in its own way.
fn world(change: impl FnOnce(&mut ServerConfig)) -> World {
    let mut world = World::new();
    world.add(CLIENT, EndpointConfig::default());
    let mut server = ServerConfig::new(identity().server_tls());
    change(&mut server);
    world.add(SERVER, EndpointConfig { server: Some(server), ..EndpointConfig::default() });
    world
}

fn fails(mut world: World, target: Target) -> ConnectError {
    let id = world.connect(target, Trust::Insecure);
    let error = world.outcome(id).unwrap_err();
    world.idle(Duration::from_secs(30));
    for host in world.hosts.values() {
        assert!(host.endpoint.is_idle());
        assert_eq!(host.endpoint.draining(), 0);
    }
    assert!(world.host(SERVER).events.is_empty());
    error
}

#[test]
fn the_client_s_preference_decides() {
    for versions in [
        vec![Version::Lite04, Version::Lite06],
        vec![Version::Lite06, Version::Lite03],
        vec![Version::Lite03],
    ] {
        let mut world = world(|_| {});
        let wanted = versions[0];
        let id = world.connect(Target { versions, ..web() }, Trust::Insecure);
        assert_eq!(world.outcome(id).unwrap().version, wanted);
    }
    let mut world = world(|server| server.versions = vec![Version::Lite04]);
    let id = world.connect(web(), Trust::Insecure);
    assert_eq!(world.outcome(id).unwrap().version, Version::Lite04);
}

#[test]
fn the_path_travels_in_every_version_and_a_refusal_comes_back() {
    for version in Version::ALL {
        let mut world = world(|server| server.admission = Admission::Ask);
        let target = Target { versions: vec![version], path: "/room?jwt=x".into(), ..web() };
        let id = world.connect(target, Trust::Insecure);
        world.outcome(id).unwrap();
        let asked = world.run(Duration::from_secs(1), |world| {
            world.host(SERVER).events.iter().find_map(|event| match event {
                Event::Core(Core::Request { session, path, .. }) => Some((*session, path.clone())),
                _ => None,
            })
        });
        let (session, path) = asked.expect("the server is asked");
        assert_eq!(path, "/room?jwt=x", "{version}");
        let (node, time) = world.node(SERVER);
        node.close(time, session, SessionCode::UNAUTHORIZED, "no ticket").unwrap();
        world.idle(Duration::from_secs(1));
        let told = (ClosedBy::Peer, SessionCode::UNAUTHORIZED, "no ticket".into());
        assert_eq!(closes(&mut world, CLIENT), [told]);
    }
}

#[test]
fn a_server_without_webtransport_says_so() {
    let raw = world(|server| server.carriers = vec![Carrier::Raw]);
    assert_eq!(fails(raw, web()), ConnectError::NoWebTransport);
    let web = world(|server| server.carriers = vec![Carrier::WebTransport]);
    assert_eq!(fails(web, target(&[SERVER])), ConnectError::NoCommonVersion);
}

#[test]
fn a_server_without_a_common_version_refuses_the_session() {
    let world = world(|server| server.versions = vec![Version::Lite04]);
    let error = fails(world, Target { versions: vec![Version::Lite05], ..web() });
    assert_eq!(error, ConnectError::Refusal(400));
    assert!(error.to_string().contains("none of the versions"), "{error}");
}

#[test]
fn a_session_takes_two_round_trips() {
    let mut world = world(|_| {});
    let id = world.connect(web(), Trust::Insecure);
    world.outcome(id).unwrap();
    // TLS; the request, which has had the server's settings by then, and its answer.
    assert_eq!(world.elapsed(), 4 * world.link.latency);
}

#[test]
fn codes_of_sessions_mean_the_same_on_every_carrier() {
    for &carrier in CARRIERS {
        for code in [0, 1, 2, 3, 6, 0x10, 0x11, 0x15, 64, 71, 0xffff].map(SessionCode) {
            for (from, to) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
                let mut world = world(|_| {});
                let id = world.connect(Target { carrier, ..web() }, Trust::Insecure);
                world.outcome(id).unwrap();
                world.idle(Duration::from_millis(100));
                let now = world.now;
                world.host(from).endpoint.close_all(now, code, "why");
                world.idle(Duration::from_secs(5));
                assert_eq!(closes(&mut world, from), [(ClosedBy::Local, code, "why".into())]);
                assert_eq!(closes(&mut world, to), [(ClosedBy::Peer, code, "why".into())]);
                for host in world.hosts.values() {
                    assert!(host.endpoint.is_idle());
                    assert_eq!(host.endpoint.draining(), 0);
                    let accepting = |endpoint: &Endpoint| endpoint.poll_timeout();
                    assert_eq!(accepting(&host.endpoint), None);
                }
            }
        }
    }
}

#[test]
fn a_close_takes_as_long_as_the_peer_needs_to_see_it() {
    let mut world = world(|_| {});
    let id = world.connect(web(), Trust::Insecure);
    world.outcome(id).unwrap();
    world.idle(Duration::from_millis(100));
    let idle =
        |at: SocketAddr| move |world: &mut World| world.host(at).endpoint.is_idle().then_some(());
    let start = world.now;
    world.host(CLIENT).endpoint.close_all(start, SessionCode::NO_ERROR, "");
    world.run(PATIENCE, idle(CLIENT)).expect("it comes to its end");
    assert_eq!(world.now - start, 2 * world.link.latency);
}

#[test]
fn a_peer_that_does_not_see_a_close_is_not_waited_for() {
    let mut world = world(|_| {});
    let id = world.connect(web(), Trust::Insecure);
    world.outcome(id).unwrap();
    world.idle(Duration::from_millis(100));
    world.hosts.remove(&SERVER);
    let start = world.now;
    world.host(CLIENT).endpoint.close_all(start, SessionCode::NO_ERROR, "");
    let idle = |world: &mut World| world.host(CLIENT).endpoint.is_idle().then_some(());
    world.run(2 * PATIENCE, idle).expect("it comes to its end");
    assert_eq!(world.now - start, PATIENCE);
}

#[test]
fn a_server_that_closes_takes_no_new_sessions() {
    let mut world = world(|_| {});
    let id = world.connect(web(), Trust::Insecure);
    // Its TLS handshake is through, its request is on the way.
    world.idle(2 * world.link.latency - Duration::from_millis(1));
    let now = world.now;
    world.host(SERVER).endpoint.close_all(now, SessionCode::NO_ERROR, "");
    let error = world.outcome(id).unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
    assert!(world.host(SERVER).events.is_empty());
}

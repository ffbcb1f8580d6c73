//! Connections come about, or say why not.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use smoq_runtime::{
    ClientOptions, ConnectError, Error, ServerEvent, SubscribeError, connect,
    core::{
        Admission, ClosedBy, Grant, Misuse, Version,
        wire::{SessionCode, StreamCode, TrackInfo},
    },
    quic::{CertificateProblem, ConnectError as QuicError, Trust},
};

use super::tools::*;

pub(crate) async fn a_refused_port_is_told_at_once<R: Bed>(runtime: R) {
    let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let options = ClientOptions::new(Trust::Insecure);
    let error = connect(&runtime, &url::<R>(address, ""), options).await.err().unwrap();
    assert!(
        matches!(&error, ConnectError::Quic(QuicError::Unreachable(remote)) if *remote == address),
        "{error}"
    );
}

pub(crate) async fn a_silent_server_runs_into_the_limit<R: Bed>(runtime: R) {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let limit = Duration::from_millis(300);
    let mut options = ClientOptions::new(Trust::Insecure);
    options.transport.handshake_timeout = limit;
    let address = silent.local_addr().unwrap();
    let error = connect(&runtime, &url::<R>(address, ""), options).await.err().unwrap();
    match error {
        ConnectError::Quic(QuicError::Timeout { remote, after }) => {
            assert_eq!(remote, address);
            assert!(after >= limit, "{after:?}");
        }
        error => panic!("{error}"),
    }
}

pub(crate) async fn a_wrong_certificate_is_told<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    relay.trust = certificate().1;
    let options = relay.options(Version::ALL[0]);
    let error = connect(&relay.runtime, &relay.url(""), options).await.err().unwrap();
    assert!(
        matches!(
            error,
            ConnectError::Quic(QuicError::Certificate {
                problem: CertificateProblem::Fingerprint,
                ..
            })
        ),
        "{error}"
    );
}

pub(crate) async fn no_common_version_is_told<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let options = ClientOptions { versions: vec![], ..relay.options(Version::ALL[0]) };
    let error = connect(&relay.runtime, &relay.url(""), options).await.err().unwrap();
    assert!(matches!(error, ConnectError::Quic(QuicError::NoVersions)), "{error}");
}

pub(crate) async fn names_are_resolved<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let port = relay.server.local_addr().port();
    let here = url::<R>(format_args!("localhost:{port}"), "");
    let connection = connect(&relay.runtime, &here, relay.options(Version::ALL[0])).await.unwrap();
    assert_eq!(connection.remote(), relay.server.local_addr());
    assert_eq!(connection.version(), Version::ALL[0]);

    let nowhere = url::<R>("smoq.invalid", "");
    let options = relay.options(Version::ALL[0]);
    let error = connect(&relay.runtime, &nowhere, options).await.err().unwrap();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
}

pub(crate) async fn the_server_decides_who_comes_in<R: Bed>(runtime: R) {
    let mut relay = Relay::with(runtime, |options| options.admission = Admission::Ask);
    let options = relay.options(Version::Lite06);
    let client = connect(&relay.runtime, &relay.url("/room?jwt=x"), options).await.unwrap();
    assert!(!client.path_in_names());
    let Some(ServerEvent::Request { session, path: asked, .. }) = relay.server.next().await else {
        panic!("a request comes first")
    };
    assert_eq!(asked, "/room?jwt=x");
    relay.server.grant(session, Grant::all(path("room"))).await.unwrap();
    let Some(ServerEvent::Connected { session: connected, grant, version, carrier, .. }) =
        relay.server.next().await
    else {
        panic!("the session follows")
    };
    assert_eq!((connected, grant, version), (session, Grant::all(path("room")), Version::Lite06));
    assert_eq!(carrier, R::CARRIER);

    let broadcast = client.origin().publish(&path("cam")).await.unwrap();
    let mut announced = relay.server.origin().announced(&path("")).await.unwrap();
    let first = announced.next().await.unwrap();
    assert!(
        matches!(&first, smoq_runtime::core::Announced::Active { path: at, .. } if *at == path("room/cam")),
        "{first:?}"
    );
    drop((broadcast, client));
    assert_eq!(relay.closed().await.by, ClosedBy::Peer);
    let gone = relay.server.grant(session, Grant::all(path("room"))).await;
    assert!(matches!(gone, Err(Error::Misuse(_))), "{gone:?}");
}

pub(crate) async fn a_refused_peer_is_told_why<R: Bed>(runtime: R) {
    let mut relay = Relay::with(runtime, |options| options.admission = Admission::Ask);
    let options = relay.options(Version::Lite05);
    let mut client = connect(&relay.runtime, &relay.url("/secret"), options).await.unwrap();
    let Some(ServerEvent::Request { session, .. }) = relay.server.next().await else {
        panic!("a request comes first")
    };
    relay.server.close_session(session, SessionCode::UNAUTHORIZED, "no token").await.unwrap();
    let reason = client.closed().await;
    assert_eq!(reason.0.by, ClosedBy::Peer);
    assert_eq!(reason.0.code, SessionCode::UNAUTHORIZED);
    let text = reason.to_string();
    assert!(text.contains("no token") && text.contains("check the token"), "{text}");
}

pub(crate) async fn closing_tells_code_and_reason<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    let mut client = relay.client().await;
    let Some(ServerEvent::Connected { session, .. }) = relay.server.next().await else {
        panic!("the session begins")
    };
    assert_eq!(client.try_closed(), None);
    let code = SessionCode::application(7);
    relay.server.close_session(session, code, "enough").await.unwrap();
    let reason = client.closed().await.0;
    assert_eq!((reason.by, reason.code, &*reason.reason), (ClosedBy::Peer, code, "enough"));
    assert_eq!(client.closed().await.0, reason);
    assert_eq!(relay.closed().await.by, ClosedBy::Local);
}

pub(crate) async fn a_client_closes_with_code_and_reason<R: Bed>(runtime: R) {
    let mut relay = Relay::new(runtime);
    let client = relay.client().await;
    let code = SessionCode::application(9);
    client.close(code, "bye").await;
    let closed = relay.closed().await;
    assert_eq!((closed.by, closed.code, &*closed.reason), (ClosedBy::Peer, code, "bye"));
}

pub(crate) async fn a_server_that_is_about_to_go_says_where_to<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (publisher, mut subscriber) = (relay.client().await, relay.client().await);
    let broadcast = publisher.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let origin = subscriber.origin();
    origin.announced(&path("a")).await.unwrap().next().await.unwrap();
    let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();

    let too_long = "u".repeat(8193);
    assert_eq!(relay.server.drain(&too_long).await, Err(Error::Misuse(Misuse::Uri)));
    relay.server.drain("moqt://elsewhere.example").await.unwrap();
    assert_eq!(subscriber.goaway().await.unwrap(), "moqt://elsewhere.example");
    assert_eq!(subscriber.goaway().await.unwrap(), "moqt://elsewhere.example");

    // What runs goes on; what is new fails.
    let mut group = track.group().await.unwrap();
    group.write(0, "still here".into()).await.unwrap();
    group.finish().unwrap();
    let mut group = subscription.next_group().await.unwrap().unwrap();
    assert_eq!(group.next_frame().await.unwrap().unwrap().payload, "still here");
    let mut other = origin.subscribe(&path("a"), "other", lossless()).await.unwrap();
    let error = other.next_group().await.err().unwrap();
    assert_eq!(error, SubscribeError::Failed(StreamCode::GOING_AWAY));
    let mut late = relay.options(Version::ALL[0]);
    late.transport.handshake_timeout = Duration::from_millis(500);
    assert!(connect(&relay.runtime, &relay.url(""), late).await.is_err(), "it accepts no more");
    relay.server.shutdown(SessionCode::NO_ERROR, "").await;
    subscriber.closed().await;
}

pub(crate) async fn a_shutdown_ends_every_handle<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let mut client = relay.client().await;
    let origin = relay.server.origin();
    // During the handshake QUIC does not tell the reason of a close.
    let _theirs = client.origin().publish(&path("theirs")).await.unwrap();
    origin.announced(&path("theirs")).await.unwrap().next().await.unwrap();
    let broadcast = origin.publish(&path("a")).await.unwrap();
    let mut announced = origin.announced(&path("none")).await.unwrap();
    relay.server.shutdown(SessionCode::NO_ERROR, "over").await;
    assert_eq!(announced.next().await, Err(Error::Shutdown));
    assert_eq!(origin.publish(&path("b")).await.err(), Some(Error::Shutdown));
    let track = broadcast.track("t", Default::default()).await;
    assert_eq!(track.err(), Some(Error::Shutdown));
    let reason = client.closed().await.0;
    assert_eq!((reason.code, &*reason.reason), (SessionCode::NO_ERROR, "over"));
}

pub(crate) async fn a_cancelled_connect_leaves_nothing_behind<R: Bed>(runtime: R) {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut options = ClientOptions::new(Trust::Insecure);
    options.bind = Some(free_port());
    let target = url::<R>(silent.local_addr().unwrap(), "");
    assert!(poll_once(connect(&runtime, &target, options.clone())).is_none());
    // The driver goes by itself; then its port is free again.
    while UdpSocket::bind(options.bind.unwrap()).is_err() {
        yield_now().await;
    }
}

fn free_port() -> std::net::SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub(crate) async fn a_server_says_how_fast_it_is<R: Bed>(runtime: R) {
    for version in Version::ALL {
        let mut relay = Relay::new(runtime.clone());
        let client = relay.client_of(version).await;
        let mut estimates = client.estimates().await.unwrap();
        let first = estimates.next().await.expect("it can tell");
        assert!(first.bitrate.is_some(), "{version}");
        assert_eq!(first.rtt_ms.is_some(), version.has_probe_rtt(), "{version}");
        // One that is dropped while it waits takes nothing along; who comes later is told at once.
        drop(client.estimates().await.unwrap());
        let mut later = client.estimates().await.unwrap();
        assert!(later.next().await.is_some(), "{version}");
        drop((estimates, later));
        // When nobody wants to know any more, it can be asked again.
        let mut again = client.estimates().await.unwrap();
        assert!(again.next().await.is_some(), "{version}");
        client.close(SessionCode::NO_ERROR, "").await;
        while again.next().await.is_some() {}
        relay.closed().await;
    }
}

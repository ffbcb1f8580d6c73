//! An endpoint of ours against a peer that does what it likes with HTTP/3.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{self as quic, Dir, VarInt};
use smoq_core::{ClosedBy, Event as Core, wire::SessionCode};
use smoq_h3::{
    Code, Request, Settings, StreamId,
    capsule::Close,
    frame,
    request::{PROTOCOL, Response},
    stream::{self, CONTROL},
    varint,
};

use super::{super::support::*, identity, web};
use crate::{
    ClientTls, ConnectError, Endpoint, EndpointConfig, Event, ServerConfig, Trust,
    connection::PATIENCE, crypto::Secrets, tls::HTTP3,
};

/// A connection of quinn-proto to an endpoint of ours, with no time in between.
struct Stranger {
    now: Instant,
    ours: Endpoint,
    events: Vec<Event>,
    quic: quic::Endpoint,
    connection: quic::Connection,
    handle: quic::ConnectionHandle,
    lost: Option<quic::ConnectionError>,
}

impl Stranger {
    /// It dials a server of ours.
    fn new() -> Self {
        let now = Instant::now();
        let server = ServerConfig::new(identity().server_tls());
        let config = EndpointConfig { server: Some(server), ..EndpointConfig::default() };
        let ours = Endpoint::new(config, now);
        let secrets = Secrets::new(Some([1; 32]), None);
        let config = Arc::new(quic::EndpointConfig::new(secrets.reset_key()));
        let mut quic = quic::Endpoint::new(config, None, true, Some([2; 32]));
        let tls = ClientTls::new(Trust::Insecure).unwrap().offering(vec![HTTP3.into()]);
        let client = quic::ClientConfig::new(tls);
        let (handle, connection) = quic.connect(now, client, SERVER, "localhost").unwrap();
        let events = Vec::new();
        let mut stranger = Self { now, ours, events, quic, connection, handle, lost: None };
        stranger.settle();
        assert!(!stranger.connection.is_handshaking());
        stranger
    }

    /// A client of ours dials it, and has sent its settings.
    fn dialed() -> Self {
        let now = Instant::now();
        let mut ours = Endpoint::new(EndpointConfig::default(), now);
        let tls = ClientTls::new(Trust::Insecure).unwrap();
        ours.connect(now, web(), &tls).unwrap();
        let secrets = Secrets::new(Some([1; 32]), None);
        let config = Arc::new(quic::EndpointConfig::new(secrets.reset_key()));
        let tls = identity().server_tls().accepting(vec![HTTP3.into()]);
        let server = Arc::new(quic::ServerConfig::new(tls, secrets.token_key()));
        let mut quic = quic::Endpoint::new(config, Some(server), true, Some([2; 32]));
        let mut buf = Vec::new();
        let transmit = ours.poll_transmit(now, 1, &mut buf).expect("it dials");
        let data = BytesMut::from(&buf[..transmit.size]);
        let mut answer = Vec::new();
        let event = quic.handle(now, CLIENT, None, None, data, &mut answer);
        let Some(quic::DatagramEvent::NewConnection(incoming)) = event else { panic!() };
        let (handle, connection) = quic.accept(incoming, now, &mut answer, None).unwrap();
        let events = Vec::new();
        let mut stranger = Self { now, ours, events, quic, connection, handle, lost: None };
        stranger.settle();
        assert!(!stranger.connection.is_handshaking());
        stranger
    }

    /// Its address, and that of ours.
    fn addresses(&self) -> (SocketAddr, SocketAddr) {
        if self.connection.side().is_client() { (CLIENT, SERVER) } else { (SERVER, CLIENT) }
    }

    /// Everything that was sent arrives.
    fn settle(&mut self) {
        let (here, there) = self.addresses();
        let mut buf = Vec::new();
        loop {
            let mut quiet = true;
            while self.connection.poll_transmit(self.now, 1, &mut buf).is_some() {
                let data = BytesMut::from(&buf[..]);
                self.ours.handle_datagram(self.now, here, None, 0, data);
                buf.clear();
                quiet = false;
            }
            self.events.extend(std::iter::from_fn(|| self.ours.poll_event()));
            while let Some(transmit) = self.ours.poll_transmit(self.now, 1, &mut buf) {
                let mut answer = Vec::new();
                let data = BytesMut::from(&buf[..transmit.size]);
                let event = self.quic.handle(self.now, there, None, None, data, &mut answer);
                if let Some(quic::DatagramEvent::ConnectionEvent(_, event)) = event {
                    self.connection.handle_event(event);
                }
                quiet = false;
            }
            while let Some(event) = self.connection.poll() {
                if let quic::Event::ConnectionLost { reason } = event {
                    self.lost = Some(reason);
                }
            }
            while let Some(event) = self.connection.poll_endpoint_events() {
                if let Some(answer) = self.quic.handle_event(self.handle, event) {
                    self.connection.handle_event(answer);
                }
            }
            self.events.extend(std::iter::from_fn(|| self.ours.poll_event()));
            if quiet {
                return;
            }
        }
    }

    /// Lets time pass, timers included.
    fn idle(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let next = [self.connection.poll_timeout(), self.ours.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.connection.handle_timeout(self.now);
            self.ours.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn open(&mut self, dir: Dir) -> quic::StreamId {
        self.connection.streams().open(dir).expect("credit for a stream")
    }

    /// Writes all of it, as fast as ours takes it.
    fn write(&mut self, id: quic::StreamId, mut data: &[u8]) {
        while !data.is_empty() && self.lost.is_none() {
            match self.connection.send_stream(id).write(data) {
                Ok(taken) => data = &data[taken..],
                Err(quic::WriteError::Blocked) => self.idle(Duration::from_millis(30)),
                Err(_) => break,
            }
        }
        self.settle();
    }

    fn send(&mut self, dir: Dir, data: &[u8]) -> quic::StreamId {
        let id = self.open(dir);
        self.write(id, data);
        id
    }

    /// Has a session on the stream that it gives.
    fn with_session() -> (Self, quic::StreamId) {
        let mut stranger = Self::new();
        stranger.send(Dir::Uni, &control());
        let session = stranger.send(Dir::Bi, &connect());
        assert!(stranger.events.iter().any(|event| matches!(event, Event::Connected { .. })));
        (stranger, session)
    }

    /// What ours closed the connection with.
    fn closed(&mut self) -> Option<(Code, String)> {
        self.settle();
        match self.lost.take()? {
            quic::ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                Some((Code(close.error_code.into_inner()), reason))
            }
            other => panic!("{other}"),
        }
    }

    /// How ours told of the end of the session.
    fn told(&self) -> Vec<(ClosedBy, SessionCode, String)> {
        let closed = self.events.iter().filter_map(|event| match event {
            Event::Core(Core::Closed { closed, .. }) => Some(closed.clone()),
            _ => None,
        });
        closed.map(|closed| (closed.by, closed.code, closed.reason)).collect()
    }

    /// Why ours has stopped a stream, if it has.
    fn stopped(&mut self, id: quic::StreamId) -> Option<Code> {
        match self.connection.send_stream(id).stopped() {
            Ok(code) => code.map(|code| Code(code.into_inner())),
            Err(_) => panic!("the stream has ended"),
        }
    }

    /// What a client of ours has told of its dialing.
    fn failure(&self) -> Option<&ConnectError> {
        self.events.iter().find_map(|event| match event {
            Event::ConnectFailed { error, .. } => Some(error),
            _ => None,
        })
    }
}

fn control() -> BytesMut {
    let mut out = BytesMut::new();
    varint::encode(CONTROL, &mut out);
    Settings::ours(1000).encode(&mut out);
    out
}

fn connect() -> BytesMut {
    let request = Request {
        authority: "localhost".into(),
        path: "/".into(),
        origin: None,
        protocols: vec!["moq-lite-04".into()],
    };
    let mut out = BytesMut::new();
    request.encode(PROTOCOL, &mut out);
    out
}

fn frames(frames: &[(u64, &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    for (ty, payload) in frames {
        frame::encode(*ty, payload, &mut out);
    }
    out
}

fn prefix(dir: smoq_h3::Dir, session: u64) -> BytesMut {
    let mut out = BytesMut::new();
    stream::encode_prefix(dir, StreamId(session), &mut out);
    out
}

#[test]
fn the_origin_of_a_page_is_told() {
    let mut stranger = Stranger::new();
    stranger.send(Dir::Uni, &control());
    let mut request = BytesMut::new();
    let origin = Some("https://page.example".to_owned());
    Request {
        authority: "localhost".into(),
        path: "/".into(),
        origin: origin.clone(),
        protocols: vec!["moq-lite-04".into()],
    }
    .encode(PROTOCOL, &mut request);
    stranger.send(Dir::Bi, &request);
    let told = stranger.events.iter().find_map(|event| match event {
        Event::Connected { origin, .. } => Some(origin.clone()),
        _ => None,
    });
    assert_eq!(told, Some(origin));
}

#[test]
fn a_close_that_is_not_seen_is_said_again_by_the_connection() {
    let (mut stranger, _) = Stranger::with_session();
    stranger.ours.close_all(stranger.now, SessionCode::UNAUTHORIZED, "no ticket");
    // What it sends now is lost.
    let mut buf = Vec::new();
    while stranger.ours.poll_transmit(stranger.now, 1, &mut buf).is_some() {}
    stranger.now += PATIENCE;
    stranger.ours.handle_timeout(stranger.now);
    let code = Code::from_application(SessionCode::UNAUTHORIZED.0 as u32);
    assert_eq!(stranger.closed(), Some((code, "no ticket".into())));
    assert!(stranger.ours.is_idle());
}

#[test]
fn a_client_that_never_asks_is_not_kept() {
    let mut stranger = Stranger::new();
    stranger.send(Dir::Uni, &control());
    stranger.idle(Duration::from_secs(4));
    assert_eq!(stranger.closed(), None);
    stranger.idle(Duration::from_secs(2));
    assert_eq!(stranger.closed(), Some((Code::NO_ERROR, String::new())));
    assert!(stranger.ours.is_idle());
    assert!(stranger.events.is_empty());
}

#[test]
fn broken_rules_end_the_connection_by_their_names() {
    let huge_settings = [0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let endless_fields = [1, 0xbf, 0xff, 0xff, 0xff];
    let cases: [(Dir, &[u8], Code, &str); 7] = [
        (Dir::Uni, &huge_settings, Code::EXCESSIVE_LOAD, "more bytes"),
        (Dir::Uni, &[0, 0x21, 0], Code::MISSING_SETTINGS, "SETTINGS"),
        (Dir::Bi, &endless_fields, Code::EXCESSIVE_LOAD, "more bytes"),
        (Dir::Bi, &frames(&[(0, b"x")]), Code::FRAME_UNEXPECTED, "type 0x0"),
        (Dir::Bi, &frames(&[(1, &[0x80])]), Code::QPACK_DECOMPRESSION_FAILED, "decoded"),
        (Dir::Bi, &prefix(smoq_h3::Dir::Bi, 1), Code::ID_ERROR, "session id 1"),
        (Dir::Uni, &[1], Code::STREAM_CREATION_ERROR, "push"),
    ];
    for (dir, data, code, reason) in cases {
        let mut stranger = Stranger::new();
        stranger.send(dir, data);
        let (told, words) = stranger.closed().expect("the server ends it");
        assert!(told == code && words.contains(reason), "{told} {words}");
        stranger.idle(Duration::from_secs(5));
        assert!(stranger.ours.is_idle());

        // With a session, it is told too. The control stream is there already.
        if data.first() == Some(&0) {
            continue;
        }
        let (mut stranger, _) = Stranger::with_session();
        stranger.send(dir, data);
        assert_eq!(stranger.closed().map(|(code, _)| code), Some(code));
        let told = stranger.told();
        assert_eq!((told[0].0, told[0].1), (ClosedBy::Local, SessionCode::PROTOCOL_VIOLATION));
        assert!(told[0].2.contains(reason), "{told:?}");
    }
}

#[test]
fn a_second_request_and_streams_of_other_sessions_are_turned_away() {
    let (mut stranger, _) = Stranger::with_session();
    let second = stranger.send(Dir::Bi, &connect());
    assert_eq!(stranger.stopped(second), Some(Code::REQUEST_REJECTED));
    let mut early = prefix(smoq_h3::Dir::Uni, 400);
    early.extend_from_slice(&[0; 100]);
    let other = stranger.send(Dir::Uni, &early);
    assert_eq!(stranger.stopped(other), Some(Code::BUFFERED_STREAM_REJECTED));
    let unknown = stranger.send(Dir::Uni, &[0x21, 1, 2, 3]);
    assert_eq!(stranger.stopped(unknown), Some(Code::STREAM_CREATION_ERROR));
    stranger.idle(Duration::from_secs(8));
    assert_eq!((stranger.told(), stranger.closed()), (vec![], None), "the session lives");
}

#[test]
fn a_hundred_thousand_frames_of_grease_harm_nobody() {
    let (mut stranger, session) = Stranger::with_session();
    let grease = frames(&[(0x21, &[7; 3]), (0x40, &[])]).repeat(50_000);
    stranger.write(session, &grease);
    stranger.idle(Duration::from_secs(8));
    assert_eq!((stranger.told(), stranger.closed()), (vec![], None), "the session lives");
    let mut capsule = BytesMut::new();
    Close { code: 7, reason: "bye".into() }.encode(&mut capsule);
    stranger.write(session, &frames(&[(0, &capsule)]));
    assert_eq!(stranger.told(), [(ClosedBy::Peer, SessionCode(7), "bye".into())]);
}

#[test]
fn early_streams_find_their_session_and_too_many_are_turned_away() {
    let mut stranger = Stranger::new();
    let session = stranger.open(Dir::Bi);
    let name = VarInt::from(session).into_inner();
    // An announce request for every broadcast: moq-lite-04 answers it.
    let mut request = prefix(smoq_h3::Dir::Bi, name);
    request.extend_from_slice(&[1, 2, 0, 0]);
    let early = stranger.send(Dir::Bi, &request);
    stranger.send(Dir::Uni, &control());
    assert!(stranger.events.is_empty());
    let mut rejected = 0;
    for _ in 0..40 {
        let mut data = prefix(smoq_h3::Dir::Uni, name);
        data.resize(4000, 9);
        let id = stranger.send(Dir::Uni, &data);
        if stranger.stopped(id) == Some(Code::BUFFERED_STREAM_REJECTED) {
            rejected += 1;
        }
    }
    assert_eq!(rejected, 40 - (64 << 10) / 4000, "64 KiB are kept");
    stranger.write(session, &connect());
    stranger.settle();
    assert!(stranger.events.iter().any(|event| matches!(event, Event::Connected { .. })));
    // The rest of them is no group, and each ends by itself.
    assert_eq!((stranger.told(), stranger.closed()), (vec![], None));
    let mut chunks = stranger.connection.recv_stream(early);
    let mut chunks = chunks.read(true).unwrap();
    assert!(matches!(chunks.next(100), Err(quic::ReadError::Blocked)), "nobody publishes");
}

#[test]
fn a_server_s_broken_rules_fail_the_dialing_by_their_names() {
    let bad_setting = [0, 4, 2, 8, 2];
    let mut goes = control();
    goes.extend_from_slice(&frames(&[(frame::GOAWAY, &[0])]));
    let cases: [(Dir, &[u8], Code, &str); 6] = [
        (Dir::Uni, &bad_setting, Code::SETTINGS_ERROR, "setting 0x8"),
        (Dir::Uni, &[0, 0x21, 0], Code::MISSING_SETTINGS, "SETTINGS"),
        (Dir::Uni, &[1], Code::STREAM_CREATION_ERROR, "push"),
        (Dir::Uni, &goes, Code::NO_ERROR, "about to go"),
        (Dir::Bi, &frames(&[(1, &[])]), Code::STREAM_CREATION_ERROR, "something else"),
        (Dir::Bi, &prefix(smoq_h3::Dir::Bi, 2), Code::ID_ERROR, "session id 2"),
    ];
    for (dir, data, code, reason) in cases {
        let mut stranger = Stranger::dialed();
        stranger.send(dir, data);
        let closed = stranger.closed().expect("the client ends it");
        assert!(closed.0 == code && closed.1.contains(reason), "{closed:?}");
        let Some(ConnectError::Http3(why)) = stranger.failure() else {
            panic!("{:?}", stranger.events)
        };
        assert!(why.contains(reason), "{why}");
        stranger.idle(Duration::from_secs(5));
        assert!(stranger.ours.is_idle());
    }
}

#[test]
fn a_server_without_sessions_is_told_apart() {
    let mut stranger = Stranger::dialed();
    stranger.send(Dir::Uni, &[0, 4, 0]);
    assert_eq!(stranger.failure(), Some(&ConnectError::NoWebTransport));
}

#[test]
fn a_server_that_never_answers_is_given_up_with_the_right_words() {
    let mut stranger = Stranger::dialed();
    stranger.send(Dir::Uni, &control());
    stranger.idle(Duration::from_secs(6));
    let Some(ConnectError::Http3(why)) = stranger.failure() else { panic!() };
    assert!(why.contains("no answer"), "{why}");
    assert_eq!(stranger.closed(), Some((Code::NO_ERROR, String::new())));
}

#[test]
fn what_a_server_does_with_the_request_is_understood() {
    let answered = |answer: &[u8], fin: bool| {
        let mut stranger = Stranger::dialed();
        stranger.send(Dir::Uni, &control());
        let session = stranger.connection.streams().accept(Dir::Bi).expect("the request");
        stranger.write(session, answer);
        if fin {
            stranger.connection.send_stream(session).finish().unwrap();
        }
        stranger.settle();
        (stranger, session)
    };
    let response = |status: u16, protocol: Option<&str>| {
        let mut out = BytesMut::new();
        Response { status, protocol: protocol.map(Into::into) }.encode(&mut out);
        out
    };
    let (stranger, _) = answered(&response(403, None), true);
    assert_eq!(stranger.failure(), Some(&ConnectError::Refusal(403)));
    for protocol in [None, Some("moq-00")] {
        let (stranger, _) = answered(&response(200, protocol), false);
        assert_eq!(stranger.failure(), Some(&ConnectError::NoCommonVersion), "{protocol:?}");
    }
    let (stranger, _) = answered(&[], true);
    assert!(matches!(stranger.failure(), Some(ConnectError::Http3(_))), "{:?}", stranger.events);

    // It accepts, and then gives the stream up.
    let (mut stranger, session) = answered(&response(200, Some("moq-lite-06")), false);
    assert!(matches!(stranger.events[0], Event::Connected { .. }), "{:?}", stranger.events);
    stranger.connection.send_stream(session).reset(VarInt::from_u32(0x10c)).unwrap();
    stranger.settle();
    let told = stranger.told();
    assert_eq!((told[0].0, told[0].1), (ClosedBy::Transport, SessionCode::INTERNAL));
    assert!(told[0].2.contains("REQUEST_CANCELLED"), "{told:?}");
}

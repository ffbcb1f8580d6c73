//! A server of ours against a client that does what it likes with HTTP/3.

use std::{
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
    request::PROTOCOL,
    stream::{self, CONTROL},
    varint,
};

use super::{super::support::*, identity};
use crate::{
    ClientTls, Endpoint, EndpointConfig, Event, ServerConfig, Trust, crypto::Secrets, tls::HTTP3,
};

/// A connection of quinn-proto to an endpoint, with no time in between.
struct Stranger {
    now: Instant,
    server: Endpoint,
    events: Vec<Event>,
    quic: quic::Endpoint,
    connection: quic::Connection,
    handle: quic::ConnectionHandle,
    lost: Option<quic::ConnectionError>,
}

impl Stranger {
    fn new() -> Self {
        let now = Instant::now();
        let server = ServerConfig::new(identity().server_tls());
        let config = EndpointConfig { server: Some(server), ..EndpointConfig::default() };
        let server = Endpoint::new(config, now);
        let secrets = Secrets::new(Some([1; 32]));
        let config = Arc::new(quic::EndpointConfig::new(secrets.reset_key()));
        let mut quic = quic::Endpoint::new(config, None, true, Some([2; 32]));
        let tls = ClientTls::new(Trust::Insecure).unwrap().offering(vec![HTTP3.into()]);
        let client = quic::ClientConfig::new(tls);
        let (handle, connection) = quic.connect(now, client, SERVER, "localhost").unwrap();
        let events = Vec::new();
        let mut stranger = Self { now, server, events, quic, connection, handle, lost: None };
        stranger.settle();
        assert!(!stranger.connection.is_handshaking());
        stranger
    }

    /// Everything that was sent arrives.
    fn settle(&mut self) {
        let mut buf = Vec::new();
        loop {
            let mut quiet = true;
            while self.connection.poll_transmit(self.now, 1, &mut buf).is_some() {
                let data = BytesMut::from(&buf[..]);
                self.server.handle_datagram(self.now, CLIENT, None, 0, data);
                buf.clear();
                quiet = false;
            }
            self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
            while let Some(transmit) = self.server.poll_transmit(self.now, 1, &mut buf) {
                let mut answer = Vec::new();
                let data = BytesMut::from(&buf[..transmit.size]);
                let event = self.quic.handle(self.now, SERVER, None, None, data, &mut answer);
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
            self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
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
            let next = [self.connection.poll_timeout(), self.server.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.connection.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn open(&mut self, dir: Dir) -> quic::StreamId {
        self.connection.streams().open(dir).expect("credit for a stream")
    }

    /// Writes all of it, as fast as the server takes it.
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

    /// What the server closed the connection with.
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

    /// How the server told of the end of the session.
    fn told(&self) -> Vec<(ClosedBy, SessionCode, String)> {
        let closed = self.events.iter().filter_map(|event| match event {
            Event::Core(Core::Closed { closed, .. }) => Some(closed.clone()),
            _ => None,
        });
        closed.map(|closed| (closed.by, closed.code, closed.reason)).collect()
    }

    /// Why the server has stopped a stream, if it has.
    fn stopped(&mut self, id: quic::StreamId) -> Option<Code> {
        match self.connection.send_stream(id).stopped() {
            Ok(code) => code.map(|code| Code(code.into_inner())),
            Err(_) => panic!("the stream has ended"),
        }
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
fn a_client_that_never_asks_is_not_kept() {
    let mut stranger = Stranger::new();
    stranger.send(Dir::Uni, &control());
    stranger.idle(Duration::from_secs(4));
    assert_eq!(stranger.closed(), None);
    stranger.idle(Duration::from_secs(2));
    assert_eq!(stranger.closed(), Some((Code::NO_ERROR, String::new())));
    assert!(stranger.server.is_idle());
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
        assert!(stranger.server.is_idle());

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

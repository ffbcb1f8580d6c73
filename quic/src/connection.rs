//! One QUIC connection and the session that it carries.

use std::{
    collections::BTreeSet,
    mem,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::{
    self as quic, ConnectionHandle, Dir as QuicDir, ReadError, StreamEvent, VarInt,
    crypto::rustls::HandshakeData,
};
use smoq_core::{
    Closed, ClosedBy, Dir, Estimate, Id, Session, StreamId, Time, Version,
    wire::{SessionCode, StreamCode},
};
use smoq_tape::Recorder;

use crate::{
    ConnectId, codes,
    config::Slots,
    listener::Listener,
    pace::Pace,
    streams::Streams,
    tls,
    web::{News, Sift, Web},
};

/// How long to wait until the peer has seen that its WebTransport session is over, before the
/// connection goes. Closing it at once could overtake the reason.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Figures of one connection. Totals count from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionStats {
    /// Smoothed round trip time.
    pub rtt: Duration,
    /// Congestion window in bytes.
    pub window: u64,
    /// Largest UDP payload that the path is known to pass, in bytes.
    pub mtu: u16,
    /// UDP payload sent, in bytes, with everything that was sent again.
    pub sent_bytes: u64,
    /// UDP payload received, in bytes.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets of them that were declared lost.
    pub lost_packets: u64,
    /// Bytes of those.
    pub lost_bytes: u64,
    /// How often the window was reduced.
    pub congestion_events: u64,
    /// Unidirectional streams that the peer may have open at present.
    pub uni_streams: u64,
    /// Bidirectional streams that the peer may have open at present.
    pub bidi_streams: u64,
}

/// What a connection is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// We dial; the handshake is under way.
    Dialing(ConnectId),
    /// The peer dials; its handshake is under way, that of HTTP/3 included. On raw QUIC the session
    /// begins within it (0.5-RTT data).
    Accepting(Option<Id<Session>>),
    /// The handshake is done.
    Up(Id<Session>),
    /// The WebTransport session is over. The peer is told until then, and the connection closes.
    Ending(Instant),
    /// The session is over, or never began; QUIC still answers for a while.
    Closing,
}

pub(crate) struct Connection {
    pub(crate) quic: quic::Connection,
    pub(crate) handle: ConnectionHandle,
    pub(crate) stage: Stage,
    /// HTTP/3, if it is spoken.
    pub(crate) web: Option<Web>,
    pub(crate) started: Instant,
    /// Whether it is in the queue of those with something to send.
    pub(crate) queued: bool,
    /// Whether the node may have something for it.
    hungry: bool,
    pub(crate) pace: Pace,
    slots: [Slots; 2],
    /// Streams that have something to read, while nothing is read.
    unread: Option<BTreeSet<quic::StreamId>>,
    /// At the last estimate: how often the window had been reduced, and where the peer was.
    measured: (u64, SocketAddr),
}

impl Connection {
    pub(crate) fn new(
        quic: quic::Connection,
        handle: ConnectionHandle,
        stage: Stage,
        started: Instant,
        slots: [Slots; 2],
    ) -> Self {
        let measured = (0, quic.remote_address());
        Self {
            quic,
            handle,
            stage,
            web: None,
            started,
            queued: false,
            hungry: false,
            pace: Pace::default(),
            slots,
            unread: None,
            measured,
        }
    }

    pub(crate) fn session(&self) -> Option<Id<Session>> {
        match self.stage {
            Stage::Up(session) | Stage::Accepting(Some(session)) => Some(session),
            Stage::Dialing(_) | Stage::Accepting(None) | Stage::Ending(_) | Stage::Closing => None,
        }
    }

    /// Reads nothing from now on.
    pub(crate) fn pause(&mut self) {
        self.unread.get_or_insert_default();
    }

    /// Reads again. Gives what there was to hear meanwhile.
    pub(crate) fn resume(&mut self) -> impl Iterator<Item = StreamEvent> + use<> {
        let unread = self.unread.take().unwrap_or_default();
        unread.into_iter().map(|id| StreamEvent::Readable { id })
    }

    /// The node may have something to send.
    pub(crate) fn feed(&mut self) {
        self.hungry = true;
    }

    /// What TLS has agreed on, once it has, and the name that the client asked for.
    pub(crate) fn handshake(&self) -> Option<(Agreed, Option<String>)> {
        let data = self.quic.crypto_session().handshake_data()?.downcast::<HandshakeData>().ok()?;
        let protocol = data.protocol.as_deref()?;
        let agreed = match Version::from_alpn(protocol) {
            Some(version) => Agreed::Version(version),
            None if protocol == tls::HTTP3.as_bytes() => Agreed::Http3,
            None => return None,
        };
        Some((agreed, data.server_name))
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        let stats = self.quic.stats();
        ConnectionStats {
            rtt: stats.path.rtt,
            window: stats.path.cwnd,
            mtu: stats.path.current_mtu,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
            lost_bytes: stats.path.lost_bytes,
            congestion_events: stats.path.congestion_events,
            uni_streams: self.quic.max_concurrent_streams(QuicDir::Uni),
            bidi_streams: self.quic.max_concurrent_streams(QuicDir::Bi),
        }
    }

    /// How fast it is: a window for each round trip. A window for which little waits, and that is neither
    /// reduced nor that of another path, says how little there was to send.
    pub(crate) fn estimate(&mut self) -> Estimate {
        let path = self.quic.stats().path;
        let measured = (path.congestion_events, self.remote());
        let is_same = mem::replace(&mut self.measured, measured) == measured;
        let app_limited = is_same && self.pace.is_short(path.cwnd);
        Estimate::of_window(path.cwnd, path.rtt, app_limited)
    }

    /// Whether datagrams go both ways.
    pub(crate) fn has_datagrams(&mut self) -> bool {
        self.quic.datagrams().max_size().is_some()
            && self.web.as_ref().is_none_or(Web::has_datagrams)
    }

    /// Bytes that a datagram of the session may have.
    pub(crate) fn datagram_room(&mut self) -> usize {
        let lead = self.web.as_mut().map_or(0, |web| web.datagram_lead().len());
        self.quic.datagrams().max_size().unwrap_or(0).saturating_sub(lead)
    }

    /// Sends a datagram of the session. What quinn-proto has no room for is lost, as on the way.
    pub(crate) fn send_datagram(&mut self, data: Bytes) {
        let data = match &mut self.web {
            None => data,
            Some(web) => [web.datagram_lead(), data].concat().into(),
        };
        self.pace.wrote(data.len());
        let _ = self.quic.datagrams().send(data, true);
    }

    /// Tells `listener` of the datagrams that have come, as far as they are the session's.
    pub(crate) fn handle_datagrams(&mut self, listener: &mut impl Listener) {
        if self.unread.is_some() {
            return;
        }
        while let Some(data) = self.quic.datagrams().recv() {
            match &mut self.web {
                None => listener.datagram(data),
                Some(web) => Sift { web, listener }.datagram(data),
            }
        }
    }

    /// Tells `listener` what happened to the streams, as far as they are the session's.
    pub(crate) fn handle_stream(&mut self, event: StreamEvent, listener: &mut impl Listener) {
        match self.web.take() {
            None => self.hear(event, codes::from_wire, listener),
            Some(mut web) => {
                match event {
                    // What goes before the session's bytes was refused too.
                    StreamEvent::Writable { id } if !web.flush(&mut self.quic, id) => {}
                    // Which of the codes are the session's is for HTTP/3 to say.
                    event => {
                        let plain = |code: VarInt| StreamCode(code.into_inner());
                        self.hear(event, plain, &mut Sift { web: &mut web, listener });
                    }
                }
                self.web = Some(web);
            }
        }
    }

    /// What HTTP/3 has to say about the session. To be asked after each input.
    pub(crate) fn poll_web(&mut self) -> Option<News> {
        self.web.as_mut()?.step(&mut self.quic)
    }

    /// `meaning` is that of codes.
    fn hear(
        &mut self,
        event: StreamEvent,
        meaning: fn(VarInt) -> StreamCode,
        listener: &mut impl Listener,
    ) {
        match event {
            StreamEvent::Opened { dir } => self.accept(dir, meaning, listener),
            StreamEvent::Readable { id } => self.read(id, meaning, listener),
            StreamEvent::Writable { id } => {
                listener.writable(to_core(id));
                self.hungry = true;
            }
            StreamEvent::Finished { id } => listener.acked(to_core(id)),
            StreamEvent::Stopped { id, error_code } => {
                listener.stopped(to_core(id), meaning(error_code));
            }
            StreamEvent::Available { .. } => self.hungry = true,
        }
    }

    fn accept(
        &mut self,
        dir: QuicDir,
        meaning: fn(VarInt) -> StreamCode,
        listener: &mut impl Listener,
    ) {
        while let Some(id) = self.quic.streams().accept(dir) {
            listener.opened(to_core(id), dir_of(id));
            // What came with the opening is not reported as readable.
            self.read(id, meaning, listener);
        }
        self.raise(dir);
    }

    /// Allows the peer twice as many streams when it uses half of them, unless they lie unread.
    fn raise(&mut self, dir: QuicDir) {
        if self.unread.is_some() {
            return;
        }
        let allowed = self.quic.max_concurrent_streams(dir);
        let max = u64::from(self.slots[dir as usize].max);
        if allowed < max && 2 * self.quic.streams().remote_open_streams(dir) >= allowed {
            self.quic.set_max_concurrent_streams(dir, varint((2 * allowed).min(max)));
        }
    }

    fn read(
        &mut self,
        id: quic::StreamId,
        meaning: fn(VarInt) -> StreamCode,
        listener: &mut impl Listener,
    ) {
        if let Some(unread) = &mut self.unread {
            unread.insert(id);
            return;
        }
        let stream = to_core(id);
        let mut quic = self.quic.recv_stream(id);
        // An error means that we have stopped the stream: the rest is of no interest.
        let Ok(mut chunks) = quic.read(true) else {
            return;
        };
        // One chunk is held back, so that the last one takes the end of the stream along.
        let mut held: Option<Bytes> = None;
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    if let Some(data) = held.replace(chunk.bytes) {
                        listener.received(stream, data, false);
                    }
                    continue;
                }
                Ok(None) => {
                    let data = held.unwrap_or_default();
                    listener.received(stream, data, true);
                }
                Err(end) => {
                    if let Some(data) = held {
                        listener.received(stream, data, false);
                    }
                    if let ReadError::Reset(code) = end {
                        listener.reset(stream, meaning(code));
                    }
                }
            }
            break;
        }
        // The connection is asked for packets after every input, whatever this says.
        let _ = chunks.finalize();
    }

    /// Moves what the node has into quinn-proto, and packets out of it into `buf`.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        time: Time,
        node: &mut Recorder,
        scratch: &mut Vec<Bytes>,
        max_segments: usize,
        buf: &mut Vec<u8>,
    ) -> Option<quic::Transmit> {
        loop {
            if let Some(session) = self.session().filter(|_| self.hungry) {
                node.pump(time, session, &mut self.transport(now), scratch);
                self.hungry = self.room() == 0;
            }
            if let Some(transmit) = self.quic.poll_transmit(now, max_segments, buf) {
                self.pace.sent(transmit.size, &self.quic.stats());
                return Some(transmit);
            }
            if !self.pace.blocked(self.hungry) {
                return None;
            }
        }
    }

    /// What a node needs of it.
    pub(crate) fn transport(&mut self, now: Instant) -> Streams<'_> {
        Streams { connection: self, now }
    }

    pub(crate) fn room(&self) -> usize {
        self.pace.room(self.quic.congestion_state().window())
    }

    /// The session is over: the peer is told why.
    pub(crate) fn close(&mut self, now: Instant, code: SessionCode, reason: &str) {
        match &mut self.web {
            Some(web) => {
                web.close(code, reason);
                self.stage = Stage::Ending(now + PATIENCE);
                // What it has to say now is the close.
                while self.poll_web().is_some() {}
            }
            None => self.shut(now, varint(code.0), reason),
        }
    }

    /// Closes the connection.
    pub(crate) fn shut(&mut self, now: Instant, code: VarInt, reason: &str) {
        self.quic.close(now, code, Bytes::copy_from_slice(reason.as_bytes()));
        self.stage = Stage::Closing;
    }

    /// The code of an end without a fault.
    pub(crate) fn no_error(&self) -> VarInt {
        match &self.web {
            Some(web) => web.no_error(),
            None => VarInt::from_u32(0),
        }
    }

    /// The peer has not seen the end of the session in time: closes the connection, with the reason.
    pub(crate) fn give_up_ending(&mut self, now: Instant) {
        let end = self.web.as_mut().and_then(Web::take_end);
        let (code, reason) = end.unwrap_or_else(|| (self.no_error(), String::new()));
        self.shut(now, code, &reason);
    }

    /// How its end looks to the session.
    pub(crate) fn closed(&self, error: quic::ConnectionError) -> Closed {
        match error {
            quic::ConnectionError::ApplicationClosed(close) => {
                let code = match &self.web {
                    None => Some(SessionCode(close.error_code.into_inner())),
                    Some(web) => web.session_code(close.error_code),
                };
                match code {
                    Some(code) => Closed {
                        by: ClosedBy::Peer,
                        code,
                        reason: String::from_utf8_lossy(&close.reason).into_owned(),
                    },
                    None => by_transport(close.to_string()),
                }
            }
            error => by_transport(error.to_string()),
        }
    }
}

fn by_transport(reason: String) -> Closed {
    Closed { by: ClosedBy::Transport, code: SessionCode::INTERNAL, reason }
}

/// What two ends agree on by ALPN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Agreed {
    /// Raw QUIC.
    Version(Version),
    /// HTTP/3. The version is agreed on by CONNECT.
    Http3,
}

pub(crate) fn to_core(id: quic::StreamId) -> StreamId {
    StreamId(id.into())
}

pub(crate) fn to_quic(id: StreamId) -> quic::StreamId {
    varint(id.0).into()
}

pub(crate) fn dir_of(id: quic::StreamId) -> Dir {
    match id.dir() {
        QuicDir::Bi => Dir::Bi,
        QuicDir::Uni => Dir::Uni,
    }
}

/// Codes above what QUIC can carry are cut to its maximum.
pub(crate) fn varint(value: u64) -> VarInt {
    VarInt::try_from(value).unwrap_or(VarInt::MAX)
}

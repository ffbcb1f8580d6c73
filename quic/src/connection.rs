//! One QUIC connection and the session that it carries.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::{
    self as quic, ConnectionHandle, Dir as QuicDir, ReadError, StreamEvent, VarInt,
    crypto::rustls::HandshakeData,
};
use smoq_core::{
    Closed, ClosedBy, Dir, Id, Node, Session, StreamId, Time, Version,
    binding::{Transport, pump},
    wire::{SessionCode, StreamCode},
};

use crate::{ConnectId, codes, config::Slots, pace::Pace};

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
    /// The peer dials; its handshake is under way. The session begins within it (0.5-RTT data).
    Accepting(Option<Id<Session>>),
    /// The handshake is done.
    Up(Id<Session>),
    /// The session is over, or never began; QUIC still answers for a while.
    Closing,
}

pub(crate) struct Connection {
    pub(crate) quic: quic::Connection,
    pub(crate) handle: ConnectionHandle,
    pub(crate) stage: Stage,
    pub(crate) started: Instant,
    /// Its place in the timers.
    pub(crate) deadline: Option<Instant>,
    /// Whether it is in the queue of those with something to send.
    pub(crate) queued: bool,
    /// Whether the node may have something for it.
    hungry: bool,
    pace: Pace,
    slots: [Slots; 2],
}

impl Connection {
    pub(crate) fn new(
        quic: quic::Connection,
        handle: ConnectionHandle,
        stage: Stage,
        started: Instant,
        slots: [Slots; 2],
    ) -> Self {
        Self {
            quic,
            handle,
            stage,
            started,
            deadline: None,
            queued: false,
            hungry: false,
            pace: Pace::default(),
            slots,
        }
    }

    pub(crate) fn session(&self) -> Option<Id<Session>> {
        match self.stage {
            Stage::Up(session) | Stage::Accepting(Some(session)) => Some(session),
            Stage::Dialing(_) | Stage::Accepting(None) | Stage::Closing => None,
        }
    }

    /// The node may have something to send.
    pub(crate) fn feed(&mut self) {
        self.hungry = true;
    }

    /// What TLS has agreed on, once it has.
    pub(crate) fn handshake(&self) -> Option<(Version, Option<String>)> {
        let data = self.quic.crypto_session().handshake_data()?.downcast::<HandshakeData>().ok()?;
        Some((Version::from_alpn(data.protocol.as_deref()?)?, data.server_name))
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

    /// Tells `listener` what happened to the streams.
    pub(crate) fn handle_stream(&mut self, event: StreamEvent, listener: &mut impl Listener) {
        match event {
            StreamEvent::Opened { dir } => self.accept(dir, listener),
            StreamEvent::Readable { id } => self.read(id, listener),
            StreamEvent::Writable { id } => {
                listener.writable(to_core(id));
                self.hungry = true;
            }
            StreamEvent::Finished { id } => listener.acked(to_core(id)),
            StreamEvent::Stopped { id, error_code } => {
                listener.stopped(to_core(id), codes::from_wire(error_code));
            }
            StreamEvent::Available { .. } => self.hungry = true,
        }
    }

    fn accept(&mut self, dir: QuicDir, listener: &mut impl Listener) {
        while let Some(id) = self.quic.streams().accept(dir) {
            listener.opened(
                to_core(id),
                match dir {
                    QuicDir::Bi => Dir::Bi,
                    QuicDir::Uni => Dir::Uni,
                },
            );
            // What came with the opening is not reported as readable.
            self.read(id, listener);
        }
        self.raise(dir);
    }

    /// Allows the peer twice as many streams when it uses half of them.
    fn raise(&mut self, dir: QuicDir) {
        let allowed = self.quic.max_concurrent_streams(dir);
        let max = u64::from(self.slots[dir as usize].max);
        if allowed < max && 2 * self.quic.streams().remote_open_streams(dir) >= allowed {
            self.quic.set_max_concurrent_streams(dir, varint((2 * allowed).min(max)));
        }
    }

    fn read(&mut self, id: quic::StreamId, listener: &mut impl Listener) {
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
                        listener.reset(stream, codes::from_wire(code));
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
        node: &mut Node,
        scratch: &mut Vec<Bytes>,
        max_segments: usize,
        buf: &mut Vec<u8>,
    ) -> Option<quic::Transmit> {
        loop {
            if let Some(session) = self.session().filter(|_| self.hungry) {
                pump(node, time, session, &mut self.transport(now), scratch);
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
    pub(crate) fn transport(&mut self, now: Instant) -> impl Transport {
        Raw { connection: self, now }
    }

    fn room(&self) -> usize {
        self.pace.room(self.quic.congestion_state().window())
    }
}

/// Who is told what happened to the streams of a connection.
pub(crate) trait Listener {
    /// The peer has opened a stream.
    fn opened(&mut self, stream: StreamId, dir: Dir);
    /// Bytes, in order, with the end of the stream or not.
    fn received(&mut self, stream: StreamId, data: Bytes, fin: bool);
    /// The peer sends no more.
    fn reset(&mut self, stream: StreamId, code: StreamCode);
    /// The peer wants no more.
    fn stopped(&mut self, stream: StreamId, code: StreamCode);
    /// The peer has everything, the end included.
    fn acked(&mut self, stream: StreamId);
    /// A stream that took fewer bytes than offered takes some again.
    fn writable(&mut self, stream: StreamId);
}

/// A session of a node, at a time.
pub(crate) struct Ear<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) session: Id<Session>,
    pub(crate) time: Time,
}

impl Listener for Ear<'_> {
    fn opened(&mut self, stream: StreamId, dir: Dir) {
        self.node.handle_opened(self.time, self.session, stream, dir);
    }

    fn received(&mut self, stream: StreamId, data: Bytes, fin: bool) {
        self.node.handle_recv(self.time, self.session, stream, data, fin);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.node.handle_reset(self.time, self.session, stream, code);
    }

    fn stopped(&mut self, stream: StreamId, code: StreamCode) {
        self.node.handle_stopped(self.time, self.session, stream, code);
    }

    fn acked(&mut self, stream: StreamId) {
        self.node.handle_acked(self.time, self.session, stream);
    }

    fn writable(&mut self, stream: StreamId) {
        self.node.handle_writable(self.time, self.session, stream);
    }
}

/// The streams of QUIC as they are, without HTTP/3 around them.
struct Raw<'a> {
    connection: &'a mut Connection,
    now: Instant,
}

impl Transport for Raw<'_> {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let dir = match dir {
            Dir::Bi => QuicDir::Bi,
            Dir::Uni => QuicDir::Uni,
        };
        self.connection.quic.streams().open(dir).map(to_core)
    }

    fn room(&self) -> usize {
        self.connection.room()
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let mut quic = self.connection.quic.send_stream(to_quic(stream));
        let mut taken = 0;
        // Until all is taken or it refuses: only a refusal makes quinn-proto tell when there is credit
        // again. If the peer has stopped the stream, another event says so.
        while chunks.iter().any(|chunk| !chunk.is_empty()) {
            match quic.write_chunks(chunks) {
                Ok(written) => taken += written.bytes,
                Err(_) => break,
            }
        }
        self.connection.pace.wrote(taken);
        taken
    }

    // The errors of the calls below say that the stream has ended on its own or was stopped by the
    // peer, which its events tell the node.

    fn finish(&mut self, stream: StreamId) {
        let _ = self.connection.quic.send_stream(to_quic(stream)).finish();
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        let _ = self.connection.quic.send_stream(to_quic(stream)).set_priority(priority);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        let _ = self.connection.quic.send_stream(to_quic(stream)).reset(codes::to_wire(code));
        self.connection.pace.forgot();
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        let _ = self.connection.quic.recv_stream(to_quic(stream)).stop(codes::to_wire(code));
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.connection.quic.close(self.now, varint(code.0), reason);
        self.connection.stage = Stage::Closing;
    }
}

/// How the end of a connection looks to its session.
pub(crate) fn closed(error: quic::ConnectionError) -> Closed {
    match error {
        quic::ConnectionError::ApplicationClosed(close) => Closed {
            by: ClosedBy::Peer,
            code: SessionCode(close.error_code.into_inner()),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        error => Closed {
            by: ClosedBy::Transport,
            code: SessionCode::INTERNAL,
            reason: error.to_string(),
        },
    }
}

fn to_core(id: quic::StreamId) -> StreamId {
    StreamId(id.into())
}

fn to_quic(id: StreamId) -> quic::StreamId {
    varint(id.0).into()
}

/// Codes above what QUIC can carry are cut to its maximum.
pub(crate) fn varint(value: u64) -> VarInt {
    VarInt::try_from(value).unwrap_or(VarInt::MAX)
}

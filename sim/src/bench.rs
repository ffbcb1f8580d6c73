//! One node in front of scripted peers.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Carrier, Closed, ClosedBy, Config, Dir, Estimate, Event, Id, Session, SessionConfig, Side,
    StreamId, Time, Version,
    binding::Transport,
    wire::{Message, SessionCode, Setup, StreamCode, UniType, varint},
};

use crate::{Recorder, link::stream_id};

/// A scripted peer of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerId(usize);

/// What the node has done with its half of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    /// FIN followed them.
    pub fin: bool,
    /// It abandoned sending.
    pub reset: Option<StreamCode>,
    /// It asked the peer to stop.
    pub stopped: Option<StreamCode>,
    /// How urgent it is.
    pub priority: i32,
}

/// The transport of one scripted peer: it takes what it is set to take, at once.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The node's session with this peer.
    pub session: Id<Session>,
    /// What is spoken.
    pub version: Version,
    /// Streams of each kind that the node may still open: bidirectional, unidirectional.
    pub credit: [u64; 2],
    /// Bytes that the node may still send.
    pub room: usize,
    /// Bytes that it takes of one stream; what is beyond is refused, and never asked for again.
    pub stream_window: usize,
    /// What the node did with each stream.
    pub sent: BTreeMap<StreamId, Sent>,
    /// Streams that the node opened, in order.
    pub opened: Vec<StreamId>,
    /// Streams in the order in which bytes were sent on them, without repetitions in a row.
    pub order: Vec<StreamId>,
    /// The datagrams that the node sent.
    pub datagrams: Vec<Bytes>,
    /// Bytes that one may have, where the session has them.
    pub datagram_room: usize,
    /// How fast the connection is, if the node asks.
    pub estimate: Estimate,
    /// How the node closed the connection.
    pub closed: Option<(SessionCode, String)>,
    side: Side,
    next: [u64; 2],
}

/// A node under test and its peers. After each input the node is driven until it wants nothing more.
pub struct Bench {
    /// The node.
    pub node: Recorder,
    now: Time,
    peers: Vec<Peer>,
    events: Vec<Event>,
}

impl Bench {
    /// A node without peers.
    pub fn new(config: Config) -> Self {
        let node = Recorder::silent(config);
        Self { node, now: Time::from_millis(1_000_000), peers: Vec::new(), events: Vec::new() }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds a peer; the node's session is made with `config`.
    pub fn peer(&mut self, config: SessionConfig) -> PeerId {
        let (version, side) = (config.version, config.side);
        let session = self.node.add_session(self.now, config);
        self.peers.push(Peer {
            session,
            version,
            credit: [u64::MAX; 2],
            room: usize::MAX,
            stream_window: usize::MAX,
            sent: BTreeMap::new(),
            opened: Vec::new(),
            order: Vec::new(),
            datagrams: Vec::new(),
            datagram_room: 1200,
            estimate: Estimate::default(),
            closed: None,
            side,
            next: [0; 2],
        });
        self.run();
        PeerId(self.peers.len() - 1)
    }

    /// Adds a peer that dials the node and has said SETUP, if its version has one.
    pub fn client(&mut self, version: Version) -> PeerId {
        let peer = self.peer(SessionConfig::server(version, Carrier::Raw, ""));
        self.greet(peer);
        peer
    }

    /// Adds a peer that the node dials and that has said SETUP, if its version has one.
    pub fn server(&mut self, version: Version) -> PeerId {
        let peer = self.peer(SessionConfig::client(version, Carrier::Raw, ""));
        self.greet(peer);
        peer
    }

    /// Says SETUP, if the version has one.
    pub fn greet(&mut self, peer: PeerId) {
        let version = self[peer].version;
        if version.has_setup() {
            let mut setup = BytesMut::new();
            varint::encode(UniType::Setup.to_varint(), &mut setup);
            Setup::default().encode(&mut setup, version);
            let stream = self.open(peer, Dir::Uni);
            self.finish(peer, stream, &setup);
        }
    }

    /// Opens a stream.
    pub fn open(&mut self, peer: PeerId, dir: Dir) -> StreamId {
        let state = &mut self.peers[peer.0];
        let opener = if state.side == Side::Client { Side::Server } else { Side::Client };
        let next = &mut state.next[usize::from(dir == Dir::Uni)];
        let stream = stream_id(opener, dir, *next);
        *next += 1;
        if dir == Dir::Bi {
            state.sent.insert(stream, Sent::default());
        }
        self.node.handle_opened(self.now, self.peers[peer.0].session, stream, dir);
        self.run();
        stream
    }

    /// Opens a stream with some bytes on it.
    pub fn open_with(&mut self, peer: PeerId, dir: Dir, bytes: &[u8]) -> StreamId {
        let stream = self.open(peer, dir);
        self.send(peer, stream, bytes);
        stream
    }

    /// Sends bytes.
    pub fn send(&mut self, peer: PeerId, stream: StreamId, bytes: &[u8]) {
        self.receive(peer, stream, bytes, false);
    }

    /// Sends bytes and FIN.
    pub fn finish(&mut self, peer: PeerId, stream: StreamId, bytes: &[u8]) {
        self.receive(peer, stream, bytes, true);
    }

    fn receive(&mut self, peer: PeerId, stream: StreamId, bytes: &[u8], fin: bool) {
        let (session, data) = (self.peers[peer.0].session, Bytes::copy_from_slice(bytes));
        self.node.handle_recv(self.now, session, stream, data, fin);
        self.run();
    }

    /// Sends a datagram.
    pub fn datagram(&mut self, peer: PeerId, data: &[u8]) {
        let (session, data) = (self.peers[peer.0].session, Bytes::copy_from_slice(data));
        self.node.handle_datagram(self.now, session, data);
        self.run();
    }

    /// Abandons sending.
    pub fn reset(&mut self, peer: PeerId, stream: StreamId, code: StreamCode) {
        self.node.handle_reset(self.now, self.peers[peer.0].session, stream, code);
        self.run();
    }

    /// Asks the node to stop sending.
    pub fn stop(&mut self, peer: PeerId, stream: StreamId, code: StreamCode) {
        self.node.handle_stopped(self.now, self.peers[peer.0].session, stream, code);
        self.run();
    }

    /// Acknowledges every stream that the node has finished.
    pub fn acknowledge(&mut self, peer: PeerId) {
        let state = &self.peers[peer.0];
        let session = state.session;
        let finished = |(stream, sent): (&StreamId, &Sent)| sent.fin.then_some(*stream);
        let finished: Vec<_> = state.sent.iter().filter_map(finished).collect();
        for stream in finished {
            self.node.handle_acked(self.now, session, stream);
        }
        self.run();
    }

    /// Leaves without a word.
    pub fn lose(&mut self, peer: PeerId) {
        let closed = Closed {
            by: ClosedBy::Transport,
            code: SessionCode::INTERNAL,
            reason: "timed out".into(),
        };
        self.node.handle_closed(self.now, self.peers[peer.0].session, closed);
        self.run();
    }

    /// Lets a time pass, with all timers in it.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while let Some(timer) = self.node.poll_timeout().filter(|timer| *timer <= until) {
            self.now = self.now.max(timer);
            self.node.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
    }

    /// Drives the node until it wants nothing more.
    pub fn run(&mut self) {
        let mut scratch = Vec::new();
        while let Some(session) = self.node.poll_session() {
            let peer = self.peers.iter_mut().find(|peer| peer.session == session);
            if let Some(peer) = peer.filter(|peer| peer.closed.is_none()) {
                self.node.pump(self.now, session, peer, &mut scratch);
            }
        }
        self.events.extend(std::iter::from_fn(|| self.node.poll_event()));
    }

    /// Lets the node use what a peer has granted it meanwhile.
    pub fn grant(&mut self, peer: PeerId, grant: impl FnOnce(&mut Peer)) {
        let state = &mut self.peers[peer.0];
        grant(state);
        self.node.pump(self.now, state.session, state, &mut Vec::new());
        self.run();
    }

    /// What happened since this was asked last.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What the node sent on a stream.
    pub fn sent(&self, peer: PeerId, stream: StreamId) -> &Sent {
        &self.peers[peer.0].sent[&stream]
    }

    /// The unidirectional streams that the node opened for groups.
    pub fn groups(&self, peer: PeerId) -> Vec<&Sent> {
        let state = &self.peers[peer.0];
        let uni = state.opened.iter().filter(|stream| stream.0 & 2 != 0);
        let sent = uni.map(|stream| &state.sent[stream]);
        sent.filter(|sent| sent.bytes.first() == Some(&0)).collect()
    }

    /// The bidirectional streams that the node opened with a type.
    pub fn requests(&self, peer: PeerId, kind: u8) -> Vec<StreamId> {
        let state = &self.peers[peer.0];
        let bi = state.opened.iter().filter(|stream| stream.0 & 2 == 0);
        bi.filter(|stream| state.sent[*stream].bytes.first() == Some(&kind)).copied().collect()
    }
}

impl std::ops::Index<PeerId> for Bench {
    type Output = Peer;

    fn index(&self, peer: PeerId) -> &Peer {
        &self.peers[peer.0]
    }
}

impl Peer {
    fn stream(&mut self, stream: StreamId) -> &mut Sent {
        self.sent.entry(stream).or_default()
    }
}

impl Transport for Peer {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let credit = &mut self.credit[usize::from(dir == Dir::Uni)];
        *credit = credit.checked_sub(1)?;
        let number = self.opened.iter().filter(|id| (id.0 & 2 == 0) == (dir == Dir::Bi)).count();
        let stream = stream_id(self.side, dir, number as u64);
        self.opened.push(stream);
        self.sent.insert(stream, Sent::default());
        Some(stream)
    }

    fn room(&self) -> usize {
        self.room
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let sent = self.sent.get_mut(&stream).expect("writes go to streams that are there");
        assert!(!sent.fin && sent.reset.is_none(), "nothing is written after the end");
        let before = sent.bytes.len();
        for chunk in chunks {
            let window = self.stream_window.saturating_sub(sent.bytes.len());
            let some = chunk.split_to(chunk.len().min(self.room).min(window));
            self.room -= some.len();
            sent.bytes.extend_from_slice(&some);
        }
        let taken = sent.bytes.len() - before;
        if self.order.last() != Some(&stream) {
            self.order.push(stream);
        }
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        let sent = self.stream(stream);
        assert!(!sent.fin && sent.reset.is_none(), "a stream ends once");
        sent.fin = true;
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.stream(stream).priority = priority;
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.stream(stream).reset = Some(code);
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        self.stream(stream).stopped = Some(code);
    }

    fn datagram_room(&mut self) -> usize {
        self.datagram_room
    }

    fn send_datagram(&mut self, data: Bytes) {
        self.room = self.room.saturating_sub(data.len());
        self.datagrams.push(data);
    }

    fn estimate(&mut self) -> Estimate {
        self.estimate
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.closed = Some((code, reason.into()));
    }
}

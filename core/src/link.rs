//! One end of a link between two nodes of one process.
//!
//! Two shards of a server, each with a node and a thread of its own, are joined as relays of a cluster
//! are: by a session. What would be a network between relays is a pair of [`Link`]s here, and what
//! passes between them are [`Batch`]es: plain data, which the embedder carries over as it likes, in
//! order and without loss.
//!
//! Payload is copied once, when it is written; nothing is shared with the node that wrote it. What is
//! on its way is bounded by a window, which the other end gives back when it has handled a batch. So a
//! shard that is busy costs the others a window each, and no more.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::mem;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Closed, ClosedBy, Dir, Id, Node, Session, Side, StreamId, Time,
    binding::{self, Transport},
    wire::{SessionCode, StreamCode},
};

/// What a piece counts besides its bytes, so that small ones are bounded too.
const OVERHEAD: usize = 64;

/// What one end has to tell the other.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Signal {
    Opened(StreamId),
    Data {
        stream: StreamId,
        data: Bytes,
        fin: bool,
    },
    Reset(StreamId, StreamCode),
    Stop(StreamId, StreamCode),
    Datagram(Bytes),
    /// Everything up to the end, or to the reset, was handled.
    Acked(StreamId),
}

/// What one end of a link has to tell the other, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    signals: Vec<Signal>,
    /// What was handled of the other end's window.
    credit: usize,
    close: Option<(SessionCode, String)>,
}

/// The sending half of a stream, until the other end has heard the last of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sending {
    Open,
    /// The other end wants no more.
    Stopped,
    /// Ended.
    Finished,
    /// Abandoned.
    Reset,
}

/// What is told to whoever listens to a link's streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The other end has opened a stream.
    Opened(StreamId, Dir),
    /// Bytes, in order, with the end of the stream or not.
    Received(StreamId, Bytes, bool),
    /// The other end sends no more.
    Reset(StreamId, StreamCode),
    /// The other end wants no more.
    Stopped(StreamId, StreamCode),
    /// The other end has everything, the end included.
    Acked(StreamId),
    /// A stream that took fewer bytes than offered takes some again.
    Writable(StreamId),
    /// A datagram.
    Datagram(Bytes),
    /// The other end has closed the link. The last thing heard.
    Closed(Closed),
}

/// One end of a link. One of the two is [`Side::Client`], the other [`Side::Server`]; their sessions are
/// made with [`Carrier::Link`](crate::Carrier::Link).
///
/// # How to drive it
///
/// 1. [`handle`](Self::handle) for each batch of the other end, in order.
/// 2. [`pump`](Self::pump) when [`Node::poll_session`] names its session, and after `handle`.
/// 3. [`take`](Self::take), and carry the batch over. Once for as much as possible: many calls of the
///    others may go before.
#[derive(Clone, Debug)]
pub struct Link {
    side: Side,
    window: usize,
    streams: usize,
    /// What was written and not given back.
    used: usize,
    /// Streams opened so far, of each direction.
    opened: [u64; 2],
    /// Those of them that are not over.
    own: [usize; 2],
    sending: BTreeMap<StreamId, Sending>,
    /// Streams on which something may still come; `true` when this end has asked to stop.
    receiving: BTreeMap<StreamId, bool>,
    blocked: BTreeSet<StreamId>,
    outgoing: Batch,
    closed: bool,
}

impl Link {
    /// An end that has at most `window` bytes on their way, each piece counted with 64 more, of which the
    /// last may go beyond it. The window is above 0, and the same at both ends. Of each direction at most
    /// `streams` are open; a subscription is one for as long as it lasts, and beyond them it waits. It is
    /// the only bound on them: those in [`Limits`](crate::Limits) for what one peer may do, and how long it
    /// may take, are not for links, since the other end speaks for all the peers of a node.
    pub fn new(side: Side, window: usize, streams: usize) -> Self {
        Self {
            side,
            window,
            streams,
            used: 0,
            opened: [0; 2],
            own: [0; 2],
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            blocked: BTreeSet::new(),
            outgoing: Batch::default(),
            closed: false,
        }
    }

    /// Tells the node what the other end says.
    pub fn handle(&mut self, node: &mut Node, now: Time, session: Id<Session>, batch: Batch) {
        self.hear(batch, |heard| match heard {
            Heard::Opened(stream, dir) => node.handle_opened(now, session, stream, dir),
            Heard::Received(stream, data, fin) => {
                node.handle_recv(now, session, stream, data, fin);
            }
            Heard::Reset(stream, code) => node.handle_reset(now, session, stream, code),
            Heard::Stopped(stream, code) => node.handle_stopped(now, session, stream, code),
            Heard::Acked(stream) => node.handle_acked(now, session, stream),
            Heard::Writable(stream) => node.handle_writable(now, session, stream),
            Heard::Datagram(data) => node.handle_datagram(now, session, data),
            Heard::Closed(closed) => node.handle_closed(now, session, closed),
        });
    }

    /// [`handle`](Self::handle) for who is not a node.
    pub fn hear(&mut self, batch: Batch, mut tell: impl FnMut(Heard)) {
        if self.closed {
            return;
        }
        for signal in batch.signals {
            self.signal(signal, &mut tell);
        }
        self.used = self.used.saturating_sub(batch.credit);
        if self.room() > 0 {
            mem::take(&mut self.blocked).into_iter().for_each(|id| tell(Heard::Writable(id)));
        }
        if let Some((code, reason)) = batch.close {
            self.end();
            tell(Heard::Closed(Closed { by: ClosedBy::Peer, code, reason }));
        }
    }

    fn signal(&mut self, signal: Signal, tell: &mut impl FnMut(Heard)) {
        match signal {
            Signal::Opened(stream) => {
                self.receiving.insert(stream, false);
                if dir(stream) == Dir::Bi {
                    self.sending.insert(stream, Sending::Open);
                }
                tell(Heard::Opened(stream, dir(stream)));
            }
            Signal::Data { stream, data, fin } => {
                self.outgoing.credit += data.len() + OVERHEAD;
                if let Some(&deaf) = self.receiving.get(&stream) {
                    if fin {
                        self.end_receiving(stream);
                    }
                    if !deaf {
                        tell(Heard::Received(stream, data, fin));
                    }
                }
            }
            Signal::Reset(stream, code) => {
                if let Some(&deaf) = self.receiving.get(&stream) {
                    self.end_receiving(stream);
                    if !deaf {
                        tell(Heard::Reset(stream, code));
                    }
                }
            }
            Signal::Stop(stream, code) => {
                if let Some(sending) = self.sending.get_mut(&stream)
                    && *sending == Sending::Open
                {
                    *sending = Sending::Stopped;
                    self.blocked.remove(&stream);
                    tell(Heard::Stopped(stream, code));
                }
            }
            Signal::Datagram(data) => {
                self.outgoing.credit += data.len() + OVERHEAD;
                tell(Heard::Datagram(data));
            }
            Signal::Acked(stream) => {
                let finished = self.sending.remove(&stream) == Some(Sending::Finished);
                self.retire(stream);
                if finished {
                    tell(Heard::Acked(stream));
                }
            }
        }
    }

    /// Writes what the node has for this session, as far as there is room.
    pub fn pump(
        &mut self,
        node: &mut Node,
        now: Time,
        session: Id<Session>,
        scratch: &mut Vec<Bytes>,
    ) {
        binding::pump(node, now, session, self, scratch);
    }

    /// What the other end has to be told now; `None` if there is nothing. O(1).
    ///
    /// Credit goes along with something else, or when it is a quarter of the window: a message for each
    /// one that came would wake the other end in vain.
    pub fn take(&mut self) -> Option<Batch> {
        let Batch { signals, credit, close } = &self.outgoing;
        let worth = !signals.is_empty() || close.is_some() || *credit >= self.window.div_ceil(4);
        worth.then(|| mem::take(&mut self.outgoing))
    }

    /// Whether the link is closed, and its other end was told or has said so.
    pub fn is_over(&self) -> bool {
        self.closed && self.outgoing == Batch::default()
    }

    fn end_receiving(&mut self, stream: StreamId) {
        self.receiving.remove(&stream);
        self.outgoing.signals.push(Signal::Acked(stream));
        self.retire(stream);
    }

    /// Gives the place of an own stream free when both its directions are over.
    fn retire(&mut self, stream: StreamId) {
        let over = !self.sending.contains_key(&stream) && !self.receiving.contains_key(&stream);
        if over && opener(stream) == self.side {
            self.own[index(dir(stream))] -= 1;
        }
    }

    /// Whether a stream takes bytes, an end or a reset.
    fn sends(&self, stream: StreamId) -> bool {
        matches!(self.sending.get(&stream), Some(Sending::Open))
    }

    fn end(&mut self) {
        self.closed = true;
        self.sending.clear();
        self.receiving.clear();
        self.blocked.clear();
        self.outgoing = Batch::default();
    }
}

impl Transport for Link {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let at = index(dir);
        if self.closed || self.own[at] >= self.streams {
            return None;
        }
        let opener = u64::from(self.side == Side::Server);
        let stream = StreamId(self.opened[at] << 2 | (at as u64) << 1 | opener);
        self.opened[at] += 1;
        self.own[at] += 1;
        self.sending.insert(stream, Sending::Open);
        if dir == Dir::Bi {
            self.receiving.insert(stream, false);
        }
        self.outgoing.signals.push(Signal::Opened(stream));
        Some(stream)
    }

    fn room(&self) -> usize {
        self.window.saturating_sub(self.used)
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        if !self.sends(stream) {
            return 0;
        }
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let taken = offered.min(self.room());
        if taken < offered {
            self.blocked.insert(stream);
        }
        if taken == 0 {
            return 0;
        }
        let mut data = BytesMut::with_capacity(taken);
        for chunk in chunks {
            data.put_slice(&chunk[..chunk.len().min(taken - data.len())]);
        }
        self.used += taken + OVERHEAD;
        self.outgoing.signals.push(Signal::Data { stream, data: data.freeze(), fin: false });
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        if !self.sends(stream) {
            return;
        }
        self.sending.insert(stream, Sending::Finished);
        match self.outgoing.signals.last_mut() {
            Some(Signal::Data { stream: last, fin, .. }) if *last == stream => *fin = true,
            _ => {
                self.used += OVERHEAD;
                let data = Bytes::new();
                self.outgoing.signals.push(Signal::Data { stream, data, fin: true });
            }
        }
    }

    /// Batches arrive whole, so there is nothing that one stream could overtake: the order is that of
    /// the node's offers.
    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        if let Some(sending) = self.sending.get_mut(&stream)
            && matches!(sending, Sending::Open | Sending::Stopped)
        {
            *sending = Sending::Reset;
            self.blocked.remove(&stream);
            self.outgoing.signals.push(Signal::Reset(stream, code));
        }
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        if let Some(deaf @ false) = self.receiving.get_mut(&stream) {
            *deaf = true;
            self.outgoing.signals.push(Signal::Stop(stream, code));
        }
    }

    fn datagram_room(&mut self) -> usize {
        usize::MAX
    }

    fn send_datagram(&mut self, data: Bytes) {
        if !self.closed {
            self.used += data.len() + OVERHEAD;
            self.outgoing.signals.push(Signal::Datagram(data));
        }
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        let mut last = mem::take(&mut self.outgoing);
        self.end();
        last.close = Some((code, reason.into()));
        self.outgoing = last;
    }
}

fn index(dir: Dir) -> usize {
    match dir {
        Dir::Bi => 0,
        Dir::Uni => 1,
    }
}

/// Ids are built as in QUIC: the lowest bit says who has opened the stream, the next one how many ways
/// it goes.
fn dir(stream: StreamId) -> Dir {
    if stream.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
}

fn opener(stream: StreamId) -> Side {
    if stream.0 & 1 == 0 { Side::Client } else { Side::Server }
}

//! A connection without time: what was sent waits, stream by stream, until it is chosen to arrive.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Dir, Id, Session, Side, StreamId, Time,
    binding::Transport,
    wire::{SessionCode, StreamCode},
};

use crate::{
    NodeId,
    link::{Ack, Signal, stream_id},
    tap::Tap,
};

/// What of one stream is on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pipe {
    pub(super) data: BytesMut,
    pub(super) fin: bool,
    pub(super) reset: Option<StreamCode>,
}

/// One end: what it has sent and the other end does not have yet.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) node: NodeId,
    pub(super) session: Id<Session>,
    side: Side,
    opened: [u64; 2],
    /// Streams of the peer that this end has heard of.
    pub(super) accepted: [u64; 2],
    pub(super) pipes: BTreeMap<StreamId, Pipe>,
    pub(super) stops: BTreeMap<StreamId, StreamCode>,
    /// Streams of the peer whose end has arrived here, and which it does not know yet.
    pub(super) acks: BTreeSet<StreamId>,
    pub(super) close: Option<(SessionCode, String)>,
    pub(super) closed: bool,
}

impl End {
    pub(super) fn new(node: NodeId, session: Id<Session>, side: Side) -> Self {
        Self {
            node,
            session,
            side,
            opened: [0; 2],
            accepted: [0; 2],
            pipes: BTreeMap::new(),
            stops: BTreeMap::new(),
            acks: BTreeSet::new(),
            close: None,
            closed: false,
        }
    }

    /// The streams of the peer that `stream` makes known, in order.
    pub(super) fn accept(&mut self, stream: StreamId) -> Vec<(StreamId, Dir)> {
        let theirs = if stream.0 & 1 == 0 { Side::Client } else { Side::Server };
        let (dir, index) = if stream.0 & 2 == 0 { (Dir::Bi, 0) } else { (Dir::Uni, 1) };
        let upto = stream.0 >> 2;
        if theirs == self.side || upto < self.accepted[index] {
            return Vec::new();
        }
        let first = std::mem::replace(&mut self.accepted[index], upto + 1);
        (first..=upto).map(|number| (stream_id(theirs, dir, number), dir)).collect()
    }

    /// The machine has gone, and all that it sent with it.
    pub(super) fn die(&mut self) {
        self.closed = true;
        self.pipes.clear();
        self.stops.clear();
        self.acks.clear();
    }
}

/// An end and who listens.
pub(super) struct Port<'a> {
    pub(super) end: &'a mut End,
    pub(super) tap: &'a mut Tap,
    pub(super) at: (usize, usize),
    pub(super) now: Time,
}

impl Port<'_> {
    fn send(&mut self, signal: Signal) {
        let Some(signal) = self.tap.departs(self.now, self.at, signal) else { return };
        match signal {
            Signal::Data { stream, data, fin, .. } => {
                let pipe = self.end.pipes.entry(stream).or_default();
                pipe.data.extend_from_slice(&data);
                pipe.fin |= fin;
            }
            Signal::Reset { stream, code } => {
                // What has not arrived will not.
                let reset = Some(code);
                self.end.pipes.insert(stream, Pipe { reset, ..Pipe::default() });
            }
            Signal::Stop { stream, code } => _ = self.end.stops.insert(stream, code),
            Signal::Close { code, reason } => self.end.close = Some((code, reason)),
            Signal::Datagram(_) | Signal::Ack { .. } | Signal::Credit(_) => {}
        }
    }

    fn data(&mut self, stream: StreamId, data: Bytes, fin: bool) {
        let sent = Ack { bytes: data.len(), fin };
        self.send(Signal::Data { stream, data, fin, sent });
    }
}

impl Transport for Port<'_> {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let number = &mut self.end.opened[usize::from(dir == Dir::Uni)];
        *number += 1;
        Some(stream_id(self.end.side, dir, *number - 1))
    }

    fn room(&self) -> usize {
        usize::MAX
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let data = Bytes::from(chunks.concat());
        let taken = data.len();
        self.data(stream, data, false);
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        self.data(stream, Bytes::new(), true);
    }

    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.send(Signal::Reset { stream, code });
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        self.send(Signal::Stop { stream, code });
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.end.closed = true;
        self.send(Signal::Close { code, reason: reason.into() });
    }
}

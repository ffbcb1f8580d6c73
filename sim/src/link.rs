//! One end of a simulated connection: streams with credit, windows, priorities and acknowledgements.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Dir, Estimate, Side, StreamId, Time,
    binding::Transport,
    wire::{SessionCode, StreamCode},
};

use crate::Rng;

/// What a connection is like, in each of its directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// How long everything takes one way, at least.
    pub latency: Duration,
    /// Up to this much is added to each piece; pieces of one stream keep their order all the same.
    pub jitter: Duration,
    /// Bytes per second, `None` for no limit.
    pub rate: Option<u64>,
    /// Bytes that may be unacknowledged over all streams.
    pub window: usize,
    /// Bytes that may be unacknowledged on one stream.
    pub stream_window: usize,
    /// Streams of each kind that one end may have open.
    pub streams: u64,
    /// Largest piece that arrives at once; pieces are cut at random.
    pub piece: usize,
    /// In so many of 100 cases only a part of the bytes offered is taken.
    pub partial: u64,
    /// Bytes that a datagram may have; `None` where there are no datagrams.
    pub datagrams: Option<usize>,
    /// So many of 100 datagrams are lost.
    pub datagram_loss: u64,
}

impl Default for LinkConfig {
    /// A quick network that cuts and reorders a lot.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::from_millis(1),
            rate: None,
            window: 256 << 10,
            stream_window: 64 << 10,
            streams: 100,
            piece: 1200,
            partial: 10,
            datagrams: None,
            datagram_loss: 0,
        }
    }
}

/// What travels from one end to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Data {
        stream: StreamId,
        data: Bytes,
        fin: bool,
        /// What the sender's transport gets acknowledged, whatever was done to it on its way.
        sent: Ack,
    },
    Reset {
        stream: StreamId,
        code: StreamCode,
    },
    Stop {
        stream: StreamId,
        code: StreamCode,
    },
    Ack {
        stream: StreamId,
        ack: Ack,
    },
    Datagram(Bytes),
    /// One more stream of this kind may be opened.
    Credit(Dir),
    Close {
        code: SessionCode,
        reason: String,
    },
}

/// How much of a stream has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ack {
    pub(crate) bytes: usize,
    pub(crate) fin: bool,
}

/// What an acknowledgement means for a stream.
pub(crate) enum Acked {
    Nothing,
    /// It takes bytes again.
    Writable,
    /// The peer has everything.
    All,
}

#[derive(Debug, Default)]
struct Sending {
    queue: VecDeque<Bytes>,
    queued: usize,
    unacked: usize,
    priority: i32,
    /// FIN was asked for; it goes with the last byte.
    fin: bool,
    fin_left: bool,
    blocked: bool,
    /// When the last piece arrives: later ones do not overtake it.
    arrives: Time,
}

impl Sending {
    fn refused(&self) -> bool {
        self.blocked && self.queued + self.unacked == 0
    }

    fn has_output(&self) -> bool {
        self.queued > 0 || self.fin && !self.fin_left
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) config: LinkConfig,
    pub(crate) side: Side,
    /// Nothing leaves this end: its peer does not read, or the cable is cut.
    pub(crate) stalled: bool,
    pub(crate) closed: bool,
    /// When it is to be looked at again, if that is scheduled.
    pub(crate) resumes: Option<Time>,
    opened: [u64; 2],
    credit: [u64; 2],
    /// Streams of the peer seen so far, of each kind.
    accepted: [u64; 2],
    sending: BTreeMap<StreamId, Sending>,
    /// Streams on which something may still come; `true` when this end has asked to stop.
    receiving: BTreeMap<StreamId, bool>,
    in_use: usize,
    busy: Time,
    /// Signals that wait for no window.
    urgent: VecDeque<Signal>,
    rng: Rng,
}

fn index(dir: Dir) -> usize {
    match dir {
        Dir::Bi => 0,
        Dir::Uni => 1,
    }
}

fn dir_of(stream: StreamId) -> Dir {
    if stream.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
}

/// A stream id as QUIC builds it.
pub(crate) fn stream_id(opener: Side, dir: Dir, number: u64) -> StreamId {
    StreamId(number << 2 | (index(dir) as u64) << 1 | u64::from(opener == Side::Server))
}

impl End {
    pub(crate) fn new(config: LinkConfig, side: Side, rng: Rng) -> Self {
        Self {
            credit: [config.streams; 2],
            config,
            side,
            stalled: false,
            closed: false,
            resumes: None,
            opened: [0; 2],
            accepted: [0; 2],
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            in_use: 0,
            busy: Time::ZERO,
            urgent: VecDeque::new(),
            rng,
        }
    }

    /// The streams that a signal on `stream` makes known, in order.
    pub(crate) fn accept(&mut self, stream: StreamId) -> Vec<StreamId> {
        let opener = if stream.0 & 1 == 0 { Side::Client } else { Side::Server };
        if opener == self.side {
            return Vec::new();
        }
        let dir = dir_of(stream);
        let first = self.accepted[index(dir)];
        let new: Vec<_> =
            (first..=stream.0 >> 2).map(|number| stream_id(opener, dir, number)).collect();
        self.accepted[index(dir)] += new.len() as u64;
        for stream in &new {
            self.receiving.insert(*stream, false);
            if dir == Dir::Bi {
                self.sending.insert(*stream, Sending::default());
            }
        }
        new
    }

    /// Whether what comes on a stream is wanted; `ends` when it is the last.
    pub(crate) fn receives(&mut self, stream: StreamId, ends: bool) -> bool {
        let Some(stopped) = self.receiving.get(&stream).copied() else { return false };
        if ends {
            self.receiving.remove(&stream);
            self.retire(stream);
        }
        !stopped
    }

    /// The streams on which this end still sends.
    pub(crate) fn sending(&self) -> impl Iterator<Item = StreamId> {
        self.sending.keys().copied()
    }

    /// The machine has gone: nothing comes from here any more, no word of goodbye either.
    pub(crate) fn die(&mut self) {
        self.closed = true;
        self.urgent.clear();
    }

    /// Whether this end still sends on a stream.
    pub(crate) fn sends(&self, stream: StreamId) -> bool {
        self.sending.contains_key(&stream)
    }

    /// The peer has `bytes` more of a stream. Pieces may arrive out of order over streams, never
    /// within one, so that FIN is the last to be acknowledged.
    pub(crate) fn acked(&mut self, stream: StreamId, ack: Ack) -> Acked {
        let Ack { bytes, fin } = ack;
        self.in_use -= bytes;
        let Some(sending) = self.sending.get_mut(&stream) else { return Acked::Nothing };
        sending.unacked -= bytes;
        if fin {
            self.sending.remove(&stream);
            self.retire(stream);
            return Acked::All;
        }
        if std::mem::take(&mut sending.blocked) { Acked::Writable } else { Acked::Nothing }
    }

    pub(crate) fn credited(&mut self, dir: Dir) {
        self.credit[index(dir)] += 1;
    }

    /// Acknowledges what has come.
    pub(crate) fn acknowledge(&mut self, ack: Signal) {
        self.urgent.push_back(ack);
    }

    /// Whether a stream is blocked for no other reason than chance: no acknowledgement will free it.
    pub(crate) fn has_refused(&self) -> bool {
        !self.closed && self.sending.values().any(Sending::refused)
    }

    /// Frees the streams that are blocked for no other reason than chance.
    pub(crate) fn writable(&mut self) -> Vec<StreamId> {
        let refused = self.sending.iter_mut().filter(|(_, sending)| sending.refused());
        refused
            .map(|(stream, sending)| {
                sending.blocked = false;
                *stream
            })
            .collect()
    }

    /// What leaves this end now, and when it arrives. Stops when the link is busy; then
    /// [`End::busy_until`] says how long.
    pub(crate) fn transmit(&mut self, now: Time) -> Vec<(Time, Signal)> {
        let mut out = Vec::new();
        if self.stalled {
            return out;
        }
        while let Some(signal) = self.urgent.pop_front() {
            out.push((now.after(self.config.latency), signal));
        }
        while self.busy <= now && !self.closed {
            let most_urgent =
                |(id, sending): &(&StreamId, &mut Sending)| (sending.priority, Reverse(**id));
            let ready = self.sending.iter_mut().filter(|(_, sending)| sending.has_output());
            let Some((stream, sending)) = ready.max_by_key(most_urgent) else { break };
            let size = 1 + self.rng.below(self.config.piece as u64) as usize;
            let data = take(&mut sending.queue, size);
            sending.queued -= data.len();
            sending.unacked += data.len();
            let fin = sending.fin && sending.queued == 0;
            sending.fin_left |= fin;
            if let Some(rate) = self.config.rate {
                let micros = data.len() as u64 * 1_000_000 / rate.max(1);
                self.busy = self.busy.max(now).after(Duration::from_micros(micros));
            }
            let jitter = self.rng.below(self.config.jitter.as_micros() as u64 + 1);
            let delay = self.config.latency + Duration::from_micros(jitter);
            sending.arrives = sending.arrives.max(self.busy.max(now).after(delay));
            let sent = Ack { bytes: data.len(), fin };
            out.push((sending.arrives, Signal::Data { stream: *stream, data, fin, sent }));
        }
        out
    }

    /// When more can leave, if something waits for it.
    pub(crate) fn busy_until(&self) -> Option<Time> {
        let waits = !self.stalled && self.sending.values().any(Sending::has_output);
        Some(self.busy).filter(|_| waits && !self.closed)
    }

    /// Gives the peer back a stream of its own when both directions are over.
    fn retire(&mut self, stream: StreamId) {
        let theirs = (stream.0 & 1 == 0) != (self.side == Side::Client);
        let over = !self.receiving.contains_key(&stream) && !self.sending.contains_key(&stream);
        if theirs && over {
            self.urgent.push_back(Signal::Credit(dir_of(stream)));
        }
    }
}

fn take(queue: &mut VecDeque<Bytes>, size: usize) -> Bytes {
    let mut piece = BytesMut::new();
    while let Some(first) = queue.front_mut() {
        let some = first.split_to(first.len().min(size - piece.len()));
        piece.extend_from_slice(&some);
        if first.is_empty() {
            queue.pop_front();
        }
        if piece.len() == size {
            break;
        }
    }
    piece.freeze()
}

impl Transport for End {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        self.credit[index(dir)] = self.credit[index(dir)].checked_sub(1)?;
        let stream = stream_id(self.side, dir, self.opened[index(dir)]);
        self.opened[index(dir)] += 1;
        self.sending.insert(stream, Sending::default());
        if dir == Dir::Bi {
            self.receiving.insert(stream, false);
        }
        Some(stream)
    }

    fn room(&self) -> usize {
        // The window may have been made smaller since.
        self.config.window.saturating_sub(self.in_use)
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let mut room = self.room();
        let limit = self.config.stream_window;
        let sending = self.sending.get_mut(&stream).expect("writes go to open streams");
        assert!(!sending.fin, "nothing is written after FIN");
        room = room.min(limit - sending.queued - sending.unacked);
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let mut taken = offered.min(room);
        if self.rng.chance(self.config.partial) {
            taken = self.rng.below(taken as u64 + 1) as usize;
        }
        sending.blocked = taken < offered;
        let mut left = taken;
        for chunk in chunks {
            let some = chunk.split_to(chunk.len().min(left));
            left -= some.len();
            if !some.is_empty() {
                sending.queue.push_back(some);
            }
        }
        sending.queued += taken;
        self.in_use += taken;
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        let sending = self.sending.get_mut(&stream).expect("only open streams are finished");
        assert!(!std::mem::replace(&mut sending.fin, true), "a stream is finished once");
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        if let Some(sending) = self.sending.get_mut(&stream) {
            sending.priority = priority;
        }
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        let Some(sending) = self.sending.remove(&stream) else { return };
        self.in_use -= sending.queued;
        self.urgent.push_back(Signal::Reset { stream, code });
        self.retire(stream);
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        if let Some(stopped) = self.receiving.get_mut(&stream) {
            *stopped = true;
            self.urgent.push_back(Signal::Stop { stream, code });
        }
    }

    fn datagram_room(&mut self) -> usize {
        self.config.datagrams.unwrap_or(0)
    }

    fn send_datagram(&mut self, data: Bytes) {
        if !self.rng.chance(self.config.datagram_loss) {
            self.urgent.push_back(Signal::Datagram(data));
        }
    }

    /// What the window allows for each round trip, as if there were nothing else in the way but the rate.
    fn estimate(&mut self) -> Estimate {
        let (rtt, window) = (self.config.latency * 2, self.config.window as u64);
        let Estimate { bitrate, rtt, app_limited } =
            Estimate::of_window(window, rtt, self.room() > 0);
        let rate = self.config.rate.map_or(u64::MAX, |rate| rate.saturating_mul(8));
        Estimate { bitrate: bitrate.map(|bitrate| bitrate.min(rate)), rtt, app_limited }
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.closed = true;
        self.urgent.push_back(Signal::Close { code, reason: reason.into() });
    }
}

//! Everything that passes between nodes passes here: it is judged, told, hashed and, if a bug is
//! planted or a peer is hostile, changed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Dir, StreamId, Time, Version,
    wire::{DecodeError, StreamCode},
};

use crate::{
    NodeId, Rng,
    dissect::{Half, Item},
    fnv::{FNV, fnv},
    invariants::{Broken, Invariant, Ledger, Spy, Who, acyclic},
    link::Signal,
    meddle::{Bug, Place, Saboteur},
};

/// One connection as the tap knows it.
#[derive(Clone, Debug)]
struct Line {
    version: Version,
    ends: [Who; 2],
    spy: Spy,
    halves: BTreeMap<(StreamId, usize), Half>,
    kinds: BTreeMap<StreamId, u64>,
    /// One of its ends says what it likes.
    hostile: Option<usize>,
    closed: bool,
}

/// Listens on every connection of a world.
#[derive(Clone)]
pub(crate) struct Tap {
    pub(crate) ledger: Ledger,
    lines: Vec<Line>,
    saboteur: Option<Saboteur>,
    hostile: BTreeSet<NodeId>,
    havoc: Rng,
    /// Every connection carries the publishers' timestamps.
    stamped: bool,
    names: BTreeMap<NodeId, String>,
    /// One line for each thing that happens, if somebody wants them.
    pub(crate) log: Option<Vec<String>>,
    hash: u64,
    broken: Option<Broken>,
}

impl Tap {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, stamped: bool, told: bool) -> Self {
        Self {
            ledger: Ledger::default(),
            lines: Vec::new(),
            saboteur: bug.map(Saboteur::new),
            hostile: BTreeSet::new(),
            havoc: Rng::new(seed, 1 << 33),
            stamped,
            names: BTreeMap::new(),
            log: told.then(Vec::new),
            hash: FNV,
            broken: None,
        }
    }

    /// A node has a name from now on, and may be hostile.
    pub(crate) fn name(&mut self, node: NodeId, name: String, hostile: bool) {
        self.names.insert(node, name);
        if hostile {
            self.hostile.insert(node);
        }
    }

    /// What a node is called.
    pub(crate) fn name_of(&self, node: NodeId) -> &str {
        self.names.get(&node).map_or("", String::as_str)
    }

    /// A connection begins; they are numbered in this order.
    pub(crate) fn connects(&mut self, version: Version, ends: [Who; 2]) {
        let hostile = ends.iter().position(|end| self.hostile.contains(&end.node));
        let spy = Spy::new(version, ends, self.stamped);
        let (halves, kinds) = Default::default();
        let line = Line { version, ends, spy, halves, kinds, hostile, closed: false };
        self.lines.push(line);
    }

    /// A connection is gone.
    pub(crate) fn closes(&mut self, link: usize) {
        let line = &mut self.lines[link];
        line.closed = true;
        line.spy.closes();
    }

    /// The first invariant that did not hold.
    pub(crate) fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    pub(crate) fn judge(&mut self, outcome: Result<(), Broken>) {
        if let Err(broken) = outcome {
            self.broken.get_or_insert(broken);
        }
    }

    /// What of the past decides what may follow.
    pub(crate) fn state(&self) -> impl std::fmt::Debug {
        let lines = self.lines.iter().map(|line| (&line.spy, &line.halves, line.closed));
        lines.collect::<Vec<_>>()
    }

    /// What was seen so far, in one number.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn mix(&mut self, bytes: &[u8]) {
        self.hash = bytes.iter().fold(self.hash, |hash, byte| fnv(hash, *byte));
    }

    /// Tells something, if somebody listens.
    pub(crate) fn tell(
        &mut self,
        now: Time,
        text: impl FnOnce(&BTreeMap<NodeId, String>) -> String,
    ) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10.3} ms  {}", millis(now), text(&self.names)));
        }
    }

    /// Whether a stream may be broken by a fault.
    pub(crate) fn breakable(&self, link: usize, stream: StreamId) -> bool {
        self.lines[link].hostile.is_some() || self.lines[link].spy.breakable(stream)
    }

    /// A fault resets a stream.
    pub(crate) fn breaks(
        &mut self,
        now: Time,
        at: (usize, usize),
        stream: StreamId,
        code: StreamCode,
    ) {
        let (link, side) = at;
        let line = &mut self.lines[link];
        // Both ends learn of it as if the other one had done it.
        line.spy.stops(1 - side, stream);
        line.spy.hears_end(1 - side, stream);
        let (version, hop) = (line.version, line.ends[side].hop);
        let place = Place { link, side, stream, version, kind: None, hop };
        self.tell_line(now, &place, &format!("fault: stream {} is reset: {code}", stream.0));
    }

    /// Nothing is on its way: nothing may be pending, and nobody is served in a circle.
    pub(crate) fn quiet(&mut self) {
        let live = |line: &&Line| !line.closed && line.hostile.is_none();
        let pending = self.lines.iter().filter(live).try_for_each(|line| {
            let told = line.spy.nothing_pending(&self.ledger);
            told.map_err(|broken| self.between(line, broken))
        });
        let circles = acyclic(self.lines.iter().filter(live).flat_map(|line| line.spy.served()));
        self.judge(pending);
        self.judge(circles);
    }

    fn between(&self, line: &Line, broken: Broken) -> Broken {
        let [a, b] = line.ends.map(|end| self.name_of(end.node));
        Broken { what: format!("{a} and {b}: {}", broken.what), ..broken }
    }

    /// Something arrives at an end.
    pub(crate) fn arrives(&mut self, (link, side): (usize, usize), signal: &Signal) {
        match signal {
            Signal::Reset { stream, .. } | Signal::Data { stream, fin: true, .. } => {
                self.lines[link].spy.hears_end(side, *stream);
            }
            Signal::Close { .. } => self.closes(link),
            Signal::Data { .. }
            | Signal::Stop { .. }
            | Signal::Datagram(_)
            | Signal::Ack { .. }
            | Signal::Credit(_) => {}
        }
    }

    /// Something leaves an end: what is sent instead, if anything.
    pub(crate) fn departs(
        &mut self,
        now: Time,
        (link, side): (usize, usize),
        signal: Signal,
    ) -> Option<Signal> {
        let line = &self.lines[link];
        if line.closed {
            // Nobody is there to hear it.
            return Some(signal);
        }
        if line.hostile == Some(side) {
            return Some(self.ruin(signal));
        }
        if line.hostile.is_some() {
            return Some(signal);
        }
        let place = |stream: StreamId| Place {
            link,
            side,
            stream,
            version: line.version,
            kind: line.kinds.get(&stream).copied(),
            hop: line.ends[side].hop,
        };
        let signal = match signal {
            Signal::Data { stream, data, fin, sent } => {
                let at = place(stream);
                let (data, fin) = self.data(now, at, data, fin);
                match &self.saboteur {
                    Some(saboteur) if saboteur.evicts(&at, fin) => {
                        let code = StreamCode::EVICTED;
                        return self.departs(now, (link, side), Signal::Reset { stream, code });
                    }
                    _ => Signal::Data { stream, data, fin, sent },
                }
            }
            Signal::Credit(_) if self.saboteur.as_ref().is_some_and(|s| !s.gives_credit()) => {
                return None;
            }
            Signal::Reset { stream, code } => match &self.saboteur {
                Some(saboteur) => {
                    Signal::Reset { stream, code: saboteur.reset(&place(stream), code)? }
                }
                None => signal,
            },
            Signal::Stop { stream, .. } => match &self.saboteur {
                Some(saboteur) if !saboteur.stops(&place(stream)) => return None,
                _ => signal,
            },
            other => other,
        };
        self.note(now, link, side, &signal);
        Some(signal)
    }

    /// Reads what is said on a stream, and lets the saboteur say something else.
    fn data(&mut self, now: Time, mut at: Place, data: Bytes, fin: bool) -> (Bytes, bool) {
        let line = &mut self.lines[at.link];
        let dir = if at.stream.0 & 2 == 0 { Dir::Bi } else { Dir::Uni };
        let half = line.halves.entry((at.stream, at.side)).or_insert_with(|| match at.kind {
            Some(kind) => Half::answer(kind, at.version),
            None => Half::opener(dir),
        });
        half.push(&data);
        let items = std::iter::from_fn(|| half.next(at.version).transpose());
        let items = match items.map(|item| Ok(item?.0)).collect::<Result<Vec<_>, DecodeError>>() {
            Ok(items) => items,
            Err(error) => {
                let what = format!("what it said cannot be read: {error}");
                self.judge(Err(Invariant::Isolation.broken(what)));
                return (data, fin);
            }
        };
        if let Some(Item::Opens(kind)) = items.first() {
            line.kinds.insert(at.stream, *kind);
            at.kind = Some(*kind);
        }
        let (mut said, mut ends) = (items, fin);
        let mut bytes = data;
        if let Some(saboteur) = &mut self.saboteur {
            said = saboteur.items(&at, said, &mut ends);
            let mut out = BytesMut::new();
            said.iter().for_each(|item| item.encode(&mut out, at.version));
            if fin {
                out.extend_from_slice(&half.rest());
            }
            bytes = out.freeze();
        }
        for item in &said {
            let outcome = self.lines[at.link].spy.says(&self.ledger, at.side, at.stream, item);
            self.judged(&at, outcome);
            self.tell_item(now, &at, item);
        }
        (bytes, ends)
    }

    fn note(&mut self, now: Time, link: usize, side: usize, signal: &Signal) {
        let line = &mut self.lines[link];
        let (kind, stream, code) = match signal {
            Signal::Data { stream, fin, .. } => (u64::from(*fin), stream.0, 0),
            Signal::Reset { stream, code } => (2, stream.0, code.0),
            Signal::Stop { stream, code } => (3, stream.0, code.0),
            Signal::Ack { stream, ack } => (4, stream.0, ack.bytes as u64),
            Signal::Credit(dir) => (5, u64::from(*dir == Dir::Uni), 0),
            Signal::Datagram(_) => (7, 0, 0),
            Signal::Close { code, .. } => (6, 0, code.0),
        };
        let outcome = match signal {
            Signal::Data { stream, fin: true, .. } => {
                line.spy.ends(&self.ledger, side, *stream, Ok(()))
            }
            Signal::Reset { stream, code } => {
                line.spy.ends(&self.ledger, side, *stream, Err(*code))
            }
            Signal::Stop { stream, .. } => {
                line.spy.stops(side, *stream);
                Ok(())
            }
            _ => Ok(()),
        };
        for number in [now.as_micros(), (link * 2 + side) as u64, kind, stream, code] {
            self.mix(&number.to_le_bytes());
        }
        if let Signal::Data { data, .. } | Signal::Datagram(data) = signal {
            self.mix(data);
        }
        let version = self.lines[link].version;
        let hop = self.lines[link].ends[side].hop;
        let at = Place { link, side, stream: StreamId(stream), version, kind: None, hop };
        self.judged(&at, outcome);
        let text = match signal {
            Signal::Data { fin: true, .. } => format!("ends stream {stream}"),
            Signal::Reset { code, .. } => format!("resets stream {stream}: {code}"),
            Signal::Stop { code, .. } => format!("wants no more of stream {stream}: {code}"),
            Signal::Close { code, reason } => format!("closes the session: {code} {reason}"),
            Signal::Datagram(data) => format!("sends a datagram of {} bytes", data.len()),
            Signal::Data { .. } | Signal::Ack { .. } | Signal::Credit(_) => return,
        };
        self.tell_line(now, &at, &text);
    }

    fn judged(&mut self, at: &Place, outcome: Result<(), Broken>) {
        if let Err(broken) = outcome {
            let [from, to] = self.ends(at);
            let what = format!("{from} to {to}, stream {}: {}", at.stream.0, broken.what);
            self.judge(Err(Broken { what, ..broken }));
        }
    }

    fn ends(&self, at: &Place) -> [&str; 2] {
        let ends = self.lines[at.link].ends;
        [at.side, 1 - at.side].map(|side| self.name_of(ends[side].node))
    }

    fn tell_item(&mut self, now: Time, at: &Place, item: &Item) {
        let stream = at.stream.0;
        let text = match item {
            Item::Opens(_) | Item::Payload(_) => return,
            Item::Frame(frame) => format!("frame of {} bytes on stream {stream}", frame.size),
            Item::Group(group) => format!(
                "group {} for subscription {} on stream {stream}",
                group.sequence, group.subscribe
            ),
            Item::Setup(message) => format!("{message:?}"),
            Item::Ask(message) => format!("asks what is below {:?}", message.prefix),
            Item::Greeting(message) => format!("{message:?}"),
            Item::Announce(message) => format!("announces on stream {stream}: {message:?}"),
            Item::Subscribe(message) => format!(
                "subscribes to {:?} as {} on stream {stream}",
                message.broadcast, message.id
            ),
            Item::Update(message) => format!("wants on stream {stream} now {message:?}"),
            Item::Answer(message) => format!("answers on stream {stream}: {message:?}"),
            Item::Track(message) => format!("asks what {:?} is like", message.broadcast),
            Item::TrackInfo(message) => format!("{message:?}"),
            Item::Raw(bytes) => format!("{} strange bytes on stream {stream}", bytes.len()),
        };
        self.tell_line(now, at, &text);
    }

    fn tell_line(&mut self, now: Time, at: &Place, text: &str) {
        if self.log.is_some() {
            let [from, to] = self.ends(at);
            let text = format!("{from} → {to}: {text}");
            self.tell(now, |_| text);
        }
    }

    /// What a hostile peer makes of what it had to say.
    fn ruin(&mut self, signal: Signal) -> Signal {
        let Signal::Data { stream, data, fin, sent } = signal else { return signal };
        if data.is_empty() || !self.havoc.chance(25) {
            return Signal::Data { stream, data, fin, sent };
        }
        let mut data = BytesMut::from(&data[..]);
        for _ in 0..=self.havoc.below(3) {
            let at = self.havoc.below(data.len() as u64) as usize;
            match self.havoc.below(5) {
                0 => data[at] ^= 1 << self.havoc.below(8),
                1 => data[at] = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xff][self.havoc.below(7) as usize],
                2 => data.truncate(at.max(1)),
                3 => {
                    let tail = data.split_off(at);
                    data.extend_from_slice(&tail);
                    data.extend_from_slice(&tail);
                }
                _ => data[at] = self.havoc.next() as u8,
            }
        }
        let fin = fin || self.havoc.chance(5);
        Signal::Data { stream, data: data.freeze(), fin, sent }
    }
}

/// A time as people read it: milliseconds since the world began.
pub(crate) fn millis(now: Time) -> f64 {
    now.as_micros().saturating_sub(crate::world::BEGINNING.as_micros()) as f64 / 1000.0
}

//! The simplest transport there is: two ends in one place, and what each of them has still to hear.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use smoq_core::{
    Closed, ClosedBy, Dir, StreamId,
    binding::Transport,
    wire::{SessionCode, StreamCode},
};

use super::{Credit, End, Harness, Log};
use crate::listener::Listener;

/// Bytes that one end may have written and not sent.
const ROOM: usize = 64 << 10;
/// Bytes that move in one turn.
const PIECE: usize = 1000;

enum News {
    Reset(StreamId, StreamCode),
    Stopped(StreamId, StreamCode),
    Datagram(Bytes),
    Closed(SessionCode, String),
}

/// One direction of a stream, until it is over.
#[derive(Default)]
struct Half {
    queue: VecDeque<Bytes>,
    priority: i32,
    fin: bool,
    /// The writer wants to know of credit.
    blocked: bool,
    /// The reader has stopped it.
    deaf: bool,
    /// The writer knows that.
    stopped: bool,
}

impl Half {
    fn queued(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }
}

pub(super) struct Pair {
    credit: Credit,
    /// By stream and writing end.
    halves: BTreeMap<(StreamId, usize), Half>,
    next: [[u64; 2]; 2],
    /// Streams that their acceptor has heard of.
    known: BTreeSet<StreamId>,
    news: VecDeque<(usize, News)>,
    logs: [Log; 2],
}

/// As in QUIC: the lowest bit says who has opened the stream, the next one how many ways it goes.
fn opener(stream: StreamId) -> usize {
    (stream.0 & 1) as usize
}

fn dir(stream: StreamId) -> Dir {
    if stream.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
}

impl Harness for Pair {
    fn new(credit: Credit) -> Self {
        Self {
            credit,
            halves: BTreeMap::new(),
            next: [[0; 2]; 2],
            known: BTreeSet::new(),
            news: VecDeque::new(),
            logs: Default::default(),
        }
    }

    fn transport(&mut self, end: End) -> impl Transport {
        Side { pair: self, end: end as usize }
    }

    fn log(&mut self, end: End) -> &mut Log {
        &mut self.logs[end as usize]
    }

    fn turn(&mut self) -> bool {
        if let Some((to, news)) = self.news.pop_front() {
            self.tell(to, news);
            return true;
        }
        let waiting = self.halves.iter().filter(|(_, half)| half.fin || !half.queue.is_empty());
        let Some((&key, _)) = waiting.max_by_key(|(_, half)| half.priority) else {
            return false;
        };
        self.carry(key);
        true
    }
}

impl Pair {
    fn introduce(&mut self, to: usize, stream: StreamId) {
        if opener(stream) != to && self.known.insert(stream) {
            self.logs[to].opened(stream, dir(stream));
        }
    }

    fn tell(&mut self, to: usize, news: News) {
        match news {
            News::Reset(stream, code) => {
                self.introduce(to, stream);
                self.logs[to].reset(stream, code);
            }
            News::Stopped(stream, code) => {
                if let Some(half) = self.halves.get_mut(&(stream, to)) {
                    half.stopped = true;
                    self.logs[to].stopped(stream, code);
                }
            }
            News::Datagram(data) => self.logs[to].datagram(data),
            News::Closed(code, reason) => {
                self.logs[to].closed = Some(Closed { by: ClosedBy::Peer, code, reason });
            }
        }
    }

    /// Moves a piece from the writer to the reader.
    fn carry(&mut self, (stream, from): (StreamId, usize)) {
        let to = 1 - from;
        self.introduce(to, stream);
        let half = self.halves.get_mut(&(stream, from)).expect("it has something to send");
        let mut data = half.queue.pop_front().unwrap_or_default();
        if data.len() > PIECE {
            half.queue.push_front(data.split_off(PIECE));
        }
        let fin = half.fin && half.queue.is_empty();
        if !half.deaf {
            self.logs[to].received(stream, data, fin);
        }
        if std::mem::take(&mut half.blocked) {
            self.logs[from].writable(stream);
        }
        if fin {
            self.halves.remove(&(stream, from));
            self.logs[from].acked(stream);
        }
    }
}

struct Side<'a> {
    pair: &'a mut Pair,
    end: usize,
}

impl Transport for Side<'_> {
    fn open(&mut self, wanted: Dir) -> Option<StreamId> {
        let live: BTreeSet<_> = self.pair.halves.keys().map(|(stream, _)| *stream).collect();
        let mine =
            live.iter().filter(|&&stream| (opener(stream), dir(stream)) == (self.end, wanted));
        if mine.count() >= self.pair.credit.streams as usize {
            return None;
        }
        let next = &mut self.pair.next[self.end][wanted as usize];
        let stream = StreamId(*next << 2 | (wanted as u64) << 1 | self.end as u64);
        *next += 1;
        self.pair.halves.insert((stream, self.end), Half::default());
        if wanted == Dir::Bi {
            self.pair.halves.insert((stream, 1 - self.end), Half::default());
        }
        Some(stream)
    }

    fn room(&self) -> usize {
        let mine = self.pair.halves.iter().filter(|((_, end), _)| *end == self.end);
        ROOM.saturating_sub(mine.map(|(_, half)| half.queued()).sum())
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let credit = self.pair.credit.bytes as usize;
        let Some(half) = self.pair.halves.get_mut(&(stream, self.end)) else {
            return 0;
        };
        if half.stopped {
            return 0;
        }
        let mut taken = 0;
        for chunk in chunks {
            let fits = chunk.len().min(credit - half.queued());
            half.blocked |= fits < chunk.len();
            half.queue.push_back(chunk.split_to(fits));
            taken += fits;
        }
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        if let Some(half) = self.pair.halves.get_mut(&(stream, self.end)) {
            half.fin = !half.stopped;
        }
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        if let Some(half) = self.pair.halves.get_mut(&(stream, self.end)) {
            half.priority = priority;
        }
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        let half = self.pair.halves.remove(&(stream, self.end));
        if half.is_some_and(|half| !half.deaf) {
            self.pair.news.push_back((1 - self.end, News::Reset(stream, code)));
        }
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        if let Some(half) = self.pair.halves.get_mut(&(stream, 1 - self.end)) {
            half.deaf = true;
            self.pair.news.push_back((1 - self.end, News::Stopped(stream, code)));
        }
    }

    fn datagram_room(&mut self) -> usize {
        ROOM
    }

    fn send_datagram(&mut self, data: Bytes) {
        self.pair.news.push_back((1 - self.end, News::Datagram(data)));
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.pair.halves.clear();
        self.pair.news.push_back((1 - self.end, News::Closed(code, reason.to_owned())));
    }
}

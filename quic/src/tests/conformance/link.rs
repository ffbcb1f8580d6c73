//! Two ends of a link inside one process.

use smoq_core::{Batch, Heard, Link, Side, binding::Transport};

use super::{Credit, End, Harness, Log};
use crate::listener::Listener;

/// Least that the tests want to be on its way at a time.
const WINDOW: usize = 64 << 10;

pub(super) struct Pair {
    ends: [Link; 2],
    logs: [Log; 2],
}

impl Harness for Pair {
    fn new(credit: Credit) -> Self {
        let window = WINDOW.min(credit.bytes as usize);
        let ends = [Side::Client, Side::Server]
            .map(|side| Link::new(side, window, credit.streams as usize));
        Self { ends, logs: Default::default() }
    }

    fn transport(&mut self, end: End) -> impl Transport {
        &mut self.ends[end as usize]
    }

    fn log(&mut self, end: End) -> &mut Log {
        &mut self.logs[end as usize]
    }

    fn turn(&mut self) -> bool {
        let batches: Vec<(usize, Batch)> =
            (0..2).filter_map(|from| Some((1 - from, self.ends[from].take()?))).collect();
        let any = !batches.is_empty();
        for (to, batch) in batches {
            let log = &mut self.logs[to];
            self.ends[to].hear(batch, |heard| match heard {
                Heard::Opened(stream, dir) => log.opened(stream, dir),
                Heard::Received(stream, data, fin) => log.received(stream, data, fin),
                Heard::Reset(stream, code) => log.reset(stream, code),
                Heard::Stopped(stream, code) => log.stopped(stream, code),
                Heard::Acked(stream) => log.acked(stream),
                Heard::Writable(stream) => log.writable(stream),
                Heard::Datagram(data) => log.datagram(data),
                Heard::Closed(closed) => log.closed = Some(closed),
            });
        }
        any
    }
}

//! A narrow place in a network. Pure: it says when what goes in comes out.

use std::time::{Duration, Instant};

/// How long a datagram takes from end to end when nothing else is on its way.
const DELAY: Duration = Duration::from_millis(40);
/// Bytes that wait at most. What comes then is lost.
const QUEUE: u64 = 24 << 10;

/// A line of so many bits per second, and the queue in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Bottleneck {
    rate: u64,
    /// When all that waits has left.
    free: Instant,
}

impl Bottleneck {
    pub(crate) fn new(now: Instant, rate: u64) -> Self {
        Self { rate, free: now }
    }

    /// It gets another rate, for what waits too.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u64) {
        let waiting = self.waiting(now);
        self.rate = rate;
        self.free = now + self.time_of(waiting);
    }

    /// When a datagram arrives; `None` if it is lost.
    pub(crate) fn carry(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let (bytes, waiting) = (bytes as u64, self.waiting(now));
        if waiting + bytes > QUEUE {
            return None;
        }
        self.free = self.free.max(now) + self.time_of(bytes);
        Some(self.free + DELAY)
    }

    fn waiting(&self, now: Instant) -> u64 {
        let time = self.free.saturating_duration_since(now);
        (time.as_micros() as u64).saturating_mul(self.rate) / 8_000_000
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_micros(bytes * 8_000_000 / self.rate)
    }
}

//! What carries datagrams from one host to another, and what becomes of them on the way.

use std::time::Duration;

use bytes::BytesMut;
use smoq_core::Time;
use smoq_quic::{Congestion, Slots, TransportOptions};

use crate::Rng;

/// How packets are lost, in parts of a thousand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    Never,
    /// Each one for itself.
    Single(u64),
    /// A burst begins with a packet in so many of a thousand, and ends so; four of five are lost in it.
    Bursts {
        begin: u64,
        end: u64,
    },
}

/// What a network of packets is like, each direction between two hosts for itself.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Air {
    pub(crate) latency: Duration,
    /// Up to this much is added to each datagram, so that they overtake each other.
    pub(crate) jitter: Duration,
    pub(crate) loss: Loss,
    /// Parts of a thousand that come twice, with a bit changed, or a tenth of a second late.
    pub(crate) duplicate: u64,
    pub(crate) corrupt: u64,
    pub(crate) late: u64,
    /// Bytes per second, `None` for no limit, and how many may wait for their turn.
    pub(crate) rate: Option<u64>,
    pub(crate) queue: u64,
    /// Bytes of the largest UDP payload that passes.
    pub(crate) mtu: usize,
    /// Clocks are fast by up to so many parts of a million.
    pub(crate) drift: u64,
    /// How late timers fire.
    pub(crate) tardy: Duration,
    /// Somebody sends what he has heard, changed or not, from another address or as another.
    pub(crate) stranger: bool,
    pub(crate) transport: TransportOptions,
}

impl Default for Air {
    /// A good network.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss: Loss::Never,
            duplicate: 0,
            corrupt: 0,
            late: 0,
            rate: None,
            queue: 64 << 10,
            mtu: 1472,
            drift: 0,
            tardy: Duration::ZERO,
            stranger: false,
            transport: TransportOptions {
                idle_timeout: Duration::from_secs(3),
                keep_alive: Duration::from_secs(1),
                handshake_timeout: Duration::from_secs(3),
                ..TransportOptions::default()
            },
        }
    }
}

impl Air {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let plain = Self::default();
        let few = Slots { initial: 2, max: 16 };
        let windows = rng.chance(30);
        let slots = rng.chance(30);
        let transport = TransportOptions {
            uni_streams: if slots { few } else { plain.transport.uni_streams },
            bidi_streams: if slots { few } else { plain.transport.bidi_streams },
            stream_receive_window: if windows { 1500 } else { 4 << 20 },
            receive_window: if windows { 6000 } else { 16 << 20 },
            congestion: [Congestion::Cubic, Congestion::NewReno, Congestion::Bbr]
                [rng.below(3) as usize],
            ..plain.transport
        };
        Self {
            latency: Duration::from_micros([100, 1000, 5000, 40_000][rng.below(4) as usize]),
            jitter: Duration::from_millis([0, 1, 10, 60][rng.below(4) as usize]),
            loss: [
                Loss::Never,
                Loss::Single(20),
                Loss::Single(100),
                Loss::Bursts { begin: 5, end: 200 },
            ][rng.below(4) as usize],
            duplicate: [0, 0, 50][rng.below(3) as usize],
            corrupt: [0, 0, 20][rng.below(3) as usize],
            late: [0, 0, 30][rng.below(3) as usize],
            rate: [None, None, Some(500_000), Some(60_000)][rng.below(4) as usize],
            queue: [64 << 10, 8000][rng.below(2) as usize],
            mtu: [1472, 1472, 1350, 1200][rng.below(4) as usize],
            drift: [0, 200][rng.below(2) as usize],
            tardy: Duration::from_millis([0, 0, 2][rng.below(3) as usize]),
            stranger: rng.chance(25),
            transport,
        }
    }

    /// The same distances, and no harm done.
    pub(super) fn healed(&self) -> Self {
        Self {
            loss: Loss::Never,
            duplicate: 0,
            corrupt: 0,
            late: 0,
            stranger: false,
            ..self.clone()
        }
    }
}

/// One direction between two hosts.
pub(super) struct Line {
    rng: Rng,
    /// Bytes per second here, if it is narrower than the others, and how many may wait.
    pub(super) narrow: Option<(u64, u64)>,
    /// When what waits has left.
    free: Time,
    in_burst: bool,
    /// Nothing passes.
    pub(super) cut: bool,
    /// Nothing passes before.
    pub(super) dark_until: Time,
}

impl Line {
    pub(super) fn new(rng: Rng) -> Self {
        let (narrow, free, dark_until) = (None, Time::ZERO, Time::ZERO);
        Self { rng, narrow, free, in_burst: false, cut: false, dark_until }
    }

    /// When a datagram arrives, each copy of it, and how; not at all if it is lost.
    pub(super) fn carry(&mut self, now: Time, air: &Air, data: &[u8]) -> Vec<(Time, BytesMut)> {
        if self.cut || now < self.dark_until || data.len() > air.mtu || self.loses(air) {
            return Vec::new();
        }
        let mut left = now;
        if let Some((rate, queue)) = self.narrow.or(air.rate.map(|rate| (rate, air.queue))) {
            let begins = self.free.max(now);
            if begins.since(now).as_micros() as u64 * rate / 1_000_000 > queue {
                return Vec::new();
            }
            left = begins.after(Duration::from_micros(data.len() as u64 * 1_000_000 / rate));
            self.free = left;
        }
        let copies = 1 + usize::from(self.happens(air.duplicate));
        (0..copies)
            .map(|_| {
                let mut data = BytesMut::from(data);
                if self.happens(air.corrupt) {
                    let bit = self.rng.below(data.len() as u64 * 8);
                    data[(bit / 8) as usize] ^= 1 << (bit % 8);
                }
                let jitter = self.rng.below(air.jitter.as_micros() as u64 + 1);
                let late = if self.happens(air.late) { 100_000 } else { 0 };
                let delay = air.latency + Duration::from_micros(jitter + late);
                (left.after(delay), data)
            })
            .collect()
    }

    fn loses(&mut self, air: &Air) -> bool {
        match air.loss {
            Loss::Never => false,
            Loss::Single(parts) => self.happens(parts),
            Loss::Bursts { begin, end } => {
                let turns = self.happens(if self.in_burst { end } else { begin });
                self.in_burst ^= turns;
                self.in_burst && self.rng.chance(80)
            }
        }
    }

    fn happens(&mut self, parts: u64) -> bool {
        parts > 0 && self.rng.below(1000) < parts
    }
}

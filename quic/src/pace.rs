//! How much to give to quinn-proto, so that it always has enough and never much.
//!
//! What quinn-proto was given can no longer be reordered or expired by the node, so it should hold a
//! fraction of a round trip and no more. It does not tell how much of it has not been sent, so
//! [`Pace`] counts: bytes given, less bytes sent, less what packets and frames cost at most, plus
//! what was lost and goes again. The count errs on the full side. When it says "full" and
//! quinn-proto sends nothing all the same, it is either held back by congestion control or empty:
//! a [`PROBE`] more bytes tell which.

use quinn_proto::ConnectionStats;

/// Most bytes to hold: one GSO batch.
const MAX_BURST: u64 = 64 << 10;
/// Fewest bytes to hold: one initial congestion window (RFC 9002, section 7.2).
const MIN_BURST: u64 = 14_720;
/// Less than any full packet carries, so that a probe that fails is gone with the next packet.
const PROBE: usize = 1000;
/// Bytes of header and tag of a packet, at most: 1 + 20 + 4 + 16, rounded up.
const PACKET_COST: u64 = 48;
/// Bytes of header of a STREAM frame, at most: 1 + 8 + 8 + 2, rounded down as no stream has so many.
const STREAM_COST: u64 = 16;
/// Bytes of header of a DATAGRAM frame: 1 + 2.
const DATAGRAM_COST: u64 = 3;
/// Bytes of an ACK frame with a few ranges.
const ACK_COST: u64 = 32;

#[derive(Default)]
pub(crate) struct Pace {
    /// Bytes given and not sent, at most.
    waiting: u64,
    /// What the present probe may still write.
    allowance: usize,
    probe: Probe,
    seen: Seen,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Probe {
    /// May be made.
    #[default]
    Idle,
    /// Was written; if the next thing that happens is a packet, there was nothing else to send.
    Asking,
    /// Was not sent, so there is something to send. No other one until some of it has left.
    Failed,
}

/// Totals at the last look.
#[derive(Default)]
struct Seen {
    datagrams: u64,
    stream_frames: u64,
    datagram_frames: u64,
    ack_frames: u64,
    lost_bytes: u64,
}

impl Pace {
    /// How many more bytes to give, with a congestion window of `window` bytes.
    pub(crate) fn room(&self, window: u64) -> usize {
        self.allowance.max(Self::burst(window).saturating_sub(self.waiting) as usize)
    }

    /// Whether so little waits that the network may take more than there is to send.
    pub(crate) fn is_short(&self, window: u64) -> bool {
        self.waiting < Self::burst(window).min(window) / 2
    }

    fn burst(window: u64) -> u64 {
        (window / 2).clamp(MIN_BURST, MAX_BURST)
    }

    /// `bytes` were given.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.waiting += bytes as u64;
        self.allowance = self.allowance.saturating_sub(bytes);
    }

    /// Packets of `bytes` in sum were sent.
    pub(crate) fn sent(&mut self, bytes: usize, stats: &ConnectionStats) {
        let now = Seen {
            datagrams: stats.udp_tx.datagrams,
            stream_frames: stats.frame_tx.stream,
            datagram_frames: stats.frame_tx.datagram,
            ack_frames: stats.frame_tx.acks,
            lost_bytes: stats.path.lost_bytes,
        };
        let cost = (now.datagrams - self.seen.datagrams) * PACKET_COST
            + (now.stream_frames - self.seen.stream_frames) * STREAM_COST
            + (now.datagram_frames - self.seen.datagram_frames) * DATAGRAM_COST
            + (now.ack_frames - self.seen.ack_frames) * ACK_COST;
        let lost = now.lost_bytes - self.seen.lost_bytes;
        let carried_data = now.stream_frames > self.seen.stream_frames
            || now.datagram_frames > self.seen.datagram_frames;
        self.seen = now;
        self.allowance = 0;
        if self.probe == Probe::Asking {
            self.waiting = 0;
            self.probe = Probe::Idle;
            return;
        }
        self.waiting = (self.waiting + lost).saturating_sub((bytes as u64).saturating_sub(cost));
        if carried_data {
            self.probe = Probe::Idle;
        }
    }

    /// A stream was reset: an unknown part of what waited is gone.
    pub(crate) fn forgot(&mut self) {
        self.probe = Probe::Idle;
    }

    /// Nothing can be sent, although the node is `hungry` for more room or not. Whether to give
    /// [`Pace::room`] bytes more and try again.
    pub(crate) fn blocked(&mut self, hungry: bool) -> bool {
        let unused = std::mem::take(&mut self.allowance);
        self.probe = match self.probe {
            Probe::Asking if unused == PROBE => Probe::Idle,
            Probe::Asking | Probe::Failed => Probe::Failed,
            Probe::Idle if hungry => {
                self.allowance = PROBE;
                Probe::Asking
            }
            Probe::Idle => Probe::Idle,
        };
        self.allowance > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 1 << 20;

    /// Figures after `datagrams` packets, each with one STREAM frame.
    fn stats(datagrams: u64, lost_bytes: u64) -> ConnectionStats {
        let mut stats = ConnectionStats::default();
        stats.udp_tx.datagrams = datagrams;
        stats.frame_tx.stream = datagrams;
        stats.path.lost_bytes = lost_bytes;
        stats
    }

    fn full() -> Pace {
        let mut pace = Pace::default();
        let room = pace.room(WINDOW);
        assert_eq!(room as u64, MAX_BURST);
        pace.wrote(room);
        assert_eq!(pace.room(WINDOW), 0);
        pace
    }

    #[test]
    fn it_is_short_of_data_with_less_than_half_of_what_it_holds() {
        for (window, most) in [(1_000_000, MAX_BURST), (20_000, MIN_BURST), (5_000, 5_000)] {
            let mut pace = Pace::default();
            pace.wrote(most as usize / 2 - 1);
            assert!(pace.is_short(window), "{window}");
            pace.wrote(1);
            assert!(!pace.is_short(window), "{window}");
        }
    }

    #[test]
    fn room_follows_the_window_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.room(0) as u64, MIN_BURST);
        assert_eq!(pace.room(60_000), 30_000);
        assert_eq!(pace.room(u64::MAX) as u64, MAX_BURST);
    }

    #[test]
    fn what_was_sent_makes_room_and_what_was_lost_takes_it() {
        let mut pace = full();
        pace.sent(12_000, &stats(10, 0));
        let room = pace.room(WINDOW);
        assert!((11_000..12_000).contains(&room), "{room}");
        pace.sent(1200, &stats(11, 6000));
        assert!(pace.room(WINDOW) < room - 4000);
    }

    #[test]
    fn a_probe_that_is_sent_shows_that_nothing_else_waited() {
        let mut pace = full();
        assert!(pace.blocked(true));
        assert_eq!(pace.room(WINDOW), PROBE);
        pace.wrote(PROBE);
        pace.sent(1100, &stats(1, 0));
        assert_eq!(pace.room(WINDOW) as u64, MAX_BURST);
    }

    #[test]
    fn a_probe_that_is_not_sent_is_the_last_one_until_data_leaves() {
        let mut pace = full();
        assert!(pace.blocked(true));
        pace.wrote(PROBE);
        assert!(!pace.blocked(true));
        assert_eq!(pace.room(WINDOW), 0);
        let mut acks_only = stats(0, 0);
        acks_only.udp_tx.datagrams = 1;
        pace.sent(40, &acks_only);
        assert!(!pace.blocked(true));
        pace.sent(1200, &stats(2, 0));
        assert!(pace.blocked(true));
    }

    #[test]
    fn a_probe_that_nobody_used_can_be_made_again() {
        let mut pace = full();
        assert!(pace.blocked(true));
        assert!(!pace.blocked(false));
        assert!(pace.blocked(true));
    }

    #[test]
    fn a_reset_allows_the_next_probe() {
        let mut pace = full();
        assert!(pace.blocked(true));
        pace.wrote(PROBE);
        assert!(!pace.blocked(true));
        pace.forgot();
        assert!(pace.blocked(true));
    }
}

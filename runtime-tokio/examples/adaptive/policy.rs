//! Which rendition to take. Pure: what is heard and the time go in, what is wanted comes out.

use std::time::{Duration, Instant};

/// Bits per second of the two renditions, low and high.
pub(crate) const RATES: [u64; 2] = [300_000, 2_000_000];

/// How long the way has to look good while both renditions come over it.
const GOOD: Duration = Duration::from_millis(1500);
/// How long a trial may last: a congestion window that was cut takes its time to grow.
const TRIAL: Duration = Duration::from_secs(3);
/// How long to wait from one failure to the next trial, at first and at most: it doubles.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// After so long without a failure the waits begin anew.
const CALM: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Low {
        /// When to try the high one.
        until: Instant,
    },
    Trying {
        /// When the trial has failed.
        until: Instant,
        /// Since when the way looks good.
        good: Option<Instant>,
    },
    High {
        since: Instant,
    },
}

/// What to subscribe to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wants {
    Low,
    /// The low one to be looked at, and the high one, at a lower priority, to see whether it gets through.
    Both,
    High,
}

/// Takes the high rendition while the server says that it could send that much, and tries it from time to time
/// while it does not.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    state: State,
    wait: Duration,
    bitrate: Option<u64>,
}

impl Policy {
    /// One that begins with the low rendition, and tries the high one at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Low { until: now }, wait: WAITS[0], bitrate: None }
    }

    pub(crate) fn wants(&self) -> Wants {
        match self.state {
            State::Low { .. } => Wants::Low,
            State::Trying { .. } => Wants::Both,
            State::High { .. } => Wants::High,
        }
    }

    /// The server has said how fast it could send.
    pub(crate) fn hear(&mut self, now: Instant, bitrate: Option<u64>) {
        self.bitrate = bitrate;
        self.advance(now);
    }

    /// When something changes if nothing is heard.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Low { until } => Some(until),
            State::Trying { until, good } => {
                Some(good.map_or(until, |good| until.min(good + GOOD)))
            }
            State::High { .. } => None,
        }
    }

    /// Time has passed.
    pub(crate) fn advance(&mut self, now: Instant) {
        let enough = self.bitrate.is_some_and(|bitrate| bitrate >= RATES[1]);
        match self.state {
            State::Low { until } if now >= until => {
                self.state = State::Trying { until: now + TRIAL, good: enough.then_some(now) };
            }
            State::Trying { good: Some(good), .. } if enough && now >= good + GOOD => {
                self.state = State::High { since: now };
            }
            State::Trying { until, .. } if now >= until => self.fail(now),
            State::Trying { until, good } => {
                let good = enough.then_some(good.unwrap_or(now));
                self.state = State::Trying { until, good };
            }
            State::High { since } if !enough => {
                if now >= since + CALM {
                    self.wait = WAITS[0];
                }
                self.fail(now);
            }
            State::Low { .. } | State::High { .. } => {}
        }
    }

    fn fail(&mut self, now: Instant) {
        self.state = State::Low { until: now + self.wait };
        self.wait = (self.wait * 2).min(WAITS[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: Option<u64> = Some(RATES[1]);
    const LITTLE: Option<u64> = Some(RATES[1] - 1);

    fn seconds(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_looks_good_for_a_while_is_taken_and_left_at_once() {
        let start = Instant::now();
        let mut policy = Policy::new(start);
        assert_eq!(policy.wants(), Wants::Low);
        policy.hear(start, ENOUGH);
        assert_eq!(policy.wants(), Wants::Both);
        policy.advance(seconds(start, 1.4));
        assert_eq!(policy.wants(), Wants::Both);
        policy.advance(policy.deadline().unwrap());
        assert_eq!((policy.wants(), policy.deadline()), (Wants::High, None));
        policy.hear(seconds(start, 2.0), LITTLE);
        assert_eq!(policy.wants(), Wants::Low);
    }

    #[test]
    fn a_good_moment_is_not_enough() {
        let start = Instant::now();
        let mut policy = Policy::new(start);
        policy.hear(start, ENOUGH);
        policy.hear(seconds(start, 1.0), LITTLE);
        policy.hear(seconds(start, 1.2), ENOUGH);
        policy.advance(seconds(start, 2.6));
        assert_eq!(policy.wants(), Wants::Both);
        policy.advance(seconds(start, 2.7));
        assert_eq!(policy.wants(), Wants::High);
    }

    #[test]
    fn who_fails_waits_longer_each_time_but_not_for_ever() {
        let start = Instant::now();
        let mut policy = Policy::new(start);
        policy.hear(start, LITTLE);
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert_eq!(policy.wants(), Wants::Both);
            let failed = policy.deadline().unwrap();
            policy.advance(failed);
            assert_eq!(policy.wants(), Wants::Low);
            let again = policy.deadline().unwrap();
            waits.push((again - failed).as_secs());
            policy.advance(again);
        }
        assert_eq!(waits, [1, 2, 4, 4]);
    }
}

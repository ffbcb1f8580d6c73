//! How fast a connection is, and when a peer that probes is told so.

use core::time::Duration;

use crate::{
    Time,
    wire::{Probe, varint},
};

/// How fast a connection is, as its transport sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Estimate {
    /// Bits per second that could be sent, `None` if unknown.
    pub bitrate: Option<u64>,
    /// The smoothed round trip time, `None` if unknown.
    pub rtt: Option<Duration>,
    /// There was less to send than the network would have taken, so the bitrate may be too low: it is no
    /// sign that the network has become slower.
    pub app_limited: bool,
}

impl Estimate {
    /// What a congestion window of `window` bytes allows for each round trip.
    pub fn of_window(window: u64, rtt: Duration, app_limited: bool) -> Self {
        let bits = u128::from(window) * 8 * 1_000_000;
        let bitrate = bits.checked_div(rtt.as_micros());
        let bitrate = bitrate.map(|rate| u64::try_from(rate).unwrap_or(u64::MAX));
        Self { bitrate, rtt: Some(rtt).filter(|rtt| !rtt.is_zero()), app_limited }
    }
}

/// The youngest and the oldest a report can be when the next one goes: between them the change of the
/// bitrate that is worth one falls from a quarter to nothing. The values of moq-net.
pub(crate) const SAMPLING: Duration = Duration::from_millis(100);
const OLDEST: Duration = Duration::from_secs(10);

/// Decides which of many estimates one peer is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reporter {
    /// What holds now.
    current: Probe,
    /// What the peer was told last, and when.
    told: Option<(Time, Probe)>,
}

impl Reporter {
    /// Takes a sample.
    pub(crate) fn sample(&mut self, estimate: Estimate) {
        let known = |value: u64| value.clamp(1, varint::MAX);
        let bitrate = estimate.bitrate.map(known);
        let millis = |rtt: Duration| known(u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX));
        let rtt_ms = estimate.rtt.map(millis);
        // A round trip that has become much longer is a sign of its own: of another path, or of queues.
        let told = self.told.and_then(|(_, told)| told.rtt_ms);
        let is_longer = rtt_ms > told && has_other_rtt(told, rtt_ms);
        let floor = self.current.bitrate.filter(|_| estimate.app_limited && !is_longer);
        self.current =
            Probe { bitrate: bitrate.map(|rate| rate.max(floor.unwrap_or(rate))), rtt_ms };
    }

    /// Whether the peer should be told what holds now.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        let is_known = |probe: &Probe| *probe != Probe::default();
        let Some((at, told)) = &self.told else { return is_known(&self.current) };
        if !is_known(&self.current) {
            // Said once; it holds until something is known again.
            return is_known(told);
        }
        let age = now.since(*at);
        let (range, left) = (OLDEST - SAMPLING, OLDEST.saturating_sub(age));
        age >= OLDEST
            || has_other_rtt(told.rtt_ms, self.current.rtt_ms)
            || moved(told.bitrate, self.current.bitrate, micros(left.min(range)), micros(range))
    }

    /// What the peer should be told now, which then counts as told.
    pub(crate) fn take(&mut self, now: Time) -> Option<Probe> {
        let due = self.is_due(now);
        due.then(|| {
            self.told = Some((now, self.current));
            self.current
        })
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

/// Whether a value has changed by a quarter of what it was, times `part` of `whole`; or has come or gone.
fn moved(before: Option<u64>, now: Option<u64>, part: u64, whole: u64) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            let [change, before, part, whole] =
                [now.abs_diff(before), before, part, whole].map(u128::from);
            change * 4 * whole >= before * part
        }
        (before, now) => before != now,
    }
}

/// Whether a round trip has changed by a quarter, and by more than rounding does.
fn has_other_rtt(before: Option<u64>, now: Option<u64>) -> bool {
    let rounded = before.zip(now).is_some_and(|(before, now)| now.abs_diff(before) <= 1);
    !rounded && moved(before, now, 1, 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bitrate(bitrate: u64) -> Estimate {
        Estimate { bitrate: Some(bitrate), ..Estimate::default() }
    }

    fn rtt(millis: u64) -> Estimate {
        Estimate { rtt: Some(Duration::from_millis(millis)), ..bitrate(1000) }
    }

    /// One that has told `first` at time 0.
    fn told(first: Estimate) -> Reporter {
        let mut reporter = Reporter::default();
        reporter.sample(first);
        assert!(reporter.take(Time::ZERO).is_some());
        reporter
    }

    /// Whether `next`, which holds from `millis` on, is told then.
    fn tells(first: Estimate, millis: u64, next: Estimate) -> bool {
        let mut reporter = told(first);
        reporter.sample(next);
        reporter.take(Time::from_millis(millis)).is_some()
    }

    #[test]
    fn a_window_for_each_round_trip() {
        let estimate = Estimate::of_window(125_000, Duration::from_millis(100), false);
        assert_eq!(estimate.bitrate, Some(10_000_000));
        let unknown = Estimate::of_window(125_000, Duration::ZERO, false);
        assert_eq!(unknown, Estimate::default());
        let most = Estimate::of_window(u64::MAX, Duration::from_micros(1), true);
        assert_eq!(most.bitrate, Some(u64::MAX));
    }

    #[test]
    fn a_small_change_has_to_wait() {
        for (millis, small, large) in [(100, 1249, 1250), (5050, 1124, 1125), (9999, 1000, 1001)] {
            assert!(!tells(bitrate(1000), millis, bitrate(small)), "{small} after {millis} ms");
            assert!(tells(bitrate(1000), millis, bitrate(large)), "{large} after {millis} ms");
            let (small, large) = (2000 - small, 2000 - large);
            assert!(!tells(bitrate(1000), millis, bitrate(small)), "{small} after {millis} ms");
            assert!(tells(bitrate(1000), millis, bitrate(large)), "{large} after {millis} ms");
        }
        assert!(tells(bitrate(1000), 10_000, bitrate(1000)), "the same again after 10 s");
        // Sooner than the second sample, a quarter is still enough.
        assert!(tells(bitrate(1000), 1, bitrate(750)));
        assert!(!tells(bitrate(1000), 1, bitrate(751)));
    }

    #[test]
    fn a_round_trip_that_changes_by_a_quarter_is_told_at_once() {
        assert!(!tells(rtt(100), 100, rtt(124)));
        assert!(tells(rtt(100), 100, rtt(125)));
        assert!(tells(rtt(100), 100, rtt(75)));
        assert!(!tells(rtt(100), 9999, rtt(124)), "this one does not become less");
        assert!(!tells(rtt(0), 100, rtt(1)), "below a millisecond is one");
        assert!(!tells(rtt(1), 100, rtt(2)) && tells(rtt(1), 100, rtt(3)), "one more may be none");
    }

    #[test]
    fn what_comes_or_goes_is_told_once() {
        assert!(tells(bitrate(1000), 100, rtt(10)));
        assert!(tells(rtt(10), 100, bitrate(1000)));
        let mut reporter = told(rtt(10));
        reporter.sample(Estimate::default());
        let gone = reporter.take(Time::from_millis(100));
        assert_eq!(gone, Some(Probe::default()));
        assert_eq!(reporter.take(Time::from_millis(60_000)), None, "said before");
        reporter.sample(bitrate(1000));
        assert!(reporter.take(Time::from_millis(60_000)).is_some());
        assert_eq!(Reporter::default().take(Time::ZERO), None, "nothing was ever known");
    }

    #[test]
    fn who_sends_little_has_not_become_slower() {
        let limited = |rate| Estimate { app_limited: true, ..bitrate(rate) };
        let mut reporter = told(bitrate(1000));
        reporter.sample(limited(100));
        assert_eq!(reporter.take(Time::from_millis(9000)), None);
        reporter.sample(limited(2000));
        let more = reporter.take(Time::from_millis(9000)).and_then(|report| report.bitrate);
        assert_eq!(more, Some(2000), "a larger window is a proof");
        reporter.sample(bitrate(100));
        let less = reporter.take(Time::from_millis(9100)).and_then(|report| report.bitrate);
        assert_eq!(less, Some(100), "and so is a smaller one that is full");
        reporter.sample(Estimate { app_limited: true, ..Estimate::default() });
        assert!(reporter.take(Time::from_millis(9200)).is_some(), "unknown is not less");
    }

    #[test]
    fn a_longer_way_is_not_as_fast_as_the_one_before() {
        let limited =
            |rtt_ms, bitrate| Estimate { bitrate: Some(bitrate), app_limited: true, ..rtt(rtt_ms) };
        let mut reporter = told(limited(10, 100_000_000));
        reporter.sample(limited(12, 80_000_000));
        assert_eq!(reporter.take(Time::from_millis(100)), None);
        reporter.sample(limited(333, 300_000));
        let report = reporter.take(Time::from_millis(200)).expect("another way");
        assert_eq!((report.bitrate, report.rtt_ms), (Some(300_000), Some(333)));
    }

    fn estimates() -> impl Strategy<Value = Estimate> {
        let rate = prop_oneof![
            Just(None),
            any::<u64>().prop_map(Some),
            (1_000_000..2_000_000u64).prop_map(Some)
        ];
        let rtt = proptest::option::of((0..200_000u64).prop_map(Duration::from_micros));
        (rate, rtt, any::<bool>()).prop_map(|(bitrate, rtt, app_limited)| Estimate {
            bitrate,
            rtt,
            app_limited,
        })
    }

    proptest! {
        /// What the peer believes is never far from what holds, and never old; and it is told no more
        /// often than estimates are taken.
        #[test]
        fn the_peer_knows_what_holds(samples in proptest::collection::vec(estimates(), 1..300)) {
            let mut reporter = Reporter::default();
            let mut believed = Probe::default();
            let mut told_at = None;
            for (at, sample) in samples.into_iter().enumerate() {
                let now = Time::from_millis(100 * at as u64);
                reporter.sample(sample);
                let holds = reporter.current;
                if let Some(report) = reporter.take(now) {
                    prop_assert_eq!(report, holds);
                    believed = report;
                    told_at = Some(now);
                    prop_assert_eq!(reporter.take(now), None);
                }
                prop_assert_eq!(believed.bitrate.is_some(), holds.bitrate.is_some());
                prop_assert_eq!(believed.rtt_ms.is_some(), holds.rtt_ms.is_some());
                for (believed, holds, rounding) in
                    [(believed.bitrate, holds.bitrate, 0), (believed.rtt_ms, holds.rtt_ms, 1)]
                {
                    let (believed, holds) = (believed.unwrap_or(4), holds.unwrap_or(4));
                    prop_assert!(believed.abs_diff(holds) <= rounding.max(believed / 4));
                }
                if holds != Probe::default() {
                    let age = now.since(told_at.expect("something was known"));
                    prop_assert!(age < OLDEST, "{age:?}");
                }
            }
        }

        /// While the application is the limit, the bitrate only rises.
        #[test]
        fn nothing_falls_while_the_application_is_the_limit(
            rates in proptest::collection::vec(any::<u64>(), 1..100)
        ) {
            let mut reporter = Reporter::default();
            for rate in rates {
                let before = reporter.current.bitrate;
                reporter.sample(Estimate { app_limited: true, ..bitrate(rate) });
                prop_assert!(reporter.current.bitrate >= before);
            }
        }
    }
}

//! How much of something is allowed per time.

use smoq_core::Time;

use crate::limits::Rate;

/// A token bucket that begins full.
#[derive(Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    /// Millionths of a unit.
    level: u64,
    at: Time,
}

const UNIT: u64 = 1_000_000;

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Time) -> Self {
        Self { rate, level: full(rate), at: now }
    }

    /// Takes `units` if that many are there.
    pub(crate) fn take(&mut self, now: Time, units: usize) -> bool {
        let micros = now.as_micros().saturating_sub(self.at.as_micros());
        self.at = now;
        let gained = u64::from(self.rate.per_second).saturating_mul(micros);
        self.level = self.level.saturating_add(gained).min(full(self.rate));
        let cost = (units as u64).saturating_mul(UNIT);
        let enough = cost <= self.level;
        if enough {
            self.level -= cost;
        }
        enough
    }
}

impl Bucket {
    /// When it is full again if nothing is taken before.
    pub(crate) fn full_at(&self) -> Time {
        let missing = full(self.rate) - self.level;
        match missing.div_ceil(u64::from(self.rate.per_second).max(1)) {
            0 => self.at,
            micros => Time::from_micros(self.at.as_micros().saturating_add(micros)),
        }
    }
}

fn full(rate: Rate) -> u64 {
    u64::from(rate.burst).saturating_mul(UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_when_it_is_full() {
        let mut bucket = Bucket::new(Rate { per_second: 2, burst: 3 }, Time::ZERO);
        assert_eq!(bucket.full_at(), Time::ZERO);
        assert!(bucket.take(Time::from_millis(100), 3));
        assert_eq!(bucket.full_at(), Time::from_millis(1600));
    }

    #[test]
    fn it_fills_with_time_up_to_its_burst() {
        let mut bucket = Bucket::new(Rate { per_second: 2, burst: 3 }, Time::ZERO);
        let mut taken = |millis, units| bucket.take(Time::from_millis(millis), units);
        assert!(taken(0, 3) && !taken(0, 1));
        assert!(!taken(499, 1) && taken(500, 1), "nothing is lost between two looks");
        assert!(!taken(60_000, 4) && taken(60_000, 3) && !taken(60_000, 1));
    }
}

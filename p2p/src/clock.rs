//! Our time and that of str0m.

use std::time::{Duration, Instant};

use smoq_signal::Time;

#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) zero: Instant,
}

impl Clock {
    pub(crate) fn instant(self, time: Time) -> Instant {
        self.zero + Duration::from_micros(time.as_micros())
    }

    /// Not before the instant, so that what is due then has come.
    pub(crate) fn time(self, instant: Instant) -> Time {
        let nanos = instant.saturating_duration_since(self.zero).as_nanos();
        Time::from_micros(u64::try_from(nanos.div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

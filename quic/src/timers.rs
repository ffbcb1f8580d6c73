//! Deadlines of many things, and the first of them at once.

use std::{collections::BTreeSet, time::Instant};

use crate::ConnectId;

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// A connection, by its index.
    Connection(usize),
    /// The next step of a race.
    Race(ConnectId),
}

/// An ordered set. The owner of a deadline keeps a copy of it, with which it can be found again.
#[derive(Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    /// Moves a deadline from `current` to `next`.
    pub(crate) fn set(
        &mut self,
        timer: Timer,
        current: &mut Option<Instant>,
        next: Option<Instant>,
    ) {
        if *current == next {
            return;
        }
        if let Some(at) = *current {
            self.0.remove(&(at, timer));
        }
        if let Some(at) = next {
            self.0.insert((at, timer));
        }
        *current = next;
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// What is due. Deadlines stay until their owners move them.
    pub(crate) fn due(&self, now: Instant) -> Vec<Timer> {
        self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, timer)| *timer).collect()
    }
}

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

#[derive(Default)]
pub(crate) struct Timers {
    connections: Heap,
    /// These are few, and gone with the handshake.
    races: BTreeSet<(Instant, ConnectId)>,
    /// The latest first.
    due: Vec<(Instant, Timer)>,
}

impl Timers {
    /// Gives a connection its deadline, or none.
    pub(crate) fn set_connection(&mut self, index: usize, at: Option<Instant>) {
        self.connections.set(index, at);
    }

    /// Moves a race's deadline from `current` to `next`.
    pub(crate) fn set_race(
        &mut self,
        id: ConnectId,
        current: &mut Option<Instant>,
        next: Option<Instant>,
    ) {
        if let Some(at) = *current {
            self.races.remove(&(at, id));
        }
        if let Some(at) = next {
            self.races.insert((at, id));
        }
        *current = next;
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        let race = self.races.first().map(|(at, _)| *at);
        [self.connections.first(), race].into_iter().flatten().min()
    }

    /// Looks which deadlines are due, for [`Timers::next_due`]. They stay until their owners move them.
    pub(crate) fn look(&mut self, now: Instant) {
        self.due.clear();
        self.connections.collect(0, now, &mut self.due);
        let races = self.races.iter().take_while(|(at, _)| *at <= now);
        self.due.extend(races.map(|&(at, id)| (at, Timer::Race(id))));
        self.due.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// The next one of those that were due when [`Timers::look`] was called.
    pub(crate) fn next_due(&mut self) -> Option<Timer> {
        self.due.pop().map(|(_, timer)| timer)
    }
}

/// Deadlines of connections, the first one on top. A deadline moves with almost every packet, so this
/// is a heap that knows where each connection is: it allocates only when there are more of them.
#[derive(Default)]
struct Heap {
    entries: Vec<(Instant, usize)>,
    /// By the index of the connection.
    places: Vec<Option<usize>>,
}

impl Heap {
    fn first(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    fn set(&mut self, index: usize, at: Option<Instant>) {
        if self.places.len() <= index {
            self.places.resize(index + 1, None);
        }
        match (self.places[index], at) {
            (None, None) => {}
            (None, Some(at)) => {
                let place = self.entries.len();
                self.entries.push((at, index));
                self.places[index] = Some(place);
                self.settle(place);
            }
            (Some(place), Some(at)) => {
                self.entries[place].0 = at;
                self.settle(place);
            }
            (Some(place), None) => {
                self.swap(place, self.entries.len() - 1);
                self.entries.pop();
                self.places[index] = None;
                if place < self.entries.len() {
                    self.settle(place);
                }
            }
        }
    }

    /// Moves an entry up or down to where it belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.entries[place] < self.entries[(place - 1) / 2] {
            let parent = (place - 1) / 2;
            self.swap(place, parent);
            place = parent;
        }
        loop {
            let children = 2 * place + 1..self.entries.len().min(2 * place + 3);
            let Some(child) = children.min_by_key(|&child| self.entries[child]) else { return };
            if self.entries[place] < self.entries[child] {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.entries.swap(one, other);
        for place in [one, other] {
            self.places[self.entries[place].1] = Some(place);
        }
    }

    /// Those at and below `place` that are due.
    fn collect(&self, place: usize, now: Instant, due: &mut Vec<(Instant, Timer)>) {
        let Some(&(at, index)) = self.entries.get(place).filter(|(at, _)| *at <= now) else {
            return;
        };
        due.push((at, Timer::Connection(index)));
        self.collect(2 * place + 1, now, due);
        self.collect(2 * place + 2, now, due);
    }
}

#[cfg(test)]
mod tests {
    use std::{iter, time::Duration};

    use super::*;

    /// Against a list that is sorted anew each time.
    #[test]
    fn the_due_ones_come_in_order() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut timers = Timers::default();
        let mut model = [None; 50];
        let mut race = None;
        let mut random = 1_u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = |bits: u32, bound: u64| (random >> bits) % bound;
            let at = (draw(32, 4) > 0).then(|| after(draw(34, 100)));
            let index = draw(45, 51) as usize;
            match model.get_mut(index) {
                Some(entry) => {
                    *entry = at;
                    timers.set_connection(index, at);
                }
                None => timers.set_race(ConnectId(7), &mut race, at),
            }
            let mut all: Vec<_> = iter::zip(model, 0..)
                .filter_map(|(at, index)| Some((at?, Timer::Connection(index))))
                .chain(race.map(|at| (at, Timer::Race(ConnectId(7)))))
                .collect();
            all.sort_unstable();
            assert_eq!(timers.first(), all.first().map(|(at, _)| *at));
            let now = after(draw(52, 110));
            timers.look(now);
            let due: Vec<_> = iter::from_fn(|| timers.next_due()).collect();
            let expected = all.iter().take_while(|(at, _)| *at <= now).map(|(_, timer)| *timer);
            assert!(due.into_iter().eq(expected));
        }
    }
}

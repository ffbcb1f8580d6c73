//! Which groups of a track a subscription still has to get.

use core::time::Duration;

use smallvec::SmallVec;

use super::{Group, Store, Track};
use crate::{Id, Start};

/// The place of one subscription in its track.
///
/// Groups are taken lowest first among those held. One that is taken while a lower one may still come
/// is remembered, so that the late one is not lost; how many may overtake it is bounded.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    start: Start,
    max_age: Duration,
    /// Last group wanted.
    pub(crate) end: Option<u64>,
    /// Every group below has been taken or is not wanted. `None` until the start is resolved.
    floor: Option<u64>,
    /// Groups from `floor` on that have been taken, sorted.
    ahead: SmallVec<[u64; 4]>,
    /// The floor is a promise to the subscriber: no lower group follows.
    settled: bool,
}

impl Selection {
    pub(crate) fn new(start: Start, max_age: Duration, end: Option<u64>) -> Self {
        Self { start, max_age, end, floor: None, ahead: SmallVec::new(), settled: false }
    }

    /// The next group to take, if one is held.
    pub(crate) fn next(&mut self, store: &Store, track: &Track) -> Option<(u64, Id<Group>)> {
        let floor = self.resolve(store, track)?;
        let (sequence, id) =
            track.from(floor).find(|(sequence, _)| self.ahead.binary_search(sequence).is_err())?;
        if self.end.is_some_and(|end| sequence > end) { None } else { Some((sequence, id)) }
    }

    /// Whether nothing that is held remains to be taken, the pause at `end` left aside.
    pub(crate) fn is_exhausted(&self, track: &Track) -> bool {
        let Some(floor) = self.floor else { return track.len() == 0 };
        track.from(floor).all(|(sequence, _)| self.ahead.binary_search(&sequence).is_ok())
    }

    /// The groups held that remain to be taken.
    pub(crate) fn rest(&self, track: &Track) -> impl Iterator<Item = Id<Group>> {
        track
            .from(self.floor.unwrap_or(0))
            .filter(|(sequence, _)| self.ahead.binary_search(sequence).is_err())
            .map(|(_, id)| id)
    }

    /// Marks a group as taken. At most `reorder` groups are remembered beyond a missing one.
    pub(crate) fn take(&mut self, sequence: u64, reorder: usize) {
        if let Err(at) = self.ahead.binary_search(&sequence) {
            self.ahead.insert(at, sequence);
        }
        if self.ahead.len() > reorder {
            self.floor = self.ahead.first().copied();
            self.settled = true;
        }
        self.absorb();
    }

    /// Fixes where the subscription begins, and says where. `None` while the track cannot tell.
    pub(crate) fn settle(&mut self, store: &Store, track: &Track) -> Option<u64> {
        if self.settled {
            return self.floor;
        }
        let floor = self.resolve(store, track)?;
        let begins = match self.start {
            // The source will not say where it starts, but it was asked for this.
            Start::From(first) if track.may_begin_lower() => track.begins()?.min(first),
            _ => track.begins()?,
        };
        // What was taken below `begins` while the source had not said where it starts stays taken.
        let begins = self.ahead.first().map_or(begins, |first| begins.min(*first));
        let start = floor.max(begins);
        self.floor = Some(start);
        self.settled = true;
        self.absorb();
        Some(start)
    }

    /// Raises the floor over what was taken. Not before the start is settled: it is to be told.
    fn absorb(&mut self) {
        let Some(floor) = self.floor.as_mut().filter(|_| self.settled) else { return };
        let mut done = 0;
        for sequence in &self.ahead {
            if *sequence > *floor {
                break;
            }
            *floor = (*floor).max(sequence + 1);
            done += 1;
        }
        self.ahead.drain(..done);
    }

    fn resolve(&mut self, store: &Store, track: &Track) -> Option<u64> {
        match self.start {
            Start::Aged { floor } if !self.settled => {
                // The newest group is often the first to arrive: older ones are let in meanwhile.
                let reached = self.reached(store, track)?.max(floor);
                self.floor = Some(self.floor.map_or(reached, |floor| floor.min(reached)));
            }
            Start::From(sequence) => _ = self.floor.get_or_insert(sequence),
            Start::Latest if self.floor.is_none() => {
                self.floor = track.newest_first().next().map(|(sequence, _)| sequence);
            }
            Start::Aged { .. } | Start::Latest => {}
        }
        self.floor
    }

    /// The oldest group that the maximum age reaches: a group ends where the next one's first
    /// timestamp is, and is too old when that lies further back from the newest timestamp.
    fn reached(&self, store: &Store, track: &Track) -> Option<u64> {
        let mut groups = track.newest_first().filter_map(|(sequence, id)| {
            let group = store.groups.get(id)?;
            Some((sequence, group.first_timestamp(), group.last_timestamp()))
        });
        let (mut reached, mut first, mut newest) = groups.next()?;
        if self.max_age == Duration::ZERO {
            return Some(reached);
        }
        // Without the timescale an age means nothing: it is on its way.
        let timescale = track.info?.timescale;
        let millis = u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX);
        let reach = u128::from(millis) * u128::from(timescale) / 1000;
        for (sequence, begins, ends) in groups {
            let back = newest.zip(first).map(|(newest, first)| newest.saturating_sub(first));
            if back.is_some_and(|back| u128::from(back) > reach) {
                return Some(reached);
            }
            reached = sequence;
            first = begins.or(first);
            newest = newest.or(ends);
        }
        // Nothing held is too old, so what is promised and not here yet may not be either.
        Some(track.begins().map_or(reached, |begins| begins.min(reached)))
    }
}

//! Which groups of a track a subscription still has to get.

use core::time::Duration;

use smallvec::SmallVec;

use super::{Group, Patience, Store, Track};
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
    /// What the subscriber may be promised: no lower group follows, or has come.
    promise: Option<u64>,
}

impl Selection {
    pub(crate) fn new(start: Start, max_age: Duration, end: Option<u64>) -> Self {
        Self { start, max_age, end, floor: None, ahead: SmallVec::new(), promise: None }
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

    /// Whether it wants a group of this range that it has not taken.
    pub(crate) fn lacks(&self, first: u64, last: u64) -> bool {
        let wanted = |floor: u64| last >= floor && self.end.is_none_or(|end| first <= end);
        let taken = first == last && self.ahead.binary_search(&first).is_ok();
        self.floor.is_some_and(wanted) && !taken
    }

    /// Marks a group as taken. At most `reorder` groups are remembered beyond a missing one.
    pub(crate) fn take(&mut self, sequence: u64, reorder: usize) {
        if let Err(at) = self.ahead.binary_search(&sequence) {
            self.ahead.insert(at, sequence);
        }
        if self.ahead.len() > reorder {
            self.floor = self.ahead.first().copied();
            self.promise = self.promise.or(self.floor);
        }
        self.absorb();
    }

    /// Fixes where the subscription begins, and says where. `None` while the track cannot tell.
    pub(crate) fn settle(&mut self, store: &Store, track: &Track) -> Option<u64> {
        if self.promise.is_some() {
            return self.promise;
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
        self.promise = Some(start);
        self.absorb();
        Some(start)
    }

    /// Raises the floor over what was taken. Not before the start is settled: it is to be told.
    fn absorb(&mut self) {
        let Some(floor) = self.floor.as_mut().filter(|_| self.promise.is_some()) else { return };
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

    /// Where to begin, once that can be told. Only the source knows which groups come when some
    /// have overtaken others.
    fn resolve(&mut self, store: &Store, track: &Track) -> Option<u64> {
        if self.floor.is_none() {
            self.floor = match self.start {
                Start::From(sequence) => Some(sequence),
                Start::Latest if track.knows_start() => {
                    let (latest, _) = track.newest_first().next()?;
                    Some(track.awaited_below(latest))
                }
                Start::Aged { floor } if track.knows_start() => {
                    let reached = self.reached(store, track)?;
                    Some(track.awaited_below(reached).max(floor))
                }
                Start::Latest | Start::Aged { .. } => None,
            };
        }
        self.floor
    }

    /// The oldest group that the maximum age reaches.
    fn reached(&self, store: &Store, track: &Track) -> Option<u64> {
        // How old a group is can be told by what the track is like alone.
        track.info?;
        let patience = Patience { max_age: self.max_age, end: None };
        let edge = store.edge(track.newest_first());
        let fresh = |sequence: &u64| !store.lies_behind(track, edge, *sequence, patience);
        track.newest_first().map(|(sequence, _)| sequence).take_while(fresh).last()
    }
}

//! Groups as bytes in wire form, and cursors into them.
//!
//! A group is written once, by its publisher or by the stream it arrives on, and read by any number
//! of cursors: one per subscriber and group. Nothing is queued per subscriber; being late means to
//! have a cursor at an earlier place.

mod cursor;
mod expiry;
mod frame;
mod group;
mod selection;
mod text;
mod track;

#[cfg(test)]
mod tests;

pub(crate) use cursor::{Ahead, Cursor, Form};
pub(crate) use expiry::Patience;
pub use group::Group;
pub(crate) use group::{Follower, GroupEnd, GroupError};
pub(crate) use selection::Selection;
pub use track::Track;
pub(crate) use track::{Ended, Feed, Source, Supplier, TrackName};

use alloc::vec::Vec;

use crate::{Id, Limits, Time, id::Arena};

/// All groups of a node, and what they cost.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) groups: Arena<Group>,
    pub(crate) tracks: Arena<Track>,
    /// What the groups cost, in bytes, overhead included.
    pub(crate) bytes: usize,
    /// Tracks that are one group that was fetched.
    pub(crate) fetched_tracks: usize,
    /// What the groups in them cost.
    fetched_bytes: usize,
    /// Groups given up for lack of room or for their age, since the start.
    pub(crate) evicted: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            groups: Arena::new(),
            tracks: Arena::new(),
            bytes: 0,
            fetched_tracks: 0,
            fetched_bytes: 0,
            evicted: 0,
        }
    }

    /// Adds an empty group to a track.
    pub(crate) fn add_group(
        &mut self,
        track: Id<Track>,
        sequence: u64,
        first_frame: u64,
    ) -> Option<Id<Group>> {
        let held = self.tracks.get_mut(track)?;
        let before = held.newest_first().next().and_then(|(_, id)| self.groups.get(id));
        let group = Group::new(track, sequence, first_frame, before);
        let cost = group.cost();
        let id = self.groups.insert(group);
        held.insert(sequence, id);
        held.bytes += cost;
        self.bytes += cost;
        if held.is_fetched() {
            self.fetched_bytes += cost;
        }
        Some(id)
    }

    /// Charges what a group has grown by since it was last charged.
    pub(crate) fn charge(&mut self, id: Id<Group>) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let grown = group.newly_charged();
        self.bytes += grown;
        if let Some(track) = self.tracks.get_mut(group.track) {
            track.bytes += grown;
            if track.is_fetched() {
                self.fetched_bytes += grown;
            }
        }
    }

    /// Takes a group out of the store and of its track.
    pub(crate) fn remove_group(&mut self, id: Id<Group>) -> Option<Group> {
        let group = self.groups.remove(id)?;
        self.bytes -= group.charged();
        if let Some(track) = self.tracks.get_mut(group.track) {
            track.bytes -= group.charged();
            if track.is_fetched() {
                self.fetched_bytes -= group.charged();
            }
            track.remove(group.sequence);
        }
        Some(group)
    }

    /// The group to give up when the store is over its limit: the oldest of the track that has just
    /// grown if that track holds its share or more, else the oldest of the largest track. So who
    /// holds little keeps it, whatever others do; the newest group of a track goes only if it is
    /// large itself. All that was fetched together has the share of one track: it may be fetched again.
    pub(crate) fn victim(&self, grown: Id<Track>) -> Option<Id<Group>> {
        let live = self.tracks.len() - self.fetched_tracks;
        let share = self.bytes / (live + usize::from(self.fetched_bytes > 0)).max(1);
        if self.fetched_bytes > share {
            let fetched = self.tracks.iter().filter(|(_, track)| track.is_fetched());
            let (_, largest) = fetched.max_by_key(|(_, track)| track.bytes)?;
            return largest.oldest();
        }
        let own = self.tracks.get(grown).filter(|track| track.bytes >= share);
        let own = own.and_then(Track::oldest_but_newest);
        own.or_else(|| {
            let (_, largest) = self.tracks.iter().max_by_key(|(_, track)| track.bytes)?;
            largest.oldest()
        })
    }

    /// Groups that finished longer ago than the limit, except the newest of each track.
    pub(crate) fn expired(&self, now: Time, limits: &Limits) -> Vec<Id<Group>> {
        let old = |id: &Id<Group>| {
            let group = self.groups.get(*id);
            group.is_some_and(|group| {
                group.end.is_some() && now.since(group.touched) >= limits.store_age
            })
        };
        self.tracks.iter().flat_map(|(_, track)| track.all_but_newest()).filter(old).collect()
    }
}

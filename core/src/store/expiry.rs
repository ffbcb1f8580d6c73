//! When a group is too old for a reader. The one place that knows.

use core::time::Duration;

use super::{Group, Store, Track};
use crate::Id;

/// Groups looked at in search of one with a frame, so that many empty ones cost nobody time.
const LOOK: usize = 64;

/// What a reader has said of age.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// What it bears; at most what the publisher says of the track counts.
    pub(crate) max_age: Duration,
    /// The last group that it wants. None becomes old by what comes after.
    pub(crate) end: Option<u64>,
}

impl Store {
    /// Whether a group is of no more use: what it could still show lies as far behind the newest frame as
    /// the reader bears, or further. A group shows nothing from the first timestamp of the next one on; while
    /// that one has no frame, nobody knows. The newest group with a frame is never too old.
    pub(crate) fn is_stale(&self, track: &Track, sequence: u64, patience: Patience) -> bool {
        let newest = track.between(sequence, patience.end).rev();
        let edge = self.edge(newest);
        self.lies_behind(track, edge, sequence, patience)
    }

    /// The newest timestamp, of groups from the newest one down.
    pub(crate) fn edge(&self, newest: impl Iterator<Item = (u64, Id<Group>)>) -> Option<u64> {
        newest.take(LOOK).filter_map(|(_, id)| self.held(id)).find_map(Group::last_timestamp)
    }

    fn held(&self, id: Id<Group>) -> Option<&Group> {
        self.groups.get(id).filter(|group| !group.is_cut())
    }

    /// [`is_stale`](Self::is_stale) for who looks at many groups of a track, and knows its edge.
    pub(crate) fn lies_behind(
        &self,
        track: &Track,
        edge: Option<u64>,
        sequence: u64,
        patience: Patience,
    ) -> bool {
        let Some(info) = track.info else { return false };
        let mut newer = track.between(sequence, patience.end).take(LOOK);
        let next = newer.find_map(|(_, id)| self.held(id));
        let reach = next.and_then(Group::first_timestamp);
        let behind = edge.zip(reach).and_then(|(edge, reach)| edge.checked_sub(reach));
        let millis = patience.max_age.as_millis().min(info.max_age_ms.into());
        // As moq-net: at no age at all a group is too old as soon as another one has begun.
        behind.is_some_and(|units| {
            u128::from(units) * 1000 >= millis.saturating_mul(info.timescale.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::{sync::Arc, vec, vec::Vec};

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Id, Limits, Path, Time,
        store::{GroupEnd, Source, Supplier},
        wire::{StreamCode, TrackInfo},
    };

    /// A track whose groups, from 0 on, have frames with these timestamps.
    fn store(info: TrackInfo, groups: &[Vec<u64>]) -> (Store, Id<Track>) {
        let mut store = Store::new();
        let name = (Path::root(), Arc::from("video"), Supplier::Application);
        let mut track =
            Track::new(name, Source::Local { wanted: false, on_demand: false, unread: None });
        track.info = Some(info);
        let track = store.tracks.insert(track);
        for (sequence, frames) in groups.iter().enumerate() {
            let id = store.add_group(track, sequence as u64, 0).unwrap();
            let group = store.groups.get_mut(id).unwrap();
            for timestamp in frames {
                let limits = Limits::default();
                group.write_frame(Time::ZERO, *timestamp, Bytes::new(), &limits).unwrap();
            }
        }
        (store, track)
    }

    /// The groups that are too old for a reader who bears so many milliseconds.
    fn stale((store, track): &(Store, Id<Track>), max_age: u64, end: Option<u64>) -> Vec<u64> {
        let track = store.tracks.get(*track).unwrap();
        let patience = Patience { max_age: Duration::from_millis(max_age), end };
        let groups = track.from(0).map(|(sequence, _)| sequence);
        groups.filter(|sequence| store.is_stale(track, *sequence, patience)).collect()
    }

    #[test]
    fn a_group_reaches_to_where_the_next_one_begins() {
        let groups = [vec![0, 500], vec![1000, 1500], vec![2000, 2500], vec![3000, 3400]];
        let held = store(TrackInfo::default(), &groups);
        assert_eq!(stale(&held, 0, None), [0, 1, 2]);
        assert_eq!(stale(&held, 400, None), [0, 1, 2]);
        assert_eq!(stale(&held, 401, None), [0, 1]);
        assert_eq!(stale(&held, 2400, None), [0]);
        assert_eq!(stale(&held, 2401, None), []);
        // Nothing comes after the last one that is wanted.
        assert_eq!(stale(&held, 0, Some(1)), [0]);
        assert_eq!(stale(&held, 0, Some(2)), [0, 1]);
    }

    #[test]
    fn the_publisher_says_how_old_anything_may_be() {
        let info = TrackInfo { max_age_ms: 1000, timescale: 90_000, ..TrackInfo::default() };
        let held = store(info, &[vec![0], vec![90_000], vec![180_000], vec![180_001]]);
        assert_eq!(stale(&held, u64::MAX, None), [0]);
        assert_eq!(stale(&held, 999, None), [0]);
    }

    #[test]
    fn what_is_empty_or_cut_off_tells_nothing() {
        let mut held = store(TrackInfo::default(), &[vec![0], vec![], vec![10], vec![20], vec![]]);
        // Where the empty group would have begun is not known; itself it has nothing.
        assert_eq!(stale(&held, 0, None), [1, 2]);
        for empty in [1, 3] {
            let (_, id) = held.0.tracks.get(held.1).unwrap().from(empty).next().unwrap();
            let end = GroupEnd::Reset(StreamCode::CANCEL);
            held.0.groups.get_mut(id).unwrap().finish(Time::ZERO, end);
        }
        assert_eq!(stale(&held, 0, None), [0, 1]);
        assert_eq!(stale(&held, 1, None), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn patience_and_time_go_one_way(
            groups in prop::collection::vec(prop::collection::vec(0..10_000_u64, 0..4), 0..8),
            (age, more, later) in (0..6000_u64, 0..6000_u64, 0..10_000_u64),
        ) {
            let held = store(TrackInfo::default(), &groups);
            let old = stale(&held, age, None);
            // The newest one with a frame, and those after it, are not too old for anybody.
            let newest = groups.iter().rposition(|group| !group.is_empty()).unwrap_or(0);
            prop_assert!(old.iter().all(|group| *group < newest as u64));
            // Who is more patient gives up no other group.
            let older = stale(&held, age + more, None);
            prop_assert!(older.iter().all(|group| old.contains(group)));
            // What is too old stays so while the track goes on.
            let last = groups.iter().rev().find_map(|group| group.last()).copied().unwrap_or(0);
            let on = [groups.clone(), vec![vec![last + later]]].concat();
            let then = stale(&store(TrackInfo::default(), &on), age, None);
            prop_assert!(old.iter().all(|group| then.contains(group)));
        }
    }
}

//! The broadcasts, tracks and groups behind the handles that write.

use std::{collections::HashMap, mem};

use bytes::Bytes;
use smoq_core::{
    Broadcast, Group, Id, Misuse, Node, Path, Time, Track,
    wire::{StreamCode, TrackInfo},
};
use smoq_quic::tape::Recorder;

use crate::{
    error::{Error, Reason},
    mailbox::Key,
    slot::Far,
    state::{Answer, Backlog, GroupState, TrackState},
};

struct TrackEntry {
    id: Id<Track>,
    far: Far<TrackState>,
    /// It takes no more groups: once it is gone, all who read it have everything.
    finished: bool,
    /// What its handle waits for: the number of the question, and the question.
    drain: Option<(u64, Backlog)>,
    /// Somebody subscribes.
    wanted: bool,
    /// Somebody did when the connection was lost, and may come back: the handle sees no difference.
    missed: bool,
}

struct GroupEntry {
    id: Id<Group>,
    far: Far<GroupState>,
}

/// Handles that write, by their keys. A message from a handle that is not here is left out: what it
/// belongs to failed, and the handle has been told.
#[derive(Default)]
pub(super) struct Writers {
    broadcasts: HashMap<Key, Id<Broadcast>>,
    tracks: HashMap<Key, TrackEntry>,
    track_keys: HashMap<Id<Track>, Key>,
    groups: HashMap<Key, GroupEntry>,
    /// Tracks with a `drain`.
    draining: Vec<Key>,
    /// The only connection is over: nothing written from now on reaches anybody.
    lost: Option<Reason>,
}

impl Writers {
    /// Whether something can come of what handles write.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.lost.clone().map_or(Ok(()), |reason| Err(Error::Disconnected(reason)))
    }

    /// The broadcast of a handle, while something can come of it.
    pub(super) fn broadcast(&self, key: Key) -> Result<Id<Broadcast>, Error> {
        self.check()?;
        Ok(*self.broadcasts.get(&key).ok_or(Misuse::Stale)?)
    }

    pub(super) fn create(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        path: &Path,
        far: &Far<Answer<()>>,
    ) {
        let result = self.check().and_then(|()| Ok(node.create_broadcast(now, path)?));
        let result = result.map(|id| {
            self.broadcasts.insert(key, id);
        });
        far.update(|answer| *answer = Some(result));
    }

    pub(super) fn announce(&self, node: &mut Recorder, now: Time, key: Key, far: &Far<Answer<()>>) {
        let result = self.broadcast(key).and_then(|id| Ok(node.announce(now, id)?));
        far.update(|answer| *answer = Some(result));
    }

    pub(super) fn unpublish(&mut self, node: &mut Recorder, now: Time, key: Key) {
        if let Some(id) = self.broadcasts.remove(&key) {
            let _ = node.unpublish(now, id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn track(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        broadcast: Key,
        name: &str,
        info: TrackInfo,
        far: Far<TrackState>,
    ) {
        let broadcast = self.broadcast(broadcast);
        let result = broadcast.and_then(|id| Ok(node.create_track(now, id, name, info)?));
        self.made(key, result, far);
    }

    /// Makes a track that somebody asks for.
    pub(super) fn accept(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        id: Id<Track>,
        info: TrackInfo,
        far: Far<TrackState>,
    ) {
        let result = self.check().and_then(|()| Ok(node.accept(now, id, info)?));
        if result.is_err() {
            // Whoever asks need not wait. Nobody may any more.
            let _ = node.decline(now, id, StreamCode::NOT_FOUND);
        }
        self.made(key, result.map(|()| id), far);
    }

    fn made(&mut self, key: Key, result: Result<Id<Track>, Error>, far: Far<TrackState>) {
        far.update(|state| state.created = Some(result.clone().map(|_| ())));
        if let Ok(id) = result {
            self.track_keys.insert(id, key);
            self.tracks.insert(
                key,
                TrackEntry { id, far, finished: false, drain: None, wanted: false, missed: false },
            );
        }
    }

    pub(super) fn finish_track(&mut self, node: &mut Recorder, now: Time, key: Key) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        match node.finish_track(now, track.id) {
            Ok(()) => track.finished = true,
            Err(error) => track.far.update(|state| state.error = Some(error.into())),
        }
    }

    pub(super) fn drop_track(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        abort: Option<StreamCode>,
    ) {
        let Some(track) = self.tracks.remove(&key) else {
            return;
        };
        self.track_keys.remove(&track.id);
        self.draining.retain(|draining| *draining != key);
        if let Some(code) = abort {
            let _ = node.abort_track(now, track.id, code);
        }
    }

    pub(super) fn group(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        track: Key,
        sequence: u64,
        far: Far<GroupState>,
    ) {
        let track = self.tracks.get(&track).ok_or(Misuse::Stale);
        let result =
            self.check().and_then(|()| Ok(node.create_group(now, track?.id, Some(sequence))?));
        match result {
            Ok((id, _)) => {
                self.groups.insert(key, GroupEntry { id, far });
            }
            Err(error) => far.update(|state| *state = Some(error)),
        }
    }

    pub(super) fn datagram(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        sequence: u64,
        timestamp: u64,
        payload: Bytes,
    ) {
        let Some(track) = self.tracks.get(&key) else { return };
        let written = self.check().and_then(|()| {
            Ok(node.write_datagram(now, track.id, Some(sequence), timestamp, payload)?)
        });
        if let Err(error) = written {
            track.far.update(|state| state.error = Some(error));
        }
    }

    /// Writes to a group. A group with a frame that was refused must not end as if it were whole.
    pub(super) fn write(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        write: impl FnOnce(&mut Recorder, Id<Group>) -> Result<(), Misuse>,
    ) {
        let Some(group) = self.groups.get(&key) else {
            return;
        };
        if let Err(error) = write(node, group.id) {
            let code = match error {
                Misuse::GroupTooLarge => StreamCode::GROUP_TOO_LARGE,
                _ => StreamCode::CANCEL,
            };
            group.far.update(|state| *state = Some(error.into()));
            self.drop_group(node, now, key, Some(code));
        }
    }

    pub(super) fn drop_group(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        abort: Option<StreamCode>,
    ) {
        let Some(group) = self.groups.remove(&key) else {
            return;
        };
        // The handle is gone, and a group that ended with its track needs no other end.
        let _ = match abort {
            None => node.finish_group(now, group.id),
            Some(code) => node.abort_group(now, group.id, code),
        };
    }

    pub(super) fn demand(&mut self, track: Id<Track>, wanted: bool) {
        let track = self.track_keys.get(&track).and_then(|key| self.tracks.get_mut(key));
        if let Some(track) = track {
            track.wanted = wanted;
            track.missed &= !wanted;
            if !track.missed {
                track.far.update(|state| state.wanted = wanted);
            }
        }
    }

    /// A track that was made on demand was ended: nobody has read it. Its handle waits for nobody any more.
    pub(super) fn unread(&self, track: Id<Track>) {
        if let Some(track) = self.track_keys.get(&track).and_then(|key| self.tracks.get(key)) {
            track.far.update(|state| {
                state.error = Some(Misuse::Stale.into());
                state.wanted = false;
            });
        }
    }

    /// Another connection has to be made. Who subscribes may come back over it.
    pub(super) fn away(&mut self) {
        for track in self.tracks.values_mut() {
            track.missed |= track.wanted;
        }
    }

    /// The connection before is over: who subscribes now is not waited for.
    pub(super) fn moved(&mut self) {
        for track in self.tracks.values_mut() {
            track.missed &= !track.wanted;
        }
    }

    /// Who has not come back by now is not waited for.
    pub(super) fn settle(&mut self) {
        for track in self.tracks.values_mut() {
            if mem::take(&mut track.missed) {
                track.far.update(|state| state.wanted = track.wanted);
            }
        }
    }

    pub(super) fn drain(&mut self, key: Key, ticket: u64, backlog: Backlog) {
        if let Some(track) = self.tracks.get_mut(&key)
            && track.drain.replace((ticket, backlog)).is_none()
        {
            self.draining.push(key);
        }
    }

    /// Tells the handles whose backlog is small enough now.
    pub(super) fn check_drains(&mut self, node: &Node) {
        if self.lost.is_some() {
            return;
        }
        let tracks = &mut self.tracks;
        self.draining.retain(|key| {
            let Some(track) = tracks.get_mut(key) else {
                return false;
            };
            let Some((ticket, wanted)) = track.drain else {
                return false;
            };
            if track.missed && !track.wanted {
                return true;
            }
            let reached = node.backlog(track.id).map(|backlog| match wanted {
                Backlog::Bytes(limit) => backlog.bytes <= limit,
                Backlog::Nothing => backlog.unfinished == 0,
            });
            match reached {
                Ok(false) => return true,
                Err(_) if track.finished => track.far.update(|state| state.drained = ticket),
                Ok(true) => track.far.update(|state| state.drained = ticket),
                Err(error) => track.far.update(|state| state.error = Some(error.into())),
            }
            track.drain = None;
            false
        });
    }

    /// The only connection is over.
    pub(super) fn lose(&mut self, reason: &Reason) {
        self.lost = Some(reason.clone());
        let error = Error::Disconnected(reason.clone());
        for track in self.tracks.values() {
            track.far.update(|state| {
                state.error = Some(error.clone());
                state.wanted = false;
            });
        }
        for group in self.groups.values() {
            group.far.update(|state| *state = Some(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use smoq_core::{NextGroup, Serve, SubscribeOptions};
    use smoq_quic::{Endpoint, EndpointConfig};

    use super::*;
    use crate::slot::slot;

    #[test]
    fn who_has_moved_is_not_waited_for() {
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Instant::now());
        let (node, now) = (endpoint.node_mut(), Time::ZERO);
        let mut writers = Writers::default();
        let (_answer, far) = slot(None);
        writers.create(node, now, 1, &Path::new("a").unwrap(), &far);
        let (track, far) = slot(TrackState::default());
        writers.track(node, now, 2, 1, "t", TrackInfo::default(), far);
        let id = writers.tracks[&2].id;
        let wanted = || track.with(|state, _| state.wanted);
        writers.demand(id, true);
        writers.away();
        writers.demand(id, false);
        assert!(wanted(), "it may come back");
        writers.moved();
        assert!(wanted(), "it may still come back");
        writers.demand(id, true);
        writers.demand(id, false);
        assert!(!wanted());
        writers.demand(id, true);
        writers.away();
        writers.moved();
        writers.demand(id, false);
        assert!(!wanted(), "it was there, and has left");
    }

    #[test]
    fn what_cannot_be_accepted_is_declined_at_once() {
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Instant::now());
        let (node, now) = (endpoint.node_mut(), Time::ZERO);
        let requests = node.serve(now, Serve::Below(Path::root())).unwrap();
        let options = SubscribeOptions::default();
        let reader = node.subscribe(now, &Path::root(), "t", options).unwrap();
        let wanted = node.poll_wanted(requests).unwrap().unwrap();
        let (track, far) = slot(TrackState::default());
        let info = TrackInfo { timescale: 0, ..TrackInfo::default() };
        Writers::default().accept(node, now, 1, wanted.track, info, far);
        let created = track.with(|state, _| state.created.clone());
        assert_eq!(created, Some(Err(Misuse::Timescale.into())));
        let declined = NextGroup::Failed(StreamCode::NOT_FOUND);
        assert_eq!(node.next_group(now, reader), Ok(declined));
    }
}

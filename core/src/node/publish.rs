//! Publishing by the application.

use alloc::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::Node;
use crate::{
    Backlog, Id, Misuse, Path, Time,
    route::Via,
    session::Kind,
    store::{Ended, Group, GroupEnd, GroupError, Source, Supplier, Track},
    wire::{
        Cost, Hops, MAX_DATAGRAM, MAX_TIMESTAMP, MAX_TRACK_NAME, StreamCode, TrackInfo, varint,
    },
};

/// A broadcast of the application. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Broadcast {
    pub(super) path: Path,
    pub(super) tracks: BTreeMap<Arc<str>, Id<Track>>,
    announced: bool,
}

impl Node {
    /// Makes a broadcast and announces it: [`create_broadcast`](Self::create_broadcast) and
    /// [`announce`](Self::announce) in one. Somebody may ask for a track of it before it is there.
    pub fn publish(&mut self, now: Time, path: &Path) -> Result<Id<Broadcast>, Misuse> {
        let id = self.create_broadcast(now, path)?;
        self.announce(now, id)?;
        Ok(id)
    }

    /// Makes a broadcast that nobody is told of yet, so that it can be given its tracks first.
    ///
    /// Fails with [`Misuse::Path`] if the path is a pattern, and with
    /// [`Misuse::DuplicateBroadcast`] if this node publishes it already.
    pub fn create_broadcast(&mut self, now: Time, path: &Path) -> Result<Id<Broadcast>, Misuse> {
        self.advance(now);
        path.for_announce()?;
        if self.broadcasts.iter().any(|(_, broadcast)| broadcast.path == *path) {
            return Err(Misuse::DuplicateBroadcast);
        }
        let (path, tracks) = (path.clone(), BTreeMap::new());
        Ok(self.broadcasts.insert(Broadcast { path, tracks, announced: false }))
    }

    /// Announces a broadcast; a second time changes nothing. Fails with [`Misuse::Stale`].
    pub fn announce(&mut self, now: Time, broadcast: Id<Broadcast>) -> Result<(), Misuse> {
        self.advance(now);
        let state = self.broadcasts.get_mut(broadcast).ok_or(Misuse::Stale)?;
        if !core::mem::replace(&mut state.announced, true) {
            let path = state.path.clone();
            self.routes.add(path.clone(), Via::Local(broadcast), Hops::new(), Cost::ZERO, 0);
            self.route_changed(&path);
        }
        Ok(())
    }

    /// Withdraws a broadcast. Unfinished tracks are aborted with [`StreamCode::CANCEL`]; finished
    /// ones are served to the end to those who have subscribed. Fails with [`Misuse::Stale`].
    pub fn unpublish(&mut self, now: Time, broadcast: Id<Broadcast>) -> Result<(), Misuse> {
        self.advance(now);
        let Broadcast { path, tracks, .. } =
            self.broadcasts.remove(broadcast).ok_or(Misuse::Stale)?;
        self.routes.remove(&path, Via::Local(broadcast));
        self.route_changed(&path);
        self.end_requests(broadcast);
        for (name, track) in tracks {
            let key = (path.clone(), name, Supplier::Application);
            if self.names.get(&key) == Some(&track) {
                self.names.remove(&key);
            }
            self.end_track(track, Ended::Failed(StreamCode::CANCEL));
        }
        Ok(())
    }

    /// Adds a track to a broadcast. Who waits for it by [`serve`](Self::serve) gets it.
    ///
    /// Fails with [`Misuse::Stale`], with [`Misuse::DuplicateTrack`] if the broadcast has one of that name, or
    /// one was made on demand at its path, with [`Misuse::TrackName`] if the name is too long, and with
    /// [`Misuse::Timescale`] if the timescale is zero.
    pub fn create_track(
        &mut self,
        now: Time,
        broadcast: Id<Broadcast>,
        name: &str,
        info: TrackInfo,
    ) -> Result<Id<Track>, Misuse> {
        self.advance(now);
        let state = self.broadcasts.get_mut(broadcast).ok_or(Misuse::Stale)?;
        if name.len() > MAX_TRACK_NAME {
            return Err(Misuse::TrackName);
        }
        if info.timescale == 0 {
            return Err(Misuse::Timescale);
        }
        let name: Arc<str> = Arc::from(name);
        let key = (state.path.clone(), name.clone(), Supplier::Application);
        let known = state.tracks.contains_key(&name);
        if let Some(id) = self.named_by_application(&key).filter(|id| self.is_wanted(*id)) {
            self.accept(now, id, info)?;
            self.keep_track(broadcast, name, id);
            return Ok(id);
        }
        if known || self.named_by_application(&key).is_some() {
            return Err(Misuse::DuplicateTrack);
        }
        let source = Source::Local { wanted: false, on_demand: false, unread: None };
        let mut track = Track::new(key.clone(), source);
        track.info = Some(info);
        let id = self.store.tracks.insert(track);
        self.keep_track(broadcast, name, id);
        self.names.insert(key, id);
        Ok(id)
    }

    /// A track is one of its broadcast, as long as that is there.
    fn keep_track(&mut self, broadcast: Id<Broadcast>, name: Arc<str>, id: Id<Track>) {
        if let Some(broadcast) = self.broadcasts.get_mut(broadcast) {
            broadcast.tracks.insert(name, id);
        }
        if let Some(track) = self.store.tracks.get_mut(id)
            && let Source::Local { on_demand, .. } = &mut track.source
        {
            *on_demand = false;
        }
    }

    /// Ends a track after the groups created so far. Fails with [`Misuse::Stale`].
    pub fn finish_track(&mut self, now: Time, track: Id<Track>) -> Result<(), Misuse> {
        self.advance(now);
        let state = self.own_track(track)?;
        if state.end.is_none() {
            state.end = Some(state.next_sequence());
        }
        self.complete_track(track);
        Ok(())
    }

    /// Ends a track with a code; its subscribers are told so. Fails with [`Misuse::Stale`], also for one that
    /// is not made yet: that is for [`decline`](Self::decline).
    pub fn abort_track(
        &mut self,
        now: Time,
        track: Id<Track>,
        code: StreamCode,
    ) -> Result<(), Misuse> {
        self.advance(now);
        self.own_track(track)?;
        self.end_track(track, Ended::Failed(code));
        Ok(())
    }

    /// Begins a group: with the given sequence, or one after the highest so far. Groups count from
    /// 0. Several may be open at a time.
    ///
    /// Fails with [`Misuse::Stale`], [`Misuse::TrackFinished`], [`Misuse::DuplicateGroup`] if the
    /// store holds that sequence, and [`Misuse::Sequence`].
    pub fn create_group(
        &mut self,
        now: Time,
        track: Id<Track>,
        sequence: Option<u64>,
    ) -> Result<(Id<Group>, u64), Misuse> {
        self.advance(now);
        let (group, sequence) = self.add_own_group(track, sequence)?;
        // An empty group costs something too.
        self.group_grew(group, track);
        self.advance_track(track);
        Ok((group, sequence))
    }

    /// Adds a group of one frame that is sent as a datagram (section Datagrams of the draft; 05 and
    /// later), and says which sequence it has. `sequence` and `timestamp` are as those of
    /// [`create_group`](Self::create_group) and [`write_frame`](Self::write_frame).
    ///
    /// Each hop sends it once, at once and before all streams, and it may be lost. Where a hop cannot carry
    /// datagrams (earlier versions, for example) it goes as a stream; one that is larger than what a path
    /// lets pass, 1100 bytes of payload at worst, is dropped there, and the subscriber is told.
    ///
    /// Fails as those two, and with [`Misuse::DatagramSize`].
    pub fn write_datagram(
        &mut self,
        now: Time,
        track: Id<Track>,
        sequence: Option<u64>,
        timestamp: u64,
        payload: Bytes,
    ) -> Result<u64, Misuse> {
        self.advance(now);
        if payload.len() > MAX_DATAGRAM {
            return Err(Misuse::DatagramSize);
        }
        if timestamp > MAX_TIMESTAMP {
            return Err(Misuse::Timestamp);
        }
        let (group, sequence) = self.add_own_group(track, sequence)?;
        let written = self.fill_datagram(group, track, timestamp, payload);
        self.complete_track(track);
        self.advance_track(track);
        Ok(written.map(|()| sequence)?)
    }

    fn add_own_group(
        &mut self,
        track: Id<Track>,
        sequence: Option<u64>,
    ) -> Result<(Id<Group>, u64), Misuse> {
        let state = self.own_track(track)?;
        let sequence = sequence.unwrap_or(state.next_sequence());
        if sequence >= varint::MAX {
            return Err(Misuse::Sequence);
        }
        if state.end.is_some() || state.ended != Ended::No {
            return Err(Misuse::TrackFinished);
        }
        if state.holds(sequence) {
            return Err(Misuse::DuplicateGroup(sequence));
        }
        let group = self.store.add_group(track, sequence, 0).ok_or(Misuse::Stale)?;
        Ok((group, sequence))
    }

    /// Adds a whole frame. `timestamp` is its presentation time in units of the track's timescale;
    /// at most 2^61 - 1, in any order.
    ///
    /// Fails with [`Misuse::Stale`] (the store may have given the group up for lack of room),
    /// [`Misuse::GroupFinished`], [`Misuse::FrameSize`] if the frame before is not complete,
    /// [`Misuse::Timestamp`], and [`Misuse::GroupTooLarge`].
    pub fn write_frame(
        &mut self,
        now: Time,
        group: Id<Group>,
        timestamp: u64,
        payload: Bytes,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let (now, limits) = (self.now, &self.config.limits);
        let state = self.store.groups.get_mut(group).ok_or(Misuse::Stale)?;
        state.write_frame(now, timestamp, payload, limits)?;
        let track = state.track;
        self.group_grew(group, track);
        Ok(())
    }

    /// Begins a frame of `size` bytes, which [`write_chunk`](Self::write_chunk) brings. Fails as
    /// [`write_frame`](Self::write_frame) does.
    pub fn start_frame(
        &mut self,
        now: Time,
        group: Id<Group>,
        timestamp: u64,
        size: u64,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let (now, limits) = (self.now, &self.config.limits);
        let state = self.store.groups.get_mut(group).ok_or(Misuse::Stale)?;
        state.start_frame(now, timestamp, size, limits)?;
        let track = state.track;
        self.group_grew(group, track);
        Ok(())
    }

    /// Adds bytes of the frame begun last; they are sent on at once.
    ///
    /// Fails with [`Misuse::Stale`], [`Misuse::GroupFinished`], and [`Misuse::FrameSize`] if they are
    /// more than the frame has left.
    pub fn write_chunk(&mut self, now: Time, group: Id<Group>, data: Bytes) -> Result<(), Misuse> {
        self.advance(now);
        let now = self.now;
        let state = self.store.groups.get_mut(group).ok_or(Misuse::Stale)?;
        state.append(now, &data)?;
        let track = state.track;
        self.group_grew(group, track);
        Ok(())
    }

    /// Ends a group. Fails with [`Misuse::Stale`], and with [`Misuse::FrameSize`] if its last frame
    /// is not complete.
    pub fn finish_group(&mut self, now: Time, group: Id<Group>) -> Result<(), Misuse> {
        self.advance(now);
        let state = self.store.groups.get(group).ok_or(Misuse::Stale)?;
        if state.is_inside_frame() {
            return Err(Misuse::FrameSize);
        }
        let track = state.track;
        self.end_group(group, GroupEnd::Complete);
        self.complete_track(track);
        Ok(())
    }

    /// Cuts a group off; its readers get what there was, or a reset. Fails with [`Misuse::Stale`].
    pub fn abort_group(
        &mut self,
        now: Time,
        group: Id<Group>,
        code: StreamCode,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let track = self.store.groups.get(group).ok_or(Misuse::Stale)?.track;
        self.end_group(group, GroupEnd::Reset(code));
        self.complete_track(track);
        Ok(())
    }

    /// What of a track its subscribers do not have yet. Costs a walk over its subscriptions. Fails
    /// with [`Misuse::Stale`].
    pub fn backlog(&self, track: Id<Track>) -> Result<Backlog, Misuse> {
        let state = self.store.tracks.get(track).ok_or(Misuse::Stale)?;
        let mut backlog = Backlog::default();
        let size = |id| self.store.groups.get(id).map_or(0, Group::len);
        for (sub_id, sub) in state.subs.iter().filter_map(|id| Some((*id, self.subs.get(*id)?))) {
            let mut bytes: usize = sub.selection.rest(state).map(size).sum();
            if let super::Target::Peer { session, .. } = sub.target {
                let session = self.sessions.get(session);
                let streams = session.into_iter().flat_map(|session| session.streams.iter());
                let rest = streams.filter_map(|(_, stream)| match &stream.kind {
                    Kind::GroupOut(out) if out.sub == sub_id => {
                        Some(out.remaining(self.store.groups.get(out.group)?))
                    }
                    _ => None,
                });
                bytes += rest.sum::<usize>();
            }
            backlog.subscribers += 1;
            backlog.unfinished += 1;
            backlog.bytes = backlog.bytes.max(bytes);
        }
        Ok(backlog)
    }

    /// A finished track is over when its last group is. Lets its subscribers see what is left.
    pub(crate) fn complete_track(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get(track_id).filter(|track| track.end.is_some())
        else {
            return;
        };
        let open = |(_, id)| self.store.groups.get(id).is_some_and(|group| group.end.is_none());
        if track.is_local() && track.ended == Ended::No && !track.from(0).any(open) {
            self.end_track(track_id, Ended::Finished);
        } else {
            self.advance_track(track_id);
        }
    }

    /// A track that was asked for is over: its broadcast may have another one of that name.
    pub(super) fn leave_broadcast(&mut self, id: Id<Track>) {
        let track = self.store.tracks.get(id);
        let Some(track) = track.filter(|track| track.is_on_demand()) else { return };
        let (path, name, _) = &track.name;
        for broadcast in self.broadcasts.ids() {
            if let Some(broadcast) = self.broadcasts.get_mut(broadcast)
                && broadcast.path == *path
                && broadcast.tracks.get(name) == Some(&id)
            {
                broadcast.tracks.remove(name);
            }
        }
    }

    /// Ends a track of the application, and forgets it if nobody can ask for it any more.
    pub(super) fn end_track(&mut self, track_id: Id<Track>, ended: Ended) {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        if track.ended == Ended::No {
            track.ended = ended;
            self.forget_request(track_id);
            if let Ended::Failed(code) = ended {
                self.refuse_askers(track_id, code);
                self.leave_broadcast(track_id);
            }
            self.advance_track(track_id);
        }
        self.refresh_track(track_id);
    }

    /// A track of the application that has been made.
    fn own_track(&mut self, track: Id<Track>) -> Result<&mut Track, Misuse> {
        let track = self.store.tracks.get_mut(track);
        track.filter(|track| track.is_local() && track.info.is_some()).ok_or(Misuse::Stale)
    }
}

impl From<GroupError> for Misuse {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Finished => Self::GroupFinished,
            GroupError::Unfinished | GroupError::Overflow => Self::FrameSize,
            GroupError::Timestamp => Self::Timestamp,
            GroupError::TooLarge => Self::GroupTooLarge,
        }
    }
}

//! One group by itself: of the past, or the next one.

use alloc::sync::Arc;

use super::{Node, Reader, Sub, Target, Track, tracks::Way};
use crate::{
    Id, Misuse, Path, Time,
    session::{Request, Session},
    store::{Ended, Feed, GroupEnd, Source, Supplier},
    wire::{MAX_TRACK_NAME, StreamCode, varint},
};

impl Node {
    /// Asks for one group of a track. It is taken from the store if it is there, and from the live track
    /// if it is the next one there; else the publisher is asked, once for all who want it (FETCH). What
    /// comes is read like a subscription that ends after this group: [`next_group`](Self::next_group)
    /// and [`read`](Self::read), and [`unsubscribe`](Self::unsubscribe) when done.
    ///
    /// A group that nobody has any more fails with [`StreamCode::NOT_FOUND`], and so does one that
    /// would have to be asked of a peer up to moq-lite-04, which serves none. `priority`: higher goes
    /// first.
    ///
    /// Fails with [`Misuse::TrackName`] and [`Misuse::Sequence`].
    pub fn fetch(
        &mut self,
        now: Time,
        path: &Path,
        track: &str,
        group: u64,
        priority: u8,
    ) -> Result<Id<Reader>, Misuse> {
        self.advance(now);
        if track.len() > MAX_TRACK_NAME {
            return Err(Misuse::TrackName);
        }
        if group >= varint::MAX {
            return Err(Misuse::Sequence);
        }
        let found = self.demand_group(path, track, group, 0, None);
        Ok(self.add_reader(found, |track, reader| {
            Sub::fetch(track, group, priority, 0, Target::Local(reader))
        }))
    }

    /// A track that has, or will have, this group from this frame on: the live one, or one that is
    /// fetched for the sake of it. `from` is the session that wants it: it is not asked itself.
    pub(crate) fn demand_group(
        &mut self,
        path: &Path,
        name: &str,
        group: u64,
        frame: u64,
        from: Option<Id<Session>>,
    ) -> Result<Id<Track>, StreamCode> {
        let name: Arc<str> = Arc::from(name);
        let key = |supplier| (path.clone(), name.clone(), supplier);
        if let Some(id) = self.named_by_application(&key(Supplier::Application)) {
            let found = self.is_wanted(id)
                || self.has_group(id, group, frame)
                || self.awaits_group(id, group);
            return if found { Ok(id) } else { Err(StreamCode::NOT_FOUND) };
        }
        if let Some(requests) = self.serving(path, from) {
            return self.request_track(requests, key(Supplier::Application), from);
        }
        let Way { session, origin, .. } = self.source_of(path, from)?;
        if self.is_peer(session, from) {
            return Err(StreamCode::UNROUTABLE);
        }
        let live = self.names.get(&key(Supplier::Peer(session, origin))).copied();
        if let Some(id) = live
            && (self.has_group(id, group, frame) || self.awaits_group(id, group))
        {
            return Ok(id);
        }
        let fetched = key(Supplier::Fetched(session, origin, group));
        if let Some(id) = self.names.get(&fetched).copied() {
            if self.has_group(id, group, frame) || self.awaits_group(id, group) {
                return Ok(id);
            }
            // It came and was given up: it is fetched anew.
            self.forget_name(id);
        }
        if self.is_leaving(session) {
            return Err(StreamCode::GOING_AWAY);
        }
        let asked = self.sessions.get(session).filter(|asked| asked.source_path(path).is_some());
        if !asked.ok_or(StreamCode::UNROUTABLE)?.version().serves_fetch() {
            return Err(StreamCode::NOT_FOUND);
        }
        let feed = Feed { fetches: Some(group), ..Feed::new(session, self.now) };
        let mut track = Track::new(fetched.clone(), Source::Peer(feed));
        (track.start, track.end) = (Some(group), Some(group + 1));
        track.info = live.and_then(|live| self.store.tracks.get(live)?.info);
        let unknown = track.info.is_none();
        let id = self.store.tracks.insert(track);
        self.store.fetched_tracks += 1;
        self.names.insert(fetched, id);
        if unknown {
            self.request(session, Request::Track(id));
        }
        self.arm();
        Ok(id)
    }

    /// Whether a track holds a group from this frame on, as far as it has come.
    fn has_group(&self, track: Id<Track>, group: u64, frame: u64) -> bool {
        let held = self.store.tracks.get(track).and_then(|track| track.from(group).next());
        let held = held.filter(|(sequence, _)| *sequence == group);
        held.and_then(|(_, id)| self.store.groups.get(id)).is_some_and(|group| {
            group.first_frame <= frame && !matches!(group.end, Some(GroupEnd::Reset(_)))
        })
    }

    /// Whether a group is the next one of a track that goes on so far.
    fn awaits_group(&self, track: Id<Track>, group: u64) -> bool {
        let Some(track) = self.store.tracks.get(track) else { return false };
        let reaches = |id: &Id<Sub>| {
            let sub = self.subs.get(*id).filter(|sub| sub.live);
            sub.is_some_and(|sub| sub.options.end.is_none_or(|end| group <= end))
        };
        let next = match &track.source {
            Source::Local { .. } => Some(track.next_sequence()),
            Source::Peer(feed) if feed.fetches.is_some() || track.subs.iter().any(reaches) => {
                track.latest.map(|latest| latest + 1).or(track.start)
            }
            Source::Peer(_) => None,
        };
        let comes = track.end.is_none_or(|end| group < end) && !track.has_passed(group);
        next == Some(group) && comes && track.ended == Ended::No
    }

    /// Moves a fetch that waited at a live track, and was passed over there, to one of its own.
    pub(crate) fn reroute_fetch(&mut self, sub_id: Id<Sub>) {
        let Some(sub) = self.subs.get_mut(sub_id).filter(|sub| !sub.live) else { return };
        let (old, Some(group)) = (sub.track, sub.options.end) else { return };
        let Some(track) = self.store.tracks.get(old) else { return };
        let live = track.feed().is_some_and(|feed| feed.fetches.is_none());
        let waits = sub.selection.next(&self.store, track).is_none()
            && sub.selection.lacks(group, group)
            && sub.fails(track) == Some(StreamCode::NOT_FOUND);
        if !live || !waits {
            return;
        }
        let from = match sub.target {
            Target::Fetch { session, .. } | Target::Peer { session, .. } => Some(session),
            Target::Local(_) => None,
        };
        let (frame, (path, name, _)) = (sub.frames_of(group).0, track.name.clone());
        let Ok(new) = self.demand_group(&path, &name, group, frame, from) else { return };
        if new == old {
            return;
        }
        if let Some(track) = self.store.tracks.get_mut(old) {
            track.subs.retain(|other| *other != sub_id);
        }
        if let Some(sub) = self.subs.get_mut(sub_id) {
            sub.track = new;
        }
        if let Some(track) = self.store.tracks.get_mut(new) {
            track.subs.push(sub_id);
        }
        self.refresh_track(old);
        self.refresh_track(new);
    }
}

impl Sub {
    /// Why the group that it fetches does not come from this track; `None` while it may.
    pub(crate) fn fails(&self, track: &Track) -> Option<StreamCode> {
        let group = self.options.end.filter(|_| !self.live)?;
        match track.ended {
            Ended::Failed(code) => Some(code),
            // It was left out, or given up before it was taken.
            Ended::Finished => Some(StreamCode::NOT_FOUND),
            Ended::No => track.has_passed(group).then_some(StreamCode::NOT_FOUND),
        }
    }
}

//! A group on its way in.

use bytes::Buf;
use smallvec::SmallVec;

use super::{Half, Kind};
use crate::{
    Id, Limits, Node, Session, Time, Version, Violation,
    node::{Offence, Track},
    session::Stream,
    store::{Group, GroupEnd, GroupError},
    wire::{FrameHeader, GroupHeader, MAX_TIMESTAMP, StreamCode, varint},
};

/// The frames of one stream, as far as they have come.
#[derive(Clone, Debug)]
pub(crate) struct GroupIn {
    pub(crate) track: Id<Track>,
    group: Id<Group>,
    /// The beginning of a frame header whose rest has not come.
    header: SmallVec<[u8; 16]>,
    timestamp: u64,
}

impl Node {
    /// The peer sends a group. What is left in the inbox are its frames.
    pub(crate) fn open_group_in(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        header: GroupHeader,
    ) -> Result<(), Offence> {
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let version = session.version();
        let Some(track_id) = session.feeds.get(&header.subscribe).copied() else {
            if header.subscribe < session.next_subscribe {
                // It crossed the end of the subscription.
                self.refuse(session_id, id, StreamCode::CANCEL);
                return Ok(());
            }
            return Err(Offence::Stream(Violation::UnknownSubscribe(header.subscribe)));
        };
        let Some(track) = self.store.tracks.get_mut(track_id) else { return Ok(()) };
        let sequence = header.sequence;
        if track.end.is_some_and(|end| sequence >= end) {
            if version.tolerates_inclusive_end() && track.end == Some(sequence) {
                // Some peers of 05 send an END that includes the last group.
                self.refuse(session_id, id, StreamCode::CANCEL);
                return Ok(());
            }
            if self.is_another(track_id) {
                self.refuse(session_id, id, StreamCode::CANCEL);
                return Ok(());
            }
            return Err(Offence::Stream(Violation::GroupAfterEnd(sequence)));
        }
        if track.feed().is_some_and(|feed| feed.resumes > Some(sequence)) {
            // Nobody has asked for it.
            self.refuse(session_id, id, StreamCode::CANCEL);
            return Ok(());
        }
        if track.holds(sequence) || sequence >= varint::MAX {
            // The same group by another route, or again: the first one counts. Who has it goes on from there.
            self.found(track_id);
            self.refuse(session_id, id, StreamCode::INTERNAL);
            return Ok(());
        }
        let Some(group) = self.store.add_group(track_id, sequence, header.first_frame) else {
            return Ok(());
        };
        self.begin_group_in(session_id, id, track_id, group)
    }

    /// A stream brings a group from here on. What is left in its inbox are frames.
    pub(crate) fn begin_group_in(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        track_id: Id<Track>,
        group: Id<Group>,
    ) -> Result<(), Offence> {
        if let Some(feed) = self.store.tracks.get_mut(track_id).and_then(|track| track.feed_mut()) {
            feed.receiving += 1;
        }
        self.found(track_id);
        let state = GroupIn { track: track_id, group, header: SmallVec::new(), timestamp: 0 };
        self.set_kind(session_id, id, Kind::GroupIn(state));
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let fin = session.streams.get(id).is_some_and(|stream| stream.inbox_fin);
        let frames = session.take_inbox(id);
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.begun.get_or_insert(self.now);
        }
        self.arm();
        self.advance_track(track_id);
        self.receive_group(session_id, id, &frames, fin)
    }

    /// Bytes of a group have come.
    pub(crate) fn receive_group(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        data: &[u8],
        fin: bool,
    ) -> Result<(), Offence> {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let version = session.version();
        let Some(stream) = session.streams.get_mut(id) else { return Ok(()) };
        let Kind::GroupIn(state) = &mut stream.kind else { return Ok(()) };
        let (track_id, group_id) = (state.track, state.group);
        let Some(group) = self.store.groups.get_mut(group_id) else {
            // It was given up for lack of room while it came.
            self.close_group_in(session_id, id, GroupEnd::Reset(StreamCode::EVICTED));
            self.refuse(session_id, id, StreamCode::EVICTED);
            return Ok(());
        };
        let received = state.receive(group, now, data, version, &self.config.limits);
        let inside = group.is_inside_frame() || !state.header.is_empty();
        let received = match received {
            Ok(()) if fin && inside => Err(Violation::FrameSize),
            received => received,
        };
        self.group_grew(group_id, track_id);
        if let Err(violation) = received {
            return Err(Offence::Stream(violation));
        }
        if fin {
            self.close_group_in(session_id, id, GroupEnd::Complete);
            self.set_kind(session_id, id, Kind::Over);
            let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
            if let Some(stream) = session.streams.get_mut(id) {
                stream.recv = Half::Done;
            }
            session.reap(id);
        }
        Ok(())
    }

    /// No more bytes of a group come on this stream.
    pub(crate) fn close_group_in(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        end: GroupEnd,
    ) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(stream) = session.streams.get_mut(id) else { return };
        let Kind::GroupIn(state) = &stream.kind else { return };
        let (track_id, group) = (state.track, state.group);
        stream.kind = Kind::Over;
        self.end_group(group, end);
        if let Some(feed) = self.store.tracks.get_mut(track_id).and_then(|track| track.feed_mut()) {
            feed.receiving = feed.receiving.saturating_sub(1);
        }
        self.settle_feed(track_id);
        if end == GroupEnd::Complete {
            self.end_if_served(track_id);
        }
    }

    /// A group is complete: it may have been all that is still wanted of the track.
    pub(crate) fn end_if_served(&mut self, track_id: Id<Track>) {
        if self.store.tracks.get(track_id).is_some_and(|track| self.has_served(track)) {
            self.refresh_track(track_id);
        }
    }
}

impl GroupIn {
    fn receive(
        &mut self,
        group: &mut Group,
        now: Time,
        mut data: &[u8],
        version: Version,
        limits: &Limits,
    ) -> Result<(), Violation> {
        while !data.is_empty() {
            if group.is_inside_frame() {
                let missing = usize::try_from(group.missing()).unwrap_or(usize::MAX);
                let (payload, rest) = data.split_at(missing.min(data.len()));
                group.append(now, payload)?;
                data = rest;
                continue;
            }
            let Some(header) = self.header(&mut data, version) else { return Ok(()) };
            self.timestamp = if version.has_timestamps() {
                let timestamp = self.timestamp.checked_add_signed(header.delta);
                timestamp.filter(|time| *time <= MAX_TIMESTAMP).ok_or(Violation::Timestamp)?
            } else {
                // Frames are stamped on arrival, in milliseconds.
                now.as_millis()
            };
            group.start_frame(now, self.timestamp, header.size, limits)?;
        }
        Ok(())
    }

    /// Takes a frame header from `data`, or keeps its beginning.
    fn header(&mut self, data: &mut &[u8], version: Version) -> Option<FrameHeader> {
        if self.header.is_empty()
            && let Some((header, used)) = FrameHeader::take(data, version)
        {
            data.advance(used);
            return Some(header);
        }
        while let Some((byte, rest)) = data.split_first() {
            self.header.push(*byte);
            *data = rest;
            if let Some((header, _)) = FrameHeader::take(&self.header, version) {
                self.header.clear();
                return Some(header);
            }
        }
        None
    }
}

impl From<GroupError> for Violation {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::TooLarge => Self::GroupTooLarge,
            GroupError::Timestamp => Self::Timestamp,
            GroupError::Finished | GroupError::Unfinished | GroupError::Overflow => Self::FrameSize,
        }
    }
}

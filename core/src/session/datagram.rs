//! Groups of one frame that go as datagrams (section Datagrams of the draft; 05 and later).
//!
//! In the store they are groups like others: readers, fetches and peers without datagrams get them as
//! such. A peer that takes datagrams is sent each of them once. Whether it arrives nobody knows.

use bytes::{Bytes, BytesMut};

use super::{Session, Way};
use crate::{
    Id, Node, Time,
    node::{Target, Track},
    store::{Group, GroupEnd, GroupError},
    wire::{DatagramHeader, MAX_TIMESTAMP, StreamCode, varint},
};

impl Node {
    /// A datagram has come. One that belongs to no subscription, cannot be understood or was there
    /// before is dropped, without blame: it may be late, or from anybody who can guess a number.
    pub fn handle_datagram(&mut self, now: Time, session: Id<Session>, data: Bytes) {
        self.advance(now);
        let Some(state) = self.live(session).filter(|state| state.version().has_datagrams()) else {
            return;
        };
        let Ok((header, payload)) = DatagramHeader::take(&data) else { return };
        let DatagramHeader { subscribe, sequence, timestamp } = header;
        let Some(track_id) = state.feeds.get(&subscribe).copied() else { return };
        let Some(track) = self.store.tracks.get(track_id) else { return };
        let is_over = track.end.is_some_and(|end| sequence >= end) || sequence >= varint::MAX;
        let is_early = track.feed().is_some_and(|feed| feed.resumes > Some(sequence));
        if is_over || is_early || timestamp > MAX_TIMESTAMP {
            return;
        }
        let is_held = track.holds(sequence);
        // Who has it goes on from there.
        self.found(track_id);
        if is_held {
            return;
        }
        let Some(group) = self.store.add_group(track_id, sequence, 0) else { return };
        let now = self.now;
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.begun.get_or_insert(now);
        }
        // One that is too large for us is no fault of the peer's; what is left of it says so.
        let _ = self.fill_datagram(group, track_id, timestamp, data.slice(payload..));
        self.advance_track(track_id);
        self.settle_feed(track_id);
        self.end_if_served(track_id);
    }

    /// Gives a group that nobody has seen yet the one frame of a datagram. If that cannot be, it is cut off.
    pub(crate) fn fill_datagram(
        &mut self,
        group_id: Id<Group>,
        track_id: Id<Track>,
        timestamp: u64,
        payload: Bytes,
    ) -> Result<(), GroupError> {
        let (now, limits) = (self.now, &self.config.limits);
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.has_datagrams = true;
        }
        let Some(group) = self.store.groups.get_mut(group_id) else { return Ok(()) };
        group.is_datagram = true;
        let written = group.write_frame(now, timestamp, payload, limits);
        let end = match written {
            Ok(()) => GroupEnd::Complete,
            Err(_) => GroupEnd::Reset(StreamCode::GROUP_TOO_LARGE),
        };
        self.group_grew(group_id, track_id);
        self.end_group(group_id, end);
        written
    }

    /// Whether it is worth while to ask [`wants_datagram`](Self::wants_datagram), until the next input. Costs nothing.
    pub(crate) fn may_have_datagrams(&self, session: Id<Session>) -> bool {
        self.sessions.get(session).is_some_and(|state| state.has_datagrams)
    }

    /// Whether a group waits that is to go as a datagram. What is said on control streams goes first: it is
    /// little, and datagrams may be as many as the transport takes.
    pub fn wants_datagram(&mut self, session: Id<Session>) -> bool {
        let may = self.live(session).is_some_and(|state| state.has_datagrams);
        if !may || self.has_control(session) {
            return false;
        }
        let wants = self.most_hungry(session, Way::Datagram).is_some();
        if let Some(state) = self.sessions.get_mut(session) {
            // One may come behind a group that waits for a stream.
            state.has_datagrams = !state.hungry.is_empty();
        }
        wants
    }

    /// The datagram that [`wants_datagram`](Self::wants_datagram) told of. `None` if there is none, or if it
    /// has more than `max` bytes: then it is given up, and there may be another one.
    pub fn poll_datagram(&mut self, now: Time, session: Id<Session>, max: usize) -> Option<Bytes> {
        self.advance(now);
        let reorder = self.config.limits.reorder;
        let sub_id = self.most_hungry(session, Way::Datagram)?;
        let stalls = self.sessions.get(session)?.stalled.is_some();
        let waits = stalls && self.most_hungry(session, Way::Stream).is_some();
        let sub = self.subs.get_mut(sub_id)?;
        let Target::Peer { subscribe, .. } = sub.target else { return None };
        let track = self.store.tracks.get(sub.track)?;
        let (sequence, group) = sub.selection.next(&self.store, track)?;
        sub.selection.take(sequence, reorder);
        let (first, _) = sub.frames_of(sequence);
        let group = self.store.groups.get_mut(group)?;
        // Who wants its frames from a later one on wants none of it.
        let (frame, code) = match first {
            0 => (group.only_frame(), StreamCode::FRAME_TOO_LARGE),
            _ => (None, StreamCode::NOT_FOUND),
        };
        let state = self.sessions.get_mut(session)?;
        let datagram = frame.and_then(|(timestamp, payload)| {
            // QUIC takes it in one piece, so here payload is copied.
            let mut out = BytesMut::new();
            DatagramHeader { subscribe, sequence, timestamp }.encode(&mut out);
            out.reserve(payload.clone().map(<[u8]>::len).sum());
            payload.for_each(|piece| out.extend_from_slice(piece));
            (out.len() <= max).then(|| out.freeze())
        });
        if datagram.is_some() {
            // It says nothing of a peer that takes no streams.
            if stalls && !waits && state.blocked_groups().next().is_none() {
                state.stalled = None;
            }
        } else {
            self.drop_group(sub_id, sequence, sequence, code);
        }
        self.answer_sub(sub_id);
        datagram
    }
}

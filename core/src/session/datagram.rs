//! Groups of one frame that go as datagrams (section Datagrams of the draft; 05 and later).
//!
//! In the store they are groups like others: readers, fetches and peers without datagrams get them as
//! such. A peer that takes datagrams is sent each of them once. Whether it arrives nobody knows.

use bytes::{Bytes, BytesMut};

use super::Session;
use crate::{
    Id, Node, Time,
    node::{Target, Track},
    store::{Group, GroupEnd},
    wire::{DatagramHeader, MAX_TIMESTAMP, StreamCode, varint},
};

/// How a group goes to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// On a stream of its own.
    Stream,
    /// As a datagram.
    Datagram,
}

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
        if is_over || is_early || track.holds(sequence) || timestamp > MAX_TIMESTAMP {
            return;
        }
        self.found(track_id);
        let Some(group) = self.store.add_group(track_id, sequence, 0) else { return };
        let now = self.now;
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.begun.get_or_insert(now);
        }
        self.fill_datagram(group, track_id, timestamp, data.slice(payload..));
        self.advance_track(track_id);
        self.settle_feed(track_id);
    }

    /// Gives a group that nobody has seen yet the one frame of a datagram.
    pub(crate) fn fill_datagram(
        &mut self,
        group_id: Id<Group>,
        track_id: Id<Track>,
        timestamp: u64,
        payload: Bytes,
    ) {
        let (now, limits) = (self.now, &self.config.limits);
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.has_datagrams = true;
        }
        let Some(group) = self.store.groups.get_mut(group_id) else { return };
        group.is_datagram = true;
        let end = match group.write_frame(now, timestamp, payload, limits) {
            Ok(()) => GroupEnd::Complete,
            Err(_) => GroupEnd::Reset(StreamCode::GROUP_TOO_LARGE),
        };
        self.group_grew(group_id, track_id);
        self.end_group(group_id, end);
    }

    /// Whether the most urgent group that waits is to go as a datagram.
    pub fn wants_datagram(&mut self, session: Id<Session>) -> bool {
        self.live(session).is_some_and(|state| state.config.datagrams)
            && matches!(self.most_hungry(session), Some((_, Way::Datagram)))
    }

    /// The datagram that [`wants_datagram`](Self::wants_datagram) told of. `None` if there is none, or if it
    /// has more than `max` bytes: then it is given up, and there may be another one.
    pub fn poll_datagram(&mut self, now: Time, session: Id<Session>, max: usize) -> Option<Bytes> {
        self.advance(now);
        let reorder = self.config.limits.reorder;
        let (sub_id, Way::Datagram) = self.most_hungry(session)? else { return None };
        let sub = self.subs.get_mut(sub_id)?;
        let Target::Peer { subscribe, .. } = sub.target else { return None };
        let track = self.store.tracks.get(sub.track)?;
        let (sequence, group) = sub.selection.next(&self.store, track)?;
        sub.selection.take(sequence, reorder);
        let (first, _) = sub.frames_of(sequence);
        let group = self.store.groups.get_mut(group)?;
        // Who wants its frames from a later one on wants none of it.
        let frame = if first > 0 { None } else { group.only_frame() };
        let state = self.sessions.get_mut(session)?;
        state.refusal.stream = false;
        let datagram = frame.and_then(|(timestamp, payload)| {
            // QUIC takes it in one piece, so here payload is copied.
            let mut out = BytesMut::new();
            DatagramHeader { subscribe, sequence, timestamp }.encode(&mut out);
            out.reserve(payload.clone().map(<[u8]>::len).sum());
            payload.for_each(|piece| out.extend_from_slice(piece));
            (out.len() <= max).then(|| out.freeze())
        });
        if datagram.is_some() {
            state.stalled = None;
        } else {
            self.drop_group(sub_id, sequence, sequence, StreamCode::FRAME_TOO_LARGE);
        }
        self.answer_sub(sub_id);
        datagram
    }
}

//! A group on its way out.

use alloc::vec::Vec;
use bytes::{Buf, Bytes};

use super::{Half, Kind, Priority, Way};
use crate::{
    Dir, Id, Node, Session, StreamId,
    node::{Sub, Target},
    session::Stream,
    store::{Ahead, Cursor, Follower, Form, Group, GroupEnd},
    wire::{GroupHeader, Message, StreamCode, UniType, varint},
};

/// The longest header of a group: a type, a length and three numbers.
const HEADER: usize = 1 + 1 + 3 * 8;

/// Bytes of the buffers that the headers of a session's groups share.
const HEADERS: usize = 1 << 10;

/// One group for one subscriber: a header and a cursor.
#[derive(Clone, Debug)]
pub(crate) struct GroupOut {
    pub(crate) sub: Id<Sub>,
    pub(crate) sequence: u64,
    pub(crate) group: Id<Group>,
    /// What is left of the header.
    header: Bytes,
    cursor: Cursor,
}

impl GroupOut {
    /// One without a header, in answer to FETCH.
    pub(super) fn bare(
        sub: Id<Sub>,
        sequence: u64,
        group: Id<Group>,
        form: Form,
        first: u64,
        last: Option<u64>,
    ) -> Self {
        Self { sub, sequence, group, header: Bytes::new(), cursor: Cursor::new(form, first, last) }
    }

    /// Bytes of the group that the transport has not taken.
    pub(crate) fn remaining(&self, group: &Group) -> usize {
        self.cursor.remaining(group)
    }

    /// Whether there is something that the transport has not taken, the end left aside.
    pub(super) fn has_more(&self, group: &Group) -> bool {
        !self.header.is_empty() || self.remaining(group) > 0
    }
}

impl Node {
    /// Gives the most urgent waiting group a stream. Says whether there was one.
    pub(crate) fn send_group(&mut self, session_id: Id<Session>, stream: StreamId) -> bool {
        let sub_id = self.most_hungry(session_id, Way::Stream);
        sub_id.is_some_and(|sub_id| self.open_group_out(session_id, stream, sub_id).is_some())
    }

    fn open_group_out(
        &mut self,
        session_id: Id<Session>,
        stream: StreamId,
        sub_id: Id<Sub>,
    ) -> Option<()> {
        let (now, reorder) = (self.now, self.config.limits.reorder);
        let session = self.sessions.get_mut(session_id)?;
        session.refusal.stream = false;
        let sub = self.subs.get_mut(sub_id)?;
        let Target::Peer { subscribe, .. } = sub.target else { return None };
        let track = self.store.tracks.get(sub.track)?;
        let (sequence, group_id) = sub.selection.next(&self.store, track)?;
        let group = self.store.groups.get_mut(group_id)?;
        sub.selection.take(sequence, reorder);
        sub.open += 1;
        let version = session.version();
        let (first, last) = sub.frames_of(sequence);
        let cursor = Cursor::new(version.into(), first, last);
        let first_frame = cursor.first_frame(group);
        if session.headers.capacity() < HEADER {
            session.headers.reserve(HEADERS);
        }
        varint::encode(UniType::Group.to_varint(), &mut session.headers);
        GroupHeader { subscribe, sequence, first_frame }.encode(&mut session.headers, version);
        let header = session.headers.split().freeze();
        let priority = Priority::group(sub, sequence);
        let out = GroupOut { sub: sub_id, sequence, group: group_id, header, cursor };
        let id = session.open(now, stream, Dir::Uni, Kind::GroupOut(out), priority);
        if group.end.is_none() {
            group.followers.push(Follower::Stream(session_id, id));
        }
        session.wake(id);
        self.answer_sub(sub_id);
        Some(())
    }

    /// Collects what a group stream has to send. `None` when the stream was reset instead.
    pub(crate) fn peek_group(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        max: usize,
        chunks: &mut Vec<Bytes>,
    ) -> Option<(usize, bool)> {
        let session = self.sessions.get_mut(session_id)?;
        let stream = session.streams.get_mut(id)?;
        let Kind::GroupOut(out) = &mut stream.kind else { return None };
        let mut taken = 0;
        let ahead = match self.store.groups.get_mut(out.group) {
            // A header that the transport does not take is no reason to keep the stream.
            None => (0, Ahead::Reset(StreamCode::EVICTED)),
            Some(group) if out.header.is_empty() => out.cursor.peek(group, max, chunks),
            Some(Group { end: Some(GroupEnd::Reset(code)), .. }) => (0, Ahead::Reset(*code)),
            Some(group) => {
                taken = out.header.len().min(max);
                if taken > 0 {
                    chunks.push(out.header.slice(..taken));
                }
                if taken < out.header.len() {
                    return Some((taken, false));
                }
                out.cursor.peek(group, max - taken, chunks)
            }
        };
        match ahead {
            (_, Ahead::Reset(code)) => {
                chunks.clear();
                self.cut_group(session_id, id, code);
                None
            }
            (bytes, ahead) => Some((taken + bytes, ahead == Ahead::End)),
        }
    }

    /// Resets the stream of a group, and tells which one it was.
    pub(super) fn cut_group(&mut self, session_id: Id<Session>, id: Id<Stream>, code: StreamCode) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(Kind::GroupOut(out)) = session.streams.get(id).map(|stream| &stream.kind) else {
            return;
        };
        let (sub, sequence) = (out.sub, out.sequence);
        session.reset(id, code);
        // The peer cannot know from the reset which group this was: what was handed to the transport may
        // be lost with it.
        self.drop_group(sub, sequence, sequence, code);
        self.close_group_out(session_id, id);
        // The reset is a command, which the transport is to look for again.
        self.touch(session_id);
    }

    /// Moves on by what the transport took.
    pub(crate) fn advance_group(&mut self, session_id: Id<Session>, id: Id<Stream>, bytes: usize) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(stream) = session.streams.get_mut(id) else { return };
        let Kind::GroupOut(out) = &mut stream.kind else { return };
        let header = out.header.len().min(bytes);
        out.header.advance(header);
        if let Some(group) = self.store.groups.get_mut(out.group) {
            out.cursor.advance(group, bytes - header);
        }
    }

    /// A group stream is over: acknowledged, reset or stopped.
    pub(crate) fn close_group_out(&mut self, session_id: Id<Session>, id: Id<Stream>) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(stream) = session.streams.get_mut(id) else { return };
        let Kind::GroupOut(GroupOut { sub: sub_id, group, .. }) = stream.kind else { return };
        stream.kind = Kind::Over;
        stream.send = Half::Done;
        // On the stream of a fetch the peer may still be able to speak.
        session.stop(id, StreamCode::CANCEL);
        session.reap(id);
        if let Some(group) = self.store.groups.get_mut(group) {
            let follower = Follower::Stream(session_id, id);
            if let Some(at) = group.followers.iter().position(|other| *other == follower) {
                group.followers.swap_remove(at);
            }
        }
        if let Some(sub) = self.subs.get_mut(sub_id) {
            sub.open -= 1;
            match sub.target {
                Target::Fetch { .. } => _ = self.forget_sub(sub_id),
                Target::Peer { .. } | Target::Local(_) => self.answer_sub(sub_id),
            }
        }
    }
}

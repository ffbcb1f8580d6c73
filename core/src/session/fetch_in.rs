//! A peer asks for one group (moq-lite-05 on).

use super::{GroupOut, Kind, Priority};
use crate::{
    Id, Node, Session, Violation,
    node::{Offence, Sub, Target},
    session::Stream,
    store::Follower,
    wire::{Fetch, StreamCode},
};

/// Groups that a peer may wait for at a time: each is a request upstream.
const FETCHES: usize = 32;

impl Node {
    /// The peer asked. Its group comes from the store, or from where it is fetched.
    pub(crate) fn serve_fetch(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        fetch: &Fetch,
    ) -> Result<(), Offence> {
        let Some(session) = self.sessions.get(session_id) else { return Ok(()) };
        if session.subscribe.is_none() {
            return Err(Offence::Stream(Violation::Unauthorized));
        }
        let waits = |stream: &&Stream| matches!(stream.kind, Kind::FetchIn(_));
        let waiting = session.streams.iter().filter(|(_, stream)| waits(stream)).count();
        if waiting >= FETCHES && !session.is_link() {
            self.refuse(session_id, id, StreamCode::NO_CAPACITY);
            return Ok(());
        }
        let Fetch { track, group, frame_start, .. } = fetch;
        let path = session.wanted_path(&fetch.broadcast).ok_or(StreamCode::NOT_FOUND);
        let found = path.and_then(|path| {
            self.demand_group(&path, track, *group, *frame_start, Some(session_id))
        });
        let track = match found {
            Ok(track) => track,
            Err(code) => {
                self.refuse(session_id, id, code);
                return Ok(());
            }
        };
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let target = Target::Fetch { session: session_id, stream: id };
        let mut sub = Sub::fetch(track, *group, fetch.priority, session.subs_made, target);
        session.subs_made = session.subs_made.saturating_add(1);
        sub.bound_fetch(fetch);
        let sub = self.subs.insert(sub);
        self.set_kind(session_id, id, Kind::FetchIn(sub));
        self.add_sub(sub);
        Ok(())
    }

    /// Begins to answer once the group is there, and refuses once it cannot come.
    pub(crate) fn advance_fetch(&mut self, sub_id: Id<Sub>) {
        let reorder = self.config.limits.reorder;
        let Some(sub) = self.subs.get_mut(sub_id) else { return };
        let Target::Fetch { session: session_id, stream: id } = sub.target else { return };
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let Some(stream) = session.streams.get_mut(id) else { return };
        let Kind::FetchIn(_) = stream.kind else { return };
        let Some(track) = self.store.tracks.get(sub.track) else { return };
        let Some((sequence, group_id)) = sub.selection.next(&self.store, track) else {
            if let Some(code) = sub.fails(track) {
                self.forget_sub(sub_id);
                self.refuse(session_id, id, code);
            }
            return;
        };
        sub.selection.take(sequence, reorder);
        sub.open += 1;
        let (first, last) = sub.frames_of(sequence);
        sub.learn_priority(track);
        let priority = Priority::group(sub, sequence);
        stream.kind =
            Kind::GroupOut(GroupOut::bare(sub_id, sequence, group_id, version.into(), first, last));
        session.set_priority(id, priority);
        session.wake(id);
        if let Some(group) = self.store.groups.get_mut(group_id)
            && group.end.is_none()
        {
            group.followers.push(Follower::Stream(session_id, id));
        }
        self.touch(session_id);
    }
}

//! Subscribing by the application.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Node, Session, Sub, Target, Track};
use crate::{
    Event, Id, Misuse, NextGroup, Path, Read, SubscribeOptions, Time,
    store::{Cursor, Ended, Follower, Form, Group, GroupEnd},
    wire::{MAX_TRACK_NAME, StreamCode, TrackInfo},
};

/// A subscription of the application. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Reader {
    id: Option<Id<Reader>>,
    sub: Option<Id<Sub>>,
    /// Why there is no subscription.
    failed: StreamCode,
    /// Groups given and not read to their end.
    open: Vec<Id<GroupReader>>,
    signalled: bool,
}

/// A group that the application reads. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct GroupReader {
    reader: Id<Reader>,
    group: Id<Group>,
    cursor: Cursor,
}

impl Reader {
    pub(crate) fn signal(&mut self, events: &mut VecDeque<Event>) {
        if let (false, Some(reader)) = (self.signalled, self.id) {
            self.signalled = true;
            events.push_back(Event::Readable { reader });
        }
    }
}

impl Node {
    /// Subscribes to a track. No announcement is needed: without one the server that this node
    /// dialed is asked. If nobody can be asked, or the publisher refuses,
    /// [`next_group`](Self::next_group) says so.
    ///
    /// Fails with [`Misuse::TrackName`].
    pub fn subscribe(
        &mut self,
        now: Time,
        path: &Path,
        track: &str,
        options: SubscribeOptions,
    ) -> Result<Id<Reader>, Misuse> {
        self.advance(now);
        if track.len() > MAX_TRACK_NAME {
            return Err(Misuse::TrackName);
        }
        let found = self.demand(path, track, None);
        Ok(self
            .add_reader(found, |track, reader| Sub::new(track, options, 0, Target::Local(reader))))
    }

    /// Adds a reader of a track, or one that is told why there is none.
    pub(super) fn add_reader(
        &mut self,
        found: Result<Id<Track>, StreamCode>,
        sub: impl FnOnce(Id<Track>, Id<Reader>) -> Sub,
    ) -> Id<Reader> {
        let failed = found.err().unwrap_or(StreamCode::UNROUTABLE);
        let open = Vec::new();
        let id =
            self.readers.insert(Reader { id: None, sub: None, failed, open, signalled: false });
        let sub = found.ok().map(|track| self.subs.insert(sub(track, id)));
        if let Some(reader) = self.readers.get_mut(id) {
            (reader.id, reader.sub) = (Some(id), sub);
            if sub.is_none() {
                reader.signal(&mut self.events);
            }
        }
        if let Some(sub) = sub {
            self.add_sub(sub);
        }
        id
    }

    /// Changes what a subscription wants, except where it starts. A fetch wants what it wants. Fails
    /// with [`Misuse::Stale`].
    pub fn update_subscription(
        &mut self,
        now: Time,
        reader: Id<Reader>,
        options: SubscribeOptions,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let sub = self.readers.get(reader).ok_or(Misuse::Stale)?.sub;
        let live = |sub: &Id<Sub>| self.subs.get(*sub).is_some_and(|sub| sub.live);
        if let Some(sub) = sub.filter(live) {
            self.change_sub(sub, options);
        }
        Ok(())
    }

    /// Ends a subscription and its groups. Fails with [`Misuse::Stale`].
    pub fn unsubscribe(&mut self, now: Time, reader: Id<Reader>) -> Result<(), Misuse> {
        self.advance(now);
        let Reader { sub, open, .. } = self.readers.remove(reader).ok_or(Misuse::Stale)?;
        for group in open {
            self.close_group_reader(group);
        }
        if let Some(sub) = sub {
            self.forget_sub(sub);
        }
        Ok(())
    }

    /// What the publisher says of the track; `None` until it has. Fails with [`Misuse::Stale`].
    pub fn track_info(&self, reader: Id<Reader>) -> Result<Option<TrackInfo>, Misuse> {
        let sub = self.readers.get(reader).ok_or(Misuse::Stale)?.sub;
        let track = sub.and_then(|sub| self.store.tracks.get(self.subs.get(sub)?.track));
        Ok(track.and_then(|track| track.info))
    }

    /// The session that a subscription is fed by; `None` for a track of the application, and where nobody
    /// could be asked. Fails with [`Misuse::Stale`].
    pub fn source(&self, reader: Id<Reader>) -> Result<Option<Id<Session>>, Misuse> {
        let sub = self.readers.get(reader).ok_or(Misuse::Stale)?.sub;
        let track = sub.and_then(|sub| self.store.tracks.get(self.subs.get(sub)?.track));
        Ok(track.and_then(Track::feed).map(|feed| feed.session))
    }

    /// The next group of a subscription: the lowest held that it has not had. Fails with
    /// [`Misuse::Stale`].
    pub fn next_group(&mut self, now: Time, reader: Id<Reader>) -> Result<NextGroup, Misuse> {
        self.advance(now);
        let state = self.readers.get_mut(reader).ok_or(Misuse::Stale)?;
        state.signalled = false;
        let failed = NextGroup::Failed(state.failed);
        let Some(sub) = state.sub.and_then(|sub| self.subs.get_mut(sub)) else { return Ok(failed) };
        let Some(track) = self.store.tracks.get(sub.track) else { return Ok(failed) };
        // Frames mean nothing without the timescale.
        let ready = track.info.is_some();
        if let Some((sequence, group)) = sub.selection.next(&self.store, track).filter(|_| ready) {
            sub.selection.take(sequence, self.config.limits.reorder);
            if track.knows_start() {
                sub.selection.settle(&self.store, track);
            }
            let cursor = Cursor::new(Form::Timed, 0, None);
            let id = self.group_readers.insert(GroupReader { reader, group, cursor });
            state.open.push(id);
            if let Some(group) = self.store.groups.get_mut(group) {
                let follower = Follower::Reader(reader);
                if group.end.is_none() && !group.followers.contains(&follower) {
                    group.followers.push(follower);
                }
            }
            return Ok(NextGroup::Group { id, sequence });
        }
        if let Some(group) = sub.options.end.filter(|_| !sub.live) {
            // Either it was taken, or it may still come, or why not is known.
            return Ok(match sub.fails(track) {
                _ if !ready && track.ended == Ended::No => NextGroup::Pending,
                _ if ready && !sub.selection.lacks(group, group) => NextGroup::End,
                Some(code) => NextGroup::Failed(code),
                None => NextGroup::Pending,
            });
        }
        Ok(match track.ended {
            Ended::Failed(code) => NextGroup::Failed(code),
            Ended::Finished if sub.selection.is_exhausted(track) => NextGroup::End,
            Ended::Finished | Ended::No => NextGroup::Pending,
        })
    }

    /// The next piece of a group, of at most `max` bytes. Fails with [`Misuse::Stale`].
    pub fn read(&mut self, group: Id<GroupReader>, max: usize) -> Result<Read, Misuse> {
        let state = self.group_readers.get_mut(group).ok_or(Misuse::Stale)?;
        if let Some(reader) = self.readers.get_mut(state.reader) {
            reader.signalled = false;
        }
        let Some(stored) = self.store.groups.get_mut(state.group) else {
            self.close_group_reader(group);
            return Ok(Read::Reset(StreamCode::EVICTED));
        };
        if let Some(chunk) = state.cursor.read(stored, max) {
            return Ok(Read::Chunk(chunk));
        }
        let read = match stored.end {
            Some(GroupEnd::Reset(code)) => Read::Reset(code),
            _ if state.cursor.is_done(stored) => Read::End,
            _ => return Ok(Read::Pending),
        };
        self.close_group_reader(group);
        Ok(read)
    }

    /// Gives up the rest of a group. Fails with [`Misuse::Stale`].
    pub fn skip_group(&mut self, now: Time, group: Id<GroupReader>) -> Result<(), Misuse> {
        self.advance(now);
        self.group_readers.get(group).ok_or(Misuse::Stale)?;
        self.close_group_reader(group);
        Ok(())
    }

    fn close_group_reader(&mut self, id: Id<GroupReader>) {
        let Some(state) = self.group_readers.remove(id) else { return };
        if let Some(reader) = self.readers.get_mut(state.reader) {
            reader.open.retain(|other| *other != id);
        }
        if let Some(group) = self.store.groups.get_mut(state.group) {
            group.followers.retain(|other| *other != Follower::Reader(state.reader));
        }
    }
}

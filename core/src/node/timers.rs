//! What waits for the time. Limits are looked at once a second: none of them needs to be exact.

use alloc::{format, vec::Vec};
use core::time::Duration;

use super::{Node, Offence, Track};
use crate::{
    Closed, ClosedBy, Dir, Group, Id, Session, Time, Violation,
    session::State,
    store::Ended,
    wire::{SessionCode, StreamCode},
};

/// How long groups may still come after a publisher closed its subscription: streams have no order
/// among each other. The value that moq-net uses.
pub(crate) const TAIL: Duration = Duration::from_secs(1);

const TICK: Duration = Duration::from_secs(1);

impl Node {
    /// When [`handle_timeout`](Self::handle_timeout) should be called; `None` while nothing waits.
    pub fn poll_timeout(&self) -> Option<Time> {
        match (self.sweep, self.sample_at) {
            (Some(sweep), Some(sample)) => Some(sweep.min(sample)),
            (sweep, sample) => sweep.or(sample),
        }
    }

    /// Time has passed. Harmless to call early.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        if self.sample_at.is_some_and(|at| at <= self.now) {
            self.sample();
        }
        if self.sweep.is_none_or(|sweep| sweep > self.now) {
            return;
        }
        self.sweep = None;
        let expired = self.store.expired(self.now, &self.config.limits);
        for group in expired {
            self.evict(group);
        }
        for session in self.sessions.ids() {
            self.check_opening(session);
            self.expire(session);
            self.check_stall(session);
        }
        self.check_requests();
        for track in self.store.tracks.ids() {
            self.check_unread(track);
            self.check_feed(track);
        }
    }

    /// Lets the limits of time be looked at within a second.
    pub(crate) fn arm(&mut self) {
        self.sweep.get_or_insert(self.now.after(TICK));
    }

    /// The same, not later than `at`, if that is yet to come.
    pub(crate) fn arm_at(&mut self, at: Time) {
        if at > self.now {
            self.sweep = Some(self.sweep.map_or(at, |sweep| sweep.min(at)));
        }
    }

    /// A peer has to say where it wants to go, and what its streams are.
    fn check_opening(&mut self, session_id: Id<Session>) {
        let limit = self.config.limits.opening_timeout;
        let Some(session) = self.sessions.get(session_id) else { return };
        // Over a link there is no peer: another thread of the same program is late. And who does not
        // read has no right to be told.
        if session.is_link() || session.paused {
            return;
        }
        if session.state == State::Opening {
            if self.now.since(session.since) >= limit {
                let offence = Offence::Session(Violation::SetupTimeout);
                return self.offend(session_id, None, offence);
            }
            self.sweep.get_or_insert(self.now.after(TICK));
        }
        if session.state != State::Up {
            return;
        }
        for id in session.opening() {
            let Some(session) = self.sessions.get(session_id) else { return };
            let Some(stream) = session.streams.get(id) else { continue };
            // A group stream without a byte is no sign of bad will: QUIC opens it with a later one,
            // and its sender may have more urgent ones.
            if stream.dir == Dir::Uni && stream.inbox.is_empty() {
                continue;
            }
            if self.now.since(stream.opened) >= limit {
                let offence = Offence::Stream(Violation::OpeningTimeout);
                self.offend(session_id, Some(id), offence);
            } else {
                self.arm();
            }
        }
    }

    /// A peer has to take something of the groups that wait for it.
    fn check_stall(&mut self, session_id: Id<Session>) {
        if self.sessions.get(session_id).is_some_and(|session| session.stalled.is_none()) {
            self.free_blocked(session_id);
        }
        let (now, limit) = (self.now, self.config.limits.stall_timeout);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        // Over a link there is no peer: another thread of the same program is late.
        if !session.has_waiting() || session.is_link() {
            session.stalled = None;
            return;
        }
        if now.since(*session.stalled.get_or_insert(now)) < limit {
            return self.arm();
        }
        let reason = format!("nothing was taken of what waited for {} s", limit.as_secs());
        let (by, code) = (ClosedBy::Local, SessionCode::TIMEOUT);
        self.end_session(session_id, Closed { by, code, reason });
    }

    /// A stream that the peer does not read takes no bytes any more, but it takes the reset that ends it
    /// when its group has gone. Not for a peer that reads nothing at all: its QUIC would give the room to
    /// what comes next, and it would look as if it had read.
    fn free_blocked(&mut self, session_id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let gone = |(_, group): &(_, Id<Group>)| self.store.groups.get(*group).is_none();
        let gone: Vec<_> = session.blocked_groups().filter(gone).collect();
        for (stream, _) in &gone {
            session.unblock(*stream);
        }
        if !gone.is_empty() {
            self.touch(session_id);
        }
    }

    /// A publisher has to say what a track is like, and to bring the groups that it owes.
    fn check_feed(&mut self, track_id: Id<Track>) {
        let limit = self.config.limits.request_timeout;
        let Some(track) = self.store.tracks.get(track_id) else { return };
        if track.len() > 1 {
            self.sweep.get_or_insert(self.now.after(TICK));
        }
        let waited = track.begun.filter(|_| !track.knows_start());
        if waited.is_some_and(|begun| self.now.since(begun) < TICK) {
            self.sweep.get_or_insert(self.now.after(TICK));
        } else if waited.is_some() {
            // It does not say where it starts, so it starts with what is here.
            if let Some(track) = self.store.tracks.get_mut(track_id) {
                track.says_start = false;
            }
            self.advance_track(track_id);
        }
        let feed = self.store.tracks.get(track_id).and_then(Track::feed);
        if let Some(tail) = feed.and_then(|feed| feed.tail) {
            self.settle_feed(track_id);
            self.arm_at(tail);
        }
        let Some(track) = self.store.tracks.get(track_id) else { return };
        let Some(feed) = track.feed().filter(|_| track.ended == Ended::No) else { return };
        if track.lost.is_some() {
            return self.check_lost(track_id);
        }
        if track.info.is_none() {
            if self.now.since(feed.since) >= limit {
                return self.lose_feed(track_id, StreamCode::CONTROL_TIMEOUT);
            }
            self.sweep.get_or_insert(self.now.after(TICK));
        }
        if feed.fetches.is_some() {
            // A group that is fetched has to begin, and to go on.
            let groups = track.from(0).filter_map(|(_, id)| self.store.groups.get(id));
            let touched = groups.map(|group| group.touched).max();
            let since = feed.since.max(touched.unwrap_or(feed.since));
            if self.now.since(since) >= limit {
                return self.lose_feed(track_id, StreamCode::CONTROL_TIMEOUT);
            }
            self.sweep.get_or_insert(self.now.after(TICK));
        }
    }
}

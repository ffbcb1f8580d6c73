//! Groups that became too old while they waited: they go before they cost bandwidth.
//!
//! Only a transport that does not take what there is makes groups wait: one that has no room, has no
//! stream to give, or takes no bytes of a stream. A transport that has not yet sent what it was given looks the
//! same, so what was left behind counts from the next instant on. What is taken at once is sent, however old.

use alloc::vec::Vec;
use core::time::Duration;

use super::{GroupOut, Session};
use crate::{Id, Node, Time, node::Sub, wire::StreamCode};

/// What one stream looked at costs of the time for it, so that a hundredth of all time is spent at most.
const LOOK: Duration = Duration::from_micros(10);

/// How far that may run ahead: a thousand streams, so few sessions are ever held up.
const AHEAD: Duration = Duration::from_millis(10);

/// What the transport of a session does not take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    /// Since when it has left something behind, whatever it has taken meanwhile.
    since: Option<Time>,
    /// It has not granted the stream that it was asked for.
    pub(super) stream: bool,
    /// It took fewer bytes of a group than offered, and perhaps still does.
    pub(super) bytes: bool,
    /// Until when the time for looking at what waits is used up.
    looked: Time,
}

impl Session {
    /// Nothing more is sent now, if `full` for lack of room. Says whether the transport has left groups behind
    /// before.
    pub(crate) fn leaves_behind(&mut self, now: Time, full: bool) -> bool {
        let leaves = full || self.refusal.stream || self.refusal.bytes;
        let since = leaves.then(|| self.refusal.since.unwrap_or(now));
        self.refusal.since = since;
        since.is_some_and(|since| since < now)
    }
}

impl Node {
    /// Gives up what is too old of what the transport has left behind.
    pub(crate) fn expire(&mut self, session_id: Id<Session>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Refusal { since, stream, looked, .. } = session.refusal;
        if since.is_none_or(|since| since >= now) || looked > now.after(AHEAD) {
            return;
        }
        let waiting = session.streams.len() + session.hungry.len();
        let cost = LOOK.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX));
        session.refusal.looked = looked.max(now).after(cost);
        let blocked = session.blocked_groups().next().is_some();
        session.refusal.bytes = blocked;
        let Some(session) = self.sessions.get(session_id) else { return };
        let has_more = |out: &GroupOut| {
            self.store.groups.get(out.group).is_some_and(|group| out.has_more(group))
        };
        let stale = |out: &GroupOut| has_more(out) && self.is_stale(out.sub, out.sequence);
        let waiting = session.waiting_groups().filter(|(_, out)| stale(out));
        let stale: Vec<_> = waiting.map(|(id, _)| id).collect();
        let hungry = session.hungry.iter().filter(|_| stream).map(|hungry| hungry.sub);
        let hungry: Vec<_> = hungry.collect();
        stale.into_iter().for_each(|id| self.cut_group(session_id, id, StreamCode::OLD));
        hungry.into_iter().for_each(|sub| self.skip_stale(sub));
    }

    /// Takes what is too old from the groups that a subscription has no stream for. Those that cannot be
    /// told now stay.
    fn skip_stale(&mut self, sub_id: Id<Sub>) {
        let reorder = self.config.limits.reorder;
        loop {
            let Some(sub) = self.subs.get_mut(sub_id) else { return };
            let track = self.store.tracks.get(sub.track);
            let next = track.and_then(|track| sub.selection.next(&self.store, track));
            let Some((sequence, _)) = next.filter(|(next, _)| self.is_stale(sub_id, *next)) else {
                break;
            };
            if !self.drop_group(sub_id, sequence, sequence, StreamCode::OLD) {
                break;
            }
            if let Some(sub) = self.subs.get_mut(sub_id) {
                sub.selection.take(sequence, reorder);
            }
        }
        self.answer_sub(sub_id);
    }

    /// Whether a group is too old for a subscription. None is for a fetch.
    fn is_stale(&self, sub: Id<Sub>, sequence: u64) -> bool {
        let Some(sub) = self.subs.get(sub).filter(|sub| sub.live) else { return false };
        let track = self.store.tracks.get(sub.track);
        track.is_some_and(|track| self.store.is_stale(track, sequence, sub.patience()))
    }
}

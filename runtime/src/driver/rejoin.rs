//! How a subscription goes on over another connection.
//!
//! The node knows nothing of it: a subscription that has lost its source fails there. Its handle gets
//! another one instead, which begins behind the last group that it was given.

use std::{collections::HashMap, mem};

use smoq_core::{
    Id, Misuse, NextGroup, Reader, Start, SubscribeOptions, Time, Watcher,
    wire::{StreamCode, TrackInfo},
};
use smoq_quic::tape::Recorder;

use super::readers::SubscriptionEntry;
use crate::{mailbox::Key, op::Part};

/// What has become of the connection that a subscription runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The server is about to go, and serves what runs.
    Leaving,
    /// There is none.
    Lost,
}

/// Which handles the ids of the node stand for.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) readers: HashMap<Id<Reader>, Key>,
    /// Those who look whether a broadcast has come back.
    pub(super) watchers: HashMap<Id<Watcher>, Key>,
}

/// A subscription that looks for another source.
pub(super) struct Rejoin {
    standing: Standing,
    watch: Id<Watcher>,
    /// What is going to take over, once it has something to give.
    candidate: Option<Id<Reader>>,
    /// A failure is not the end.
    patient: bool,
}

impl SubscriptionEntry {
    /// Another connection is made. Until it has what is subscribed to, failures are not the handle's
    /// business.
    pub(super) fn away(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        standing: Standing,
        ids: &mut Ids,
    ) {
        let given = matches!(self.part, Part::Group { .. }) && self.last.is_some();
        if given || self.orphan || self.far.with(|state| state.end.is_some()) {
            return;
        }
        match &mut self.rejoin {
            Some(rejoin) => (rejoin.standing, rejoin.patient) = (standing, true),
            None => {
                let watch = node.watch(now, &self.path);
                ids.watchers.insert(watch, key);
                self.rejoin = Some(Rejoin { standing, watch, candidate: None, patient: true });
            }
        }
    }

    /// Asks again, since there is a connection or something has come back.
    pub(super) fn retry(&mut self, node: &mut Recorder, now: Time, key: Key, ids: &mut Ids) {
        let part = self.rest();
        let Some(rejoin) = &mut self.rejoin else { return };
        rejoin.drop_candidate(node, now, ids);
        // What was asked for once can be asked for again.
        let Ok(candidate) = part.ask(node, now, &self.path, &self.track) else { return };
        let source = |id| node.source(id).ok().flatten();
        if rejoin.standing == Standing::Leaving && source(candidate) == source(self.id) {
            // Only who is about to go has it so far.
            let _ = node.unsubscribe(now, candidate);
            return;
        }
        rejoin.candidate = Some(candidate);
        ids.readers.insert(candidate, key);
    }

    /// The handle wants something else.
    pub(super) fn update(&mut self, node: &mut Recorder, now: Time, options: SubscribeOptions) {
        let candidate = self.rejoin.as_ref().and_then(|rejoin| rejoin.candidate);
        for id in [Some(self.id), candidate].into_iter().flatten() {
            // One that has ended needs no update.
            let _ = node.update_subscription(now, id, options.clone());
        }
        if let Part::Subscription(part) = &mut self.part {
            *part = SubscribeOptions { start: part.start, ..options };
        }
    }

    /// What the publisher says of the track.
    pub(super) fn info(&self, node: &Recorder) -> Option<TrackInfo> {
        let candidate = self.rejoin.as_ref().and_then(|rejoin| rejoin.candidate);
        let of = |id| node.track_info(id).ok().flatten();
        of(self.id).or_else(|| candidate.and_then(of))
    }

    /// From now on a failure is the end, and so is another source that has nothing to give.
    pub(super) fn settle(&mut self) {
        if let Some(rejoin) = &mut self.rejoin {
            rejoin.patient = false;
        }
    }

    /// Looks for no other source any more.
    pub(super) fn give_up(&mut self, node: &mut Recorder, now: Time, ids: &mut Ids) {
        if let Some(mut rejoin) = self.rejoin.take() {
            rejoin.drop_candidate(node, now, ids);
            ids.watchers.remove(&rejoin.watch);
            let _ = node.unwatch(now, rejoin.watch);
        }
    }

    /// The next group, from wherever it comes now.
    pub(super) fn next(
        &mut self,
        node: &mut Recorder,
        now: Time,
        ids: &mut Ids,
    ) -> Result<NextGroup, Misuse> {
        loop {
            let next = self.look(node, now, ids)?;
            if let NextGroup::Group { id, sequence } = next {
                if sequence < self.floor {
                    let _ = node.skip_group(now, id);
                    continue;
                }
                self.last = self.last.max(Some(sequence));
            }
            return Ok(next);
        }
    }

    fn look(&mut self, node: &mut Recorder, now: Time, ids: &mut Ids) -> Result<NextGroup, Misuse> {
        let standing = self.rejoin.as_ref().map(|rejoin| rejoin.standing);
        // While both connections serve it, it goes over as soon as it can.
        if standing == Some(Standing::Leaving)
            && let Some(next) = self.take_over(node, now, ids)?
        {
            return Ok(next);
        }
        let next = node.next_group(now, self.id)?;
        let NextGroup::Failed(code) = next else { return Ok(next) };
        if !of_connection(code) {
            return Ok(next);
        }
        // What the lost connection has brought comes first.
        if standing == Some(Standing::Lost)
            && let Some(next) = self.take_over(node, now, ids)?
        {
            return Ok(next);
        }
        // Who has not even the group that was given last is another publisher, who counts anew. Where none
        // was given, any will do.
        let waits =
            |rejoin: &Rejoin| rejoin.patient || self.last.is_none() && rejoin.candidate.is_some();
        Ok(if self.rejoin.as_ref().is_some_and(waits) { NextGroup::Pending } else { next })
    }

    /// What the other source has; it is the only one from then on.
    fn take_over(
        &mut self,
        node: &mut Recorder,
        now: Time,
        ids: &mut Ids,
    ) -> Result<Option<NextGroup>, Misuse> {
        let Some(rejoin) = &mut self.rejoin else { return Ok(None) };
        let Some(candidate) = rejoin.candidate else { return Ok(None) };
        let next = match node.next_group(now, candidate)? {
            NextGroup::Pending => return Ok(None),
            NextGroup::Failed(_) => {
                rejoin.drop_candidate(node, now, ids);
                return Ok(None);
            }
            next => next,
        };
        rejoin.candidate = None;
        self.give_up(node, now, ids);
        let old = mem::replace(&mut self.id, candidate);
        self.floor = self.last.map_or(0, |last| last.saturating_add(1));
        self.release(node, now, old, ids);
        if let (Part::Subscription(options), true) = (&self.part, self.reads(old)) {
            let options = SubscribeOptions { end: self.last, ..options.clone() };
            let _ = node.update_subscription(now, old, options);
        }
        let known = self.far.with(|state| state.info.map(|info| info.timescale));
        let new = node.track_info(candidate)?.map(|info| info.timescale);
        // Its timestamps would mean something else than those so far.
        let other = known.is_some() && new.is_some() && known != new;
        Ok(Some(if other { NextGroup::Failed(StreamCode::TIMESTAMP_MISMATCH) } else { next }))
    }

    /// Ends what came from another source before, once no group of it is read any more.
    pub(super) fn release(
        &mut self,
        node: &mut Recorder,
        now: Time,
        reader: Id<Reader>,
        ids: &mut Ids,
    ) {
        if reader != self.id && !self.reads(reader) {
            ids.readers.remove(&reader);
            let _ = node.unsubscribe(now, reader);
        }
    }

    fn reads(&self, reader: Id<Reader>) -> bool {
        self.groups.values().any(|group| group.reader == reader)
    }

    /// What is still wanted, and before it the group that was given last: whoever has that, or a later
    /// one, goes on with the same numbers. It is not given again.
    fn rest(&self) -> Part {
        match (&self.part, self.last) {
            (Part::Subscription(options), Some(last)) => {
                let start = Start::From(last);
                Part::Subscription(SubscribeOptions { start, ..options.clone() })
            }
            (part, _) => part.clone(),
        }
    }
}

impl Rejoin {
    fn drop_candidate(&mut self, node: &mut Recorder, now: Time, ids: &mut Ids) {
        if let Some(id) = self.candidate.take() {
            ids.readers.remove(&id);
            let _ = node.unsubscribe(now, id);
        }
    }
}

/// Whether a subscription failed with the connection, and not by itself.
fn of_connection(code: StreamCode) -> bool {
    [StreamCode::SESSION_CLOSED, StreamCode::GOING_AWAY, StreamCode::UNROUTABLE].contains(&code)
}

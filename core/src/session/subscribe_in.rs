//! A subscription of the peer, which this node serves.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Half, Kind, LONGEST_MS, Priority};
use crate::{
    Id, Node, Session, Start, SubscribeOptions, Version, Violation,
    node::{Offence, Sub, Target},
    session::Stream,
    store::{Ended, Track},
    wire::{Message, StreamCode, Subscribe, SubscribeOk, SubscribeParams, SubscribeResponse},
};

/// What the subscriber has been told.
#[derive(Clone, Debug)]
pub(crate) struct SubscribeIn {
    pub(crate) sub: Id<Sub>,
    /// SUBSCRIBE_OK (up to 04) or START (05 on) was sent.
    pub(crate) started: bool,
    end_sent: bool,
}

/// Bytes that may wait in the stream of a subscription before drops are no longer told.
const DROPS: usize = 4 << 10;

/// From this age on a subscriber of 06 is taken to want everything held: a hundred days.
const EVERYTHING_MS: u64 = 100 * 24 * 3600 * 1000;

/// What a peer's parameters mean.
pub(crate) fn options(params: &SubscribeParams, version: Version) -> SubscribeOptions {
    let everything = params.max_age_ms >= EVERYTHING_MS;
    SubscribeOptions {
        priority: params.priority,
        max_age: if everything { Duration::MAX } else { Duration::from_millis(params.max_age_ms) },
        order: params.order,
        start: match (params.start, version.start_is_floor()) {
            (None, false) => Start::Latest,
            (Some(group), false) => Start::From(group),
            (floor, true) if everything => Start::From(floor.unwrap_or(0)),
            (floor, true) => Start::Aged { floor: floor.unwrap_or(0) },
        },
        end: params.end,
    }
}

/// How to ask a peer of this version for the same.
pub(crate) fn params(options: &SubscribeOptions, version: Version) -> SubscribeParams {
    let age = u64::try_from(options.max_age.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS);
    let floor = version.start_is_floor();
    let (start, max_age_ms) = match options.start {
        Start::Latest => (None, age),
        // A floor alone reaches back only as far as the age does.
        Start::From(group) if floor => (Some(group).filter(|group| *group > 0), LONGEST_MS),
        Start::From(group) => (Some(group), age),
        Start::Aged { floor: group } if floor => (Some(group).filter(|group| *group > 0), age),
        Start::Aged { .. } => (None, age),
    };
    SubscribeParams {
        priority: options.priority,
        order: if version.has_group_order() { options.order } else { Default::default() },
        max_age_ms,
        start,
        end: options.end,
        frame_start: 0,
        frame_end: None,
    }
}

impl Node {
    /// The peer subscribed.
    pub(crate) fn serve_subscribe(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        subscribe: Subscribe,
    ) -> Result<(), Offence> {
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        if session.served.contains_key(&subscribe.id) {
            return Err(Offence::Stream(Violation::DuplicateSubscribe(subscribe.id)));
        }
        if session.subscribe.is_none() {
            return Err(Offence::Stream(Violation::Unauthorized));
        }
        let version = session.version();
        let local = session.wanted_path(&subscribe.broadcast);
        let track = local
            .ok_or(StreamCode::NOT_FOUND)
            .and_then(|path| self.demand(&path, &subscribe.track, Some(session_id)));
        let track = match track {
            Ok(track) => track,
            Err(code) => {
                self.refuse(session_id, id, code);
                return Ok(());
            }
        };
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let params = subscribe.params;
        let mut sub = Sub::new(
            track,
            options(&params, version),
            session.subs_made,
            Target::Peer { session: session_id, stream: id, subscribe: subscribe.id },
        );
        sub.bound_frames(&params);
        let sub = self.subs.insert(sub);
        session.subs_made = session.subs_made.saturating_add(1);
        session.served.insert(subscribe.id, sub);
        if let Some(stream) = session.streams.get_mut(id) {
            stream.kind = Kind::SubscribeIn(SubscribeIn { sub, started: false, end_sent: false });
        }
        self.add_sub(sub);
        self.read_updates(session_id, id)
    }

    /// Reads SUBSCRIBE_UPDATEs, and the end of the subscription.
    pub(crate) fn read_updates(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let version = session.version();
        let mut newest = None;
        let take = |buffer: &[u8], version| SubscribeParams::take(buffer, limit, version);
        while let Some(update) =
            session.next(id, take).map_err(|error| Offence::Stream(error.into()))?
        {
            // Each says everything, so only the last one counts.
            newest = Some(update);
        }
        let Some(stream) = session.streams.get(id) else { return Ok(()) };
        let Kind::SubscribeIn(SubscribeIn { sub: sub_id, .. }) = stream.kind else { return Ok(()) };
        let (ended, inside) = (stream.inbox_fin, !stream.inbox.is_empty());
        if let Some(update) = newest
            && let Some(sub) = self.subs.get_mut(sub_id)
        {
            sub.bound_frames(&update);
            self.change_sub(sub_id, options(&update, version));
        }
        match (ended, inside) {
            (true, true) => Err(Offence::Stream(Violation::Truncated)),
            (true, false) => {
                self.leave_sub(sub_id);
                Ok(())
            }
            (false, _) => Ok(()),
        }
    }

    /// Tells a subscriber what it does not know yet, and whether it has got everything.
    pub(crate) fn answer_sub(&mut self, sub_id: Id<Sub>) {
        let Some(sub) = self.subs.get_mut(sub_id) else { return };
        let Target::Peer { session: session_id, stream: id, .. } = sub.target else { return };
        let Some(track) = self.store.tracks.get(sub.track) else { return };
        if let Ended::Failed(code) = track.ended {
            return self.drop_sub(sub_id, code);
        }
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let Some(stream) = session.streams.get_mut(id) else { return };
        let Kind::SubscribeIn(state) = &mut stream.kind else { return };
        if stream.fin {
            return;
        }
        let before = stream.out.len();
        if !state.started && version.has_subscribe_ok() && track.is_resolved() {
            state.started = true;
            let ok = SubscribeOk { priority: sub.options.priority, ..SubscribeOk::default() };
            SubscribeResponse::Ok(ok).encode(&mut stream.out, version);
        }
        // START is a promise that no lower group follows, so it waits for the source's own.
        if !state.started
            && version.has_end()
            && track.knows_start()
            && let Some(group) = sub.selection.settle(&self.store, track)
        {
            state.started = true;
            SubscribeResponse::Start { group }.encode(&mut stream.out, version);
        }
        if let (Some(group), true, false) = (track.end, version.has_end(), state.end_sent) {
            state.end_sent = true;
            SubscribeResponse::End { group }.encode(&mut stream.out, version);
        }
        let finished =
            track.ended == Ended::Finished && sub.open == 0 && sub.selection.is_exhausted(track);
        // The subscription is over when the end itself has arrived.
        stream.fin = finished;
        if finished || stream.out.len() > before {
            session.wake(id);
            self.touch(session_id);
        }
    }

    /// Tells the subscribers of a track that groups which they have not got will not come.
    pub(crate) fn tell_drop(
        &mut self,
        track_id: Id<Track>,
        first: u64,
        last: u64,
        code: StreamCode,
    ) {
        let reorder = self.config.limits.reorder;
        let subs = self.store.tracks.get(track_id).map_or(0, |track| track.subs.len());
        for index in 0..subs {
            // A group that is dropped ends no subscription, so none moves meanwhile.
            let track = self.store.tracks.get(track_id);
            let Some(sub_id) = track.and_then(|track| track.subs.get(index).copied()) else {
                break;
            };
            let Some(sub) = self.subs.get(sub_id) else { continue };
            let told =
                sub.selection.lacks(first, last) && self.drop_group(sub_id, first, last, code);
            if let Some(sub) = self.subs.get_mut(sub_id).filter(|_| told && first == last) {
                sub.selection.take(first, reorder);
            }
        }
    }

    /// Tells a peer that groups of its subscription will not come. Says whether it was told: before
    /// its first answer a subscription has no range to drop from, and a stream that the peer does not
    /// read is not filled with them.
    pub(crate) fn drop_group(
        &mut self,
        sub_id: Id<Sub>,
        first: u64,
        last: u64,
        code: StreamCode,
    ) -> bool {
        let Some(sub) = self.subs.get(sub_id) else { return false };
        let Target::Peer { session: session_id, stream: id, .. } = sub.target else { return false };
        let Some(session) = self.sessions.get_mut(session_id) else { return false };
        let version = session.version();
        let Some(stream) = session.streams.get_mut(id) else { return false };
        let Kind::SubscribeIn(SubscribeIn { started: true, .. }) = stream.kind else {
            return false;
        };
        if stream.fin || stream.out.len() > DROPS {
            return false;
        }
        SubscribeResponse::Drop { first, last, code: code.0 }.encode(&mut stream.out, version);
        session.wake(id);
        self.touch(session_id);
        true
    }

    /// Ends a subscription of a peer before it has got everything.
    pub(crate) fn drop_sub(&mut self, sub_id: Id<Sub>, code: StreamCode) {
        let Some((session_id, id)) = self.cut_sub(sub_id, code) else { return };
        self.refuse(session_id, id, code);
    }

    /// The peer unsubscribed: its FIN is answered with FIN.
    fn leave_sub(&mut self, sub_id: Id<Sub>) {
        let Some((session_id, id)) = self.cut_sub(sub_id, StreamCode::CANCEL) else { return };
        self.set_kind(session_id, id, Kind::Over);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        session.finish(id);
        session.stop(id, StreamCode::CANCEL);
        self.touch(session_id);
    }

    /// Forgets a subscription of a peer and abandons its groups. Its stream is left to be ended.
    fn cut_sub(&mut self, sub_id: Id<Sub>, code: StreamCode) -> Option<(Id<Session>, Id<Stream>)> {
        let sub = self.forget_sub(sub_id)?;
        let Target::Peer { session: session_id, stream: id, .. } = sub.target else { return None };
        let session = self.sessions.get_mut(session_id)?;
        let groups: Vec<_> = session
            .streams
            .iter()
            .filter(|(_, stream)| matches!(&stream.kind, Kind::GroupOut(out) if out.sub == sub_id))
            .map(|(id, _)| id)
            .collect();
        groups.iter().for_each(|group| session.reset(*group, code));
        for group in groups {
            self.close_group_out(session_id, group);
        }
        Some((session_id, id))
    }

    /// Gives the groups on their way the priority that their subscription has now.
    pub(crate) fn reprioritise(&mut self, sub_id: Id<Sub>) {
        let Some(sub) = self.subs.get(sub_id) else { return };
        let Target::Peer { session: session_id, .. } = sub.target else { return };
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        for id in session.streams.ids() {
            let Some(Stream { kind: Kind::GroupOut(out), send: Half::Open, .. }) =
                session.streams.get(id)
            else {
                continue;
            };
            if out.sub == sub_id {
                let priority = Priority::group(sub, out.sequence);
                session.set_priority(id, priority);
            }
        }
        self.touch(session_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_everything_asks_for_no_more_than_javascript_can_count() {
        for version in Version::ALL {
            let start = Start::From(0);
            let wanted =
                SubscribeOptions { start, max_age: Duration::MAX, ..SubscribeOptions::default() };
            let asked = params(&wanted, version);
            assert_eq!(asked.max_age_ms, 9_007_199_254_740_991, "{version}");
            let understood = options(&asked, version);
            assert_eq!((understood.start, understood.max_age), (start, Duration::MAX), "{version}");
        }
    }
}

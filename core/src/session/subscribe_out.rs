//! Our subscription at a peer: where the groups of a track come from.

use super::{Half, Kind, Priority};
use crate::{
    Dir, Id, Node, Session, StreamId, Version, Violation,
    node::{Offence, TAIL, Track},
    session::Stream,
    store::Ended,
    wire::{BidiType, Message, StreamCode, Subscribe, SubscribeOk, SubscribeResponse, varint},
};

/// A subscription that we made.
#[derive(Clone, Debug)]
pub(crate) struct SubscribeOut {
    pub(crate) track: Id<Track>,
    /// The first answer has come.
    answered: bool,
}

impl Node {
    /// Gives SUBSCRIBE a stream.
    pub(crate) fn send_subscribe(
        &mut self,
        session_id: Id<Session>,
        stream: StreamId,
        track_id: Id<Track>,
    ) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let kind = Kind::SubscribeOut(SubscribeOut { track: track_id, answered: false });
        let id = session.open(now, stream, Dir::Bi, kind, Priority::CONTROL);
        let subscribe = session.next_subscribe;
        session.next_subscribe += 1;
        session.feeds.insert(subscribe, track_id);
        let params = self.wanted(track_id, version);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let broadcast = session.source_path(&track.name.0).unwrap_or_default();
        let name = track.name.1.as_ref().into();
        let Some(feed) = track.feed_mut() else { return };
        feed.subscribe = Some(subscribe);
        feed.stream = Some(id);
        feed.told = params.clone();
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(BidiType::Subscribe.to_varint(), &mut stream.out);
            let message = Subscribe { id: subscribe, broadcast, track: name, params };
            message.encode(&mut stream.out, version);
        }
        session.wake(id);
    }

    /// Writes SUBSCRIBE_UPDATE if what is wanted has changed since the publisher was told.
    pub(crate) fn fill_update(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        track: Id<Track>,
    ) {
        let Some(session) = self.sessions.get(session_id) else { return };
        let version = session.version();
        let waiting =
            session.streams.get(id).is_none_or(|stream| stream.fin || !stream.out.is_empty());
        if waiting {
            return;
        }
        let wanted = self.wanted(track, version);
        let feed = self.store.tracks.get_mut(track).and_then(|track| track.feed_mut());
        let Some(feed) = feed.filter(|feed| feed.told != wanted) else { return };
        feed.told = wanted.clone();
        let session = self.sessions.get_mut(session_id);
        if let Some(stream) = session.and_then(|session| session.streams.get_mut(id)) {
            wanted.encode(&mut stream.out, version);
        }
    }

    /// Reads what the publisher answers, and the end of the subscription.
    pub(crate) fn read_responses(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        loop {
            let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
            let version = session.version();
            let response = session
                .next(id, |buffer, version| SubscribeResponse::take(buffer, limit, version))
                .map_err(|error| Offence::Stream(error.into()))?;
            let Some(stream) = session.streams.get_mut(id) else { return Ok(()) };
            let Kind::SubscribeOut(state) = &mut stream.kind else { return Ok(()) };
            let track_id = state.track;
            let Some(response) = response else {
                if !stream.inbox_fin {
                    return Ok(());
                }
                if !stream.inbox.is_empty() {
                    return Err(Offence::Stream(Violation::Truncated));
                }
                stream.recv = Half::Done;
                stream.kind = Kind::Over;
                session.finish(id);
                self.end_feed(track_id);
                return Ok(());
            };
            let first = !core::mem::replace(&mut state.answered, true);
            if first && version.has_subscribe_ok() && !matches!(response, SubscribeResponse::Ok(_))
            {
                return Err(Offence::Stream(Violation::SubscribeResponse));
            }
            self.responded(track_id, response, version).map_err(Offence::Stream)?;
        }
    }

    fn responded(
        &mut self,
        track_id: Id<Track>,
        response: SubscribeResponse,
        version: Version,
    ) -> Result<(), Violation> {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return Ok(()) };
        match response {
            SubscribeResponse::Ok(SubscribeOk { start, .. }) => {
                track.accepted = true;
                track.start = track.start.or(start);
                self.found_from(track_id, start);
            }
            SubscribeResponse::Start { group } => {
                // What was there before is not taken again.
                let group = group.max(track.feed().and_then(|feed| feed.resumes).unwrap_or(0));
                track.start = Some(track.start.map_or(group, |start| start.min(group)));
                self.found_from(track_id, Some(group));
            }
            SubscribeResponse::End { group } => {
                let inclusive = version.tolerates_inclusive_end() && track.latest == Some(group);
                let end = if inclusive { group + 1 } else { group };
                if end < track.next_sequence() || track.end.is_some_and(|known| known != end) {
                    let another = self.is_another(track_id);
                    return if another { Ok(()) } else { Err(Violation::End(group)) };
                }
                track.end = Some(end);
            }
            SubscribeResponse::Drop { first, last, code } => {
                track.dropped = track.dropped.max(Some(last));
                self.tell_drop(track_id, first, last, StreamCode(code));
            }
        }
        self.advance_track(track_id);
        Ok(())
    }

    /// The publisher has closed its side of the subscription in good order.
    fn end_feed(&mut self, track_id: Id<Track>) {
        let now = self.now;
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let Some(feed) = track.feed() else { return };
        let version = self.sessions.get(feed.session).map(Session::version);
        if track.end.is_none() && version.is_some_and(|version| version.has_end()) {
            // It gave the track back without ending it.
            return self.lose_feed(track_id, StreamCode::CANCEL);
        }
        if let Some(feed) = track.feed_mut() {
            feed.tail = Some(now.after(TAIL));
        }
        self.arm_at(now.after(TAIL));
        self.settle_feed(track_id);
    }

    /// Ends a track whose publisher is done, when no group of it can come any more.
    pub(crate) fn settle_feed(&mut self, track_id: Id<Track>) {
        let now = self.now;
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let Some(feed) = track.feed() else { return };
        // Groups may overtake the answer that says how to read them.
        let Some(tail) = feed.tail.filter(|_| track.info.is_some()) else { return };
        // What has opened comes to its end, however long that takes. What has not may have been
        // overtaken by the end of the subscription.
        if feed.receiving > 0 || !track.is_whole() && tail > now {
            return;
        }
        self.detach_feed(track_id);
        self.found(track_id);
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        // Without END the last group there was is the last one there is.
        track.end = track.end.max(Some(track.next_sequence()));
        track.ended = Ended::Finished;
        // A group that was fetched is there for who asks for it next, while somebody has it.
        if track.feed().is_none_or(|feed| feed.fetches.is_none()) {
            self.forget_name(track_id);
        }
        self.advance_track(track_id);
    }
}

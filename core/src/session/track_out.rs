//! We ask a peer what a track is like (moq-lite-05 on).

use super::{Half, Kind, Priority};
use crate::{
    Dir, Id, Node, Session, StreamId, Violation,
    node::{Offence, Track, same_scale},
    session::Stream,
    wire::{self, BidiType, Message, StreamCode, TrackInfo, varint},
};

impl Node {
    /// Gives TRACK a stream.
    pub(crate) fn send_track(
        &mut self,
        session_id: Id<Session>,
        stream: StreamId,
        track_id: Id<Track>,
    ) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let (version, kind) = (session.version(), Kind::TrackOut(track_id));
        let id = session.open(now, stream, Dir::Bi, kind, Priority::CONTROL);
        let broadcast = session.source_path(&track.name.0).unwrap_or_default();
        let message = wire::Track { broadcast, track: track.name.1.as_ref().into() };
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(BidiType::Track.to_varint(), &mut stream.out);
            message.encode(&mut stream.out, version);
        }
        if let Some(feed) = track.feed_mut() {
            feed.asking = Some(id);
        }
        // Nothing else follows, but a peer could take FIN for a change of mind: it comes with the answer.
        session.wake(id);
        self.arm();
    }

    /// Reads the answer.
    pub(crate) fn read_track_info(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        track_id: Id<Track>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let info = session
            .next(id, |buffer, version| TrackInfo::take(buffer, limit, version))
            .map_err(|error| Offence::Stream(error.into()))?;
        let Some(stream) = session.streams.get_mut(id) else { return Ok(()) };
        let Some(info) = info else {
            return if stream.inbox_fin {
                Err(Offence::Stream(Violation::Truncated))
            } else {
                Ok(())
            };
        };
        if !stream.inbox.is_empty() {
            return Err(Offence::Stream(Violation::Unexpected));
        }
        stream.kind = Kind::Over;
        if stream.inbox_fin {
            stream.recv = Half::Done;
        }
        session.finish(id);
        let track = self.store.tracks.get_mut(track_id);
        if let Some(feed) = track.and_then(|track| track.feed_mut()) {
            feed.asking = None;
        }
        self.track_informed(track_id, info);
        Ok(())
    }

    /// What a track is like is known. The first answer holds for the life of the track.
    pub(crate) fn track_informed(&mut self, track_id: Id<Track>, info: TrackInfo) {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        if track.info.is_some_and(|known| !same_scale(known, info)) {
            // Another source, which counts time in another way than the one before.
            self.found(track_id);
            return self.lose_feed(track_id, StreamCode::TIMESTAMP_MISMATCH);
        }
        track.accepted = true;
        track.info.get_or_insert(info);
        self.found_from(track_id, None);
        self.answer_askers(track_id);
        self.advance_track(track_id);
        self.settle_feed(track_id);
    }
}

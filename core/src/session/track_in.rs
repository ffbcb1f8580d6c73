//! A peer asks what a track is like (moq-lite-05 on).

use super::{Kind, LONGEST_MS};
use crate::{
    Id, Node, Session, Violation,
    node::{self, Offence},
    session::Stream,
    wire::{Message, StreamCode, Track, TrackInfo},
};

impl Node {
    /// The peer asked. Answers at once if it can, else when the source has answered.
    pub(crate) fn serve_track(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        request: &Track,
    ) -> Result<(), Offence> {
        let Some(session) = self.sessions.get(session_id) else { return Ok(()) };
        if session.subscribe.is_none() {
            return Err(Offence::Stream(Violation::Unauthorized));
        }
        let path = session.wanted_path(&request.broadcast);
        let track = path
            .ok_or(StreamCode::NOT_FOUND)
            .and_then(|path| self.demand(&path, &request.track, Some(session_id)));
        match track {
            Err(code) => self.refuse(session_id, id, code),
            Ok(track_id) => {
                self.set_kind(session_id, id, Kind::TrackIn(track_id));
                if let Some(track) = self.store.tracks.get_mut(track_id) {
                    track.askers.push((session_id, id));
                }
                self.answer_askers(track_id);
            }
        }
        Ok(())
    }

    /// Answers those who wait for what is known now.
    pub(crate) fn answer_askers(&mut self, track_id: Id<node::Track>) {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let Some(info) = track.info else { return };
        for (session_id, id) in core::mem::take(&mut track.askers) {
            let Some(session) = self.sessions.get_mut(session_id) else { continue };
            let version = session.version();
            if let Some(stream) = session.streams.get_mut(id) {
                let max_age_ms = info.max_age_ms.min(LONGEST_MS);
                TrackInfo { max_age_ms, ..info }.encode(&mut stream.out, version);
                stream.kind = Kind::Over;
            }
            session.finish(id);
            self.touch(session_id);
        }
        self.refresh_track(track_id);
    }

    /// Refuses those who wait for a track that failed.
    pub(crate) fn refuse_askers(&mut self, track_id: Id<node::Track>, code: StreamCode) {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        for (session_id, id) in core::mem::take(&mut track.askers) {
            self.refuse(session_id, id, code);
        }
    }

    /// An asker does not wait any more.
    pub(crate) fn forget_asker(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        track_id: Id<node::Track>,
    ) {
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.askers.retain(|asker| *asker != (session_id, id));
        }
        self.refresh_track(track_id);
    }
}

//! We ask a peer for one group (moq-lite-05 on).

use super::{Kind, Priority};
use crate::{
    Dir, Id, Node, Session, StreamId,
    node::{Offence, Track},
    session::Stream,
    wire::{BidiType, Fetch, Message, varint},
};

impl Node {
    /// Gives FETCH a stream. The whole group is asked for: others may want other frames of it.
    pub(crate) fn send_fetch(
        &mut self,
        session_id: Id<Session>,
        stream: StreamId,
        track_id: Id<Track>,
    ) {
        let now = self.now;
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let wants = |id: &Id<_>| Some(self.subs.get(*id)?.options.priority);
        let priority = track.subs.iter().filter_map(wants).max().unwrap_or_default();
        let (name, path) = (track.name.1.as_ref().into(), track.name.0.clone());
        let Some(feed) = track.feed_mut() else { return };
        let Some(group) = feed.fetches else { return };
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let (version, kind) = (session.version(), Kind::FetchOut(track_id));
        let id = session.open(now, stream, Dir::Bi, kind, Priority::CONTROL);
        feed.stream = Some(id);
        let broadcast = session.source_path(&path).unwrap_or_default();
        let (frame_start, frame_end) = (0, None);
        let message = Fetch { broadcast, track: name, priority, group, frame_start, frame_end };
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(BidiType::Fetch.to_varint(), &mut stream.out);
            message.encode(&mut stream.out, version);
        }
        // Nothing else follows, but a peer could take FIN for a change of mind: it comes at the end.
        session.wake(id);
    }

    /// The answer begins, and with it the group: its frames, and nothing before them.
    pub(crate) fn read_fetched(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        track_id: Id<Track>,
    ) -> Result<(), Offence> {
        let now = self.now;
        let stream = self.sessions.get(session_id).and_then(|session| session.streams.get(id));
        let Some(stream) = stream else { return Ok(()) };
        if stream.inbox.is_empty() && !stream.inbox_fin {
            return Ok(());
        }
        let track = self.store.tracks.get_mut(track_id);
        let Some(feed) = track.and_then(|track| track.feed_mut()) else { return Ok(()) };
        let Some(sequence) = feed.fetches else { return Ok(()) };
        // With this group the track is over.
        feed.tail = Some(now);
        let Some(group) = self.store.add_group(track_id, sequence, 0) else { return Ok(()) };
        self.begin_group_in(session_id, id, track_id, group)
    }
}

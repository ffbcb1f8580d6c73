//! The side of a node that faces the transport.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::{Node, Offence};
use crate::{
    Closed, Command, Dir, Id, Send, StreamId, Time, Violation,
    session::{Half, Kind, Offer, Priority, Request, Session, State, Stream, Way},
    store::GroupEnd,
    wire::{Goaway, StreamCode},
};

impl Node {
    /// The peer opened a stream. A session that is over ignores it, as it does all other input.
    pub fn handle_opened(&mut self, now: Time, session: Id<Session>, stream: StreamId, dir: Dir) {
        self.advance(now);
        let (now, limit) = (self.now, self.config.limits.peer_streams);
        let Some(state) = self.live(session) else { return };
        if state.find(stream).is_some() {
            return;
        }
        let id = state.accept(now, stream, dir);
        let too_many = state.peer_streams > limit && !state.is_link();
        self.touch(session);
        self.arm();
        if too_many {
            self.offend(session, Some(id), Offence::Stream(Violation::TooManyStreams));
        }
    }

    /// The transport opened a stream because [`wants_open`](Self::wants_open) said so.
    pub fn handle_granted(&mut self, now: Time, session: Id<Session>, stream: StreamId, dir: Dir) {
        self.advance(now);
        let Some(state) = self.live(session) else { return };
        let used = match dir {
            Dir::Uni if !state.setup_sent => {
                self.send_setup(session, stream);
                true
            }
            Dir::Uni => self.send_group(session, stream),
            Dir::Bi => match state.requests.pop_front() {
                Some(request) => {
                    self.send_request(session, stream, request);
                    true
                }
                None => false,
            },
        };
        if let (false, Some(state)) = (used, self.live(session)) {
            // What it was for has gone meanwhile.
            let code = StreamCode::CANCEL;
            state.commands.push_back(Command::Reset { stream, code });
            if dir == Dir::Bi {
                state.commands.push_back(Command::Stop { stream, code });
            }
        }
        self.touch(session);
    }

    fn send_request(&mut self, session: Id<Session>, stream: StreamId, request: Request) {
        match request {
            Request::Announce(prefix) => self.send_announce_request(session, stream, prefix),
            Request::Track(track) => self.send_track(session, stream, track),
            Request::Subscribe(track) => self.send_subscribe(session, stream, track),
            Request::Fetch(track) => self.send_fetch(session, stream, track),
            Request::Probe => self.send_probe(session, stream),
            Request::Goaway(uri) => self.send_goaway(session, stream, &Goaway { uri }),
        }
    }

    /// Bytes of a stream have come, in order; `fin` with the last of them, which may be none.
    pub fn handle_recv(
        &mut self,
        now: Time,
        session: Id<Session>,
        stream: StreamId,
        data: Bytes,
        fin: bool,
    ) {
        self.advance(now);
        let limit = self.config.limits.session_buffer;
        let Some(state) = self.live(session) else { return };
        let Some(id) = state.find(stream) else { return };
        let Some(stream) = state.streams.get_mut(id) else { return };
        if stream.recv != Half::Open {
            return;
        }
        stream.inbox_fin |= fin;
        match stream.kind {
            Kind::GroupIn(_) => {
                if let Err(offence) = self.receive_group(session, id, &data, fin) {
                    self.offend(session, Some(id), offence);
                }
            }
            Kind::Over if fin => {
                stream.recv = Half::Done;
                state.reap(id);
            }
            Kind::Over => {}
            _ => {
                let fits = state.buffer(id, &data, limit) || state.is_link();
                if !fits {
                    return self.offend(
                        session,
                        None,
                        Offence::Session(Violation::TooMuchBuffered),
                    );
                }
                self.process(session, id);
            }
        }
    }

    /// The peer abandoned sending on a stream (RESET_STREAM).
    pub fn handle_reset(
        &mut self,
        now: Time,
        session: Id<Session>,
        stream: StreamId,
        code: StreamCode,
    ) {
        self.advance(now);
        let Some(state) = self.live(session) else { return };
        let Some(id) = state.find(stream) else { return };
        let Some(stream) = state.streams.get_mut(id) else { return };
        stream.recv = Half::Done;
        match stream.kind {
            Kind::GroupIn(_) => self.close_group_in(session, id, GroupEnd::Reset(code)),
            // A request is taken back.
            Kind::SubscribeIn(_) | Kind::FetchIn(_) | Kind::GroupOut(_) => {
                self.abandon(session, id, StreamCode::CANCEL);
            }
            _ => self.abandon(session, id, code),
        }
        // What was to be said on it has no hearer who could make sense of it.
        self.end_sending(session, id);
    }

    /// The peer wants no more of what is sent on a stream (STOP_SENDING).
    pub fn handle_stopped(
        &mut self,
        now: Time,
        session: Id<Session>,
        stream: StreamId,
        code: StreamCode,
    ) {
        self.advance(now);
        let Some(state) = self.live(session) else { return };
        let Some(id) = state.find(stream) else { return };
        state.reset(id, code);
        let Some(stream) = state.streams.get(id) else { return };
        match stream.kind {
            // The publisher reads no more, but may go on answering.
            Kind::SubscribeOut(_)
            | Kind::AnnounceIn(_)
            | Kind::TrackOut(_)
            | Kind::FetchOut(_)
            | Kind::ProbeOut
            | Kind::GroupIn(_) => state.reap(id),
            Kind::SubscribeIn(_) => {
                self.abandon(session, id, StreamCode::CANCEL);
                self.stop_receiving(session, id);
            }
            _ => {
                self.abandon(session, id, code);
                self.stop_receiving(session, id);
            }
        }
        self.touch(session);
    }

    /// The peer has acknowledged all of a stream, its end included.
    pub fn handle_acked(&mut self, now: Time, session: Id<Session>, stream: StreamId) {
        self.advance(now);
        let Some(state) = self.live(session) else { return };
        let Some(id) = state.find(stream) else { return };
        let Some(stream) = state.streams.get_mut(id) else { return };
        if stream.send != Half::Finished {
            return;
        }
        stream.send = Half::Done;
        match &stream.kind {
            Kind::GroupOut(_) => self.close_group_out(session, id),
            Kind::SubscribeIn(served) => {
                let sub = served.sub;
                stream.kind = Kind::Over;
                // Some peers take only STOP_SENDING for the end of a subscription.
                state.stop(id, StreamCode::CANCEL);
                self.forget_sub(sub);
            }
            _ => {}
        }
        if let Some(state) = self.live(session) {
            state.reap(id);
        }
    }

    /// A stream that took fewer bytes than offered takes bytes again.
    pub fn handle_writable(&mut self, now: Time, session: Id<Session>, stream: StreamId) {
        self.advance(now);
        let Some(state) = self.live(session) else { return };
        let Some(id) = state.find(stream) else { return };
        state.unblock(id);
        self.touch(session);
    }

    /// Nothing that the peer sends is read any more, so it need not say what its streams are, until
    /// [`handle_resumed`](Self::handle_resumed).
    pub fn handle_paused(&mut self, now: Time, session: Id<Session>) {
        self.advance(now);
        if let Some(state) = self.live(session) {
            state.paused = true;
        }
    }

    /// What the peer sends is read again. Its time to say what its streams are begins anew.
    pub fn handle_resumed(&mut self, now: Time, session: Id<Session>) {
        self.advance(now);
        let now = self.now;
        let Some(state) = self.live(session) else { return };
        state.paused = false;
        if state.state == State::Opening {
            state.since = now;
        }
        for id in state.opening() {
            if let Some(stream) = state.streams.get_mut(id) {
                stream.opened = now;
            }
        }
        self.arm();
    }

    /// The connection is gone. Harmless after [`Command::Close`].
    pub fn handle_closed(&mut self, now: Time, session: Id<Session>, closed: Closed) {
        self.advance(now);
        self.end_session(session, closed);
        self.forget_session(session);
    }

    /// The next session that may have output, each once. O(1).
    pub fn poll_session(&mut self) -> Option<Id<Session>> {
        loop {
            let id = self.dirty.pop_front()?;
            if let Some(session) = self.sessions.get_mut(id) {
                session.dirty = false;
                return Some(id);
            }
        }
    }

    /// The next thing that the transport of a session has to do.
    pub fn poll_command(&mut self, session: Id<Session>) -> Option<Command> {
        let state = self.sessions.get_mut(session)?;
        if state.commands.is_empty() {
            while let Some(sub) = self.sessions.get_mut(session)?.moved.pop_first() {
                self.reprioritise(sub);
            }
        }
        let state = self.sessions.get_mut(session)?;
        let command = state.commands.pop_front();
        if state.state == State::Closed && state.commands.is_empty() {
            self.forget_session(session);
        }
        command
    }

    /// Whether the node wants one more stream to be opened now.
    pub fn wants_open(&mut self, session: Id<Session>, dir: Dir) -> bool {
        let Some(state) = self.live(session) else { return false };
        match dir {
            Dir::Uni => !state.setup_sent || self.most_hungry(session, Way::Stream).is_some(),
            Dir::Bi => !state.requests.is_empty(),
        }
    }

    /// The most urgent stream that has something to send, and at most `max` bytes of it in `chunks`,
    /// which is cleared first. Nothing is taken until [`sent`](Self::sent) says how many were; asking again
    /// without it may give another answer, if something more urgent has come up. If there is nothing, or a
    /// `max` of 0 leaves something behind, groups that wait since an earlier time may have become too old: they
    /// are reset.
    pub fn poll_send(
        &mut self,
        now: Time,
        session: Id<Session>,
        max: usize,
        chunks: &mut Vec<Bytes>,
    ) -> Option<Send> {
        self.advance(now);
        let now = self.now;
        loop {
            chunks.clear();
            let state = self.live(session)?;
            let Some(id) = state.most_urgent() else {
                if state.leaves_behind(now, false) {
                    self.expire(session);
                }
                return None;
            };
            let Some((bytes, fin)) = self.peek(session, id, max, chunks) else { continue };
            let state = self.live(session)?;
            if bytes == 0 && !fin {
                if max == 0 {
                    if state.leaves_behind(now, true) {
                        self.expire(session);
                    }
                    return None;
                }
                state.rest(id);
                continue;
            }
            state.offer = Some(Offer { stream: id, bytes, fin });
            let stream = state.streams.get(id)?.id;
            return Some(Send { stream, bytes, fin });
        }
    }

    /// Whether a control stream has something to send.
    pub(crate) fn has_control(&mut self, session: Id<Session>) -> bool {
        loop {
            let Some(state) = self.live(session) else { return false };
            let Some(id) = state.most_urgent() else { return false };
            let stream = state.streams.get(id);
            if stream.is_none_or(|stream| stream.priority != Priority::CONTROL) {
                return false;
            }
            match self.peek(session, id, 1, &mut Vec::new()) {
                Some((0, false)) => {
                    if let Some(state) = self.live(session) {
                        state.rest(id);
                    }
                }
                Some(_) => return true,
                None => {}
            }
        }
    }

    /// The transport took `bytes` of what [`poll_send`](Self::poll_send) offered last for this
    /// stream; fewer than offered means that the stream is blocked until
    /// [`handle_writable`](Self::handle_writable). If all were taken and the offer had the end, the
    /// transport has finished the stream.
    pub fn sent(&mut self, now: Time, session: Id<Session>, stream: StreamId, bytes: usize) {
        self.advance(now);
        let Some(state) = self.live(session) else { return };
        let Some(Offer { stream: id, bytes: offered, fin }) = state.offer.take() else { return };
        let same = |found: &&mut Stream| found.id == stream && found.send == Half::Open;
        let Some(found) = state.streams.get_mut(id).filter(same) else {
            return;
        };
        let bytes = bytes.min(offered);
        let all = bytes == offered;
        if let Kind::GroupOut(_) = found.kind {
            // What else a peer takes is no sign that it takes groups.
            if bytes > 0 || all && fin {
                state.stalled = None;
            }
            self.advance_group(session, id, bytes);
        } else {
            found.out.advance(bytes);
        }
        let Some(state) = self.live(session) else { return };
        if !all {
            return state.block(id);
        }
        if fin {
            state.rest(id);
            if let Some(stream) = state.streams.get_mut(id) {
                stream.send = Half::Finished;
            }
        }
    }

    /// Understands what has come on a control stream, as far as it goes.
    pub(crate) fn process(&mut self, session: Id<Session>, id: Id<Stream>) {
        let Some(state) = self.live(session) else { return };
        let Some(stream) = state.streams.get(id) else { return };
        let opening = matches!(stream.kind, Kind::Opening);
        let outcome = match &stream.kind {
            Kind::Opening => self.open_stream(session, id),
            Kind::SetupIn => self.read_setup(session, id),
            Kind::AnnounceIn(_) => self.read_announcements(session, id),
            Kind::SubscribeIn(_) => self.read_updates(session, id),
            Kind::SubscribeOut(_) => self.read_responses(session, id),
            Kind::TrackOut(track) => {
                let track = *track;
                self.read_track_info(session, id, track)
            }
            Kind::FetchOut(track) => {
                let track = *track;
                self.read_fetched(session, id, track)
            }
            Kind::ProbeIn => self.read_targets(session, id),
            Kind::ProbeOut => self.read_reports(session, id),
            Kind::AnnounceOut(_) | Kind::TrackIn(_) | Kind::FetchIn(_) | Kind::GroupOut(_) => {
                self.read_end(session, id)
            }
            Kind::SetupOut | Kind::GroupIn(_) | Kind::Over => Ok(()),
        };
        match outcome {
            Ok(()) => {
                let Some(state) = self.live(session) else { return };
                let kind = state.streams.get(id).map(|stream| &stream.kind);
                // What a request was followed by is for its new kind to judge.
                let answering = matches!(
                    kind,
                    Some(
                        Kind::AnnounceOut(_)
                            | Kind::TrackIn(_)
                            | Kind::FetchIn(_)
                            | Kind::ProbeIn
                            | Kind::GroupOut(_)
                    )
                );
                if opening && answering {
                    return self.process(session, id);
                }
                if let Some(stream) = state.streams.get_mut(id)
                    && matches!(stream.kind, Kind::Over)
                    && stream.inbox_fin
                {
                    stream.recv = Half::Done;
                }
                state.reap(id);
            }
            Err(offence) => self.offend(session, Some(id), offence),
        }
        self.touch(session);
    }

    /// A request that nothing may follow but its end.
    fn read_end(&mut self, session: Id<Session>, id: Id<Stream>) -> Result<(), Offence> {
        let Some(state) = self.live(session) else { return Ok(()) };
        let Some(stream) = state.streams.get_mut(id) else { return Ok(()) };
        if !stream.inbox.is_empty() {
            return Err(Offence::Stream(Violation::Unexpected));
        }
        if stream.inbox_fin {
            stream.recv = Half::Done;
            // No more interest in announcements. Requests for a track and for a group are answered all
            // the same: some peers end their side as soon as they have asked.
            if let Kind::AnnounceOut(_) = stream.kind {
                stream.kind = Kind::Over;
                state.finish(id);
            }
        }
        Ok(())
    }

    /// What a stream has to send, and whether its end follows. `None` if it was reset instead.
    fn peek(
        &mut self,
        session: Id<Session>,
        id: Id<Stream>,
        max: usize,
        chunks: &mut Vec<Bytes>,
    ) -> Option<(usize, bool)> {
        let stream = self.sessions.get(session)?.streams.get(id)?;
        match &stream.kind {
            Kind::GroupOut(_) => return self.peek_group(session, id, max, chunks),
            Kind::AnnounceOut(_) => self.fill_announcements(session, id),
            Kind::SubscribeOut(state) => {
                let track = state.track;
                self.fill_update(session, id, track);
            }
            // What cannot leave now would be old when it can.
            Kind::ProbeIn if max > 0 => self.fill_report(session, id),
            _ => {}
        }
        let stream = self.sessions.get(session)?.streams.get(id)?;
        let bytes = stream.out.len().min(max);
        if bytes > 0 {
            chunks.push(Bytes::copy_from_slice(&stream.out[..bytes]));
        }
        Some((bytes, stream.fin && bytes == stream.out.len()))
    }

    fn end_sending(&mut self, session: Id<Session>, id: Id<Stream>) {
        let Some(state) = self.live(session) else { return };
        if let Some(stream) = state.streams.get(id)
            && stream.send == Half::Open
            && !stream.fin
        {
            state.reset(id, StreamCode::CANCEL);
        }
        state.reap(id);
        self.touch(session);
    }

    fn stop_receiving(&mut self, session: Id<Session>, id: Id<Stream>) {
        let Some(state) = self.live(session) else { return };
        state.stop(id, StreamCode::CANCEL);
        state.reap(id);
    }

    /// A session that is not over.
    pub(crate) fn live(&mut self, session: Id<Session>) -> Option<&mut Session> {
        self.sessions.get_mut(session).filter(|session| session.state != State::Closed)
    }
}

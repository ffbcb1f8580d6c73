//! GOAWAY: a session is about to end (moq-lite-04 on; section Goaway of the draft).

use core::mem;

use super::{Kind, Priority, Request};
use crate::{
    Dir, Event, Id, Misuse, Node, Session, StreamId, Time, Violation,
    node::Offence,
    session::{State, Stream},
    wire::{BidiType, Goaway, Message, StreamCode, varint},
};

impl Node {
    /// Asks a peer to make no new requests on this session and to connect to `uri` instead; to the same
    /// place again if it is empty. What runs goes on, and what is asked for all the same is answered:
    /// closing the session, when the peer has moved or after a time, is left to the embedder.
    ///
    /// Fails with [`Misuse::Stale`] if the session is over, [`Misuse::NoGoaway`] if its version has no
    /// GOAWAY, [`Misuse::GoingAway`] if the peer was told before, [`Misuse::Uri`] beyond 8192 bytes.
    pub fn goaway(&mut self, now: Time, session: Id<Session>, uri: &str) -> Result<(), Misuse> {
        self.advance(now);
        let open = self.sessions.get_mut(session).filter(|open| open.state != State::Closed);
        let state = open.ok_or(Misuse::Stale)?;
        if !state.version().has_goaway() {
            return Err(Misuse::NoGoaway);
        }
        if uri.len() > Goaway::MAX_URI {
            return Err(Misuse::Uri);
        }
        if mem::replace(&mut state.goaway_sent, true) {
            return Err(Misuse::GoingAway);
        }
        state.requests.push_front(Request::Goaway(uri.into()));
        self.touch(session);
        Ok(())
    }

    /// Gives GOAWAY a stream, on which nothing follows.
    pub(crate) fn send_goaway(
        &mut self,
        session_id: Id<Session>,
        stream: StreamId,
        goaway: &Goaway,
    ) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let id = session.open(now, stream, Dir::Bi, Kind::Over, Priority::CONTROL);
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(BidiType::Goaway.to_varint(), &mut stream.out);
            goaway.encode(&mut stream.out, version);
        }
        session.finish(id);
    }

    /// The peer is about to go: nothing new is asked of it, and other ways are better than those that
    /// lead through it.
    pub(crate) fn receive_goaway(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        goaway: Goaway,
    ) -> Result<(), Offence> {
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        if mem::replace(&mut session.leaving, true) {
            return Err(Offence::Session(Violation::DuplicateGoaway));
        }
        let requests = mem::take(&mut session.requests);
        self.set_kind(session_id, id, Kind::Over);
        if let Some(session) = self.sessions.get_mut(session_id) {
            // Nothing may follow, and nothing of it would be understood.
            session.forget_inbox(id);
            session.finish(id);
        }
        self.events.push_back(Event::Goaway { session: session_id, uri: goaway.uri });
        self.advance_probe(session_id);
        self.reprice(session_id);
        for request in requests {
            match request {
                Request::Track(track) | Request::Subscribe(track) | Request::Fetch(track) => {
                    self.lose_feed(track, StreamCode::GOING_AWAY);
                }
                Request::Probe => self.end_probe_out(session_id),
                Request::Announce(_) => {}
                Request::Goaway(uri) => {
                    if let Some(session) = self.sessions.get_mut(session_id) {
                        session.requests.push_back(Request::Goaway(uri));
                    }
                }
            }
        }
        self.touch(session_id);
        Ok(())
    }

    /// Whether nothing runs on a session: no subscription, no fetch and no group, of either side. A client
    /// that has moved after GOAWAY closes its old session then. True for one that is over.
    pub fn is_quiet(&self, session: Id<Session>) -> bool {
        let Some(session) = self.sessions.get(session) else { return true };
        let quiet = |kind: &Kind| match kind {
            Kind::Opening
            | Kind::SetupIn
            | Kind::SetupOut
            | Kind::AnnounceIn(_)
            | Kind::AnnounceOut(_)
            | Kind::ProbeIn
            | Kind::ProbeOut
            | Kind::Over => true,
            Kind::SubscribeIn(_)
            | Kind::SubscribeOut(_)
            | Kind::TrackIn(_)
            | Kind::TrackOut(_)
            | Kind::FetchIn(_)
            | Kind::FetchOut(_)
            | Kind::GroupIn(_)
            | Kind::GroupOut(_) => false,
        };
        let settled = |request: &Request| match request {
            Request::Announce(_) | Request::Goaway(_) | Request::Probe => true,
            Request::Track(_) | Request::Subscribe(_) | Request::Fetch(_) => false,
        };
        session.streams.iter().all(|(_, stream)| quiet(&stream.kind))
            && session.requests.iter().all(settled)
    }

    /// Whether the peer has asked to be asked for nothing more.
    pub(crate) fn is_leaving(&self, session: Id<Session>) -> bool {
        self.sessions.get(session).is_some_and(|session| session.leaving)
    }
}

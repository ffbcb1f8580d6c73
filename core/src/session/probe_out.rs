//! We want to know how fast a peer can send.

use super::{Kind, Priority, Request};
use crate::{
    Dir, Event, Id, Node, Session, StreamId, Violation,
    node::Offence,
    session::{State, Stream},
    wire::{BidiType, Message, Probe, ProbeLevel, StreamCode, varint},
};

/// How far we have come with asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asking {
    /// The peer has not said yet whether it can tell (SETUP), or the session is not up.
    Undecided,
    /// The request waits for a stream.
    Queued,
    /// On this stream.
    Open(Id<Stream>),
    /// The peer tells nothing more.
    Ended,
}

/// What we asked a peer, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct ProbeOut {
    pub(crate) asking: Asking,
    /// The latest report, until it is read.
    pub(crate) report: Option<Probe>,
    /// The application knows that there is something to read.
    pub(crate) signalled: bool,
}

impl Node {
    /// Asks, once it is known whether the peer can tell.
    pub(crate) fn advance_probe(&mut self, session_id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let known = session.setup_received || !session.version().has_setup();
        let can = !session.version().has_setup() || session.probe_level >= ProbeLevel::Report;
        let refused = session.leaving || known && !can;
        let ready = known && session.state == State::Up;
        let Some(probe) = &mut session.probe_out else { return };
        match probe.asking {
            Asking::Undecided if refused => self.end_probe_out(session_id),
            Asking::Undecided if ready => {
                probe.asking = Asking::Queued;
                session.requests.push_back(Request::Probe);
                self.touch(session_id);
            }
            Asking::Undecided | Asking::Queued | Asking::Open(_) | Asking::Ended => {}
        }
    }

    /// Gives PROBE a stream. Its type is all that is said: a target is only for peers that would send more
    /// for it, and those that would not may end the stream.
    pub(crate) fn send_probe(&mut self, session_id: Id<Session>, stream: StreamId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let id = session.open(now, stream, Dir::Bi, Kind::ProbeOut, Priority::CONTROL);
        if let Some(probe) = &mut session.probe_out {
            probe.asking = Asking::Open(id);
        }
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(BidiType::Probe.to_varint(), &mut stream.out);
        }
        session.wake(id);
    }

    /// Reads what the peer says. Only the latest of it is of interest.
    pub(crate) fn read_reports(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let mut latest = None;
        while let Some(report) = session
            .next(id, |buffer, version| Probe::take(buffer, limit, version))
            .map_err(|error| Offence::Stream(error.into()))?
        {
            latest = Some(report);
        }
        let Some(stream) = session.streams.get(id) else { return Ok(()) };
        let (ended, rest) = (stream.inbox_fin, !stream.inbox.is_empty());
        if latest.is_some()
            && let Some(probe) = &mut session.probe_out
        {
            probe.report = latest;
            self.signal_probe(session_id);
        }
        if ended && rest {
            return Err(Offence::Stream(Violation::Truncated));
        }
        if ended {
            self.end_probe_out(session_id);
            self.set_kind(session_id, id, Kind::Over);
            if let Some(session) = self.sessions.get_mut(session_id) {
                session.finish(id);
            }
        }
        Ok(())
    }

    /// The peer tells nothing more.
    pub(crate) fn end_probe_out(&mut self, session_id: Id<Session>) {
        let session = self.sessions.get_mut(session_id);
        if let Some(probe) = session.and_then(|session| session.probe_out.as_mut()) {
            probe.asking = Asking::Ended;
            self.signal_probe(session_id);
        }
    }

    /// We have heard enough.
    pub(crate) fn stop_probe_out(&mut self, session_id: Id<Session>, asking: Asking) {
        match asking {
            Asking::Queued => {
                self.withdraw_request(session_id, &Request::Probe);
            }
            Asking::Open(id) => {
                self.set_kind(session_id, id, Kind::Over);
                let Some(session) = self.sessions.get_mut(session_id) else { return };
                session.finish(id);
                session.stop(id, StreamCode::CANCEL);
                session.reap(id);
                self.touch(session_id);
            }
            Asking::Undecided | Asking::Ended => {}
        }
    }

    fn signal_probe(&mut self, session_id: Id<Session>) {
        let session = self.sessions.get_mut(session_id);
        let Some(probe) = session.and_then(|session| session.probe_out.as_mut()) else { return };
        if !core::mem::replace(&mut probe.signalled, true) {
            self.events.push_back(Event::Probed { session: session_id });
        }
    }
}

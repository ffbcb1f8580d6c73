//! SETUP: what each side says once, at once (moq-lite-05 on).

use alloc::string::String;

use super::{Half, Kind, Priority, State, mount, request_path};
use crate::{
    Admission, Carrier, Dir, Event, Grant, Id, Node, Path, Session, Side, StreamId, Violation,
    node::Offence,
    session::{Mount, Request, Stream},
    wire::{Message, ProbeLevel, Setup, SetupRole, UniType, varint},
};

impl Node {
    /// Begins a session. A client may speak at once; a server first learns where its peer wants to go.
    pub(crate) fn begin(&mut self, session_id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let (side, carrier) = (session.config.side, session.config.carrier);
        let told_by_setup = carrier == Carrier::Raw && session.version().has_setup();
        match side {
            Side::Client => {
                let wire = if told_by_setup || carrier != Carrier::Raw {
                    Path::root()
                } else {
                    // The path cannot travel, so it becomes part of every broadcast's name.
                    request_path(&session.config.path).unwrap_or_default()
                };
                let grant = session.config.grant.clone();
                self.admit(session_id, grant, wire);
            }
            Side::Server if told_by_setup => self.arm(),
            Side::Server => {
                let path = session.config.path.clone();
                if let Err(offence) = self.arrive(session_id, path) {
                    self.offend(session_id, None, offence);
                }
            }
        }
        self.touch(session_id);
    }

    /// Gives our SETUP a stream.
    pub(crate) fn send_setup(&mut self, session_id: Id<Session>, stream: StreamId) {
        let (now, own) = (self.now, self.config.hop);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let is_client = session.config.side == Side::Client;
        let tells_path = is_client && session.config.carrier == Carrier::Raw;
        // Between nodes of one process there is no network to tell of. Nor is more sent than there is: a
        // transport has no way to fill its window with what nobody needs.
        let probe = if session.is_link() { ProbeLevel::None } else { ProbeLevel::Report };
        let setup = Setup {
            probe,
            cost: session.config.cost.filter(|_| is_client).map(|cost| cost.min(varint::MAX)),
            path: mount::setup_path(&session.config.path).filter(|_| tells_path),
            hop: Some(own).filter(|hop| hop.is_known()),
            ..Setup::default()
        };
        session.setup_sent = true;
        let version = session.version();
        let id = session.open(now, stream, Dir::Uni, Kind::SetupOut, Priority::CONTROL);
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(UniType::Setup.to_varint(), &mut stream.out);
            setup.encode(&mut stream.out, version);
        }
        session.finish(id);
    }

    /// Reads the peer's SETUP. Anything wrong with it ends the session.
    pub(crate) fn read_setup(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes.min(Setup::MAX_LENGTH);
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let setup = session
            .next(id, |buffer, version| Setup::take(buffer, limit, version))
            .map_err(|error| Offence::Session(error.into()))?;
        let Some(setup) = setup else {
            let ended = session.streams.get(id).is_some_and(|stream| stream.inbox_fin);
            return if ended { Err(Offence::Session(Violation::Truncated)) } else { Ok(()) };
        };
        if session.setup_received {
            return Err(Offence::Session(Violation::DuplicateSetup));
        }
        session.setup_received = true;
        session.probe_level = setup.probe;
        session.cost = setup.cost;
        if let Some(hop) = setup.hop {
            session.hop = hop;
            session.hop_named = true;
        }
        if let Some(stream) = session.streams.get_mut(id) {
            stream.kind = Kind::Over;
            if stream.inbox_fin {
                stream.recv = Half::Done;
            }
        }
        session.forget_inbox(id);
        session.reap(id);
        self.advance_probe(session_id);
        self.reprice(session_id);
        let Some(session) = self.sessions.get(session_id) else { return Ok(()) };
        let raw_server =
            session.config.side == Side::Server && session.config.carrier == Carrier::Raw;
        let from_server = session.config.side == Side::Client;
        match setup.path {
            _ if from_server && setup.role != SetupRole::Both => {
                Err(Offence::Session(Violation::UnexpectedRole))
            }
            Some(_) if !raw_server => Err(Offence::Session(Violation::UnexpectedPath)),
            path if raw_server => self.arrive(session_id, path.unwrap_or_default()),
            _ => Ok(()),
        }
    }

    /// The peer has said where it wants to go.
    fn arrive(&mut self, session_id: Id<Session>, path: String) -> Result<(), Offence> {
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let root =
            request_path(&path).map_err(|error| Offence::Session(Violation::RequestPath(error)))?;
        match session.config.admission {
            Admission::Open => self.admit(session_id, Grant::all(root), Path::root()),
            Admission::Ask => {
                session.state = State::Asking;
                session.config.path.clone_from(&path);
                self.events.push_back(Event::Request { session: session_id, path });
            }
        }
        Ok(())
    }

    /// Lets the peer in, asks it for announcements, and looks at what it has asked meanwhile. `wire`
    /// stands in front of its paths.
    pub(crate) fn admit(&mut self, session_id: Id<Session>, grant: Grant, wire: Path) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        session.state = State::Up;
        let mount = |local: &Path| Mount { local: local.clone(), wire: wire.clone() };
        session.publish = grant.publish.as_ref().map(mount);
        session.subscribe = grant.subscribe.as_ref().map(mount);
        let version = session.version();
        self.events.push_back(Event::Ready { session: session_id, version, grant });
        self.request_announcements(session_id);
        self.advance_probe(session_id);
        self.open_waiting_streams(session_id);
        self.arm();
        self.touch(session_id);
    }

    /// Takes back a request that has no stream yet. Says whether it was waiting.
    pub(crate) fn withdraw_request(&mut self, session: Id<Session>, request: &Request) -> bool {
        let Some(session) = self.sessions.get_mut(session) else { return false };
        let before = session.requests.len();
        session.requests.retain(|waiting| waiting != request);
        session.requests.len() < before
    }
}

//! A stream that the peer opened, until it has said what it is.

use alloc::vec::Vec;

use super::{Kind, State};
use crate::{
    Dir, Id, Node, Session, Violation,
    node::Offence,
    session::Stream,
    wire::{
        AnnounceRequest, BidiType, DecodeError, Fetch, Goaway, GroupHeader, Message, StreamCode,
        Subscribe, Track, UniType, varint,
    },
};

/// The first message of a stream, with its type.
enum First {
    Setup,
    Group(GroupHeader),
    Announce(AnnounceRequest),
    Subscribe(Subscribe),
    Track(Track),
    Fetch(Fetch),
    Goaway(Goaway),
    Probe,
    /// A request that this node does not serve.
    Unserved,
}

impl Node {
    /// Reads the type and the first message of a stream. What follows it is left in the inbox.
    pub(crate) fn open_stream(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let Some(stream) = session.streams.get(id) else { return Ok(()) };
        let (dir, ended) = (stream.dir, stream.inbox_fin);
        if dir == Dir::Bi && session.state != State::Up {
            // Requests wait until it is known where their paths begin.
            return Ok(());
        }
        let mut unknown = None;
        let first = session.next(id, |buffer, version| {
            let Some((kind, used)) = varint::decode(buffer) else { return Ok(None) };
            let rest = &buffer[used..];
            let first = match dir {
                Dir::Uni => match UniType::from_varint(kind, version) {
                    Some(UniType::Setup) => Some((First::Setup, 0)),
                    Some(UniType::Group) => {
                        map(GroupHeader::take(rest, limit, version)?, First::Group)
                    }
                    None => return Ok(unknown.replace(kind).map(|_| (First::Unserved, 0))),
                },
                Dir::Bi => match BidiType::from_varint(kind, version) {
                    Some(BidiType::Announce) => {
                        map(AnnounceRequest::take(rest, limit, version)?, First::Announce)
                    }
                    Some(BidiType::Subscribe) => {
                        map(Subscribe::take(rest, limit, version)?, First::Subscribe)
                    }
                    Some(BidiType::Track) => map(Track::take(rest, limit, version)?, First::Track),
                    Some(BidiType::Goaway) => {
                        map(Goaway::take(rest, limit, version)?, First::Goaway)
                    }
                    Some(BidiType::Fetch) if version.serves_fetch() => {
                        map(Fetch::take(rest, limit, version)?, First::Fetch)
                    }
                    Some(BidiType::Probe) => Some((First::Probe, 0)),
                    Some(BidiType::Fetch) => Some((First::Unserved, 0)),
                    None => return Ok(unknown.replace(kind).map(|_| (First::Unserved, 0))),
                },
            };
            Ok::<_, DecodeError>(first.map(|(first, more)| (first, used + more)))
        });
        let first = first.map_err(|error| Offence::Stream(error.into()))?;
        if let Some(kind) = unknown {
            return Err(Offence::Stream(Violation::StreamType(kind)));
        }
        let Some(first) = first else {
            return if ended { Err(Offence::Stream(Violation::Truncated)) } else { Ok(()) };
        };
        match first {
            First::Setup => {
                self.set_kind(session_id, id, Kind::SetupIn);
                self.read_setup(session_id, id)
            }
            First::Group(header) => self.open_group_in(session_id, id, header),
            First::Announce(request) => self.serve_announce(session_id, id, &request),
            First::Subscribe(subscribe) => self.serve_subscribe(session_id, id, subscribe),
            First::Track(track) => self.serve_track(session_id, id, &track),
            First::Fetch(fetch) => self.serve_fetch(session_id, id, &fetch),
            First::Goaway(goaway) => self.receive_goaway(session_id, id, goaway),
            First::Probe => {
                self.serve_probe(session_id, id);
                Ok(())
            }
            First::Unserved => {
                self.refuse(session_id, id, StreamCode::CANCEL);
                Ok(())
            }
        }
    }

    /// Looks at what came on streams before the session was up.
    pub(crate) fn open_waiting_streams(&mut self, session_id: Id<Session>) {
        let Some(session) = self.sessions.get(session_id) else { return };
        let waiting: Vec<_> = session.in_order();
        for id in waiting {
            self.process(session_id, id);
        }
    }

    pub(crate) fn set_kind(&mut self, session: Id<Session>, id: Id<Stream>, kind: Kind) {
        let session = self.sessions.get_mut(session);
        if let Some(stream) = session.and_then(|session| session.streams.get_mut(id)) {
            stream.kind = kind;
        }
    }

    /// Answers a request with a code instead of an answer.
    pub(crate) fn refuse(&mut self, session_id: Id<Session>, id: Id<Stream>, code: StreamCode) {
        self.set_kind(session_id, id, Kind::Over);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        session.reset(id, code);
        session.stop(id, code);
        session.reap(id);
        self.touch(session_id);
    }
}

fn map<M>(message: Option<(M, usize)>, first: fn(M) -> First) -> Option<(First, usize)> {
    message.map(|(message, used)| (first(message), used))
}

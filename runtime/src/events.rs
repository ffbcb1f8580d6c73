//! What a server tells its embedder.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    net::SocketAddr,
};

use smoq_core::{Carrier, Closed, Grant, Id, Session, StreamId, Version, Violation};

/// Events that may wait for their reader before some are left out.
const MAX_EVENTS: usize = 1024;

/// A session of a server, unique over the server's life. In text it is the shard and the session there,
/// as in `0/7v2`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    /// The index of the shard that has it; 0 where there is only one.
    pub shard: u8,
    /// Its id in the node of that shard.
    pub session: Id<Session>,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.session)
    }
}

/// What happened on a server. Each session begins with `Request` or `Connected` and ends with
/// `Closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A peer asks to come in; answer with [`Server::grant`](crate::Server::grant) or
    /// [`Server::close_session`](crate::Server::close_session). Only with
    /// [`Admission::Ask`](smoq_core::Admission::Ask).
    Request {
        /// Who.
        session: SessionId,
        /// From where.
        remote: SocketAddr,
        /// The request path with its query; empty if it could not travel.
        path: String,
        /// Where the page comes from that asks: browsers say so over WebTransport.
        origin: Option<String>,
    },
    /// A session is up.
    Connected {
        /// Which.
        session: SessionId,
        /// From where.
        remote: SocketAddr,
        /// What is spoken.
        version: Version,
        /// What carries it.
        carrier: Carrier,
        /// What the peer may do, and where.
        grant: Grant,
    },
    /// A peer is about to go: it wants nothing new to be asked of it. Its `Closed` follows some time.
    Goaway {
        /// Who.
        session: SessionId,
        /// From where.
        remote: SocketAddr,
        /// Where it says to connect to instead, unproven; as a rule empty.
        uri: String,
    },
    /// A session is over.
    Closed {
        /// Which.
        session: SessionId,
        /// From where.
        remote: SocketAddr,
        /// Why.
        closed: Closed,
    },
    /// A peer broke a rule. It cost a stream, or the session, whose `Closed` follows.
    Violation {
        /// Who.
        session: SessionId,
        /// From where.
        remote: SocketAddr,
        /// The stream, if it cost only that.
        stream: Option<StreamId>,
        /// Which rule.
        error: Violation,
    },
}

impl ServerEvent {
    fn session(&self) -> SessionId {
        match self {
            Self::Request { session, .. }
            | Self::Connected { session, .. }
            | Self::Goaway { session, .. }
            | Self::Closed { session, .. }
            | Self::Violation { session, .. } => *session,
        }
    }
}

/// Events on their way to the reader.
///
/// When too many wait, violations and GOAWAYs are left out, and sessions of which the reader knows nothing yet and
/// which are over already. What is left is bounded by the sessions that the reader knows or that live.
/// Each call takes O(1), on average over many.
#[derive(Default)]
pub(crate) struct EventQueue {
    events: VecDeque<ServerEvent>,
    /// Sessions of which the reader has heard the beginning and not the end.
    known: HashSet<SessionId>,
    /// Sessions whose events are left out: each has one or more in the queue, or had.
    skipped: HashSet<SessionId>,
    missed: u64,
}

impl EventQueue {
    pub(crate) fn pop(&mut self) -> Option<ServerEvent> {
        while let Some(event) = self.events.pop_front() {
            let session = event.session();
            if self.skipped.contains(&session) {
                self.missed += 1;
                continue;
            }
            match event {
                ServerEvent::Closed { .. } => self.known.remove(&session),
                _ => self.known.insert(session),
            };
            return Some(event);
        }
        self.skipped.clear();
        None
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    pub(crate) fn push(&mut self, event: ServerEvent) {
        let session = event.session();
        let full = self.events.len() >= MAX_EVENTS;
        match event {
            ServerEvent::Violation { .. } | ServerEvent::Goaway { .. } if full => self.missed += 1,
            ServerEvent::Closed { .. } if full && !self.known.contains(&session) => {
                self.missed += 1;
                self.skipped.insert(session);
                self.sweep();
            }
            event => self.events.push_back(event),
        }
    }

    /// Forgets what is left out, once that is much of the queue: so it pays for itself.
    fn sweep(&mut self) {
        if 2 * self.skipped.len() >= self.events.len() {
            let before = self.events.len();
            self.events.retain(|event| !self.skipped.contains(&event.session()));
            self.missed += (before - self.events.len()) as u64;
            self.skipped.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use smoq_core::{
        Carrier, ClosedBy, Config, Node, Path, SessionConfig, Time, wire::SessionCode,
    };

    use super::*;

    fn sessions(count: usize) -> Vec<SessionId> {
        let mut node = Node::new(Config::default());
        let config = SessionConfig::server(Version::Lite06, Carrier::Raw, "");
        let mut add = || node.add_session(Time::ZERO, config.clone());
        (0..count).map(|_| SessionId { shard: 0, session: add() }).collect()
    }

    fn remote() -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn connected(session: SessionId) -> ServerEvent {
        let (version, grant) = (Version::Lite06, Grant::all(Path::root()));
        let carrier = Carrier::Raw;
        ServerEvent::Connected { session, remote: remote(), version, carrier, grant }
    }

    fn closed(session: SessionId) -> ServerEvent {
        let code = SessionCode::NO_ERROR;
        let closed = Closed { by: ClosedBy::Peer, code, reason: String::new() };
        ServerEvent::Closed { session, remote: remote(), closed }
    }

    fn violation(session: SessionId) -> ServerEvent {
        let error = Violation::TooManyStreams;
        ServerEvent::Violation { session, remote: remote(), stream: None, error }
    }

    #[test]
    fn a_reader_that_is_there_misses_nothing() {
        let mut queue = EventQueue::default();
        for session in sessions(10) {
            for event in [connected(session), violation(session), closed(session)] {
                queue.push(event.clone());
                assert_eq!(queue.pop(), Some(event));
            }
        }
        assert_eq!((queue.pop(), queue.missed()), (None, 0));
    }

    #[test]
    fn violations_go_first() {
        let sessions = sessions(2 * MAX_EVENTS);
        let mut queue = EventQueue::default();
        for session in &sessions {
            queue.push(connected(*session));
            queue.push(violation(*session));
        }
        let violations =
            queue.events.iter().filter(|event| matches!(event, ServerEvent::Violation { .. }));
        assert_eq!(violations.count(), MAX_EVENTS / 2);
        assert_eq!(queue.missed(), 3 * MAX_EVENTS as u64 / 2);
        let left = std::iter::from_fn(|| queue.pop());
        let known: HashSet<_> = left.map(|event| event.session()).collect();
        assert_eq!(known.len(), sessions.len(), "of every session that lives the reader hears");
    }

    #[test]
    fn who_has_seen_a_request_hears_of_its_end() {
        let sessions = sessions(MAX_EVENTS + 1);
        let mut queue = EventQueue::default();
        let (session, remote) = (sessions[0], remote());
        let path = String::new();
        queue.push(ServerEvent::Request { session, remote, path, origin: None });
        queue.pop();
        for session in &sessions {
            queue.push(connected(*session));
        }
        queue.push(closed(session));
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(left.last(), Some(&closed(session)));
    }

    #[test]
    fn sessions_that_came_and_went_are_left_out() {
        let sessions = sessions(MAX_EVENTS + 2);
        let mut queue = EventQueue::default();
        queue.push(connected(sessions[0]));
        queue.pop();
        for session in &sessions[1..] {
            queue.push(connected(*session));
        }
        for session in &sessions {
            queue.push(closed(*session));
        }
        assert!(queue.events.len() <= MAX_EVENTS + 1, "{}", queue.events.len());
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        // Of the first one the reader knows, so it hears of its end.
        let known: Vec<_> = left.iter().filter(|e| e.session() == sessions[0]).collect();
        assert_eq!(known, [&closed(sessions[0])]);
        for session in &sessions[1..] {
            let its: Vec<_> = left.iter().filter(|e| e.session() == *session).collect();
            assert!(its.is_empty() || *its[0] == connected(*session));
        }
        assert_eq!(left.len() as u64 + queue.missed(), 2 * sessions.len() as u64 - 1);
    }
}

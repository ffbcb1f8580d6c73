//! What a server tells its embedder.

use std::{collections::VecDeque, net::SocketAddr};

use smoq_core::{Closed, Id, Path, Session, StreamId, Version, Violation};

/// Events that may wait for their reader before some are left out.
const MAX_EVENTS: usize = 1024;

/// What happened on a server. Each session begins with `Request` or `Connected` and ends with
/// `Closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A peer asks to come in; answer with [`Server::grant`](crate::Server::grant) or
    /// [`Server::close_session`](crate::Server::close_session). Only with
    /// [`Admission::Ask`](smoq_core::Admission::Ask).
    Request {
        /// Who.
        session: Id<Session>,
        /// From where.
        remote: SocketAddr,
        /// The request path with its query; empty if it could not travel.
        path: String,
    },
    /// A session is up.
    Connected {
        /// Which.
        session: Id<Session>,
        /// From where.
        remote: SocketAddr,
        /// What is spoken.
        version: Version,
        /// Where its paths begin.
        root: Path,
    },
    /// A session is over.
    Closed {
        /// Which.
        session: Id<Session>,
        /// From where.
        remote: SocketAddr,
        /// Why.
        closed: Closed,
    },
    /// A peer broke a rule. It cost a stream, or the session, whose `Closed` follows.
    Violation {
        /// Who.
        session: Id<Session>,
        /// From where.
        remote: SocketAddr,
        /// The stream, if it cost only that.
        stream: Option<StreamId>,
        /// Which rule.
        error: Violation,
    },
}

impl ServerEvent {
    fn session(&self) -> Id<Session> {
        match self {
            Self::Request { session, .. }
            | Self::Connected { session, .. }
            | Self::Closed { session, .. }
            | Self::Violation { session, .. } => *session,
        }
    }

    fn begins(&self) -> bool {
        matches!(self, Self::Request { .. } | Self::Connected { .. })
    }
}

/// Events on their way to the reader.
///
/// When too many wait, violations are left out, and sessions of which the reader knows nothing yet and
/// which are over already. What is left is bounded by the sessions that the reader knows or that live.
#[derive(Default)]
pub(crate) struct EventQueue {
    events: VecDeque<ServerEvent>,
    missed: u64,
}

impl EventQueue {
    pub(crate) fn pop(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    pub(crate) fn push(&mut self, event: ServerEvent) {
        let session = event.session();
        let over = matches!(event, ServerEvent::Closed { .. });
        self.events.push_back(event);
        if self.events.len() <= MAX_EVENTS {
            return;
        }
        let before = self.events.len();
        if over && self.began_here(session) {
            self.events.retain(|event| event.session() != session);
        } else if let Some(index) = self.oldest_violation() {
            self.events.remove(index);
        }
        self.missed += (before - self.events.len()) as u64;
    }

    /// Whether the first thing that the reader will hear of a session is its beginning.
    fn began_here(&self, session: Id<Session>) -> bool {
        self.events.iter().find(|event| event.session() == session).is_some_and(ServerEvent::begins)
    }

    fn oldest_violation(&self) -> Option<usize> {
        self.events.iter().position(|event| matches!(event, ServerEvent::Violation { .. }))
    }
}

#[cfg(test)]
mod tests {
    use smoq_core::{Carrier, ClosedBy, Config, Node, SessionConfig, Time, wire::SessionCode};

    use super::*;

    fn sessions(count: usize) -> Vec<Id<Session>> {
        let mut node = Node::new(Config::default());
        let config = SessionConfig::server(Version::Lite06, Carrier::Raw, "");
        (0..count).map(|_| node.add_session(Time::ZERO, config.clone())).collect()
    }

    fn remote() -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn connected(session: Id<Session>) -> ServerEvent {
        let (version, root) = (Version::Lite06, Path::root());
        ServerEvent::Connected { session, remote: remote(), version, root }
    }

    fn closed(session: Id<Session>) -> ServerEvent {
        let code = SessionCode::NO_ERROR;
        let closed = Closed { by: ClosedBy::Peer, code, reason: String::new() };
        ServerEvent::Closed { session, remote: remote(), closed }
    }

    fn violation(session: Id<Session>) -> ServerEvent {
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
        let sessions = sessions(MAX_EVENTS);
        let mut queue = EventQueue::default();
        for session in &sessions[..MAX_EVENTS / 2] {
            queue.push(connected(*session));
            queue.push(violation(*session));
        }
        for session in &sessions[MAX_EVENTS / 2..] {
            queue.push(connected(*session));
        }
        assert_eq!((queue.events.len(), queue.missed()), (MAX_EVENTS, MAX_EVENTS as u64 / 2));
        assert!(queue.events.iter().all(ServerEvent::begins));
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
        // Of the first one the reader knows, so it hears of its end.
        let known: Vec<_> = queue.events.iter().filter(|e| e.session() == sessions[0]).collect();
        assert_eq!(known, [&closed(sessions[0])]);
        assert!(queue.events.len() <= MAX_EVENTS + 1, "{}", queue.events.len());
        for session in &sessions[1..] {
            let its: Vec<_> = queue.events.iter().filter(|e| e.session() == *session).collect();
            assert!(its.is_empty() || *its[0] == connected(*session));
        }
    }
}

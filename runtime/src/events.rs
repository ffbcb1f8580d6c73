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
        self.events
            .iter()
            .find(|event| event.session() == session)
            .is_some_and(ServerEvent::begins)
    }

    fn oldest_violation(&self) -> Option<usize> {
        self.events
            .iter()
            .position(|event| matches!(event, ServerEvent::Violation { .. }))
    }
}

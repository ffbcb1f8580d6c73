//! What a client's driver tells its connection, and a server's driver its server.

use std::{collections::HashMap, net::SocketAddr, slice, task::Context, time::Instant};

use smoq_core::{Carrier, Closed, Event as Core, Id, Session};
use smoq_quic::{Endpoint, Event};

use super::keeper::{Change, Keeper};
use crate::{
    client::{ConnectionState, Talk},
    events::{EventQueue, ServerEvent, SessionId},
    slot::Far,
    url::Url,
};

/// Whose driver it is.
pub(crate) enum Role {
    /// A [`Connection`](crate::Connection)'s.
    Client {
        /// The connection.
        far: Far<ConnectionState>,
        /// Where the first connection went to.
        home: Url,
        /// Makes further connections, if that is wanted.
        keeper: Option<Box<Keeper>>,
    },
    /// A [`Server`](crate::Server)'s.
    Server {
        /// The server.
        far: Far<EventQueue>,
        /// The sessions that are not over.
        sessions: HashMap<Id<Session>, Link>,
        /// The index of the shard.
        shard: u8,
        /// Keep up the connections that it makes itself.
        keepers: Vec<Keeper>,
    },
}

/// What a session runs over.
pub(crate) struct Link {
    remote: SocketAddr,
    carrier: Carrier,
    origin: Option<String>,
}

impl Role {
    pub(crate) fn server(far: Far<EventQueue>, shard: u8, keepers: Vec<Keeper>) -> Self {
        Self::Server { far, sessions: HashMap::new(), shard, keepers }
    }

    /// The server's port: ICMP reports come without.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Client { home, keeper, .. } => place(home, keeper.as_deref()).port(),
            Self::Server { .. } => 0,
        }
    }

    /// Hears an event first: what it means for those who read and write, and the event if there is more
    /// to it.
    pub(super) fn hear(&mut self, now: Instant, event: Event) -> (Option<Change>, Option<Event>) {
        match (self, event) {
            (Self::Client { keeper: Some(keeper), .. }, event) => keeper.hear(now, event),
            (Self::Client { .. }, Event::Core(Core::Closed { closed, .. })) => {
                (Some(Change::Over(closed)), None)
            }
            (Self::Server { keepers, .. }, event) => {
                // Who reads and writes at a server does so whatever becomes of one of its connections.
                if let Some(keeper) = keepers.iter_mut().find(|keeper| keeper.knows(&event)) {
                    keeper.hear(now, event.clone());
                }
                (None, Some(event))
            }
            (_, event) => (None, Some(event)),
        }
    }

    /// Whether another connection is made when this one is lost.
    pub(super) fn keeps(&self) -> bool {
        matches!(self, Self::Client { keeper: Some(_), .. })
    }

    /// Goes on with making a connection. To be asked until there is nothing.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        endpoint: &mut Endpoint,
    ) -> Option<Change> {
        match self {
            Self::Client { keeper: Some(keeper), .. } => keeper.poll(cx, now, endpoint),
            Self::Client { keeper: None, .. } => None,
            Self::Server { keepers, .. } => {
                for keeper in keepers {
                    while keeper.poll(cx, now, endpoint).is_some() {}
                }
                None
            }
        }
    }

    /// Tells what has become of the connection.
    pub(super) fn tell(&mut self) {
        self.keepers_mut().for_each(Keeper::tell);
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keepers = match self {
            Self::Client { keeper, .. } => keeper.as_deref().map_or(&[][..], slice::from_ref),
            Self::Server { keepers, .. } => keepers,
        };
        keepers.iter().filter_map(Keeper::deadline).min()
    }

    /// No connection is wanted any more.
    pub(super) fn stop(&mut self) {
        self.keepers_mut().for_each(Keeper::stop);
    }

    fn keepers_mut(&mut self) -> slice::IterMut<'_, Keeper> {
        let keepers = match self {
            Self::Client { keeper, .. } => {
                keeper.as_deref_mut().map_or(&mut [][..], slice::from_mut)
            }
            Self::Server { keepers, .. } => keepers,
        };
        keepers.iter_mut()
    }

    /// The only connection is over for good.
    pub(super) fn over(&mut self, closed: Closed) {
        self.tell();
        if let Self::Client { far, keeper, .. } = self {
            far.update(|state| state.closed = Some(closed));
            if let Some(keeper) = keeper {
                keeper.over();
            }
        }
    }

    /// Tells what happened to a connection.
    pub(super) fn event(&mut self, event: Event) {
        match self {
            Self::Client { far, home, keeper } => {
                client(far, place(home, keeper.as_deref()), event)
            }
            Self::Server { far, sessions, shard, .. } => {
                if let Some(event) = server(sessions, *shard, event) {
                    far.update(|queue| queue.push(event));
                }
            }
        }
    }
}

/// Where the latest connection goes to, or went to.
fn place<'a>(home: &'a Url, keeper: Option<&'a Keeper>) -> &'a Url {
    keeper.map_or(home, Keeper::place)
}

fn client(far: &Far<ConnectionState>, place: &Url, event: Event) {
    match event {
        Event::Connected { remote, version, .. } => {
            let talk = Talk::new(place, remote, version);
            far.update(|state| (state.talk, state.goaway) = (Some(talk), None));
        }
        Event::ConnectFailed { error, .. } => far.update(|state| state.failed = Some(error)),
        Event::Core(Core::Violation { stream, error, .. }) => {
            tracing::warn!(?stream, %error, "the server broke a rule");
        }
        Event::Core(Core::Goaway { uri, .. }) => {
            far.update(|state| state.goaway = Some(uri));
        }
        Event::Core(_) | Event::Link(_) => {}
    }
}

fn server(
    sessions: &mut HashMap<Id<Session>, Link>,
    shard: u8,
    event: Event,
) -> Option<ServerEvent> {
    let event = match event {
        Event::Core(event) => event,
        Event::Connected { session, remote, carrier, origin, .. } => {
            sessions.insert(session, Link { remote, carrier, origin });
            return None;
        }
        Event::ConnectFailed { .. } | Event::Link(_) => return None,
    };
    let remote = |session| sessions.get(session).map(|link| link.remote);
    let name = |session| SessionId { shard, session };
    Some(match event {
        Core::Request { session, path } => {
            let Link { remote, origin, .. } = sessions.get_mut(&session)?;
            let (session, origin) = (name(session), origin.take());
            ServerEvent::Request { session, remote: *remote, path, origin }
        }
        Core::Ready { session, version, grant } => {
            let &Link { remote, carrier, .. } = sessions.get(&session)?;
            let session = name(session);
            ServerEvent::Connected { session, remote, version, carrier, grant }
        }
        Core::Violation { session, stream, error } => {
            let remote = remote(&session)?;
            ServerEvent::Violation { session: name(session), remote, stream, error }
        }
        Core::Goaway { session, uri } => {
            let remote = remote(&session)?;
            ServerEvent::Goaway { session: name(session), remote, uri }
        }
        Core::Closed { session, closed } => {
            let remote = sessions.remove(&session)?.remote;
            ServerEvent::Closed { session: name(session), remote, closed }
        }
        Core::Announced { .. }
        | Core::Readable { .. }
        | Core::Demand { .. }
        | Core::Wanted { .. }
        | Core::Unread { .. }
        | Core::Probed { .. } => return None,
    })
}

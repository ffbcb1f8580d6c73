//! Keeps a connection that we dialed: dials again, in the same endpoint and for the same node.

use std::{
    mem,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use smoq_core::{Closed, Discover, Event as Core, Grant, Id, Session, Version, wire::SessionCode};
use smoq_quic::{ClientTls, ConnectId, Endpoint, Event, Target};

use crate::{
    client::reachable,
    error::{ConnectError, Reason},
    reconnect::{Reconnect, Redial, may_pass, may_succeed},
    slot::Far,
    status::{Status, StatusQueue},
    url::Url,
};

/// The addresses of a place, once they are known.
pub(crate) type Resolving =
    Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, ConnectError>> + Send>>;

/// What is dialed with, every time.
pub(crate) struct Dial {
    pub(crate) home: Url,
    pub(crate) resolve: Box<dyn Fn(&Url) -> Resolving + Send>,
    pub(crate) tls: ClientTls,
    pub(crate) versions: Vec<Version>,
    pub(crate) discover: Discover,
    pub(crate) grant: Grant,
    pub(crate) cost: Option<u64>,
    /// Where the socket is bound.
    pub(crate) local: SocketAddr,
}

/// What has come of something for those who read and write.
#[derive(Debug)]
pub(super) enum Change {
    /// The server is about to go, and another connection is made.
    Leaving,
    /// The connection is lost, and another one is made.
    Away,
    /// There is a connection again, or a better one: what is missing may be asked for again.
    Back,
    /// The connection before, which the server wanted to end, is over.
    Moved,
    /// What has not come back by now is not waited for any longer.
    Settled,
    /// There is no connection, and there will be none.
    Over(Closed),
}

/// How far the next connection is.
enum Next {
    /// None is wanted.
    None,
    At(Instant),
    Resolving(Resolving),
    Racing(ConnectId),
}

/// A session that is there.
#[derive(Clone, Copy)]
struct Up {
    session: Id<Session>,
    /// A server has sent us there: it is not where the client was told to go.
    elsewhere: bool,
}

/// A session that its server wanted to end.
struct Left {
    up: Up,
    /// When it has to.
    until: Option<Instant>,
}

/// Keeps one connection up.
pub(crate) struct Keeper {
    dial: Dial,
    options: Reconnect,
    redial: Redial,
    /// `None` when the connection is over for good.
    news: Option<Far<StatusQueue>>,
    /// What is told when everybody else knows what has changed.
    untold: Vec<Status>,
    /// Where the next connection goes to.
    place: Url,
    next: Next,
    /// The session in use; `None` while there is none.
    session: Option<Up>,
    /// There was one.
    began: bool,
    /// The one before, beside the one in use. Those before that are about to be closed.
    left: Vec<Left>,
    /// The last of them is over, and nobody has been told.
    moved: bool,
    /// How the last one ended, if there is none.
    lost: Option<Closed>,
    /// When to wait no longer for what has not come back.
    settle: Option<Instant>,
    /// Our side wants no connection any more.
    stopped: bool,
    /// No end is the last one.
    forever: bool,
}

impl Keeper {
    pub(crate) fn new(dial: Dial, options: Reconnect, seed: u64, news: Far<StatusQueue>) -> Self {
        Self {
            redial: Redial::new(&options, seed),
            options,
            news: Some(news),
            untold: Vec::new(),
            place: dial.home.clone(),
            dial,
            next: Next::None,
            session: None,
            began: false,
            left: Vec::new(),
            moved: false,
            lost: None,
            settle: None,
            stopped: false,
            forever: false,
        }
    }

    /// One that dials from now on, and never gives up: what a server is refused today somebody may put right
    /// tomorrow.
    pub(crate) fn forever(
        dial: Dial,
        options: Reconnect,
        seed: u64,
        news: Far<StatusQueue>,
        now: Instant,
    ) -> Self {
        let options = Reconnect { give_up: None, ..options };
        let next = Next::At(now);
        Self { next, began: true, forever: true, ..Self::new(dial, options, seed, news) }
    }

    /// Whether an event is of a connection that it has made, or tried to.
    pub(super) fn knows(&self, event: &Event) -> bool {
        let dials = |connect| matches!(self.next, Next::Racing(racing) if Some(racing) == connect);
        let has = |session| {
            let left = self.left.iter().map(|left| left.up);
            self.session.into_iter().chain(left).any(|up| up.session == session)
        };
        match event {
            Event::Connected { connect, .. } => dials(*connect),
            Event::ConnectFailed { connect, .. } => dials(Some(*connect)),
            Event::Core(
                Core::Ready { session, .. }
                | Core::Goaway { session, .. }
                | Core::Closed { session, .. },
            ) => has(*session),
            Event::Core(_) | Event::Link(_) => false,
        }
    }

    /// Where the latest connection goes to, or the next one.
    pub(super) fn place(&self) -> &Url {
        &self.place
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let dial = if let Next::At(at) = self.next { Some(at) } else { None };
        let left = self.left.iter().filter_map(|left| left.until).min();
        [dial, left, self.settle].into_iter().flatten().min()
    }

    /// Hears an event: what has changed by it, and the event if it is to be told to others too.
    pub(super) fn hear(&mut self, now: Instant, event: Event) -> (Option<Change>, Option<Event>) {
        if self.news.is_none() {
            self.hear_late(now, &event);
            return (None, None);
        }
        let current = self.session.map(|up| up.session);
        let change = match &event {
            Event::Connected { session, remote, version, .. } => {
                self.connected(now, *session, *remote, *version);
                None
            }
            Event::ConnectFailed { connect, error } if self.began => {
                let (connect, error) = (*connect, error.clone());
                return match self.next {
                    Next::Racing(racing) if racing == connect => {
                        (self.failed(now, error.into()), None)
                    }
                    _ => (None, None),
                };
            }
            Event::Core(Core::Ready { session, .. }) if current == Some(*session) => {
                self.settle = now.checked_add(self.options.rejoin);
                Some(Change::Back)
            }
            Event::Core(Core::Closed { session, closed }) => {
                return (self.closed(now, *session, closed.clone()), None);
            }
            Event::Core(Core::Goaway { session, uri }) if current == Some(*session) => {
                self.leave(now, uri);
                Some(Change::Leaving)
            }
            // What a server says that we have left is of no use.
            Event::Core(Core::Goaway { .. }) => return (None, None),
            _ => None,
        };
        (change, Some(event))
    }

    fn connected(
        &mut self,
        now: Instant,
        session: Id<Session>,
        remote: SocketAddr,
        version: Version,
    ) {
        let elsewhere = self.place != self.dial.home;
        let before = self.session.replace(Up { session, elsewhere });
        let attempt = self.redial.attempt();
        self.redial.connected(now);
        self.next = Next::None;
        if mem::replace(&mut self.began, true) {
            if let Some(up) = before {
                // Only one is left at a time, or a server could make us collect them.
                self.left.iter_mut().for_each(|left| left.until = Some(now));
                self.left.push(Left { up, until: now.checked_add(self.options.overlap) });
            }
            self.untold.push(Status::Connected { remote, version, attempt });
        }
    }

    /// The server wants us to go.
    fn leave(&mut self, now: Instant, uri: &str) {
        let home = &self.dial.home;
        self.place = self.options.follow.place(home, uri).unwrap_or_else(|| home.clone());
        let place = self.place.clone().with_path(self.place.path_only());
        self.untold.push(Status::Leaving { uri: uri.to_owned(), place });
        let at = self.redial.begin(now);
        self.next = at.map_or(Next::None, Next::At);
        // What this server does not serve any more, nobody will if none is dialed.
        self.settle = if at.is_some() { None } else { Some(now) };
    }

    fn closed(&mut self, now: Instant, session: Id<Session>, closed: Closed) -> Option<Change> {
        if let Some(index) = self.left.iter().position(|left| left.up.session == session) {
            self.left.remove(index);
            // What has not moved by now has lost its way, and may find the new one, unless that is about to
            // be replaced too.
            self.moved = matches!(self.next, Next::None);
            return self.moved.then_some(Change::Back);
        }
        let up = self.session.take_if(|current| current.session == session)?;
        let passes = may_pass(&closed);
        // That another place wants nothing of us any more says nothing of the first one.
        if self.stopped || !(passes || up.elsewhere || self.forever) {
            return Some(Change::Over(closed));
        }
        let after = match self.next {
            Next::None => {
                if !passes {
                    self.place = self.dial.home.clone();
                }
                let Some(at) = self.redial.begin(now) else { return Some(Change::Over(closed)) };
                self.next = Next::At(at);
                Some(at - now)
            }
            Next::At(at) => Some(at.saturating_duration_since(now)),
            Next::Resolving(_) | Next::Racing(_) => None,
        };
        self.lost = Some(closed.clone());
        self.settle = None;
        // The one before goes on until there is another.
        self.session = self.left.pop().map(|left| left.up);
        self.untold.push(Status::Lost { reason: Reason(closed), after });
        Some(Change::Away)
    }

    /// Hears an event after the end.
    fn hear_late(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Connected { session, .. } => {
                let up = Up { session: *session, elsewhere: false };
                self.left.push(Left { up, until: Some(now) });
            }
            Event::Core(Core::Closed { session, .. }) => {
                self.left.retain(|left| left.up.session != *session);
            }
            Event::Core(_) | Event::ConnectFailed { .. } | Event::Link(_) => {}
        }
    }

    /// An attempt has come to nothing.
    fn failed(&mut self, now: Instant, error: ConnectError) -> Option<Change> {
        let attempt = self.redial.attempt();
        let elsewhere = self.place != self.dial.home;
        self.place = self.dial.home.clone();
        // That the place where the server sent us is of no use says nothing of the first one.
        let again = elsewhere || self.forever || may_succeed(&error);
        let at = if again { self.redial.failed(now) } else { None };
        self.next = at.map_or(Next::None, Next::At);
        let words = error.to_string();
        let after = at.map(|at| at - now);
        self.untold.push(Status::Failed { attempt, error, after });
        if at.is_some() {
            return None;
        }
        if self.session.is_some() {
            // What the server that goes does not serve any more, nobody will.
            return Some(Change::Settled);
        }
        let Closed { by, code, reason } = self.lost.take()?;
        let separator = if reason.is_empty() { "" } else { "; " };
        let reason = format!("{reason}{separator}attempt {attempt} to connect again: {words}");
        Some(Change::Over(Closed { by, code, reason }))
    }

    /// Does what is due. To be asked until there is nothing.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        endpoint: &mut Endpoint,
    ) -> Option<Change> {
        let over = self.news.is_none();
        let time = endpoint.time(now);
        for Left { up: Up { session, .. }, until } in &self.left {
            let due = until.is_some_and(|until| now >= until);
            if over || due || endpoint.node().is_quiet(*session) {
                // It fails for a session that has ended, whose event is on its way.
                let _ = endpoint.node_mut().close(time, *session, SessionCode::NO_ERROR, "moved");
            }
        }
        if over {
            if let Next::Racing(connect) = mem::replace(&mut self.next, Next::None) {
                endpoint.cancel(now, connect);
            }
            return None;
        }
        if mem::take(&mut self.moved) {
            return Some(Change::Moved);
        }
        if self.settle.take_if(|at| now >= *at).is_some() {
            return Some(Change::Settled);
        }
        if let Next::At(at) = self.next
            && now >= at
        {
            self.next = Next::Resolving((self.dial.resolve)(&self.place));
        }
        let Next::Resolving(resolving) = &mut self.next else { return None };
        let Poll::Ready(addresses) = resolving.as_mut().poll(cx) else { return None };
        let dialed = addresses.and_then(|addresses| {
            Ok(endpoint.connect(now, self.target(addresses), &self.dial.tls)?)
        });
        match dialed {
            Ok(connect) => {
                self.next = Next::Racing(connect);
                None
            }
            Err(error) => self.failed(now, error),
        }
    }

    /// No connection is wanted any more.
    pub(super) fn stop(&mut self) {
        self.next = Next::None;
        self.left.clear();
        self.settle = None;
        self.stopped = true;
    }

    /// The connection is over for good: nothing is told any more, and [`poll`](Self::poll) ends what is
    /// left of it.
    pub(super) fn over(&mut self) {
        self.news = None;
        self.settle = None;
        let up = self.session.take();
        self.left.extend(up.map(|up| Left { up, until: None }));
    }

    fn target(&self, addresses: Vec<SocketAddr>) -> Target {
        self.dial.target(&self.place, addresses)
    }

    /// Tells what has happened since the last call. Who hears it finds everything changed already.
    pub(super) fn tell(&mut self) {
        if !self.untold.is_empty()
            && let Some(news) = &self.news
        {
            news.update(|queue| self.untold.drain(..).for_each(|status| queue.push(status)));
        }
    }
}

impl Dial {
    /// What to connect to at a place.
    pub(crate) fn target(&self, place: &Url, addresses: Vec<SocketAddr>) -> Target {
        Target {
            addresses: reachable(addresses, self.local),
            host: place.host().to_owned(),
            versions: self.versions.clone(),
            carrier: place.carrier(),
            path: place.path().to_owned(),
            discover: self.discover,
            grant: self.grant.clone(),
            cost: self.cost,
        }
    }
}

#[cfg(test)]
mod tests;

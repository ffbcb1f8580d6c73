//! Racing the addresses of a target (RFC 8305): which attempt to make next, and what came of all.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use quinn_proto::ClientConfig;

use crate::{ConnectError, Target};

/// One call of [`Endpoint::connect`](crate::Endpoint::connect), unique over the life of its endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectId(pub(crate) u64);

impl fmt::Display for ConnectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Attempts at the addresses of one target.
pub(crate) struct Race {
    pub(crate) target: Target,
    pub(crate) tls: ClientConfig,
    started: Instant,
    /// Addresses not tried yet.
    waiting: VecDeque<SocketAddr>,
    /// Connections under way, by their index.
    running: Vec<usize>,
    /// When to try the next address, if the ones before have not answered.
    next: Instant,
    /// When to give up.
    limit: Instant,
    /// The most telling failure so far.
    failure: Option<ConnectError>,
    /// The address tried last.
    last: SocketAddr,
    /// One of them has got through; it still needs a session.
    settled: bool,
    /// Its place in the timers.
    pub(crate) deadline: Option<Instant>,
}

/// What a race wants now.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// An attempt at this address.
    Try(SocketAddr),
    /// To be called again at this time.
    Wait(Instant),
    /// To be given up.
    Fail(ConnectError),
}

impl Race {
    /// # Errors
    /// [`ConnectError::NoAddress`].
    pub(crate) fn new(
        now: Instant,
        target: Target,
        tls: ClientConfig,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let waiting = interleave(&target.addresses);
        let Some(&last) = waiting.front() else {
            return Err(ConnectError::NoAddress(target.host));
        };
        Ok(Self {
            target,
            tls,
            started: now,
            waiting,
            running: Vec::new(),
            next: now,
            limit: now + limit,
            failure: None,
            last,
            settled: false,
            deadline: None,
        })
    }

    /// What to do now. To be asked until it is [`Step::Wait`] or [`Step::Fail`].
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let idle = self.running.is_empty();
        if now >= self.limit || (idle && self.waiting.is_empty()) {
            let timeout = if self.settled {
                ConnectError::Http3("no answer to the request for a session".into())
            } else {
                ConnectError::Timeout { remote: self.last, after: now - self.started }
            };
            return Step::Fail(self.failure.take().unwrap_or(timeout));
        }
        if (idle || now >= self.next)
            && let Some(address) = self.waiting.pop_front()
        {
            self.last = address;
            return Step::Try(address);
        }
        let next = if self.waiting.is_empty() { self.limit } else { self.next.min(self.limit) };
        Step::Wait(next)
    }

    /// The attempt that [`Race::step`] asked for runs. The one after it waits for `delay`.
    pub(crate) fn began(&mut self, now: Instant, connection: usize, delay: Duration) {
        self.running.push(connection);
        self.next = now + delay;
    }

    /// An attempt failed, or could not be made at all. The next one need not wait any longer.
    pub(crate) fn failed(&mut self, now: Instant, connection: Option<usize>, error: ConnectError) {
        self.running.retain(|&other| Some(other) != connection);
        self.next = now;
        if self.failure.as_ref().is_none_or(|known| known.weight() < error.weight()) {
            self.failure = Some(error);
        }
    }

    /// One attempt has got through: it is the only one that goes on. Gives the others.
    pub(crate) fn settle(&mut self, connection: usize) -> Vec<usize> {
        self.waiting.clear();
        self.failure = None;
        self.settled = true;
        let mut others = std::mem::replace(&mut self.running, vec![connection]);
        others.retain(|&other| other != connection);
        others
    }

    pub(crate) fn running(&self) -> &[usize] {
        &self.running
    }
}

/// IPv6 and IPv4 in turns, IPv6 first, each in the order given (RFC 8305, section 4).
fn interleave(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let mut six = addresses.iter().filter(|address| address.is_ipv6());
    let mut four = addresses.iter().filter(|address| address.is_ipv4());
    let mut order = VecDeque::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(six.next());
        order.extend(four.next());
    }
    order
}

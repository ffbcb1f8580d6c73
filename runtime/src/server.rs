//! The server's side: one address, many sessions, and a socket and a driver for each shard.

use std::{
    future::poll_fn,
    io, mem,
    net::SocketAddr,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use smoq_core::{
    Admission, Discover, Grant, Limits, Misuse, Side, Stats,
    wire::{Hop, SessionCode},
};
use smoq_quic::{
    Endpoint, EndpointConfig, ServerConfig, ServerTls, Shard, TransportOptions, random_seed,
};

use crate::{
    driver::{CAPACITY, Driver, Peer, Role, Shards},
    error::{Error, ListenError},
    events::{EventQueue, ServerEvent, SessionId},
    mailbox::mailbox,
    op::{Op, Ops},
    origin::Origin,
    publish::answer,
    random::{random, random_hop},
    record::{Recordings, Sink},
    runtime::{Runtime, Timer},
    slot::{Near, slot},
    status::Statuses,
    udp,
    upstream::Upstream,
    url::Url,
};

/// How long a track may lack a source in a cluster: another relay takes no longer to start again.
const REJOIN: Duration = Duration::from_secs(30);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen. An unspecified IPv6 address takes IPv4 as well; port 0 is any port.
    pub listen: SocketAddr,
    /// Certificate and key.
    pub tls: ServerTls,
    /// Who decides whether a peer may come in.
    pub admission: Admission,
    /// What to ask peers to announce.
    pub discover: Discover,
    /// Other servers to connect to, to be a cluster with them.
    pub connect: Vec<Upstream>,
    /// QUIC parameters.
    pub transport: TransportOptions,
    /// The server's node. Its seed and its hop have to differ from those of other nodes; a relay that
    /// restarts had better keep its hop.
    pub node: smoq_core::Config,
    /// Where to record what goes into the nodes; `None` records nothing.
    pub record: Option<Recordings>,
}

impl ServerOptions {
    /// Open to everybody, asking for all announcements, connecting to no other server, a random hop, half a
    /// minute for a source that was lost, defaults for the rest.
    pub fn new(listen: SocketAddr, tls: ServerTls) -> Self {
        Self {
            listen,
            tls,
            admission: Admission::Open,
            discover: Discover::Everything,
            connect: Vec::new(),
            transport: TransportOptions::default(),
            node: smoq_core::Config {
                hop: random_hop(),
                seed: random(),
                limits: Limits::default(),
                rejoin: REJOIN,
            },
            record: None,
        }
    }
}

/// A server: a node that peers connect to, and that relays between them.
///
/// It runs until [`shutdown`](Self::shutdown), or until it and every handle made from it are dropped.
///
/// It may be made of several shards, each with a node, a socket and a driver of its own, which divide
/// the peers between them and relay to each other. What is published on one is there on all.
pub struct Server {
    /// One or more. The first has the server's own handles, and keeps the others running.
    shards: Vec<Handle>,
    /// The one whose events come first next time.
    turn: usize,
    local_addr: SocketAddr,
    statuses: Vec<(Url, Statuses)>,
}

/// A shard as its server sees it.
struct Handle {
    ops: Ops,
    near: Near<EventQueue>,
}

impl Server {
    /// Opens the socket and begins to serve.
    pub fn bind<R: Runtime>(runtime: &R, options: ServerOptions) -> Result<Self, ListenError> {
        Self::bind_shards(std::slice::from_ref(runtime), options)
    }

    /// Begins to serve with one shard on each of the runtimes, which had better have a thread each. The
    /// system divides the peers between the shards by their addresses.
    ///
    /// With more than one shard, peers are asked for all announcements whatever the options say, since
    /// no shard knows what is watched on another; and each has its part of
    /// [`store_bytes`](smoq_core::Limits::store_bytes), of which a broadcast takes its share on every
    /// shard that has subscribers of it. A part is never less than
    /// [`group_bytes`](smoq_core::Limits::group_bytes): with more than `store_bytes / group_bytes` shards
    /// all together may store more than `store_bytes`.
    ///
    /// [Other servers](ServerOptions::connect) are dialed from the server's own socket. Where shards share
    /// the address, answers would come to any of them: so one shard more, on the first of the runtimes, has
    /// a socket for nothing else.
    ///
    /// # Errors
    /// What the system says of the address; [`io::ErrorKind::InvalidInput`] for no runtime, or for more than
    /// 255 shards; [`io::ErrorKind::Unsupported`] where sockets cannot share an address.
    pub fn bind_shards<R: Runtime>(
        runtimes: &[R],
        mut options: ServerOptions,
    ) -> Result<Self, ListenError> {
        let address = options.listen;
        let failed = |error| ListenError { address, error };
        let connect = mem::take(&mut options.connect);
        let listening = runtimes.len();
        let dials_apart = listening > 1 && !connect.is_empty();
        let runtimes = runtimes.iter().chain(runtimes.first().filter(|_| dials_apart));
        let runtimes: Vec<_> = runtimes.collect();
        let count = u8::try_from(runtimes.len()).ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| {
            failed(io::Error::new(io::ErrorKind::InvalidInput, "a server has 1 to 255 shards"))
        })?;
        let timers: Vec<_> = runtimes.iter().map(|runtime| runtime.timer()).collect();
        let now = timers[0].now();
        let senders = options.record.as_ref().map_or_else(Vec::new, |record| record.to.clone());
        let mut sinks = senders.into_iter();
        let mut sockets = udp::bind_shared(address, listening).map_err(failed)?;
        let local_addr = sockets[0].local_addr().map_err(failed)?;
        if dials_apart {
            sockets.push(udp::bind(None).map_err(failed)?);
        }
        let from = sockets[sockets.len() - 1].local_addr().map_err(failed)?;
        let keep = |upstream: Upstream| upstream.keep(runtimes[0], from, now);
        let (mut keepers, statuses): (Vec<_>, Vec<_>) = connect.into_iter().map(keep).unzip();
        let mut endpoints: Vec<_> =
            configs(options, listening, count).map(|config| Endpoint::new(config, now)).collect();
        let (mailboxes, receivers): (Vec<_>, Vec<_>) =
            endpoints.iter().map(|_| mailbox::<Op>(CAPACITY)).unzip();
        let peers = link(&mut endpoints, &mailboxes, now);
        let sockets = runtimes.iter().zip(sockets).map(|(runtime, socket)| runtime.socket(socket));
        let sockets: Vec<_> = sockets.collect::<io::Result<_>>().map_err(failed)?;

        let mut shards = Vec::new();
        let parts =
            runtimes.iter().zip(timers).zip(endpoints).zip(sockets).zip(receivers).zip(peers);
        for (index, part) in (0..).zip(parts) {
            let (((((runtime, timer), endpoint), socket), receiver), peers) = part;
            let (near, far) = slot(EventQueue::default());
            shards.push(Handle { ops: mailboxes[usize::from(index)].clone(), near });
            let keep = if index == 0 { mailboxes[1..].to_vec() } else { Vec::new() };
            let others = Shards::new(index, peers, keep);
            let last = usize::from(index) + 1 == mailboxes.len();
            let keepers = if last { mem::take(&mut keepers) } else { Vec::new() };
            let role = Role::server(far, index, keepers);
            let sink = Sink::new(sinks.next());
            runtime.spawn(Driver::new(endpoint, socket, timer, receiver, role, others, sink));
        }
        Ok(Self { shards, turn: 0, local_addr, statuses })
    }

    /// What tells of the connections to [other servers](ServerOptions::connect), each with its URL, without the
    /// query, which may hold a secret. The first call gives them. Their sessions are among the
    /// [events](Self::next) too.
    pub fn take_statuses(&mut self) -> Vec<(Url, Statuses)> {
        mem::take(&mut self.statuses)
    }

    /// Where to publish and subscribe in the server's own node, which is that of the first shard.
    pub fn origin(&self) -> Origin {
        Origin::new(self.shards[0].ops.clone())
    }

    /// Where it listens, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What happened; `None` after a shutdown. Cancel-safe.
    ///
    /// The queue is bounded: a reader that is far behind misses violations first, then sessions that
    /// came and went meanwhile. [`missed`](Self::missed) counts them.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The form of [`next`](Self::next) for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        self.look(Some(cx.waker()))
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<ServerEvent> {
        match self.look(None) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }

    fn look(&mut self, waker: Option<&Waker>) -> Poll<Option<ServerEvent>> {
        let mut over = true;
        for _ in 0..self.shards.len() {
            self.turn = (self.turn + 1) % self.shards.len();
            let event = self.shards[self.turn].near.look(waker, |queue, gone| match queue.pop() {
                Some(event) => Poll::Ready(Some(event)),
                None if gone => Poll::Ready(None),
                None => Poll::Pending,
            });
            match event {
                Poll::Ready(None) => {}
                Poll::Pending => over = false,
                event => return event,
            }
        }
        if over { Poll::Ready(None) } else { Poll::Pending }
    }

    /// How many events were left out of [`next`](Self::next) so far.
    pub fn missed(&self) -> u64 {
        self.shards.iter().map(|shard| shard.near.with(|queue, _| queue.missed())).sum()
    }

    /// Lets a peer in after [`ServerEvent::Request`]. Fails if it has gone.
    pub async fn grant(&self, session: SessionId, grant: Grant) -> Result<(), Error> {
        let (near, far) = slot(None);
        let mut ops = self.shard_of(session)?;
        let SessionId { session, .. } = session;
        ops.send(Op::Grant { session, grant, far }).await?;
        answer(&near).await
    }

    /// Closes one session, with a code and words for the peer. Does nothing if it has gone.
    pub async fn close_session(
        &self,
        session: SessionId,
        code: SessionCode,
        reason: &str,
    ) -> Result<(), Error> {
        let reason = reason.to_owned();
        let mut ops = self.shard_of(session)?;
        let SessionId { session, .. } = session;
        ops.send(Op::CloseSession { session, code, reason }).await
    }

    /// Accepts no more peers, and asks all there are to connect to `uri` instead, or to the same place again
    /// if it is empty, where somebody else will listen (GOAWAY): what runs goes on, and peers that
    /// understand make no new requests here. Those that speak moq-lite-03 cannot be asked.
    /// [`shutdown`](Self::shutdown) when they have gone, or after a time.
    ///
    /// # Errors
    /// [`Misuse::Uri`] if it has more than 8192 bytes.
    pub async fn drain(&self, uri: &str) -> Result<(), Error> {
        for shard in &self.shards {
            let (near, far) = slot(None);
            shard.ops.clone().send(Op::Leave { uri: uri.to_owned(), far }).await?;
            answer(&near).await?;
        }
        Ok(())
    }

    /// Counters of the nodes together. What crosses from shard to shard is counted on both.
    pub async fn stats(&self) -> Result<Stats, Error> {
        let mut sum = Stats::default();
        for stats in self.shard_stats().await? {
            sum = Stats {
                sessions: sum.sessions + stats.sessions,
                tracks: sum.tracks + stats.tracks,
                groups: sum.groups + stats.groups,
                store_bytes: sum.store_bytes + stats.store_bytes,
                groups_evicted: sum.groups_evicted + stats.groups_evicted,
                routes: sum.routes + stats.routes,
                subscriptions: sum.subscriptions + stats.subscriptions,
                violations: sum.violations + stats.violations,
            };
        }
        Ok(sum)
    }

    /// Counters of each shard's node, in order. Sessions are those of peers; a subscription or a route
    /// may be another shard's.
    pub async fn shard_stats(&self) -> Result<Vec<Stats>, Error> {
        let mut all = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (near, far) = slot(None);
            shard.ops.clone().send(Op::Stats { far }).await?;
            all.push(answer(&near).await?);
        }
        Ok(all)
    }

    /// The way to the shard of a session. Another server's session is not one of this.
    fn shard_of(&self, session: SessionId) -> Result<Ops, Error> {
        let shard = self.shards.get(usize::from(session.shard)).ok_or(Misuse::Stale)?;
        Ok(shard.ops.clone())
    }

    /// Closes all sessions and the sockets. Returns when the peers were told, once each.
    pub async fn shutdown(self, code: SessionCode, reason: &str) {
        // It tells the others.
        self.shards[0].ops.force(Op::Shutdown { code, reason: reason.to_owned() });
        for Handle { near, .. } in &self.shards {
            let gone = |_: &mut _, gone| if gone { Poll::Ready(()) } else { Poll::Pending };
            poll_fn(|cx| near.poll(cx, gone)).await;
        }
    }
}

/// How the endpoint of each shard is made, of which the first `listening` ones take connections. Hops and seeds
/// differ, secrets that peers meet are the same.
fn configs(
    options: ServerOptions,
    listening: usize,
    count: u8,
) -> impl Iterator<Item = EndpointConfig> {
    let ServerOptions { tls, admission, mut discover, transport, mut node, record, .. } = options;
    let seed = Some(random_seed());
    if count > 1 {
        discover = Discover::Everything;
        node.limits.store_bytes = share(&node.limits, count);
    }
    (0..count).map(move |index| {
        let server = ServerConfig { admission, discover, ..ServerConfig::new(tls.clone()) };
        // The first is known by the hop that was asked for.
        let hop = node.hop.get() ^ u64::from(index);
        let node = smoq_core::Config {
            hop: Hop::new(hop).filter(|_| node.hop.is_known()).unwrap_or_default(),
            seed: node.seed.wrapping_add(index.into()),
            ..node.clone()
        };
        let shard = (count > 1).then_some(Shard { index, count });
        let wanted = record.as_ref().filter(|record| usize::from(index) < record.to.len());
        let record = wanted.map(|record| record.limit);
        let server = Some(server).filter(|_| usize::from(index) < listening);
        let transport = transport.clone();
        EndpointConfig { node, server, transport, seed, shard, record }
    })
}

/// What each of `count` shards may store: its part, but not less than a group, which would be given up
/// before it is complete.
fn share(limits: &Limits, count: u8) -> usize {
    let group = limits.group_bytes.min(limits.store_bytes);
    (limits.store_bytes / usize::from(count)).max(group)
}

/// Links each shard to each, and says what each one has to know of the others.
fn link(endpoints: &mut [Endpoint], mailboxes: &[Ops], now: Instant) -> Vec<Vec<Peer>> {
    let mut peers: Vec<Vec<Peer>> = endpoints.iter().map(|_| Vec::new()).collect();
    for one in 0..endpoints.len() {
        for other in 0..one {
            for (at, to, side) in [(one, other, Side::Client), (other, one, Side::Server)] {
                let session = endpoints[at].add_link(now, side);
                peers[at].push(Peer { shard: to as u8, session, ops: mailboxes[to].to_peer() });
            }
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::Count;

    #[test]
    fn who_only_tries_does_not_take_the_place_of_who_waits() {
        let (ops, _receiver) = mailbox(CAPACITY);
        let (near, far) = slot(EventQueue::default());
        let local_addr = ([127, 0, 0, 1], 1).into();
        let mut server = Server {
            shards: vec![Handle { ops, near }],
            turn: 0,
            local_addr,
            statuses: Vec::new(),
        };
        let count = Count::new();
        let waker = count.waker();
        assert!(server.poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(server.try_next(), None);
        far.update(|_| ());
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn every_shard_has_room_for_a_group() {
        let of = |store_bytes, group_bytes, count| {
            share(&Limits { store_bytes, group_bytes, ..Limits::default() }, count)
        };
        assert_eq!(of(1000, 100, 4), 250);
        assert_eq!(of(1000, 100, 11), 100);
        assert_eq!(of(1000, 100, 255), 100);
        assert_eq!(of(50, 100, 4), 50, "no more than one shard would have");
        let default = Limits::default();
        assert!((1..=255).all(|count| share(&default, count) >= default.group_bytes));
    }
}

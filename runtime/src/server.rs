//! The server's side: one socket, one driver, many sessions.

use std::{
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
};

use smoq_core::{
    Admission, Discover, Grant, Id, Session, Stats,
    wire::{Hop, SessionCode},
};
use smoq_quic::{Endpoint, EndpointConfig, ServerConfig, ServerTls, TransportOptions};

use crate::{
    driver::{CAPACITY, Driver, Role},
    error::{Error, ListenError},
    events::{EventQueue, ServerEvent},
    mailbox::mailbox,
    op::{Op, Ops},
    origin::Origin,
    publish::answer,
    random::random,
    runtime::{Runtime, Timer},
    slot::{Near, slot},
    udp,
};

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
    /// QUIC parameters.
    pub transport: TransportOptions,
    /// The server's node. Its seed and its hop have to differ from those of other nodes; a relay that
    /// restarts had better keep its hop.
    pub node: smoq_core::Config,
}

impl ServerOptions {
    /// Open to everybody, asking for all announcements, a random hop, defaults for the rest.
    pub fn new(listen: SocketAddr, tls: ServerTls) -> Self {
        let hop = Hop::new(random() >> 2).unwrap_or_default();
        Self {
            listen,
            tls,
            admission: Admission::Open,
            discover: Discover::Everything,
            transport: TransportOptions::default(),
            node: smoq_core::Config { hop, seed: random(), ..smoq_core::Config::default() },
        }
    }
}

/// A server: a node that peers connect to, and that relays between them.
///
/// It runs until [`shutdown`](Self::shutdown), or until it and every handle made from it are dropped.
pub struct Server {
    ops: Ops,
    near: Near<EventQueue>,
    local_addr: SocketAddr,
}

impl Server {
    /// Opens the socket and begins to serve.
    pub fn bind<R: Runtime>(runtime: &R, options: ServerOptions) -> Result<Self, ListenError> {
        let timer = runtime.timer();
        let now = timer.now();
        let ServerOptions { listen, tls, admission, discover, transport, node } = options;
        let failed = |error| ListenError { address: listen, error };
        let socket = udp::bind(Some(listen)).map_err(failed)?;
        let local_addr = socket.local_addr().map_err(failed)?;
        let socket = runtime.socket(socket).map_err(failed)?;
        let server = ServerConfig { admission, discover, ..ServerConfig::new(tls) };
        let config = EndpointConfig { node, server: Some(server), transport, seed: None };
        let (ops, receiver) = mailbox(CAPACITY);
        let (near, far) = slot(EventQueue::default());
        let endpoint = Endpoint::new(config, now);
        let driver = Driver::new(endpoint, socket, timer, receiver, Role::server(far));
        runtime.spawn(driver);
        Ok(Self { ops, near, local_addr })
    }

    /// Where to publish and subscribe in the server's own node.
    pub fn origin(&self) -> Origin {
        Origin::new(self.ops.clone())
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
        self.near.poll(cx, |queue, gone| match queue.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if gone => Poll::Ready(None),
            None => Poll::Pending,
        })
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<ServerEvent> {
        self.near.with(|queue, _| queue.pop())
    }

    /// How many events were left out of [`next`](Self::next) so far.
    pub fn missed(&self) -> u64 {
        self.near.with(|queue, _| queue.missed())
    }

    /// Lets a peer in after [`ServerEvent::Request`]. Fails if it has gone.
    pub async fn grant(&self, session: Id<Session>, grant: Grant) -> Result<(), Error> {
        let (near, far) = slot(None);
        self.ops.clone().send(Op::Grant { session, grant, far }).await?;
        answer(&near).await
    }

    /// Closes one session, with a code and words for the peer. Does nothing if it has gone.
    pub async fn close_session(
        &self,
        session: Id<Session>,
        code: SessionCode,
        reason: &str,
    ) -> Result<(), Error> {
        let reason = reason.to_owned();
        self.ops.clone().send(Op::CloseSession { session, code, reason }).await
    }

    /// Counters of the node.
    pub async fn stats(&self) -> Result<Stats, Error> {
        let (near, far) = slot(None);
        self.ops.clone().send(Op::Stats { far }).await?;
        answer(&near).await
    }

    /// Closes all sessions and the socket. Returns when the peers were told, once each.
    pub async fn shutdown(self, code: SessionCode, reason: &str) {
        self.ops.force(Op::Shutdown { code, reason: reason.to_owned() });
        poll_fn(|cx| {
            self.near.poll(cx, |_, gone| if gone { Poll::Ready(()) } else { Poll::Pending })
        })
        .await;
    }
}

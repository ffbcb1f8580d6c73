//! The client's side: one connection, one socket, one driver.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

use smoq_core::{Carrier, Closed, ClosedBy, Discover, Grant, Path, Version, wire::SessionCode};
use smoq_quic::{ClientTls, Endpoint, EndpointConfig, TransportOptions, Trust};

use crate::{
    driver::{CAPACITY, Dial, Driver, Keeper, Resolving, Role, Shards},
    error::{ConnectError, Error, Reason},
    estimates::Estimates,
    mailbox::mailbox,
    op::{Op, Ops},
    origin::Origin,
    random::{random, random_hop},
    reconnect::Reconnect,
    record::Sink,
    runtime::{Runtime, Timer},
    slot::{Near, slot},
    status::{StatusQueue, Statuses},
    udp,
    url::Url,
};

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Which servers to believe.
    pub trust: Trust,
    /// What to offer, most wanted first.
    pub versions: Vec<Version>,
    /// Local address. `None`: any port, on IPv6 and IPv4.
    pub bind: Option<SocketAddr>,
    /// QUIC parameters, the limit of the handshake and of idleness among them.
    pub transport: TransportOptions,
    /// The client's node. Its seed has to differ from those of other nodes, and so has its hop: if it is
    /// unknown, each client gets a random one.
    pub node: smoq_core::Config,
    /// What to ask the server to announce.
    pub discover: Discover,
    /// What the server may do, and where its things lie here: the root for both directions, unless the
    /// client subscribes under the names that it publishes under.
    pub grant: Grant,
    /// Whether and how to go on when the connection is lost, or the server asks to go elsewhere. `None`: all
    /// handles fail then. The first connection is not tried again.
    pub reconnect: Option<Reconnect>,
}

impl ClientOptions {
    /// Every version, any local address, no connection after the first, defaults for the rest.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            versions: Version::ALL.to_vec(),
            bind: None,
            transport: TransportOptions::default(),
            node: smoq_core::Config { seed: random(), ..smoq_core::Config::default() },
            discover: Discover::OnDemand,
            grant: Grant::all(Path::root()),
            reconnect: None,
        }
    }
}

/// A node with a hop. Those whose hops are the same are told nothing of what the other publishes.
fn named(node: smoq_core::Config) -> smoq_core::Config {
    let hop = if node.hop.is_known() { node.hop } else { random_hop() };
    smoq_core::Config { hop, ..node }
}

/// Whom a client talks to, and how.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) remote: SocketAddr,
    pub(crate) version: Version,
    /// See [`Connection::path_in_names`].
    pub(crate) path_in_names: bool,
}

impl Talk {
    pub(crate) fn new(place: &Url, remote: SocketAddr, version: Version) -> Self {
        let path_in_names = place.carrier() == Carrier::Raw
            && !version.has_setup()
            && !place.path_only().trim_matches('/').is_empty();
        Self { remote, version, path_in_names }
    }
}

/// What a [`Connection`] shares with its driver.
#[derive(Default)]
pub(crate) struct ConnectionState {
    /// As of the latest connection, once there is one.
    pub(crate) talk: Option<Talk>,
    /// Why there was no connection at all.
    pub(crate) failed: Option<smoq_quic::ConnectError>,
    pub(crate) closed: Option<Closed>,
    /// Where the server says to go.
    pub(crate) goaway: Option<String>,
}

/// Connects to a server: finds its addresses, races them, and returns when the handshake is done.
///
/// Cancelled, it leaves nothing behind. What the server thinks of the path (permission, say) is told
/// later, by [`Connection::closed`].
pub async fn connect<R: Runtime>(
    runtime: &R,
    url: &Url,
    options: ClientOptions,
) -> Result<Connection, ConnectError> {
    let timer = runtime.timer();
    let now = timer.now();
    let ClientOptions { trust, versions, bind, transport, node, discover, grant, reconnect } =
        options;
    let tls = ClientTls::new(trust)?;
    let addresses = resolve(runtime, url).await?;
    let address = bind.unwrap_or_else(|| (IpAddr::from([0; 16]), 0).into());
    let failed = |error: io::Error| ConnectError::Bind { address, error };
    let socket = udp::bind(bind).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    udp::report_errors(&socket).map_err(failed)?;
    let socket = runtime.socket(socket).map_err(failed)?;

    let seed = node.seed;
    let config = EndpointConfig { node: named(node), transport, ..EndpointConfig::default() };
    let mut endpoint = Endpoint::new(config, now);
    let resolve = resolver(runtime.clone());
    let home = url.clone();
    let dial = Dial { home, resolve, tls, versions, discover, grant, cost: None, local };
    endpoint.connect(now, dial.target(url, addresses), &dial.tls)?;

    let (ops, receiver) = mailbox(CAPACITY);
    let (near, far) = slot(ConnectionState::default());
    let (keeper, statuses) = match reconnect {
        Some(options) => {
            let (near, far) = slot(StatusQueue::default());
            let keeper = Keeper::new(dial, options, seed, far);
            (Some(Box::new(keeper)), Some(Statuses::new(near)))
        }
        None => (None, None),
    };
    let role = Role::Client { far, home: url.clone(), keeper };
    let (shards, sink) = (Shards::default(), Sink::default());
    runtime.spawn(Driver::new(endpoint, socket, timer, receiver, role, shards, sink));
    poll_fn(|cx| near.poll(cx, poll_connected)).await?;
    Ok(Connection { ops, near, statuses })
}

fn poll_connected(state: &mut ConnectionState, gone: bool) -> Poll<Result<(), ConnectError>> {
    match (state.talk, state.failed.take()) {
        (Some(_), _) => Poll::Ready(Ok(())),
        (None, Some(error)) => Poll::Ready(Err(error.into())),
        (None, None) if gone => Poll::Ready(Err(ConnectError::Shutdown)),
        (None, None) => Poll::Pending,
    }
}

/// Finds the addresses of a URL again and again.
pub(crate) fn resolver<R: Runtime>(runtime: R) -> Box<dyn Fn(&Url) -> Resolving + Send> {
    Box::new(move |url| {
        let (runtime, url) = (runtime.clone(), url.clone());
        Box::pin(async move { resolve(&runtime, &url).await })
    })
}

async fn resolve<R: Runtime>(runtime: &R, url: &Url) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(ip) = url.host().parse::<IpAddr>() {
        return Ok(vec![(ip, url.port()).into()]);
    }
    runtime
        .resolve(url.host(), url.port())
        .await
        .map_err(|error| ConnectError::Resolve { host: url.host().to_owned(), error })
}

/// Leaves out IPv6 addresses where the socket has no IPv6, unless nothing would be left.
pub(crate) fn reachable(addresses: Vec<SocketAddr>, local: SocketAddr) -> Vec<SocketAddr> {
    if local.is_ipv6() || addresses.iter().all(SocketAddr::is_ipv6) {
        return addresses;
    }
    addresses.into_iter().filter(SocketAddr::is_ipv4).collect()
}

/// A connection to a server.
///
/// It lives until it is closed by either side, or until it and every handle made from it are dropped;
/// then it closes with code 0 after what was queued for the network at that moment.
///
/// With [`ClientOptions::reconnect`] it is one connection after another: only when no further one is made
/// is it over, and handles fail.
pub struct Connection {
    ops: Ops,
    near: Near<ConnectionState>,
    statuses: Option<Statuses>,
}

impl Connection {
    /// Where to publish and subscribe.
    pub fn origin(&self) -> Origin {
        Origin::new(self.ops.clone())
    }

    /// What is spoken, on the latest connection.
    pub fn version(&self) -> Version {
        self.talk().version
    }

    /// The server's address that won, on the latest connection.
    pub fn remote(&self) -> SocketAddr {
        self.talk().remote
    }

    fn talk(&self) -> Talk {
        self.near.with(|state, _| state.talk).expect("it was made when there was one")
    }

    /// What tells of losses and new connections: the first call gives it, if
    /// [`ClientOptions::reconnect`] is set.
    pub fn take_statuses(&mut self) -> Option<Statuses> {
        self.statuses.take()
    }

    /// The URL's path could not travel (raw QUIC before moq-lite-05), so it stands in front of every
    /// broadcast name on the wire instead. Names used here are the same either way. Of the latest connection,
    /// whose URL may be one where a server has sent us to.
    pub fn path_in_names(&self) -> bool {
        self.talk().path_in_names
    }

    /// Waits until the connection is over. It may be asked again.
    pub async fn closed(&mut self) -> Reason {
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    /// The form of [`closed`](Self::closed) for hand-written futures.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.near
            .poll(cx, |state, gone| look_closed(state, gone).map_or(Poll::Pending, Poll::Ready))
    }

    /// Why the connection is over, if it is.
    pub fn try_closed(&self) -> Option<Reason> {
        self.near.with(|state, gone| look_closed(state, gone))
    }

    /// Waits until the server asks to connect elsewhere (GOAWAY): to the URI that it names, or to the same
    /// place again if that is empty. What runs on this connection goes on until the server closes it, but
    /// new requests fail; with [`ClientOptions::reconnect`] they wait for the next connection, which is
    /// made without further ado. The URI is the server's word and nothing else: look whether its scheme and host are
    /// ones that you would dial.
    ///
    /// # Errors
    /// Why the connection is over, if it ends without.
    pub async fn goaway(&mut self) -> Result<String, Reason> {
        poll_fn(|cx| self.poll_goaway(cx)).await
    }

    /// The form of [`goaway`](Self::goaway) for hand-written futures.
    pub fn poll_goaway(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, Reason>> {
        self.near.poll(cx, |state, gone| match &state.goaway {
            Some(uri) => Poll::Ready(Ok(uri.clone())),
            None => look_closed(state, gone).map_or(Poll::Pending, |why| Poll::Ready(Err(why))),
        })
    }

    /// Asks the server how fast it could send. Until the handle is dropped it measures, and says so when that
    /// changes; a server that cannot tell ends it.
    ///
    /// # Errors
    /// [`Error::Shutdown`] when the connection is over.
    pub async fn estimates(&self) -> Result<Estimates, Error> {
        Estimates::ask(self.ops.clone()).await
    }

    /// Reads nothing more of what the server sends, until [`resume`](Self::resume): it may send no more than
    /// [`TransportOptions::receive_window`] then, and cuts off who takes nothing for too long. Sending goes
    /// on, but new requests of the server are not heard, and fail after its limit of time. A connection that
    /// is made meanwhile is read.
    ///
    /// # Errors
    /// [`Error::Shutdown`] when the connection is over.
    pub async fn pause(&self) -> Result<(), Error> {
        self.ops.clone().send(Op::Pause).await
    }

    /// Reads again, at once what has come meanwhile.
    ///
    /// # Errors
    /// [`Error::Shutdown`] when the connection is over.
    pub async fn resume(&self) -> Result<(), Error> {
        self.ops.clone().send(Op::Resume).await
    }

    /// Closes the connection, with a code and words for the server. Returns when that is sent.
    ///
    /// What is on its way is lost; see [`TrackWriter::finished`](crate::TrackWriter::finished).
    pub async fn close(self, code: SessionCode, reason: &str) {
        self.ops.force(Op::Shutdown { code, reason: reason.to_owned() });
        poll_fn(|cx| {
            self.near.poll(cx, |_, gone| if gone { Poll::Ready(()) } else { Poll::Pending })
        })
        .await;
    }
}

fn look_closed(state: &ConnectionState, gone: bool) -> Option<Reason> {
    let shutdown =
        || Closed { by: ClosedBy::Local, code: SessionCode::NO_ERROR, reason: String::new() };
    state.closed.clone().or_else(|| gone.then(shutdown)).map(Reason)
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, pin::pin};

    use super::*;
    use crate::test::Count;

    #[test]
    fn all_who_wait_by_one_connection_are_woken() {
        let (ops, receiver) = mailbox(CAPACITY);
        while ops.try_push(0, Op::Pause).is_ok() {}
        let (near, _far) = slot(ConnectionState::default());
        let connection = Connection { ops, near, statuses: None };
        let (one, two) = (Count::new(), Count::new());
        let (waker, other) = (one.waker(), two.waker());
        let (mut pause, mut resume) = (pin!(connection.pause()), pin!(connection.resume()));
        assert!(pause.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(resume.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
        receiver.take(&mut Context::from_waker(&Count::new().waker()), &mut VecDeque::new());
        assert_eq!((one.get(), two.get()), (1, 1));
    }

    #[test]
    fn each_client_has_a_name_of_its_own() {
        let options = ClientOptions::new(Trust::Insecure);
        let [one, two] = [(); 2].map(|()| named(options.node.clone()));
        assert!(one.hop.is_known() && two.hop.is_known());
        assert_ne!(one.hop, two.hop, "though they have the same options");
        assert_eq!(named(one.clone()), one);
    }

    #[test]
    fn without_ipv6_only_ipv4_is_tried() {
        let (v4, v6): (SocketAddr, SocketAddr) =
            ("192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap());
        let (any4, any6) = ("0.0.0.0:0".parse().unwrap(), "[::]:0".parse().unwrap());
        assert_eq!(reachable(vec![v6, v4], any6), [v6, v4]);
        assert_eq!(reachable(vec![v6, v4], any4), [v4]);
        assert_eq!(reachable(vec![v6], any4), [v6], "the socket's error says more than nothing");
    }
}

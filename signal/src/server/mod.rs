//! A hub on the network: WebSocket at `/ws`, STUN and TURN servers at `/ice`, `/healthz`, `/stats` and
//! `/metrics` for whoever runs it, and a page to try it with.
//!
//! One task owns the [`Hub`](crate::Hub); each connection has a task of its own, which alone writes to
//! its socket. tokio runs them, or smol.

mod access;
mod demo;
mod doors;
mod executor;
mod http;
mod ice;
mod keeper;
mod log;
mod metrics;
mod socket;
mod tls;

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::{Limits, Policies};
use doors::Doors;
#[cfg(feature = "smol")]
use executor::Smol;
use executor::{Runtime, Tokio, timeout};
use keeper::Keeper;

pub use access::{AccessToken, BadOrigin, BadToken, Origin, Origins};
pub use executor::Executor;
pub use ice::{BadIceServers, IceServers};
pub use tls::{TlsError, tls};

/// How long a client may take for the TLS handshake, and for the head of its request.
const OPENING: Duration = Duration::from_secs(10);
/// How long a client may take to answer the end of its connection.
const PARTING: Duration = Duration::from_secs(2);
/// How often the log says that connections cannot be accepted.
const WARNING_PAUSE: Duration = Duration::from_secs(60);
/// Connections that may be open beside those that the hub has: requests, and what is about to end.
const SPARE: usize = 256;
/// The same for one address.
const SPARE_PER_ADDRESS: usize = 32;

/// How a server is run.
#[derive(Clone)]
pub struct ServerConfig {
    /// What runs it.
    pub executor: Executor,
    /// Where to listen (TCP); port 0 is any port.
    pub listen: SocketAddr,
    /// Bounds on what clients can make the hub keep.
    pub limits: Limits,
    /// What the hub does where programs disagree.
    pub policies: Policies,
    /// Which pages may connect.
    pub origins: Origins,
    /// What every client must show, if anything.
    pub token: Option<AccessToken>,
    /// For `wss` and `https`; see [`tls`].
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What `/ice` tells clients.
    pub ice: IceServers,
    /// Whether `/` is a page to try the hub with.
    pub demo: bool,
}

impl ServerConfig {
    /// A server without TLS and token, for the pages that it serves itself and for programs.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            executor: Executor::default(),
            listen,
            limits: Limits::default(),
            policies: Policies::default(),
            origins: Origins::default(),
            token: None,
            tls: None,
            ice: IceServers::default(),
            demo: false,
        }
    }
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum BindError {
    /// No socket.
    #[error(
        "cannot listen on {address}: {source}; stop what listens there, or choose another address or \
         port with --listen"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no random bytes, without which ids could be guessed.
    #[error("the system has no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The hub does not work any more, so nobody can be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the hub has failed; start it again, and report the panic that was printed before this")]
pub struct HubFailed;

enum Listener {
    Tokio(<Tokio as Runtime>::Listener),
    #[cfg(feature = "smol")]
    Smol(<Smol as Runtime>::Listener),
}

/// A server that listens.
pub struct Server {
    listener: Listener,
    address: SocketAddr,
    config: ServerConfig,
    seed: u64,
}

/// What all connections share.
struct Shared {
    hub: keeper::Handle,
    message_bytes: usize,
    origins: Origins,
    token: Option<AccessToken>,
    ice: IceServers,
    demo: bool,
}

impl Server {
    /// Opens the socket.
    pub async fn bind(config: ServerConfig) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { address: config.listen, source };
        let (listener, address) = match config.executor {
            Executor::Tokio => {
                let listener = Tokio::bind(config.listen).await.map_err(failed)?;
                let address = Tokio::local_addr(&listener).map_err(failed)?;
                (Listener::Tokio(listener), address)
            }
            #[cfg(feature = "smol")]
            Executor::Smol => {
                let listener = Smol::bind(config.listen).await.map_err(failed)?;
                let address = Smol::local_addr(&listener).map_err(failed)?;
                (Listener::Smol(listener), address)
            }
        };
        let seed = getrandom::u64().map_err(BindError::Random)?;
        Ok(Self { listener, address, config, seed })
    }

    /// Where it listens, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where clients on the same machine connect.
    pub fn url(&self) -> String {
        format!("{}://{}/ws", if self.config.tls.is_some() { "wss" } else { "ws" }, self.host())
    }

    /// Where browsers on the same machine find the demo page, if there is one.
    pub fn demo_url(&self) -> Option<String> {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        self.config.demo.then(|| format!("{scheme}://{}/", self.host()))
    }

    fn host(&self) -> String {
        if self.address.ip().is_unspecified() {
            format!("localhost:{}", self.address.port())
        } else {
            self.address.to_string()
        }
    }

    /// Serves until `shutdown` is done; then tells all clients and returns. Fails only by a bug in the hub.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), HubFailed> {
        match self.listener {
            Listener::Tokio(listener) => {
                run::<Tokio>(listener, self.config, self.seed, shutdown).await
            }
            #[cfg(feature = "smol")]
            Listener::Smol(listener) => {
                run::<Smol>(listener, self.config, self.seed, shutdown).await
            }
        }
    }
}

async fn run<R: Runtime>(
    listener: R::Listener,
    config: ServerConfig,
    seed: u64,
    shutdown: impl Future<Output = ()>,
) -> Result<(), HubFailed> {
    let ServerConfig { limits, policies, .. } = config.clone();
    let hub_config = crate::Config { limits, policies, seed, wall_micros: 0 };
    let (keeper, hub) = Keeper::new(hub_config);
    // If it fails nothing is said.
    let (over, ended) = oneshot::channel();
    let keeper = async move {
        keeper.run::<R>().await;
        let _ = over.send(());
    };
    let _keeper = R::spawn(keeper);
    serve::<R>(listener, config, hub, ended, shutdown).await
}

async fn serve<R: Runtime>(
    listener: R::Listener,
    config: ServerConfig,
    hub: keeper::Handle,
    mut keeper: oneshot::Receiver<()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), HubFailed> {
    let ServerConfig { limits, origins, token, tls, ice, demo, .. } = config;
    let mut doors = Doors::new(&limits);
    let tls = tls.map(TlsAcceptor::from);
    let message_bytes = limits.message_bytes;
    let shared = Arc::new(Shared { hub, message_bytes, origins, token, ice, demo });
    let mut warned: Option<Instant> = None;
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            // Not before all handles are gone, and there is one here.
            _ = &mut keeper => return Err(HubFailed),
            () = doors.close() => continue,
            accepted = R::accept(&listener) => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                if !doors.have_room(remote.ip()) {
                    debug!(%remote, "turned away: too many connections");
                    continue;
                }
                let (shared, tls) = (shared.clone(), tls.clone());
                doors.open(remote.ip(), |door| {
                    R::spawn(async move {
                        let _door = door;
                        connection::<R>(stream, remote, tls, &shared).await;
                    })
                });
            }
            Err(error) => {
                // Most are of one connection; if the process has no descriptors left, time helps,
                // and it need not be said each time.
                if warned.is_none_or(|at| at.elapsed() >= WARNING_PAUSE) {
                    warned = Some(Instant::now());
                    warn!(%error, "cannot accept connections; is `ulimit -n` high enough?");
                }
                R::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    shared.hub.shutdown().await;
    // Whoever has not gone by then is cut off.
    let _ = timeout::<R, _>(PARTING + Duration::from_secs(1), doors.close_all()).await;
    drop((doors, shared));
    keeper.await.map_err(|_| HubFailed)
}

async fn connection<R: Runtime>(
    stream: R::Stream,
    remote: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: &Shared,
) {
    match tls {
        None => http::serve::<R, _>(stream, remote, shared).await,
        Some(tls) => match timeout::<R, _>(OPENING, tls.accept(stream)).await {
            Some(Ok(stream)) => http::serve::<R, _>(stream, remote, shared).await,
            Some(Err(error)) => debug!(%remote, %error, "no TLS"),
            None => debug!(%remote, "no TLS in time"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_ends_with_its_hub() {
        let config = ServerConfig::new(([127, 0, 0, 1], 0).into());
        let listener = Tokio::bind(config.listen).await.unwrap();
        let (_, hub) = Keeper::new(crate::Config::default());
        let (_, dead) = oneshot::channel();
        let served = serve::<Tokio>(listener, config, hub, dead, std::future::pending());
        let ended = timeout::<Tokio, _>(Duration::from_secs(30), served).await;
        assert_eq!(ended, Some(Err(HubFailed)));
    }
}

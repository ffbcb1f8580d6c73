//! The relay: what turns a [`Server`] into a program. Its configuration, its certificate, and the log
//! of what happens on it.
#![forbid(unsafe_code)]

mod certificate;
mod executor;
#[cfg(feature = "h3")]
mod http;
mod log;
mod record;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU8,
    path::PathBuf,
    pin::{Pin, pin},
    time::Duration,
};

use smoq_core::{Limits, wire::SessionCode};
use smoq_quic::{ServerTls, TlsError, TransportOptions, fingerprint};
use smoq_tokio::{ListenError, Server, ServerOptions, Upstream, Url};
use thiserror::Error;
use tokio::task::JoinSet;

use record::{Places, Writers};

pub use certificate::{CertificateError, Identity, development_certificate};
pub use executor::Executor;
pub use log::Log;
pub use record::{Record, RecordError};

/// The UDP port of a relay that is told no other.
pub const DEFAULT_PORT: u16 = 4443;

/// Where the relay's certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CertificateSource {
    /// One for development, kept in the user's data folder: clients of the same user on the same
    /// machine trust it by themselves.
    #[default]
    Development,
    /// PEM files.
    Files {
        /// The chain, the relay's own certificate first.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// How a relay is run.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where to listen (UDP, and TCP for the fingerprint of the certificate); port 0 is any port.
    /// `None` is port [`DEFAULT_PORT`], of all addresses
    /// with a certificate from files, and of 127.0.0.1 alone with one for development, which nobody
    /// elsewhere trusts.
    pub listen: Option<SocketAddr>,
    /// The relay's certificate.
    pub certificate: CertificateSource,
    /// Bounds on what peers can make the relay keep.
    pub limits: Limits,
    /// QUIC parameters.
    pub transport: TransportOptions,
    /// Threads that serve, each with a socket of its own. `None` is one for each core that the process
    /// may use, where tokio runs it on Linux; else one. With one alone the relay runs where it is bound.
    pub shards: Option<NonZeroU8>,
    /// What runs it.
    pub executor: Executor,
    /// How long peers may take to move when it is to stop: they are asked to connect anew (GOAWAY), and
    /// what is left after this time is closed. Zero closes at once.
    pub drain: Duration,
    /// Whether to record what goes into its nodes, to replay it.
    pub record: Option<Record>,
    /// Other relays to connect to, to be a cluster with them.
    pub connect: Vec<Upstream>,
}

/// Why a relay does not start.
#[derive(Debug, Error)]
pub enum BindError {
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate does not work.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No file to record to.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No socket.
    #[error("{0}; stop what listens there, or choose another address or port with --listen")]
    Listen(#[from] ListenError),
}

/// A relay came to its end without having been told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the relay has stopped: its socket failed, or it has a bug; the log says more, start it again"
)]
pub struct Stopped;

/// A relay that accepts sessions: whoever connects may publish and subscribe below the path of its URL.
pub struct Relay {
    server: Server,
    fingerprint: [u8; 32],
    door: SideDoor,
    drain: Duration,
    writers: Writers,
}

/// Tells browsers the fingerprint of the certificate, until it is dropped.
pub struct SideDoor {
    #[cfg(feature = "h3")]
    _task: JoinSet<()>,
}

/// How often to look for a port that is free for UDP and for TCP.
#[cfg(feature = "h3")]
const TRIES: usize = 16;

/// Opens both: the server, and the side door on the TCP port with the same number.
#[cfg(feature = "h3")]
fn bind_both(
    executor: Executor,
    mut options: ServerOptions,
    shards: NonZeroU8,
    fingerprint: [u8; 32],
) -> Result<(Server, SideDoor), ListenError> {
    let listen = options.listen;
    let mut left = TRIES;
    loop {
        left -= 1;
        let door = http::bind(listen);
        let chosen = door.as_ref().ok().and_then(|door| door.local_addr().ok());
        options.listen = chosen.unwrap_or(listen);
        match executor.serve(options.clone(), shards) {
            Err(_) if listen.port() == 0 && left > 0 => {}
            server => {
                let server = server?;
                let mut task = JoinSet::new();
                match door {
                    Ok(door) => _ = task.spawn(http::serve(door, fingerprint)),
                    // Sessions do without.
                    Err(error) => tracing::warn!(
                        "no /certificate.sha256 for browsers: cannot listen on TCP {listen}: {error}"
                    ),
                }
                return Ok((server, SideDoor { _task: task }));
            }
        }
    }
}

#[cfg(not(feature = "h3"))]
fn bind_both(
    executor: Executor,
    options: ServerOptions,
    shards: NonZeroU8,
    _: [u8; 32],
) -> Result<(Server, SideDoor), ListenError> {
    Ok((executor.serve(options, shards)?, SideDoor {}))
}

impl Relay {
    /// Opens the socket. To be called within a tokio runtime, whatever runs the relay: the HTTP side door
    /// is on it.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        Self::bind_with(config, |_| {})
    }

    /// [`bind`](Self::bind) for a server that is something else than a relay: `change` decides, for
    /// one, who comes in.
    pub fn bind_with(
        config: Config,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Result<Self, BindError> {
        let Config { listen, certificate, limits, transport, .. } = config;
        let Config { shards, executor, drain, record, connect, .. } = config;
        let shards = shards.unwrap_or_else(|| executor.default_shards());
        let identity = match &certificate {
            CertificateSource::Development => Identity::development()?,
            CertificateSource::Files { chain, key } => Identity::from_files(chain, key)?,
        };
        let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        // The second is for machines without IPv6.
        let addresses = match (listen, certificate) {
            (Some(address), _) => vec![address],
            (None, CertificateSource::Development) => {
                vec![(Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()]
            }
            (None, CertificateSource::Files { .. }) => [everywhere, Ipv4Addr::UNSPECIFIED.into()]
                .map(|ip| (ip, DEFAULT_PORT).into())
                .into(),
        };
        let fingerprint = fingerprint(&identity.chain[0]);
        let tls = ServerTls::new(identity.chain, identity.key)?;
        let mut options =
            ServerOptions { transport, connect, ..ServerOptions::new(addresses[0], tls) };
        options.node.limits = limits;
        let apart = shards.get() > 1 && !options.connect.is_empty();
        let recorded = shards.get().saturating_add(apart.into());
        let record = record.map(|record| Places::new(&record, recorded));
        let places = record.map(|(recordings, places)| {
            options.record = Some(recordings);
            places
        });
        change(&mut options);
        let bind = |listen: &SocketAddr| {
            let options = ServerOptions { listen: *listen, ..options.clone() };
            bind_both(executor, options, shards, fingerprint)
        };
        let first = bind(&addresses[0]);
        let (server, door) = first.or_else(|error| addresses.get(1).map_or(Err(error), bind))?;
        let writers = places.map(Places::open).transpose()?.unwrap_or_default();
        Ok(Self { server, fingerprint, door, drain, writers })
    }

    /// Where it listens, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The SHA-256 of its certificate, for clients that pin it.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// What to type to connect to it from the same machine, over raw QUIC.
    pub fn url(&self) -> Url {
        let address = self.local_addr();
        let text = if address.ip().is_unspecified() {
            format!("moqt://localhost:{}", address.port())
        } else {
            format!("moqt://{address}")
        };
        text.parse().expect("an address and a port make a URL")
    }

    /// What it is made of, for whoever does not [`run`](Self::run) it as a relay.
    pub fn into_parts(self) -> (Server, SideDoor) {
        (self.server, self.door)
    }

    /// Relays, and logs what happens, until `shutdown` is done. Returns when the peers were told; fails
    /// when it stopped by itself.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Stopped> {
        let writers = std::mem::take(&mut self.writers);
        let result = self.serve(shutdown).await;
        writers.join();
        result
    }

    async fn serve(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Stopped> {
        let mut log = Log::default();
        let mut links = JoinSet::new();
        for (url, statuses) in self.server.take_statuses() {
            links.spawn(log::link(url, statuses));
        }
        let mut shutdown = pin!(shutdown);
        while self.log_next(&mut log, shutdown.as_mut()).await? {}
        if !self.drain.is_zero() {
            self.server.drain("").await.map_err(|_| Stopped)?;
            let mut late = pin!(tokio::time::sleep(self.drain));
            // The server is asked, since events tell of a client later than it is there.
            while self.server.stats().await.map_err(|_| Stopped)?.sessions > 0
                && self.log_next(&mut log, late.as_mut()).await?
            {}
        }
        self.server.shutdown(SessionCode::NO_ERROR, "the relay shuts down").await;
        Ok(())
    }

    /// Logs the next event, unless `end` is done before: then it says `false`.
    async fn log_next(
        &mut self,
        log: &mut Log,
        end: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool, Stopped> {
        tokio::select! {
            () = end => Ok(false),
            event = self.server.next() => {
                log.event(&event.ok_or(Stopped)?, self.server.missed());
                Ok(true)
            }
        }
    }
}

/// A fingerprint as people and pages write it.
pub fn hex(fingerprint: &[u8; 32]) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
}

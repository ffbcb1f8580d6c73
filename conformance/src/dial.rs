//! How a session begins.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn::{ClientConfig, Connecting, Connection, Endpoint, TransportConfig, VarInt};
use smoq_core::{
    Carrier, Version,
    wire::{Message, Setup, UniType, varint},
};
use smoq_quic::ClientTls;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    peer::Peer,
    stream::within,
    verdict::{Result, Unmet, same},
    web::{self, Web},
};

/// The relay under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is.
    pub address: SocketAddr,
    /// The name in its certificate: a DNS name, or an address without brackets.
    pub host: String,
    /// What lies between streams and UDP.
    pub carrier: Carrier,
    /// Path and query of the URL. Names of broadcasts are relative to it.
    pub path: String,
    /// Whom to believe.
    pub tls: ClientTls,
}

/// What a client says first.
#[derive(Clone, Debug)]
pub(crate) enum Opening {
    /// SETUP as it should be, where the version has it.
    Legal,
    /// Nothing.
    Silent,
    /// These bytes on a unidirectional stream, ended by FIN.
    Bytes(Bytes),
}

/// How to connect.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) opening: Opening,
    /// Path and query, instead of those of the URL.
    pub(crate) path: Option<String>,
    /// Bytes that this end takes on all streams before it reads; `None` for plenty.
    pub(crate) window: Option<u32>,
    /// Streams of one direction that the relay may have open.
    pub(crate) uni_streams: u32,
}

impl Default for Dial {
    fn default() -> Self {
        Self { opening: Opening::Legal, path: None, window: None, uni_streams: 1024 }
    }
}

/// A stream of SETUP with these parameters.
pub(crate) fn setup_stream(setup: &Setup, version: Version) -> Bytes {
    let mut out = bytes::BytesMut::new();
    varint::encode(UniType::Setup.to_varint(), &mut out);
    setup.encode(&mut out, version);
    out.freeze()
}

/// One of these that answers, for a name that has several addresses; the first one if none does. To be called within
/// a tokio runtime with time and IO.
pub async fn reach(targets: Vec<Target>, patience: Duration) -> Option<Target> {
    let first = targets.first().cloned();
    let mut trying = JoinSet::new();
    for target in targets {
        trying.spawn(async move { target.answers(patience).await.then_some(target) });
    }
    while let Some(tried) = trying.join_next().await {
        if let Ok(Some(target)) = tried {
            return Some(target);
        }
    }
    first
}

impl Target {
    /// A path below that of the URL.
    pub(crate) fn below(&self, name: &str) -> String {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/{name}{mark}{query}", path.trim_end_matches('/'))
    }

    /// What SETUP says of a path: nothing where the handshake carries it, or if it is empty.
    pub(crate) fn setup_path(&self, path: &str) -> Option<String> {
        let told = self.carrier == Carrier::Raw && !path.is_empty();
        told.then(|| match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        })
    }

    /// Whether anything answers, be it with a refusal.
    async fn answers(&self, patience: Duration) -> bool {
        let alpn = match self.carrier {
            Carrier::Raw | Carrier::Link => Version::ALL[0].alpn(),
            Carrier::WebTransport => "h3",
        };
        let Ok(connecting) = self.handshake(alpn, &Dial::default()) else { return false };
        timeout(patience, connecting).await.is_ok()
    }

    /// Connects, and says what there is to say first.
    pub(crate) async fn dial(
        &self,
        version: Version,
        dial: &Dial,
        patience: Duration,
    ) -> Result<Peer> {
        within(patience, "a session", self.dial_now(version, dial, patience)).await?
    }

    /// The handshake of QUIC alone, which takes as long as it takes.
    pub(crate) fn handshake(&self, alpn: &str, dial: &Dial) -> Result<Connecting> {
        let local = match self.address {
            SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
        };
        let mut transport = TransportConfig::default();
        transport.max_concurrent_uni_streams(dial.uni_streams.into());
        transport.max_concurrent_bidi_streams(VarInt::from_u32(256));
        transport.max_idle_timeout(None);
        if let Some(window) = dial.window {
            transport.receive_window(window.into());
        }
        let mut config = ClientConfig::new(self.tls.offering(vec![alpn.into()]));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(local).map_err(|error| Unmet::failed("a socket", error))?;
        endpoint
            .connect_with(config, self.address, &self.host)
            .map_err(|error| Unmet::failed("a connection", error))
    }

    /// Agrees on a version, and says nothing yet.
    async fn agree(&self, version: Version, dial: &Dial) -> Result<(Connection, Option<Arc<Web>>)> {
        let path = dial.path.as_deref().unwrap_or(&self.path);
        let failed = |error| Unmet::failed("a connection", error);
        match self.carrier {
            Carrier::Raw | Carrier::Link => {
                Ok((self.handshake(version.alpn(), dial)?.await.map_err(failed)?, None))
            }
            Carrier::WebTransport => {
                let connection = self.handshake("h3", dial)?.await.map_err(failed)?;
                let host = match self.host.contains(':') {
                    true => format!("[{}]", self.host),
                    false => self.host.clone(),
                };
                let slash = if path.starts_with('/') { "" } else { "/" };
                let url = format!("https://{host}:{}{slash}{path}", self.address.port());
                let protocols = [version.alpn().to_owned()];
                let (web, protocol) = web::connect(&connection, &url, &protocols).await?;
                same("the protocol of the session", protocol.as_str(), version.alpn())?;
                Ok((connection, Some(web)))
            }
        }
    }

    /// Whether the relay agrees on this version, within a time. What it does with it afterwards is for the checks to
    /// tell.
    pub(crate) async fn speaks(&self, version: Version, patience: Duration) -> Result<Result> {
        let dial = Dial::default();
        Ok(match within(patience, "a session, or a refusal", self.agree(version, &dial)).await? {
            Ok((connection, web)) => {
                Peer::new(connection, web, version, patience).close().await;
                Ok(())
            }
            Err(unmet) => Err(unmet),
        })
    }

    async fn dial_now(&self, version: Version, dial: &Dial, patience: Duration) -> Result<Peer> {
        let (connection, web) = self.agree(version, dial).await?;
        let peer = Peer::new(connection, web, version, patience);
        let opening = match &dial.opening {
            Opening::Legal if version.has_setup() => {
                let path = self.setup_path(dial.path.as_deref().unwrap_or(&self.path));
                Some(setup_stream(&Setup { path, ..Setup::default() }, version))
            }
            Opening::Legal | Opening::Silent => None,
            Opening::Bytes(bytes) => Some(bytes.clone()),
        };
        if let Some(bytes) = opening {
            let mut stream = peer.open_uni().await?;
            stream.bytes(&bytes).await?;
            stream.fin();
        }
        Ok(peer)
    }
}

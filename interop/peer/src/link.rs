//! Connections, in both directions.

use std::{net::Ipv4Addr, path::PathBuf};

use moq_net::Version;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use crate::{Error, Sink, Source};

/// How the certificate of the server is checked.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By a file of root certificates in PEM.
    Root(PathBuf),
    /// By the SHA-256 of the certificate, in hex.
    Fingerprint(String),
    /// Not at all.
    Anything,
}

/// What a session is for.
pub enum Role<'a> {
    /// The other side may subscribe to what the source has.
    Publish(&'a Source),
    /// What the other side announces arrives in the sink.
    Subscribe(&'a Sink),
}

/// Where to connect to, and as whom.
#[derive(Clone, Debug)]
pub struct Dial {
    /// `moqt://host:port/path` for raw QUIC, `https://host:port/path` for WebTransport.
    pub url: Url,
    /// The only version to offer; `None` offers all.
    pub version: Option<Version>,
    /// How the certificate is checked.
    pub trust: Trust,
}

impl Dial {
    /// Connects once. Answers when the QUIC handshake is done: that is when moq-tokio counts a
    /// moq-lite client as connected, it waits for no SETUP.
    pub async fn connect(&self, role: Role<'_>) -> Result<Link, Error> {
        let mut config = moq_tokio::connect::Config::default();
        config.version = self.version.into_iter().collect();
        config.once = Some(true);
        match &self.trust {
            Trust::Root(file) => config.tls.root = vec![file.clone()],
            Trust::Fingerprint(hex) => config.tls.fingerprint = vec![hex.clone()],
            Trust::Anything => config.tls.insecure = Some(true),
        }
        let client = config.init(Default::default())?;
        let client = match role {
            Role::Publish(source) => client.with_publisher(&source.origin),
            Role::Subscribe(sink) => client.with_subscriber(sink.origin.clone()),
        };
        let connection = client.connect(self.url.clone()).established().await?;
        Ok(Link { client, connection })
    }
}

/// A live client session. Dropping it closes the connection.
pub struct Link {
    client: moq_tokio::Client,
    connection: moq_tokio::Connection,
}

impl Link {
    /// The version that was agreed on.
    pub fn version(&self) -> Option<Version> {
        self.connection.version()
    }

    /// Waits until the other side has said how fast it could send (PROBE), in bits per second.
    pub async fn estimate(&self) -> Result<u64, Error> {
        let mut bandwidth = self.connection.recv_bandwidth();
        loop {
            if let Some(rate) = bandwidth.changed().await? {
                return Ok(rate.as_bps());
            }
        }
    }

    /// Waits until the session has ended, and says why.
    pub async fn closed(&self) -> Result<(), Error> {
        Ok(self.connection.closed().await?)
    }

    /// Ends the session after everything queued has been sent, for at most a second.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await?;
        self.client.close().await;
        Ok(())
    }
}

/// A moq-tokio server on a loopback port, without a relay. Dropping it closes all sessions.
pub struct Server {
    url: Url,
    fingerprint: String,
    accept: AbortHandle,
}

impl Server {
    /// Listens on an ephemeral port with a new certificate, for all versions or only one.
    pub async fn start(version: Option<Version>, role: Role<'_>) -> Result<Self, Error> {
        let mut config = moq_tokio::listen::Config::default();
        config.bind = Some(moq_tokio::listen::Bind::Addr((Ipv4Addr::LOCALHOST, 0).into()));
        config.version = version.into_iter().collect();
        config.tls.generate = vec!["localhost".into(), "127.0.0.1".into()];
        let server = config.init(Default::default())?;
        let (publish, subscribe) = match role {
            Role::Publish(source) => (Some(source.origin.consume()), None),
            Role::Subscribe(sink) => (None, Some(sink.origin.clone())),
        };
        let mut listener = server.listen().await?;
        let fingerprints = listener.certificates().fingerprints();
        let fingerprint = fingerprints.into_iter().next().ok_or(Error::NoCertificate)?;
        let url = Url::parse(&format!("moqt://{}/", listener.local_addr()?))?;
        let accept = tokio::spawn(async move {
            // Dropped with this task, and the sessions with it.
            let mut sessions = JoinSet::new();
            while let Some(mut request) = listener.accept().await {
                if let Some(publish) = publish.clone() {
                    request = request.with_publisher(publish);
                }
                if let Some(subscribe) = subscribe.clone() {
                    request = request.with_subscriber(subscribe);
                }
                sessions.spawn(async move {
                    if let Ok(session) = request.ok().await {
                        session.closed().await;
                    }
                });
            }
        });
        Ok(Self { url, fingerprint, accept: accept.abort_handle() })
    }

    /// Where it listens.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The SHA-256 of its certificate, in hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

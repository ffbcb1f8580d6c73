//! What goes wrong before a session is up, in words that say what to do.

use std::{net::SocketAddr, time::Duration};

use quinn_proto::ConnectionError;
use smoq_core::Version;
use thiserror::Error;

/// Why a certificate, a key or a set of roots cannot be used.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum TlsError {
    /// The chain does not parse, the key does not fit to it, or its kind is not supported.
    #[error("the certificate chain or its private key cannot be used: {0}")]
    Certificate(rustls::Error),
    /// A root certificate does not parse.
    #[error("the root certificates cannot be used: {0}")]
    Roots(String),
    /// There is nothing to trust.
    #[error("there is no root certificate to trust: add one, or pin the server's fingerprint")]
    NoRoots,
    /// There is no fingerprint to compare with.
    #[error("there is no fingerprint to compare with: add one")]
    NoFingerprints,
    /// A fingerprint is written in another way.
    #[error(
        "a SHA-256 fingerprint has 64 hexadecimal digits; the relay prints its own when it starts"
    )]
    FingerprintDigits,
}

/// Why a server's certificate was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CertificateProblem {
    /// No root that we trust has signed it.
    #[error("no trusted root has signed it; trust its root, or pin its fingerprint")]
    UnknownIssuer,
    /// It is not valid yet, or not any more.
    #[error("it has expired or is not valid yet; renew it, or check the clock of this machine")]
    Expired,
    /// It is for another name.
    #[error("it is for another name; connect by a name that it contains")]
    Name,
    /// It is not the one that was pinned.
    #[error("its fingerprint is not the pinned one; pin the new one if the server has changed it")]
    Fingerprint,
    /// Anything else.
    #[error("it cannot be verified")]
    Other,
}

/// Why a connection did not come about.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConnectError {
    /// The target names no address.
    #[error("the name {0:?} has no address: check the spelling and the DNS")]
    NoAddress(String),
    /// Port 0, or an unspecified IP address.
    #[error("{0} is no address to connect to: it needs an IP address and a port")]
    InvalidAddress(SocketAddr),
    /// Neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    InvalidHost(String),
    /// The target names no version, or no carrier that is dialed.
    #[error("no version is offered: name at least one, such as {}", Version::ALL[0])]
    NoVersions,
    /// ICMP said that the port is closed or the host cannot be reached.
    #[error("nobody listens on {0} (port unreachable): check the address and that the server runs")]
    Unreachable(SocketAddr),
    /// This machine cannot send there: it has no route, no such local address, or a rule against it.
    #[error("nothing can be sent to {remote}: {error}; check this machine's network and firewall")]
    CannotSend {
        /// Where to.
        remote: SocketAddr,
        /// What the system says.
        error: String,
    },
    /// Nothing came back in time.
    #[error(
        "no answer from {remote} within {after:?}: check the address, and that firewalls let UDP pass"
    )]
    Timeout {
        /// The address tried last.
        remote: SocketAddr,
        /// For how long all addresses together were tried.
        after: Duration,
    },
    /// The server's certificate was refused.
    #[error("the server's certificate is not trusted: {problem} ({detail})")]
    Certificate {
        /// What is wrong with it.
        problem: CertificateProblem,
        /// What the verifier said.
        detail: String,
    },
    /// The server speaks none of the versions offered (ALPN alert 120).
    #[error("the server speaks none of the versions offered: offer others, or update one of both")]
    NoCommonVersion,
    /// The server has no HTTP/3, or none of the versions over WebTransport.
    #[error("the server has no WebTransport: try raw QUIC (moqt://), or another port")]
    NoWebTransport,
    /// The server speaks HTTP/3 and answered the request for a session with this status.
    #[error("the server refuses a WebTransport session there (HTTP status {0}): {hint}", hint = hint(*.0))]
    Refusal(u16),
    /// The server broke a rule of HTTP/3, or ended the session before it began.
    #[error("the server's HTTP/3 failed: {0}")]
    Http3(String),
    /// This program was built without WebTransport.
    #[error("this program is built without WebTransport: use raw QUIC (moqt://)")]
    NoHttp3Here,
    /// The server takes no connections now.
    #[error("the server refuses connections at the moment: it may be full, try again later")]
    Refused,
    /// The server knows nothing of this connection, so it has restarted.
    #[error("the server has lost this connection: it has restarted, try again")]
    Reset,
    /// The server speaks another version of QUIC.
    #[error("the server does not speak QUIC version 1")]
    QuicVersion,
    /// The handshake failed for another reason.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// [`Endpoint::close_all`](crate::Endpoint::close_all) was called.
    #[error("the endpoint was closed")]
    Closed,
}

/// What an HTTP status asks a person to do.
fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => "it has moved, use its new URL",
        400 | 406 | 501 => "it may speak none of the versions offered",
        401 | 403 => "a permission is missing, such as a token in the query",
        404 | 405 => "check the path",
        429 | 503 => "it has too much to do, try again later",
        500..=599 => "something in it is broken",
        _ => "check the URL",
    }
}

/// The error code that QUIC makes of a TLS alert (RFC 9001, section 4.8).
const fn crypto(alert: u64) -> u64 {
    0x100 + alert
}

/// Alert numbers: RFC 8446, section 6, and RFC 7301, section 3.2.
const BAD_CERTIFICATE: u64 = crypto(42);
const UNSUPPORTED_CERTIFICATE: u64 = crypto(43);
const CERTIFICATE_EXPIRED: u64 = crypto(45);
const CERTIFICATE_UNKNOWN: u64 = crypto(46);
const UNKNOWN_CA: u64 = crypto(48);
const ACCESS_DENIED: u64 = crypto(49);
const DECRYPT_ERROR: u64 = crypto(51);
const NO_APPLICATION_PROTOCOL: u64 = crypto(120);
/// RFC 9000, section 20.1.
const CONNECTION_REFUSED: u64 = 2;

impl ConnectError {
    /// What to tell about an attempt at `remote`, `after` so long.
    pub(crate) fn new(error: ConnectionError, remote: SocketAddr, after: Duration) -> Self {
        match error {
            ConnectionError::VersionMismatch => Self::QuicVersion,
            ConnectionError::TransportError(error) => {
                let problem = match u64::from(error.code) {
                    NO_APPLICATION_PROTOCOL => return Self::NoCommonVersion,
                    // The latter if a root of the same name has another key.
                    UNKNOWN_CA | DECRYPT_ERROR => CertificateProblem::UnknownIssuer,
                    CERTIFICATE_EXPIRED => CertificateProblem::Expired,
                    // rustls has one alert for all that is wrong inside a certificate.
                    BAD_CERTIFICATE if error.reason.contains("not valid for") => {
                        CertificateProblem::Name
                    }
                    // Nothing but our own verifier uses this alert.
                    ACCESS_DENIED => CertificateProblem::Fingerprint,
                    BAD_CERTIFICATE | UNSUPPORTED_CERTIFICATE | CERTIFICATE_UNKNOWN => {
                        CertificateProblem::Other
                    }
                    _ => return Self::Handshake(error.to_string()),
                };
                Self::Certificate { problem, detail: error.reason }
            }
            ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
                NO_APPLICATION_PROTOCOL => Self::NoCommonVersion,
                CONNECTION_REFUSED => Self::Refused,
                _ => Self::Handshake(close.to_string()),
            },
            ConnectionError::ApplicationClosed(close) => Self::Handshake(close.to_string()),
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::Timeout { remote, after },
            ConnectionError::LocallyClosed => Self::Closed,
            error @ ConnectionError::CidsExhausted => Self::Handshake(error.to_string()),
        }
    }

    /// How much this tells: of the failures of several addresses, the most telling one is reported.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::Timeout { .. } => 0,
            Self::Unreachable(_) | Self::CannotSend { .. } | Self::InvalidAddress(_) => 1,
            _ => 2,
        }
    }
}

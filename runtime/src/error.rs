//! What an application is told when something fails.

use std::{fmt, io, net::SocketAddr};

use smoq_core::{
    Closed, ClosedBy, Misuse,
    wire::{SessionCode, StreamCode},
};
use thiserror::Error;

use crate::{mailbox::Refused, url::UrlError};

/// Why a connection ended, in words: who did it, the code, and the reason given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub Closed);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Closed { by, code, reason } = &self.0;
        match by {
            ClosedBy::Local => write!(f, "closed by this side: {code}")?,
            ClosedBy::Peer => write!(f, "closed by the peer: {code}")?,
            ClosedBy::Transport => return write!(f, "lost: {reason}"),
        }
        if !reason.is_empty() {
            write!(f, ", {reason}")?;
        }
        if *by == ClosedBy::Peer && *code == SessionCode::UNAUTHORIZED {
            f.write_str(" (check the token and the path in the URL)")?;
        }
        Ok(())
    }
}

/// Why an operation on a handle failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The call broke a rule of the node.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The connection that the handle belongs to is over.
    #[error("the connection is over: {0}")]
    Disconnected(Reason),
    /// The endpoint that the handle belongs to has been shut down.
    #[error("the endpoint is shut down")]
    Shutdown,
}

impl From<Refused> for Error {
    /// For the forms that wait: they never see [`Refused::Full`].
    fn from(_: Refused) -> Self {
        Self::Shutdown
    }
}

/// Why a `try_` form did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TryError {
    /// The driver has not caught up. Try again later, or use the form that waits.
    #[error("the queue to the driver is full: try again later")]
    Full,
    /// It will not work later either.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<Refused> for TryError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::Closed => Self::Failed(Error::Shutdown),
        }
    }
}

/// Why a subscription failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// It was refused or cut off, with this code.
    #[error("{0}{hint}", hint = hint(*.0))]
    Failed(StreamCode),
    /// It broke a rule of the node.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The track ended before its publisher said what it is like.
    #[error("the track ended before its publisher said what it is like")]
    Unknown,
    /// The endpoint has been shut down.
    #[error("the endpoint is shut down")]
    Shutdown,
}

fn hint(code: StreamCode) -> &'static str {
    match code {
        StreamCode::NOT_FOUND => ": check the names of the broadcast and the track",
        StreamCode::UNROUTABLE => {
            ": nobody publishes this broadcast; check its path or wait until it is announced"
        }
        StreamCode::SESSION_CLOSED => ": the connection ended, or there is no permission for this",
        StreamCode::CONTROL_TIMEOUT => ": the publisher did not answer in time",
        StreamCode::CANCEL => ": the publisher withdrew it",
        _ => "",
    }
}

/// Why a group ended before its last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GroupError {
    /// It was cut off, with this code; usually it had become too old.
    #[error("the group was cut off: {0}")]
    Reset(StreamCode),
    /// Its subscription was dropped, or the endpoint has been shut down.
    #[error("the subscription of this group is over")]
    Unsubscribed,
}

/// Why a connection was not made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The host name has no address.
    #[error("cannot find the host {host}: {error}")]
    Resolve {
        /// The name asked for.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// No local socket.
    #[error("cannot open a UDP socket on {address}: {error}")]
    Bind {
        /// The local address asked for.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is nothing to trust.
    #[error(transparent)]
    Tls(#[from] smoq_quic::TlsError),
    /// The handshake failed.
    #[error(transparent)]
    Quic(#[from] smoq_quic::ConnectError),
    /// The executor dropped the driver.
    #[error("the runtime ended while connecting")]
    Shutdown,
}

/// Why a server does not come up.
#[derive(Debug, Error)]
#[error("cannot listen on {address} (UDP): {error}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

//! What every executor shares: the handles of an application, and the driver behind them.
//!
//! One driver runs one [`Endpoint`](smoq_quic::Endpoint), which is one socket and one node, however
//! many connections it has. Handles and driver share queues, never the protocol: a handle puts a
//! message into the mailbox of its driver, or takes from an inbox that the driver fills. Nothing here
//! needs an executor; [`Runtime`] is what one has to offer.
//!
//! Waiting methods come in three forms: `async fn x`, `poll_x` for hand-written futures, and `try_x`,
//! which does not wait, for loops that are not async. All are cancel-safe. Queues are bounded: writers
//! wait for the driver, readers are read ahead for by a fixed amount.
#![forbid(unsafe_code)]

mod client;
mod driver;
mod error;
mod estimates;
mod events;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod mailbox;
mod mux;
mod op;
mod origin;
mod publish;
mod random;
mod reconnect;
mod record;
mod requests;
mod runtime;
mod server;
mod slot;
mod state;
mod status;
mod subscribe;
mod sync;
#[cfg(any(test, feature = "fuzz"))]
mod test;
mod udp;
mod upstream;
mod url;

/// What an application names whatever it runs on: the crate of an executor exports it again.
pub mod exports {
    pub use crate::{
        Announcements, Broadcast, ClientOptions, ConnectError, Connection, Error, Estimates,
        Follow, Frame, GroupError, GroupReader, GroupWriter, ListenError, Mux, Origin, Reason,
        Reconnect, Recordings, Requests, Route, Runtime, Server, ServerEvent, ServerOptions,
        SessionId, Status, Statuses, SubscribeError, Subscription, TrackRequest, TrackWriter,
        TryError, Upstream, Url, UrlError, core, quic,
    };
}

pub use client::{ClientOptions, Connection, connect};
pub use error::{ConnectError, Error, GroupError, ListenError, Reason, SubscribeError, TryError};
pub use estimates::Estimates;
pub use events::{ServerEvent, SessionId};
pub use mux::{Mux, Route};
pub use origin::{Announcements, Origin};
pub use publish::{Broadcast, GroupWriter, TrackWriter};
pub use reconnect::{Follow, Reconnect};
pub use record::Recordings;
pub use requests::{Requests, TrackRequest};
pub use runtime::{Runtime, Socket, Timer};
pub use server::{Server, ServerOptions};
pub use smoq_core as core;
pub use smoq_quic as quic;
pub use status::{Status, Statuses};
pub use subscribe::{Frame, GroupReader, Subscription};
pub use udp::{Report, Udp};
pub use upstream::Upstream;
pub use url::{Url, UrlError};

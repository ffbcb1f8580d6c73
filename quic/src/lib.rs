//! moq-lite over QUIC as a value: UDP datagrams and the time go in, UDP datagrams and events come out.
//!
//! An [`Endpoint`] owns one [`Node`](smoq_core::Node) and all its connections. It does no IO, reads no
//! clock and starts no thread. A driver does, in this order and in any size of batches:
//!
//! 1. [`Endpoint::handle_datagram`] for what the socket received, [`Endpoint::handle_unreachable`] for
//!    what it reported, [`Endpoint::handle_timeout`] once [`Endpoint::poll_timeout`] is due;
//! 2. [`Endpoint::poll_event`] until `None`, acting on [`Endpoint::node_mut`];
//! 3. [`Endpoint::poll_transmit`] until `None`, or until the socket takes no more;
//! 4. where several endpoints are shards of one server: [`Endpoint::poll_link`] and
//!    [`Endpoint::poll_misdirected`] until `None`, for the others to
//!    [handle](Endpoint::handle_link) [them](Endpoint::handle_misdirected);
//! 5. sleep until the socket is ready or [`Endpoint::poll_timeout`] is due. Steps 2 and 3 repeat as long
//!    as either of them gives something.
//!
//! Every call may follow every other one: draining late costs time, never correctness.
#![forbid(unsafe_code)]

mod codes;
mod config;
mod connect;
mod connection;
mod crypto;
mod endpoint;
mod error;
mod fingerprint;
mod listener;
mod pace;
mod shard;
mod streams;
mod timers;
mod tls;
mod web;

pub use config::{
    Congestion, EndpointConfig, ServerConfig, Shard, Slots, Target, TransportOptions,
};
pub use connect::ConnectId;
pub use connection::ConnectionStats;
pub use crypto::random_seed;
pub use endpoint::{Endpoint, Event, Transmit};
pub use error::{CertificateProblem, ConnectError, TlsError};
pub use fingerprint::{fingerprint, parse_fingerprint};
pub use rustls;
pub use shard::Misdirected;
pub use smoq_tape as tape;
pub use tls::{ClientTls, ServerTls, Trust, roots_from_pem};

#[cfg(test)]
mod tests;

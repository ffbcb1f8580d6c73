//! WebRTC signalling as a value: connections, messages and the time go in, messages and events come
//! out.
//!
//! [`Hub`] is the server's half, [`Client`] the other. Both speak the forms in [`wire`]. With the feature
//! `server` there is also what puts a hub on the network, on tokio.
#![cfg_attr(not(feature = "server"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bucket;
mod client;
mod hub;
mod id;
mod limits;
mod policy;
mod refusal;
#[cfg(feature = "server")]
pub mod server;
pub mod wire;

pub use client::{Client, ClientConfig, ClientEvent, ClientOutput, Unregistered};
pub use hub::{CloseReason, Config, ConnectRefused, Event, Hub, Output, Stats};
pub use id::{ConnId, Entropy, IdError, PeerId, RoomName};
pub use limits::{Limits, Rate};
pub use policy::{EmptyId, Forms, Policies, Refusals, Sender, TakenId, Tokens, Unregister};
pub use refusal::Refusal;
pub use smoq_core::Time;

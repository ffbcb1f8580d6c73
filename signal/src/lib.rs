//! WebRTC signalling as a value: connections, messages and the time go in, messages and events come
//! out.
//!
//! [`Hub`] is the server's half, [`Client`] the other. Both speak the forms in [`wire`]. With the feature
//! `server` there is also what puts a hub on the network, on tokio; with `smol`, on smol.
//!
//! ```
//! use smoq_signal::{Config, Hub, Output, Time};
//!
//! let mut hub = Hub::new(Config::default());
//! let now = Time::ZERO;
//! // The bytes must come from a source that nobody can guess.
//! let [ann, bob] = [[1; 28], [2; 28]]
//!     .map(|entropy| hub.handle_connect(now, [127, 0, 0, 1].into(), entropy).unwrap());
//! hub.handle_message(now, ann, r#"{"type":"register","raw":"{\"ID\":\"ann\"}"}"#);
//! hub.handle_message(now, bob, r#"{"type":"register_request","data":{"client_id":"bob"}}"#);
//! let offer = r#"{"type":"sdp","data":{"from_id":"bob","to_id":"ann"}}"#;
//! hub.handle_message(now, bob, offer);
//!
//! let mut heard = Vec::new();
//! while let Some(output) = hub.poll_output() {
//!     match output {
//!         Output::Send { conn, text } => {
//!             heard.push((conn, text));
//!             hub.handle_sent(now, conn);
//!         }
//!         Output::Ping { .. } | Output::Close { .. } | Output::Event(_) => {}
//!     }
//! }
//! let sdp = r#"{"type":"sdp","raw":"{\"ID\":\"bob\",\"TargetID\":\"ann\"}"}"#;
//! assert!(heard.contains(&(ann, sdp.into())));
//! ```
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

//! What the examples share, so that each of them is its loop and little else: where they connect
//! ([`peers`]), and what they say
//! ([`Talk`]).
//!
//! An example takes the two words that `smoq relay` prints, and then speaks through that relay; without
//! them its two ends speak to each other. The page `docs/drive-it-yourself.md` needs nothing of this.
#![forbid(unsafe_code)]

mod peers;
mod talk;

pub use peers::{Peer, Relay, pair, peers, server};
pub use talk::{App, Talk};

/// What ends an example early.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// More than a UDP datagram has.
pub const DATAGRAM: usize = 1 << 16;

//! Deterministic simulation of smoq nodes: production code over a virtual network in virtual time.
//!
//! [`World`] runs honest nodes against each other over streams that are cut, delayed and reordered by
//! Every node is a [`Recorder`], so that what went into it can be replayed.
#![forbid(unsafe_code)]

mod bench;
mod link;
mod rng;
mod viewer;
mod world;

pub use bench::{Bench, Peer, PeerId, Sent};
pub use link::LinkConfig;
pub use rng::Rng;
pub use smoq_tape::Recorder;
pub use viewer::{GroupLog, Viewer};
pub use world::{Connection, NodeId, World};

//! Deterministic simulation of smoq nodes: production code over a virtual network in virtual time.
//!
//! [`World`] runs honest nodes against each other over streams that are cut, delayed and reordered by
//! a seed. [`Bench`] puts one node in front of scripted peers that say whatever a test wants.
//! Every node is a [`Recorder`], so that what went into it can be replayed.
//! [`swarm`] draws worlds with faults from seeds, and judges them by the [`Invariant`]s; there are nodes in
//! them, or whole endpoints with QUIC and TLS.
#![forbid(unsafe_code)]

mod actors;
mod bench;
mod big;
pub mod bottleneck;
pub mod dissect;
pub mod explore;
mod fnv;
mod invariants;
mod link;
mod meddle;
mod packets;
mod rng;
mod scripted;
pub mod swarm;
mod tap;
mod viewer;
mod world;

pub use bench::{Bench, Peer, PeerId, Sent};
pub use big::{Big, big};
pub use invariants::{Broken, Invariant};
pub use link::LinkConfig;
pub use meddle::{Bug, Place, Saboteur};
pub use rng::Rng;
pub use scripted::Scripted;
pub use smoq_tape::Recorder;
pub use viewer::{GroupLog, Viewer};
pub use world::{Connection, NodeId, World};

//! Deterministic simulation of smoq nodes: production code over a virtual network in virtual time.
//!
//! [`World`] runs honest nodes against each other over streams that are cut, delayed and reordered by
//! a seed. [`Bench`] puts one node in front of scripted peers that say whatever a test wants.
//! [`Recorder`] writes down what goes into a node and comes out of it, so that it can be replayed.
//! [`swarm`] draws worlds with faults from seeds, and judges them by the [`Invariant`]s.
#![forbid(unsafe_code)]

mod actors;
mod bench;
mod dissect;
pub mod explore;
mod invariants;
mod link;
mod meddle;
mod record;
mod rng;
pub mod swarm;
mod tap;
mod text;
mod viewer;
mod world;

pub use bench::{Bench, Peer, PeerId, Sent};
pub use invariants::{Broken, Invariant};
pub use link::LinkConfig;
pub use meddle::Bug;
pub use record::{Recorder, ReplayError, first_difference, replay};
pub use rng::Rng;
pub use viewer::{GroupLog, Viewer};
pub use world::{Connection, NodeId, World};

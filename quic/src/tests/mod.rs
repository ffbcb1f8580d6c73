//! Everything in virtual time, over networks made of a queue.

mod conformance;
mod dial;
mod probe;
mod session;
mod shards;
mod slow;
mod support;
#[cfg(feature = "h3")]
mod web;

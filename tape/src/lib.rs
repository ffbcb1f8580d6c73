//! Recordings of nodes: what went into a [`Node`](smoq_core::Node), so that it can be replayed.
//!
//! A [`Recorder`] stands in for a node and has the same methods. A node depends on nothing but its
//! [`Config`](smoq_core::Config) and its inputs, so [`Replay`], which feeds the recorded ones to a new node,
//! goes through the same states and gets the same outputs, bit for bit; [`Step::same`] says whether it did.
//! [`Timeline`] tells what happened by name, [`streams`] what was on each stream. There is no IO here.
//!
//! # Format
//!
//! The text `smoq tape 3` and a line feed, then records one after the other:
//!
//! ```text
//! length   4 bytes, lowest first: of the body
//! again    4 bytes: the length with all bits inverted
//! body     1 byte that says which input, then its arguments
//! check    4 bytes: a digest of the body and of what came of it
//! ```
//!
//! The first record (0) has the version of smoq and the node's configuration. Record 255 is an end: nothing is
//! missing before it. Numbers of arguments are written seven bits at a time, lowest first, with the
//! highest bit set on all bytes but the last; texts and payloads stand behind their length; what may be
//! missing stands behind a 0 or a 1. The arguments of [`Input::Pump`] are followed by what the transport
//! answered. A recording may stop anywhere, and is good up to there: an input is complete before the
//! node has it, so that one that makes the node panic can be replayed too.
//!
//! The payload of all media is in a recording, and so are paths with their queries, that is, tokens.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod flow;
mod input;
mod recorder;
mod replay;
mod streams;
mod tap;
mod tape;
mod timeline;
mod value;

pub use input::Input;
pub use recorder::Recorder;
pub use replay::{Comparison, Difference, Ending, Replay, ReplayError, Step, compare};
pub use streams::streams;
pub use tap::{Answer, Said};
pub use timeline::Timeline;

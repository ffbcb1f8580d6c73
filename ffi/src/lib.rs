//! The client of smoq for C, and for every language that can call C: `include/smoq.h` is made of this crate.
//!
//! It is a client of [`smoq_quic::Endpoint`] and like it does no IO: the caller has a connected UDP socket
//! and a clock, and drives the client as `examples/echo.c` does. What the functions do is in `client`, which
//! is safe; `api` and `pointers` follow the pointers of C, which nothing else in the workspace does.
#![deny(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]

mod api;
mod client;
mod error;
mod pointers;
mod types;

pub use api::*;
pub use types::*;

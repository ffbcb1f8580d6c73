//! WebTransport over HTTP/3 as a value: bytes of QUIC streams go in, bytes and events come out.
//!
//! [`Connection`] is one end of an HTTP/3 connection that carries one WebTransport session
//! (draft-ietf-webtrans-http3). It has no QUIC inside, no IO, no clock and no threads: whoever drives
//! it owns the streams. It understands the streams that HTTP/3 needs for itself, control and CONNECT,
//! and finds out which of the others belong to the session; from there on their bytes pass by.
//!
//! What is small stands alone and can be used alone: [`settings`], [`qpack`], [`capsule`],
//! [`request`], [`frame`], [`stream`], [`datagram`].
//!
//! # Limits of what is here
//!
//! - One session per connection. A second CONNECT is rejected, and SETTINGS say so.
//! - QPACK with its static table and literals; peers are told that there is no dynamic table.
//! - RESET_STREAM_AT is not used: quinn-proto does not know it. A stream that is reset early may
//!   therefore be reset before the peer learns which session it belonged to, and is then forgotten.
//! - Flow control by capsules is off, as it is whenever an end does not ask for it; QUIC's own holds.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod capsule;
pub mod code;
mod connection;
pub mod datagram;
mod error;
pub mod frame;
mod huffman;
pub mod qpack;
pub mod request;
pub mod settings;
mod static_table;
pub mod stream;
pub mod varint;

pub use code::Code;
pub use connection::{Connection, End, Limits, Output, Received};
pub use error::Error;
pub use request::Request;
pub use settings::Settings;
pub use stream::{Dir, Side, StreamId};

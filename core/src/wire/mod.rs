//! The moq-lite messages of every [`Version`](crate::Version): structs to bytes and back.
//!
//! Decoding takes one contiguous buffer. A `take` function answers `None` while bytes are missing,
//! so the caller appends what arrives and asks again; it never reads past the message. Numbers up to
//! 2^62-1 can be written, larger ones are written as 2^62-1. A field that a version has no place for
//! is left out.

mod announce;
mod code;
mod cost;
mod datagram;
mod error;
mod fetch;
mod goaway;
mod group;
mod hop;
mod probe;
mod reader;
mod setup;
mod stream;
mod subscribe;
mod track;
pub mod varint;
mod writer;

pub use announce::{Announce, AnnounceOk, AnnounceRequest};
pub use code::{SessionCode, StreamCode};
pub use cost::Cost;
pub use datagram::{DatagramHeader, MAX_DATAGRAM};
pub use error::DecodeError;
pub use fetch::Fetch;
pub use goaway::Goaway;
pub use group::{FrameHeader, GroupHeader, MAX_TIMESTAMP};
pub use hop::{Hop, Hops, HopsError, MAX_HOPS};
pub use probe::Probe;
pub use reader::{
    Body, Framed, MAX_TRACK_NAME, Message, TypedFramed, take_message, take_typed_message,
};
pub use setup::{ProbeLevel, Setup, SetupRole};
pub use stream::{BidiType, UniType};
pub use subscribe::{GroupOrder, Subscribe, SubscribeOk, SubscribeParams, SubscribeResponse};
pub use track::{Track, TrackInfo};

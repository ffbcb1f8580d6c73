//! What is on the wire: JSON messages, a WebSocket text message each, in one of three forms.
//!
//! A connection speaks the form of its first message. Whatever the form, a message is a [`Request`] to
//! the hub or a [`Reply`] from it, and what peers send to each other is a [`Forward`] in both.

mod frame;
mod json;
mod key;
mod payload;
mod reply;
mod request;
mod timestamp;

use alloc::string::String;

use thiserror::Error;

pub use frame::{Frame, Stamp};
pub use json::Spelling;
pub use payload::{Candidate, Description, Forward, Kind, Payload, SdpType};
pub use reply::{About, Presence, Refused, Reply};
pub use request::Request;
pub use timestamp::Timestamp;

/// The forms of messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dialect {
    /// `{"id":…,"type":"register_request","timestamp":…,"data":{"client_id":…}}`
    Envelope,
    /// `{"type":"register","raw":"{\"ID\":…}"}`: the data is JSON in a string.
    Raw,
    /// `{"type":"register","raw":"eyJ…"}`: the data is JSON in base64, its names in small letters.
    Legacy,
}

impl Dialect {
    /// How closely names must be matched, where a policy asks for `envelope` in envelopes. The other two
    /// forms were never spelled one way.
    pub fn spelling(self, envelope: Spelling) -> Spelling {
        match self {
            Self::Envelope => envelope,
            Self::Raw | Self::Legacy => Spelling::Loose,
        }
    }
}

/// Why a message cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Malformed {
    /// Not one JSON object, or `id`, `type`, `timestamp` or `raw` are not what they must be.
    #[error(
        "this is not a message; send one JSON object with `type` and `data`, or `type` and `raw`"
    )]
    Frame,
    /// The type is not known.
    #[error(
        "type {0:?} is not known; the hub knows register, unregister, join, leave, sdp, candidate and \
         data_channel, in envelopes the first four with _request at the end"
    )]
    Type(String),
    /// A field of the data is missing, or is not what it must be.
    #[error("the data has no usable field {0:?}; the other fields were not looked at")]
    Field(&'static str),
}

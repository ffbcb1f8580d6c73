//! Why bytes are not a message.

use thiserror::Error;

use super::{Goaway, HopsError, Setup};
use crate::PathError;

/// The rule that the peer's bytes break.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends inside a field.
    #[error("the message is shorter than its fields; the peer may speak another version")]
    Truncated,
    /// The message goes on after its last field.
    #[error("{0} bytes are left after the last field; the peer may speak another version")]
    TrailingBytes(usize),
    /// The declared length is above the limit of the receiver.
    #[error("the message has {length} bytes, raise the limit of {limit} if that is wanted")]
    TooLong {
        /// What the peer declares, in bytes.
        length: u64,
        /// What is accepted, in bytes.
        limit: usize,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    /// A path breaks a rule for paths.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The name of a track is too long.
    #[error("the track name has {0} bytes, use at most {max}", max = super::MAX_TRACK_NAME)]
    NameTooLong(usize),
    /// A list of hops breaks a rule for such lists.
    #[error(transparent)]
    Hops(#[from] HopsError),
    /// SETUP has the same parameter twice.
    #[error("SETUP has parameter {0} twice, send it once")]
    DuplicateParameter(u64),
    /// SETUP has more than 64 parameters.
    #[error("SETUP has {0} parameters, send at most {max}", max = Setup::MAX_PARAMETERS)]
    TooManyParameters(u64),
    /// The status of an announcement is unknown in this version.
    #[error("an announcement has status {0}, which this version does not have")]
    InvalidStatus(u8),
    /// An answer to SUBSCRIBE has an unknown type.
    #[error("an answer to SUBSCRIBE has type {0}, which this version does not have")]
    UnknownType(u64),
    /// SUBSCRIBE names a last frame, but not the group that it belongs to.
    #[error("the last frame is given without the last group, name the group too")]
    FrameBoundWithoutGroupBound,
    /// FETCH ends before it starts.
    #[error("the range of frames ends before it starts, swap the bounds")]
    EmptyFrameRange,
    /// TRACK_INFO has no units per second.
    #[error("the timescale is 0, use at least one unit per second")]
    ZeroTimescale,
    /// The URI of GOAWAY is longer than 8192 bytes.
    #[error("the URI of GOAWAY has {0} bytes, use at most {max}", max = Goaway::MAX_URI)]
    UriTooLong(usize),
}

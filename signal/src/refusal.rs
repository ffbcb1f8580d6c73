//! Why a request was not done: one variant per rule, each with a code that does not change.

use thiserror::Error;

use crate::{id::IdError, wire::Malformed};

/// Why a request was not done. The message is for its sender.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// The message cannot be read.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The text cannot be an id.
    #[error("this cannot be an id: {0}")]
    BadId(IdError),
    /// The text cannot be the name of a room.
    #[error("this cannot be the name of a room: {0}")]
    BadRoom(IdError),
    /// Somebody else has this id.
    #[error(
        "this id is taken; choose another one, or show the token that came with it to take it over"
    )]
    IdTaken,
    /// The connection has all the ids that it may have.
    #[error("this connection has an id already; unregister that one first")]
    TooManyIds,
    /// The connection has no id.
    #[error("nobody knows you yet; register first")]
    NotRegistered,
    /// The connection does not have the id that it names.
    #[error("you are not the sender that the message names; put in the id that you registered")]
    ForgedSender,
    /// Nobody has the id.
    #[error("nobody has the id that this is for; it may have left, or is not there yet")]
    UnknownTarget,
    /// Too much waits for the receiver already.
    #[error("the receiver does not take its messages fast enough; send again later")]
    TargetBusy,
    /// The message would be too long for its receiver.
    #[error("the message is too long for its receiver; send it in parts")]
    TooLarge,
    /// The connection sends too much.
    #[error("you send too much; send again in a second")]
    RateLimited,
    /// The peer is in all the rooms that it may be in.
    #[error("you are in too many rooms; leave one first")]
    TooManyRooms,
    /// The room is full.
    #[error("the room is full; try again later")]
    RoomFull,
    /// The peer is not in the room.
    #[error("you are not in this room")]
    NotInRoom,
}

impl Refusal {
    /// The code on the wire, in the log and in the metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::Frame) => "bad_message",
            Self::Malformed(Malformed::Type(_)) => "unknown_type",
            Self::Malformed(Malformed::Field(_)) => "bad_data",
            Self::BadId(_) => "bad_id",
            Self::BadRoom(_) => "bad_room",
            Self::IdTaken => "id_taken",
            Self::TooManyIds => "too_many_ids",
            Self::NotRegistered => "not_registered",
            Self::ForgedSender => "forged_sender",
            Self::UnknownTarget => "unknown_target",
            Self::TargetBusy => "target_busy",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::TooManyRooms => "too_many_rooms",
            Self::RoomFull => "room_full",
            Self::NotInRoom => "not_in_room",
        }
    }

    /// Whether the request should not have been made. Some fail by what others do, as when they leave.
    pub(crate) const fn blames_sender(&self) -> bool {
        !matches!(self, Self::UnknownTarget | Self::TargetBusy | Self::RoomFull)
    }
}

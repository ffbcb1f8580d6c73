//! What goes wrong: the caller's mistakes and the peer's.

use thiserror::Error;

use crate::{
    PathError,
    wire::{DecodeError, SessionCode, StreamCode},
};

/// The caller's mistake. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Misuse {
    /// The id belongs to something that has ended.
    #[error("this id is stale: what it named has ended")]
    Stale,
    /// Paths and names have rules.
    #[error("this path cannot be used: {0}")]
    Path(#[from] PathError),
    /// Track names are bounded.
    #[error("the track name is too long: use at most {max} bytes", max = crate::wire::MAX_TRACK_NAME)]
    TrackName,
    /// A path has one local broadcast at a time.
    #[error("this node publishes that path already: unpublish it first or choose another path")]
    DuplicateBroadcast,
    /// A broadcast has one track of each name.
    #[error("the broadcast has a track of that name already")]
    DuplicateTrack,
    /// One at a time makes tracks on demand.
    #[error("somebody makes the tracks of that place on demand already")]
    DuplicateRequests,
    /// Group sequences are used once.
    #[error("the track has had group {0} already: choose a higher sequence")]
    DuplicateGroup(u64),
    /// The track was finished.
    #[error("the track is finished: it takes no more groups")]
    TrackFinished,
    /// The group was finished, or a frame in it was left unfinished.
    #[error("the group is finished: open the next one")]
    GroupFinished,
    /// A frame takes exactly the bytes it was started with.
    #[error("the frame was started with fewer or more bytes than were written")]
    FrameSize,
    /// A datagram is one packet.
    #[error("the datagram is too large: use at most {max} bytes, or a group", max = crate::wire::MAX_DATAGRAM)]
    DatagramSize,
    /// Timestamps are below 2^61.
    #[error("the timestamp is out of range: it must be below 2^61")]
    Timestamp,
    /// Group sequences are below 2^62 - 1.
    #[error("the group sequence is out of range: it must be below 2^62 - 1")]
    Sequence,
    /// The group passed a limit of the node.
    #[error("the group is too large: start a new group more often, or raise Limits::group_bytes")]
    GroupTooLarge,
    /// moq-lite-03 cannot say it.
    #[error("moq-lite-03 has no GOAWAY: close the session instead")]
    NoGoaway,
    /// GOAWAY is said once.
    #[error("the peer was told to go before")]
    GoingAway,
    /// The URI of GOAWAY is bounded.
    #[error("the URI is too long: use at most {max} bytes", max = crate::wire::Goaway::MAX_URI)]
    Uri,
    /// A timescale of zero units per second has no meaning.
    #[error("the track's timescale must not be zero")]
    Timescale,
}

/// The rule that a peer broke. Each ends a stream or the session, with the code that the draft names.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A message could not be decoded.
    #[error("malformed message: {0}")]
    Decode(#[from] DecodeError),
    /// A stream type that this version does not have.
    #[error("unknown stream type {0}")]
    StreamType(u64),
    /// The stream ended inside a message or before its first one.
    #[error("the stream ended inside a message")]
    Truncated,
    /// Bytes where none may follow.
    #[error("unexpected bytes after the end of a request")]
    Unexpected,
    /// One SETUP each.
    #[error("a second SETUP stream")]
    DuplicateSetup,
    /// SETUP has to come first, within a time.
    #[error("no SETUP within the time allowed")]
    SetupTimeout,
    /// A stream has to say what it is, within a time.
    #[error("the stream did not say what it is within the time allowed")]
    OpeningTimeout,
    /// The path in SETUP is not a path.
    #[error("the request path cannot be used: {0}")]
    RequestPath(PathError),
    /// Only raw QUIC clients send a path in SETUP.
    #[error("SETUP carries a path that only a client on raw QUIC may send")]
    UnexpectedPath,
    /// Only clients have a role.
    #[error("SETUP carries a role that only a client may send")]
    UnexpectedRole,
    /// An announcement that is already active (03, 04), or two STARTs of one path (06).
    #[error("a broadcast was announced twice")]
    DuplicateAnnouncement,
    /// An end or update of something that is not active.
    #[error("an announcement was ended or updated that is not active")]
    UnknownAnnouncement,
    /// SUBSCRIBE_OK comes first (03, 04).
    #[error("another answer to SUBSCRIBE came before SUBSCRIBE_OK")]
    SubscribeResponse,
    /// The end lies behind what there was, or is another one than before.
    #[error("END {0} contradicts the groups or the END that came before")]
    End(u64),
    /// Subscribe ids are used once.
    #[error("subscribe id {0} was used before")]
    DuplicateSubscribe(u64),
    /// A group of a subscription that we never made.
    #[error("a group for subscribe id {0}, which was never used")]
    UnknownSubscribe(u64),
    /// A group at or after the announced end of its track.
    #[error("group {0} is at or after the announced end of the track")]
    GroupAfterEnd(u64),
    /// A frame's bytes do not match its declared size.
    #[error("the group ended inside a frame")]
    FrameSize,
    /// Deltas must not lead below zero or beyond 2^61.
    #[error("a frame timestamp is out of range")]
    Timestamp,
    /// A group passed [`Limits::group_bytes`](crate::Limits::group_bytes) or `group_frames`.
    #[error("the group is too large")]
    GroupTooLarge,
    /// More streams than [`Limits::peer_streams`](crate::Limits::peer_streams).
    #[error("too many streams at a time")]
    TooManyStreams,
    /// More waiting bytes than [`Limits::session_buffer`](crate::Limits::session_buffer).
    #[error("too many bytes in unfinished messages")]
    TooMuchBuffered,
    /// More than [`Limits::announce_requests`](crate::Limits::announce_requests).
    #[error("too many requests for announcements at a time")]
    TooManyAnnounceRequests,
    /// More broken streams than [`Limits::violations`](crate::Limits::violations).
    #[error("too many streams broke a rule")]
    TooManyViolations,
    /// GOAWAY is said once.
    #[error("a second GOAWAY")]
    DuplicateGoaway,
    /// The peer asked for what it has no grant for.
    #[error("the peer has no permission for this")]
    Unauthorized,
}

impl Violation {
    /// The code a stream ends with (moqdev registry, stream codes).
    pub const fn stream_code(&self) -> StreamCode {
        match self {
            Self::Decode(_)
            | Self::Truncated
            | Self::End(_)
            | Self::GroupAfterEnd(_)
            | Self::Timestamp => StreamCode::MALFORMED_TRACK,
            Self::FrameSize => StreamCode::WRONG_SIZE,
            Self::GroupTooLarge => StreamCode::GROUP_TOO_LARGE,
            Self::OpeningTimeout => StreamCode::CONTROL_TIMEOUT,
            Self::UnknownSubscribe(_) | Self::StreamType(_) => StreamCode::CANCEL,
            Self::Unauthorized => StreamCode::SESSION_CLOSED,
            _ => StreamCode::INTERNAL,
        }
    }

    /// The code a session closes with.
    pub const fn session_code(&self) -> SessionCode {
        match self {
            Self::Unauthorized => SessionCode::UNAUTHORIZED,
            Self::SetupTimeout => SessionCode::TIMEOUT,
            _ => SessionCode::PROTOCOL_VIOLATION,
        }
    }
}

//! What a peer can do wrong.

use thiserror::Error;

use crate::Code;

/// A broken rule of HTTP/3, one variant each. It ends the connection with [`Error::code`], except
/// where it is said to end a stream only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// RFC 9114, section 6.2.1.
    #[error("a second control stream")]
    SecondControlStream,
    /// RFC 9204, section 4.2.
    #[error("a second QPACK stream of one kind")]
    SecondQpackStream,
    /// RFC 9114, section 6.2.2: only servers push, and only clients who want it hear them.
    #[error("a push stream")]
    Push,
    /// RFC 9114, section 6.1: what is no WebTransport stream.
    #[error("a server opened a bidirectional stream for something else than WebTransport")]
    ServerRequest,
    /// RFC 9114, section 6.2.1.
    #[error("a control or QPACK stream ended")]
    CriticalStreamEnded,
    /// RFC 9114, section 6.2.1.
    #[error("the control stream does not begin with SETTINGS")]
    MissingSettings,
    /// RFC 9114, section 7.2.
    #[error("a frame of type {0:#x} where it may not be")]
    UnexpectedFrame(u64),
    /// RFC 9114, section 7.2.3: there are no pushes that could be cancelled.
    #[error("a push is cancelled that was never promised")]
    PushId,
    /// RFC 9114, section 7.1.
    #[error("a frame ends in the middle of a field, or behind the end of its stream")]
    Frame,
    /// RFC 9114, section 7.2.4.1.
    #[error("setting {0:#x} is reserved, given twice or has a value that it cannot have")]
    Settings(u64),
    /// More than [`crate::Limits`] allows.
    #[error("more bytes of settings, fields and early streams than this end keeps")]
    TooMuch,
    /// draft-ietf-webtrans-http3, section 4: the id of a session is that of a CONNECT stream.
    #[error("session id {0} is no id of a client's bidirectional stream")]
    SessionId(u64),
    /// RFC 9204, section 2.2: a reference to a dynamic table, or no valid encoding.
    #[error("a field section cannot be decoded")]
    Qpack,
    /// RFC 9114, section 4.1.2. Ends the request's stream only.
    #[error("a request or response without a field that it needs, or not well-formed")]
    Message,
    /// RFC 9114, section 5.2: the server takes no new requests.
    #[error("the server is about to go and takes no new sessions")]
    Goaway,
    /// The peer's SETTINGS do not offer WebTransport.
    #[error("the peer does not offer WebTransport")]
    NoWebTransport,
}

impl Error {
    /// What the peer is told.
    pub fn code(self) -> Code {
        match self {
            Self::SecondControlStream
            | Self::SecondQpackStream
            | Self::Push
            | Self::ServerRequest => Code::STREAM_CREATION_ERROR,
            Self::CriticalStreamEnded => Code::CLOSED_CRITICAL_STREAM,
            Self::MissingSettings => Code::MISSING_SETTINGS,
            Self::UnexpectedFrame(_) => Code::FRAME_UNEXPECTED,
            Self::Frame => Code::FRAME_ERROR,
            Self::Settings(_) => Code::SETTINGS_ERROR,
            Self::TooMuch => Code::EXCESSIVE_LOAD,
            Self::SessionId(_) | Self::PushId => Code::ID_ERROR,
            Self::Qpack => Code::QPACK_DECOMPRESSION_FAILED,
            Self::Message => Code::MESSAGE_ERROR,
            Self::Goaway | Self::NoWebTransport => Code::NO_ERROR,
        }
    }
}

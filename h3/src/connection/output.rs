//! What a connection is bounded by, and what it has to say.

use alloc::string::String;

use bytes::Bytes;

#[cfg(doc)]
use super::Connection;
use crate::{Code, Error, Request, StreamId, capsule::Close};

/// Bounds on what a peer can make a connection keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the fields of one request or response, 32 for each field included. Default 16 KiB:
    /// tokens and cookies of a browser fit.
    pub field_section: usize,
    /// Bytes kept in all: settings and fields that are not complete, and streams that came before
    /// their session. Default 64 KiB: a first window of packets.
    pub buffered: usize,
    /// Streams kept that came before their session. Default 64; more are rejected one by one.
    pub early_streams: usize,
    /// Streams that have not said what they are. Default 1024, as many as a burst can open whose first
    /// packets are late; more are rejected one by one.
    pub new_streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { field_section: 16 << 10, buffered: 64 << 10, early_streams: 64, new_streams: 1024 }
    }
}

/// What there is to do, or to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send these bytes on a stream, before anything else that is sent on it, and end it (FIN) after
    /// them if `fin`.
    Send {
        /// A control or CONNECT stream.
        stream: StreamId,
        /// May be empty.
        data: Bytes,
        /// Whether it ends.
        fin: bool,
    },
    /// Abandon sending on a stream (RESET_STREAM).
    Reset {
        /// A bidirectional stream.
        stream: StreamId,
        /// Why.
        code: Code,
    },
    /// Ask the peer to send no more on a stream (STOP_SENDING). What comes nevertheless is to be left
    /// out.
    Stop {
        /// A stream of the peer's, or CONNECT.
        stream: StreamId,
        /// Why.
        code: Code,
    },
    /// Close the connection, with [`Error::code`]: the peer broke a rule. The last output there is.
    Fail(Error),
    /// A client asks for a session: [`Connection::accept`] or [`Connection::refuse`] it.
    Request(Request),
    /// The server has accepted the session.
    Accepted {
        /// The protocol that it chose of those offered.
        protocol: Option<String>,
    },
    /// The server has refused the session, with this HTTP status.
    Refused(u16),
    /// A stream of the session, which the peer opened. What came on it so far follows.
    Opened(StreamId),
    /// Bytes of a stream of the session.
    Received {
        /// Which one.
        stream: StreamId,
        /// The bytes.
        data: Bytes,
        /// Whether it ends.
        fin: bool,
    },
    /// The peer abandoned sending on a stream of the session.
    Abandoned {
        /// Which one.
        stream: StreamId,
        /// Its code.
        code: Code,
    },
    /// The peer wants no more of what is sent on a stream of the session.
    Unwanted {
        /// Which one.
        stream: StreamId,
        /// Its code.
        code: Code,
    },
    /// The session is over.
    Ended(End),
    /// After [`Connection::close`]: the peer's end of the session has ended too. Its application may not
    /// have been told yet, so give it time before the connection closes.
    Done,
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer's application ended it, with code 0 and no words if it said none.
    Closed(Close),
    /// The peer gave up the CONNECT stream.
    Reset(Code),
}

/// Whose bytes [`Connection::handle_recv`] was given.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// HTTP/3's own, or they come again as an [`Output`].
    Taken,
    /// The session's: this is what to pass on.
    Session(Bytes),
}

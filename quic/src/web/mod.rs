//! HTTP/3 between a connection and its session.

use bytes::Bytes;
use quinn_proto::VarInt;
use smoq_core::{Closed, Dir, StreamId, Version, wire::StreamCode};

#[cfg(not(feature = "h3"))]
mod absent;
#[cfg(feature = "h3")]
mod present;

#[cfg(not(feature = "h3"))]
pub(crate) use absent::Web;
#[cfg(feature = "h3")]
pub(crate) use present::Web;

use crate::listener::Listener;

/// What HTTP/3 has to say about the session.
#[derive(PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "h3"), expect(dead_code, reason = "there is nobody to say it"))]
pub(crate) enum News {
    /// A client asks for a session.
    Asked {
        /// Path and query.
        path: String,
        /// Where the page comes from that asks.
        origin: Option<String>,
        /// The first one that the client named and we speak too.
        version: Option<Version>,
    },
    /// The server has accepted the session, and speaks this.
    Accepted(Option<Version>),
    /// The server has refused the session, with this HTTP status.
    Refused(u16),
    /// The server's settings offer no sessions.
    NoWebTransport,
    /// Something happened to a stream of the session.
    Stream(StreamNews),
    /// The peer has ended the session.
    Ended(Closed),
    /// The peer broke a rule: the connection has to be closed with this code.
    Failed(VarInt, String),
}

/// What was not known to be the session's when it came, or came behind such.
#[derive(PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "h3"), expect(dead_code, reason = "there is nobody to say it"))]
pub(crate) enum StreamNews {
    /// The peer has opened a stream.
    Opened(StreamId, Dir),
    /// Bytes of such a stream, with its end or not.
    Received(StreamId, Bytes, bool),
    /// The peer sends no more.
    Reset(StreamId, StreamCode),
    /// The peer wants no more.
    Stopped(StreamId, StreamCode),
}

impl StreamNews {
    pub(crate) fn tell(self, listener: &mut impl Listener) {
        match self {
            Self::Opened(stream, dir) => listener.opened(stream, dir),
            Self::Received(stream, data, fin) => listener.received(stream, data, fin),
            Self::Reset(stream, code) => listener.reset(stream, code),
            Self::Stopped(stream, code) => listener.stopped(stream, code),
        }
    }
}

/// Lets through what is for the session, and keeps what is HTTP/3's own.
pub(crate) struct Sift<'a, L> {
    pub(crate) web: &'a mut Web,
    pub(crate) listener: &'a mut L,
}

impl<L: Listener> Listener for Sift<'_, L> {
    fn opened(&mut self, stream: StreamId, _: Dir) {
        self.web.opened(stream);
    }

    fn received(&mut self, stream: StreamId, data: Bytes, fin: bool) {
        if let Some(data) = self.web.received(stream, data, fin) {
            self.listener.received(stream, data, fin);
        }
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        if let Some(code) = self.web.reset(stream, code) {
            self.listener.reset(stream, code);
        }
    }

    fn stopped(&mut self, stream: StreamId, code: StreamCode) {
        if let Some(code) = self.web.stopped(stream, code) {
            self.listener.stopped(stream, code);
        }
    }

    // The node passes over what it is told of streams that are not its own.

    fn acked(&mut self, stream: StreamId) {
        self.listener.acked(stream);
    }

    fn writable(&mut self, stream: StreamId) {
        self.listener.writable(stream);
    }

    fn datagram(&mut self, data: Bytes) {
        if let Some(data) = self.web.datagram(data) {
            self.listener.datagram(data);
        }
    }
}

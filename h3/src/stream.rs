//! Streams: their ids, and what those of WebTransport begin with.

use core::fmt;

use bytes::BytesMut;

use crate::{frame, varint};

/// Which end of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// The one that dialed.
    Client,
    /// The other one.
    Server,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dir {
    /// Both ways.
    Bi,
    /// From its opener only.
    Uni,
}

/// A stream's id as QUIC has it: its two lowest bits tell who opened it and its direction (RFC 9000,
/// section 2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

impl StreamId {
    /// Who opened it.
    pub const fn opener(self) -> Side {
        if self.0 & 1 == 0 { Side::Client } else { Side::Server }
    }

    /// Its direction.
    pub const fn dir(self) -> Dir {
        if self.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
    }

    /// Whether it can name a session: CONNECT comes on a bidirectional stream of the client's.
    pub const fn is_request(self) -> bool {
        self.0 & 3 == 0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Control stream (RFC 9114, section 6.2.1).
pub const CONTROL: u64 = 0x00;
/// Push stream (RFC 9114, section 6.2.2).
pub const PUSH: u64 = 0x01;
/// Instructions of the peer's QPACK encoder (RFC 9204, section 4.2).
pub const QPACK_ENCODER: u64 = 0x02;
/// Instructions of the peer's QPACK decoder.
pub const QPACK_DECODER: u64 = 0x03;
/// A unidirectional stream of WebTransport (draft-ietf-webtrans-http3, section 4.2).
pub const WEBTRANSPORT: u64 = 0x54;

/// Appends what a stream of a session begins with (draft-ietf-webtrans-http3, sections 4.2 and 4.3).
pub fn encode_prefix(dir: Dir, session: StreamId, out: &mut BytesMut) {
    let ty = match dir {
        Dir::Bi => frame::WT_STREAM,
        Dir::Uni => WEBTRANSPORT,
    };
    varint::encode(ty, out);
    varint::encode(session.0, out);
}

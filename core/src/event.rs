//! What comes out of a node: commands for the transport, events for the application.

use alloc::string::String;

use bytes::Bytes;

use crate::{
    Grant, Id, Path, Version,
    error::Violation,
    node::{GroupReader, Reader, Requests, Session, Track, Watcher},
    wire::{Hops, Probe, SessionCode, StreamCode},
};

/// The transport's own id of a stream. Opaque to the node, unique within a session over both
/// directions and both openers. A QUIC stream id qualifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

/// Whether a stream carries data one way or both ways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dir {
    /// Both ways: requests and their answers.
    Bi,
    /// From its opener only: SETUP and groups.
    Uni,
}

/// What the transport of a session has to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Send what this stream has before that of streams with a lower number.
    Priority {
        /// The stream.
        stream: StreamId,
        /// Higher is more urgent; control streams have [`i32::MAX`].
        priority: i32,
    },
    /// Abandon sending on this stream (RESET_STREAM).
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: StreamCode,
    },
    /// Ask the peer to send no more on this stream (STOP_SENDING), and forget what it sent.
    Stop {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: StreamCode,
    },
    /// Say how fast the connection is, by [`Node::handle_estimate`](crate::Node::handle_estimate). Only
    /// while the peer wants to know, and at most ten times a second.
    Estimate,
    /// Close the connection (CONNECTION_CLOSE). The last command of a session.
    Close {
        /// Why.
        code: SessionCode,
        /// The same in words.
        reason: String,
    },
}

/// What [`Node::poll_send`](crate::Node::poll_send) offers to the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Send {
    /// Where the chunks go.
    pub stream: StreamId,
    /// Bytes in the chunks. May be zero when there is only an end to tell.
    pub bytes: usize,
    /// The stream ends after these bytes (FIN).
    pub fin: bool,
}

/// Who ended a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClosedBy {
    /// The embedder, by [`Node::close`](crate::Node::close), or the node, because the peer broke a rule.
    Local,
    /// The peer, with a code.
    Peer,
    /// The transport: timeout, reset, refused handshake.
    Transport,
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closed {
    /// Who ended it.
    pub by: ClosedBy,
    /// The code on the wire. [`SessionCode::INTERNAL`] when the transport failed.
    pub code: SessionCode,
    /// The same in words; what the peer or the transport said.
    pub reason: String,
}

/// What the application should know. Drained with [`Node::poll_event`](crate::Node::poll_event).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A peer asks to come in. Only with [`Admission::Ask`](crate::Admission::Ask).
    Request {
        /// Who.
        session: Id<Session>,
        /// The request path with its query; empty if it could not travel (raw QUIC before 05).
        path: String,
    },
    /// A session is up: what is asked of it from now on is answered.
    Ready {
        /// Which.
        session: Id<Session>,
        /// What is spoken on it.
        version: Version,
        /// What the peer may do, and where.
        grant: Grant,
    },
    /// A session is over. Its ids are stale from now on.
    Closed {
        /// Which.
        session: Id<Session>,
        /// Why.
        closed: Closed,
    },
    /// A peer is about to go (GOAWAY). What runs on its session goes on, nothing new is asked of it.
    Goaway {
        /// Whose peer.
        session: Id<Session>,
        /// Where it says to connect to, empty for the same place. It says so without proof: whether to
        /// believe it is for the embedder's policy. At most 8192 bytes.
        uri: String,
    },
    /// [`Node::poll_probe`](crate::Node::poll_probe) has something. Comes once until it is called.
    Probed {
        /// Whose peer was probed.
        session: Id<Session>,
    },
    /// A peer broke a rule; the stream (or, when `stream` is `None`, the session) was ended.
    Violation {
        /// Whose peer.
        session: Id<Session>,
        /// Where, if it cost only a stream.
        stream: Option<StreamId>,
        /// Which rule.
        error: Violation,
    },
    /// [`Node::poll_announced`](crate::Node::poll_announced) has something for this watcher.
    Announced {
        /// Who.
        watcher: Id<Watcher>,
    },
    /// [`Node::next_group`](crate::Node::next_group) or [`Node::read`](crate::Node::read) of this
    /// subscription may have something. Comes once until one of them is called.
    Readable {
        /// Which.
        reader: Id<Reader>,
    },
    /// [`Node::poll_wanted`](crate::Node::poll_wanted) has a track that somebody asks for, or says that
    /// nobody will any more. Comes once until it is called.
    Wanted {
        /// For whom.
        requests: Id<Requests>,
    },
    /// A local track got its first subscriber, or lost its last one.
    Demand {
        /// Which.
        track: Id<Track>,
        /// Whether somebody subscribes to it now.
        wanted: bool,
    },
    /// Nobody has read a track that was made on demand for
    /// [`Limits::wanted_timeout`](crate::Limits::wanted_timeout). It was ended, and its id is stale.
    Unread {
        /// Which.
        track: Id<Track>,
    },
}

/// One change of what is announced below a watcher's prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Announced {
    /// The broadcast is there.
    Active {
        /// Its full path.
        path: Path,
        /// Who it came through: first its origin, last the neighbour. Empty for a local one.
        hops: Hops,
    },
    /// The broadcast is gone.
    Ended {
        /// Its full path.
        path: Path,
    },
}

/// What a subscription has next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextGroup {
    /// A group to read.
    Group {
        /// For [`Node::read`](crate::Node::read).
        id: Id<GroupReader>,
        /// Its sequence number in the track.
        sequence: u64,
    },
    /// Nothing yet; an [`Event::Readable`] follows.
    Pending,
    /// The track ended and everything was given.
    End,
    /// The subscription failed.
    Failed(StreamCode),
}

/// What a peer that is probed says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probed {
    /// How fast it could send, and how long a round trip takes, as far as it knows.
    Report(Probe),
    /// Nothing new; an [`Event::Probed`] follows.
    Pending,
    /// Nothing more: it cannot tell, or has ended it.
    Ended,
}

/// What a group has next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// Bytes of a frame.
    Chunk(FrameChunk),
    /// Nothing yet; an [`Event::Readable`] follows.
    Pending,
    /// The group is complete. Its id is stale from now on.
    End,
    /// The group was cut off here. Its id is stale from now on.
    Reset(StreamCode),
}

/// A piece of a frame. A frame of no bytes comes as one empty piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameChunk {
    /// Index of the frame in its group.
    pub frame: u64,
    /// Presentation time, in units of the track's timescale.
    pub timestamp: u64,
    /// Bytes of the whole frame.
    pub size: u64,
    /// Where in the frame this piece begins.
    pub offset: u64,
    /// The piece.
    pub data: Bytes,
}

impl FrameChunk {
    /// Whether this piece is the last of its frame.
    pub fn is_last(&self) -> bool {
        self.offset + self.data.len() as u64 == self.size
    }
}

/// What of a local track its subscribers do not have yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Subscriptions of peers to this track.
    pub subscribers: usize,
    /// Most bytes of the track that wait here for one of them: what its transport has not taken. A
    /// paused or unread subscription counts too.
    pub bytes: usize,
    /// Subscriptions that have not got everything yet, the end of the track included.
    pub unfinished: usize,
}

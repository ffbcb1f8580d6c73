//! What comes out of a hub.

use alloc::string::String;
use core::net::IpAddr;

use thiserror::Error;

use crate::{
    id::{ConnId, PeerId},
    refusal::Refusal,
    wire::{Dialect, Kind},
};

/// What the embedder has to do, or may want to know. In this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a text message. To be followed by [`Hub::handle_sent`](crate::Hub::handle_sent) when the
    /// transport has taken it.
    Send {
        /// To whom.
        conn: ConnId,
        /// The message. It may hold secrets of the peers: not for logs.
        text: String,
    },
    /// Ask for a sign of life: a WebSocket ping without payload.
    Ping {
        /// Whom.
        conn: ConnId,
    },
    /// Close the connection. The last of its outputs; what still waits for it is dropped, and what it
    /// still says is ignored.
    Close {
        /// Which.
        conn: ConnId,
        /// Why; the close code is in it.
        reason: CloseReason,
    },
    /// Something happened.
    Event(Event),
}

/// What happened, for logs and metrics. Nothing that peers say to each other is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A connection was let in.
    Connected {
        /// Which.
        conn: ConnId,
        /// From where.
        address: IpAddr,
    },
    /// A connection has an id.
    Registered {
        /// Which.
        conn: ConnId,
        /// The id.
        peer: PeerId,
        /// The form that it speaks.
        dialect: Dialect,
    },
    /// An id is free.
    Unregistered {
        /// Who had it.
        conn: ConnId,
        /// The id.
        peer: PeerId,
    },
    /// A message was put into the queue of its receiver.
    Forwarded {
        /// Who sent it.
        conn: ConnId,
        /// Who gets it.
        to: ConnId,
        /// Of which kind it is.
        kind: Kind,
        /// Its size as the receiver gets it.
        bytes: usize,
    },
    /// A request was not done.
    Refused {
        /// Whose.
        conn: ConnId,
        /// Why.
        refusal: Refusal,
    },
    /// A connection is over, and its ids are free.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why the hub closed it; `None` if the client or the network did.
        reason: Option<CloseReason>,
    },
}

/// Why a hub closes a connection. The message is for the close frame and the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Error)]
pub enum CloseReason {
    /// It said nothing, not even a pong.
    #[error("no sign of life")]
    Idle,
    /// It did not register.
    #[error("not registered in time")]
    NotRegistered,
    /// It does not read what it is sent.
    #[error("messages are not read")]
    SlowReader,
    /// Too many of its requests were refused.
    #[error("too many bad requests")]
    TooManyRefusals,
    /// A message was too long.
    #[error("message too long")]
    TooLarge,
    /// A message is no UTF-8. Found by the embedder.
    #[error("not UTF-8")]
    NotText,
    /// It breaks the rules of the transport. Found by the embedder.
    #[error("not WebSocket")]
    NotWebSocket,
    /// Another connection has shown the token and holds the id now.
    #[error("replaced by a newer connection")]
    Replaced,
    /// The hub stops.
    #[error("the hub shuts down")]
    Shutdown,
}

impl CloseReason {
    /// The code of the WebSocket close frame.
    pub const fn code(self) -> u16 {
        match self {
            Self::Shutdown => 1001,
            Self::NotWebSocket => 1002,
            Self::NotText => 1007,
            Self::Idle | Self::NotRegistered | Self::TooManyRefusals => 1008,
            Self::TooLarge => 1009,
            Self::SlowReader => 1013,
            // Of the range for private use: the client must not come back by itself.
            Self::Replaced => 4001,
        }
    }

    /// One word for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::NotRegistered => "not_registered",
            Self::SlowReader => "slow_reader",
            Self::TooManyRefusals => "too_many_refusals",
            Self::TooLarge => "too_large",
            Self::NotText => "not_text",
            Self::NotWebSocket => "not_websocket",
            Self::Replaced => "replaced",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Why a connection is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConnectRefused {
    /// The hub has all the connections that it may have.
    #[error("the hub is full; try again later")]
    Full,
    /// The address has.
    #[error("there are too many connections from your address; close one first")]
    AddressFull,
    /// The address has connected too often lately.
    #[error("your address connects too often; wait some seconds")]
    TooOften,
    /// The hub stops.
    #[error("the hub shuts down; connect to another one")]
    Shutdown,
}

/// What a hub has and did. Totals count from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Connections now.
    pub connections: usize,
    /// Registered ids now.
    pub peers: usize,
    /// Rooms with somebody in them now.
    pub rooms: usize,
    /// Bytes that wait for clients now, those in the embedder's hands included.
    pub queued_bytes: usize,
    /// Connections that were let in.
    pub connected: u64,
    /// Connections that were not.
    pub turned_away: u64,
    /// Messages that clients sent.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Messages that were given to the embedder to send.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages that were queued for another client.
    pub forwarded: u64,
    /// Requests that were not done.
    pub refused: u64,
    /// Microseconds since the first input.
    pub uptime_micros: u64,
}

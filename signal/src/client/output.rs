//! What goes into a client at its beginning, and what comes out of it.

use alloc::{string::String, vec::Vec};

use thiserror::Error;

use crate::{
    id::Entropy,
    wire::{Candidate, Description, Dialect, Presence, Refused},
};

/// How a client is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientConfig {
    /// The id to be known by. `None` is a random one.
    pub id: Option<String>,
    /// The form to speak.
    pub dialect: Dialect,
    /// Rooms to be in, each time it is registered.
    pub rooms: Vec<String>,
    /// For the id, the secret that goes with it, and the pauses.
    pub entropy: Entropy,
    /// What the clock shows at [`Time::ZERO`](crate::Time::ZERO): microseconds since 1970 began in UTC.
    pub wall_micros: u64,
}

/// What the embedder has to do, or the application to know. In this order.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientOutput {
    /// Connect to the hub; then call [`Client::handle_connected`](crate::Client::handle_connected), or
    /// [`Client::handle_disconnected`](crate::Client::handle_disconnected) if it fails.
    Connect,
    /// Send a text message.
    Send(String),
    /// Close the connection. Nothing is sent on it any more.
    Close,
    /// Something happened.
    Event(ClientEvent),
}

/// What happened.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The client can be reached.
    Registered {
        /// By this id.
        id: String,
    },
    /// The hub does not take the client. If `again`, it will be asked again later; else this was the end.
    NotRegistered {
        /// Why.
        refused: Refused,
        /// Whether the client goes on.
        again: bool,
    },
    /// The connection is lost, and will be made again.
    Disconnected,
    /// Another client has taken the id over. This was the end.
    Replaced,
    /// A peer sent an offer or an answer. An answer comes only when there is an offer for it.
    Description {
        /// Who.
        from: String,
        /// Which.
        description: Description,
    },
    /// A peer makes an offer while one of the client's to it has no answer, and the client has to give
    /// way: it must take its offer back. The peer's offer follows. Where two offers have crossed, the
    /// lesser id gives way; where the client's may be lost, the client does.
    Rollback {
        /// Who.
        peer: String,
    },
    /// A peer sent a candidate. Never before the first description of that peer.
    Candidate {
        /// Who.
        from: String,
        /// Which.
        candidate: Candidate,
    },
    /// A peer sent a data channel's message through the hub.
    Data {
        /// Who.
        from: String,
        /// The label of the channel.
        label: String,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The client is in a room. Told again when it has read too slowly to be told of each change.
    Joined {
        /// Its name.
        room: String,
        /// Who else is there, in place of what was known before.
        peers: Vec<String>,
    },
    /// Somebody came into a room or left it.
    Presence {
        /// Its name.
        room: String,
        /// Who.
        peer: String,
        /// Which of the two.
        state: Presence,
    },
    /// The hub did not do what the client asked.
    Refused(Refused),
}

/// The client cannot be reached now, so nothing can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the client is not registered now; wait until it is")]
pub struct Unregistered;

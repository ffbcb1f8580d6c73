//! What goes into a peer at its beginning, and what comes out of it.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use smoq_signal::{ClientConfig, ClientEvent, Unregistered};
use str0m::config::CryptoProvider;
use thiserror::Error;

use crate::media::Kind;

/// How a peer is set up.
#[derive(Clone)]
pub struct Config {
    /// Who it is at the hub.
    pub signal: ClientConfig,
    /// The cryptography of DTLS.
    pub crypto: Arc<CryptoProvider>,
    /// STUN servers, which tell how the world sees this peer. None is well.
    pub stun: Vec<SocketAddr>,
    /// Of what kinds it has frames. Those of others it takes of each kind, and counts them.
    pub media: Vec<Kind>,
}

/// What is said on a channel. Through the hub both are bytes: what is UTF-8 arrives as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Message {
    /// Text if it can be.
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Binary(error.into_bytes()), Self::Text)
    }
}

/// A data channel. Never used twice by one peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId(pub(crate) u64);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// The offer is out.
    Calling,
    /// Both know of each other, and look for a direct way.
    Connecting,
    /// There is a direct way.
    Direct,
    /// No direct way was found in time, or it is lost: messages go through the hub. If one is found after
    /// all, the call is direct again.
    Hub,
}

/// Why a call is over.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum End {
    /// The other side has ended it.
    #[error("the peer has hung up")]
    HungUp,
    /// The offer was not answered in time.
    #[error("the peer does not answer; is it one that takes calls?")]
    NoAnswer,
    /// The hub does not know the peer, or not any more.
    #[error("nobody has that id at the hub; `peers` lists who is there")]
    Gone,
    /// The peer has begun anew.
    #[error("the peer has started again")]
    Restarted,
    /// It has no direct way, of all such ones this side has been silent in it for longest, and another one
    /// needs its place.
    #[error("it has no direct way, and its place is needed for other calls")]
    Idle,
    /// What the peer offered or answered is of no use.
    #[error("what the peer says of itself cannot be used; is it one for data channels?")]
    BadDescription,
    /// The session cannot go on.
    #[error("the session is broken: {0}")]
    Broken(String),
}

/// Why something that was sent does not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Loss {
    /// The other side has not acknowledged it, and the direct way on which it was is lost.
    #[error("the direct way is lost")]
    Way,
    /// The last channel of its label was closed.
    #[error("the channel is closed")]
    Closed,
    /// The session does not take it.
    #[error("the peer takes no such message; it may be too long for it")]
    Refused,
    /// The call is over.
    #[error("the call is over")]
    Ended,
}

/// What happened.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// Something between this peer and the hub. Never a description, a candidate or data.
    Hub(ClientEvent),
    /// A call has begun, or is further.
    State {
        /// With whom.
        peer: String,
        /// How far it is.
        state: State,
    },
    /// A call is over, with all its channels.
    Ended {
        /// With whom.
        peer: String,
        /// Why.
        end: End,
    },
    /// A channel can be used.
    Opened {
        /// With whom.
        peer: String,
        /// Which.
        channel: ChannelId,
        /// Its name.
        label: String,
        /// What is spoken on it; empty for messages.
        protocol: String,
    },
    /// A channel is over, while its call goes on.
    Closed {
        /// With whom.
        peer: String,
        /// Which.
        channel: ChannelId,
        /// Its name.
        label: String,
        /// What was spoken on it.
        protocol: String,
    },
    /// Something that was sent by [`Peer::send`](crate::Peer::send) may not have arrived, and is not sent again.
    Lost {
        /// To whom.
        peer: String,
        /// How much of it, at most.
        bytes: usize,
        /// Why.
        loss: Loss,
    },
    /// The other side takes frames of a kind. Told again when a direct way is found again.
    Media {
        /// With whom.
        peer: String,
        /// Of which.
        kind: Kind,
    },
    /// A message came.
    Message {
        /// From whom.
        peer: String,
        /// On which channel; `None` if it came through the hub.
        channel: Option<ChannelId>,
        /// The name of the channel.
        label: String,
        /// What is spoken on the channel; empty through the hub.
        protocol: String,
        /// What it says.
        message: Message,
    },
    /// A channel that had no room may have some now.
    Writable {
        /// Which.
        channel: ChannelId,
    },
}

/// What the embedder has to do, or the application to know. In this order.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect to the hub; then call [`Peer::handle_hub_connected`](crate::Peer::handle_hub_connected), or
    /// [`Peer::handle_hub_disconnected`](crate::Peer::handle_hub_disconnected) if it fails.
    Connect,
    /// Send a text message to the hub.
    Send(String),
    /// Close the connection to the hub.
    Close,
    /// Send a datagram.
    Transmit {
        /// From which of the sockets.
        socket: SocketAddr,
        /// To whom.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// Something happened.
    Event(Event),
}

/// Why a peer cannot be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CallError {
    /// The hub is not there.
    #[error(transparent)]
    Unregistered(#[from] Unregistered),
    /// It is this peer itself.
    #[error("this is your own id; give that of another peer")]
    Oneself,
    /// There is a call already.
    #[error("there is a call with this peer already; `list` shows it")]
    Already,
    /// There are too many calls.
    #[error("there are {most} calls, and no more are possible; `hangup` ends one")]
    Full {
        /// How many are possible.
        most: usize,
    },
}

/// Why nothing was sent, or no channel was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SendError {
    /// There is no call.
    #[error("there is no call with this peer; `offer` begins one")]
    NoCall,
    /// There is no such channel.
    #[error("there is no such channel; `channel` opens one")]
    NoChannel,
    /// The call has too many channels.
    #[error("the call has {most} channels, and no more are possible")]
    TooManyChannels {
        /// How many are possible.
        most: usize,
    },
    /// The message has nothing in it, which the session cannot carry.
    #[error("an empty message cannot be sent")]
    Empty,
    /// The message or the name of the channel is too long.
    #[error("it has {bytes} bytes; at most {most} are possible")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// Too much waits.
    #[error("too much waits for the peer; send it again later")]
    Full,
    /// There is only the way through the hub, and that is not there.
    #[error(transparent)]
    Unregistered(#[from] Unregistered),
}

/// What is known of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    /// How far it is.
    pub state: State,
    /// Messages sent, by either way.
    pub messages_sent: u64,
    /// Messages received, by either way.
    pub messages_received: u64,
    /// Bytes that str0m has sent on the direct way, without STUN.
    pub bytes_sent: u64,
    /// Bytes that str0m has received on it.
    pub bytes_received: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// How long a STUN request and its answer took last.
    pub round_trip: Option<Duration>,
    /// The direct way: this end and the other.
    pub path: Option<(SocketAddr, SocketAddr)>,
}

/// What is known of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// Which.
    pub id: ChannelId,
    /// Its name.
    pub label: String,
    /// What is spoken on it; empty for messages.
    pub protocol: String,
    /// Whether it can be used.
    pub open: bool,
}

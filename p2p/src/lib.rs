//! WebRTC peers with data channels, sound and pictures as a value: what the hub says, datagrams and the time go in; what to say
//! to the hub, datagrams and events come out.
//!
//! A [`Peer`] is a client of a signalling hub and any number of calls. It finds a direct way to each peer
//! (host and server-reflexive candidates, told as they are found) and sends messages through the hub where
//! there is none. The sessions themselves (ICE, DTLS, SCTP) are [`str0m`]'s. Whoever embeds it has the
//! sockets, and the cryptography: any `CryptoProvider` of str0m.
//!
//! [`mod@file`] has what is said on a channel that carries a file.
#![forbid(unsafe_code)]

mod call;
mod channels;
mod clock;
pub mod file;
mod gather;
mod media;
mod output;
mod peer;
mod random;
mod rate;
mod stun;

pub use channels::{MOST_LABEL, MOST_MESSAGE};
pub use media::{Frame, Kind};
pub use output::{
    CallError, Channel, ChannelId, Config, End, Event, Loss, Message, Output, SendError, State,
    Stats,
};
pub use peer::{CHAT, Peer};
pub use smoq_signal::{self as signal, Time};
pub use str0m::config::CryptoProvider;

//! What an embedder decides when it makes a node or adds a session.

use alloc::string::String;
use core::{fmt, time::Duration};

use crate::{
    Limits, Path, Version,
    wire::{GroupOrder, Hop},
};

/// How a [`Node`](crate::Node) is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's identity in hop lists. A relay needs one that stays the same over its life (loop
    /// checks compare it); a plain client may leave it [`Hop::UNKNOWN`].
    pub hop: Hop,
    /// Seed of the ids that the node invents for peers that name no hop. Any number; the same seed
    /// and inputs give the same outputs.
    pub seed: u64,
    /// Bounds on what peers can make the node keep.
    pub limits: Limits,
    /// How long a track whose source was lost with a relay on the way, and to which somebody subscribes, may
    /// lack another source, which is taken as soon as there is one: what is held stays, and what was on its way is
    /// lost. Then its subscriptions fail. Zero, the default: at once, as suits a node with one
    /// session. A relay in a cluster had better wait for half a minute.
    pub rejoin: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let (limits, rejoin) = (Limits::default(), Duration::ZERO);
        Self { hop: Hop::UNKNOWN, seed: 0, limits, rejoin }
    }
}

/// Which end opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This node dialed.
    Client,
    /// The peer dialed.
    Server,
}

/// What lies between the node and UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// QUIC streams directly. The request path travels in SETUP, from moq-lite-05 on.
    Raw,
    /// WebTransport. The request path has travelled in CONNECT.
    WebTransport,
    /// A [`Link`](crate::Link) to another node of the same process, which stands for the same server.
    /// What one link announces is not announced over another: where every node has a link to every
    /// other one, each hears of it from where it is. How much is announced is bounded where it comes in.
    Link,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "QUIC",
            Self::WebTransport => "WebTransport",
            Self::Link => "link",
        })
    }
}

/// Who decides whether a peer may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// Everybody may publish and subscribe, rooted at the request path.
    Open,
    /// The embedder: [`Event::Request`](crate::Event::Request) asks, [`Node::grant`](crate::Node::grant)
    /// or [`Node::close`](crate::Node::close) answers. Until then nothing of the peer's is acted upon.
    Ask,
}

/// What the node asks its peer to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discover {
    /// All broadcasts, at once: what a relay does.
    Everything,
    /// The prefixes that [`Node::watch`](crate::Node::watch) names: what a client does.
    OnDemand,
}

/// How a session is added to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Which end opened the connection.
    pub side: Side,
    /// The version that both ends agreed on, by ALPN or WebTransport protocol.
    pub version: Version,
    /// What carries the streams.
    pub carrier: Carrier,
    /// Whether datagrams go both ways: the peer has said that it takes them, and the transport's
    /// [`datagram_room`](crate::binding::Transport::datagram_room) tells how large they may be. What a
    /// peer without them is to get of such groups goes on streams.
    pub datagrams: bool,
    /// The request path with its query, as in the URL: `/room?jwt=x`. A client says where it wants to
    /// go; a server says what the carrier told, and leaves it empty on raw QUIC.
    pub path: String,
    /// Who decides whether the peer may come in.
    pub admission: Admission,
    /// What the node asks the peer to announce.
    pub discover: Discover,
    /// What the peer of a client's session may do, and where. A client that subscribes under the names
    /// that it publishes under itself gives the two directions different places, since its node knows
    /// each path once. The peer of a server's session gets its grant by [`Admission`] instead.
    pub grant: Grant,
    /// The price of this connection: what is added to the cost of every broadcast that the peer announces
    /// (draft, "Cost Parameter"). It is in units that the operators of a cluster agree on, from 0, which is
    /// free, to 2^62-1, for which more is taken. A client's is said to the server too (SETUP, 05 on), which
    /// charges the same unless it has one of its own. `None`: what the peer says, else 1.
    pub cost: Option<u64>,
}

impl SessionConfig {
    /// A client's session without datagrams, which discovers on demand and trusts its server.
    pub fn client(version: Version, carrier: Carrier, path: impl Into<String>) -> Self {
        Self {
            side: Side::Client,
            version,
            carrier,
            datagrams: false,
            path: path.into(),
            admission: Admission::Open,
            discover: Discover::OnDemand,
            grant: Grant::all(Path::root()),
            cost: None,
        }
    }

    /// A server's session without datagrams, open to everybody, which asks for all announcements.
    pub fn server(version: Version, carrier: Carrier, path: impl Into<String>) -> Self {
        Self {
            side: Side::Server,
            version,
            carrier,
            datagrams: false,
            path: path.into(),
            admission: Admission::Open,
            discover: Discover::Everything,
            grant: Grant::all(Path::root()),
            cost: None,
        }
    }
}

/// What a peer may do, and where in the node's namespace. Paths on the wire are relative to these two,
/// each in its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What the peer announces and serves lies below this path; `None` if it may not publish.
    pub publish: Option<Path>,
    /// What the peer discovers and subscribes to lies below this path; `None` if it may not subscribe.
    pub subscribe: Option<Path>,
}

impl Grant {
    /// Publishing and subscribing below `root`.
    pub fn all(root: Path) -> Self {
        Self { publish: Some(root.clone()), subscribe: Some(root) }
    }
}

/// The first group of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Start {
    /// The newest group there is.
    #[default]
    Latest,
    /// This group, or the oldest one held if that is newer. `From(0)` is everything held.
    From(u64),
    /// The oldest group that the subscription's maximum age still reaches, but none before `floor`:
    /// how moq-lite-06 asks. Earlier versions, which cannot say this, are asked for the latest.
    Aged {
        /// Lowest group sequence wanted.
        floor: u64,
    },
}

/// What a subscriber asks for. Can be changed while it runs, except for `start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// 0 to 255; a higher one is sent first. The publisher's own ([`TrackInfo::priority`]) is for ties.
    ///
    /// [`TrackInfo::priority`]: crate::wire::TrackInfo::priority
    pub priority: u8,
    /// How far behind the newest frame a group may reach before a publisher whose connection is too slow
    /// gives it up. At most the publisher's own age of the track counts. What can be sent at once is
    /// sent, however old. [`Duration::MAX`] is lossless as far as the publisher's store and age reach.
    pub max_age: Duration,
    /// Which of several unsent groups is sent first. Sent to peers up to moq-lite-05.
    pub order: GroupOrder,
    /// Where to begin.
    pub start: Start,
    /// Last group wanted (inclusive), `None` for no end. The publisher pauses there; raising it
    /// resumes.
    pub end: Option<u64>,
}

impl Default for SubscribeOptions {
    /// A live viewer: priority 127, from the latest group on, newest first, nothing stale.
    fn default() -> Self {
        Self {
            priority: 127,
            max_age: Duration::ZERO,
            order: GroupOrder::NewestFirst,
            start: Start::Latest,
            end: None,
        }
    }
}

//! What an embedder decides when it makes an endpoint or dials.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn_proto as quic;
use smoq_core::{Admission, Carrier, Discover, Grant, Path, Version};

use crate::{ServerTls, web::Web};

/// How an [`Endpoint`](crate::Endpoint) is made.
#[derive(Clone, Debug, Default)]
pub struct EndpointConfig {
    /// How its node is made.
    pub node: smoq_core::Config,
    /// Whether and how connections are accepted. `None` for an endpoint that only dials.
    pub server: Option<ServerConfig>,
    /// QUIC parameters, for both directions.
    pub transport: TransportOptions,
    /// Where all randomness of the QUIC layer comes from; TLS keys and nonces stay random, which does
    /// not change sizes or times. `None` asks the operating system, which is right outside of tests
    /// and simulations.
    pub seed: Option<[u8; 32]>,
    /// Which shard of a server it is, if that has several. All of them have the same `seed` then, or a
    /// peer whose address changes is told by the wrong one that its connection does not exist.
    pub shard: Option<Shard>,
    /// Whether to record what goes into the node, and how many bytes at most. What was recorded is taken
    /// out by [`Recorder::take_recording`](smoq_tape::Recorder::take_recording).
    pub record: Option<u64>,
}

/// One of several endpoints that serve one address, each on a socket of its own (SO_REUSEPORT).
///
/// The last byte of a connection id is the index of its shard, so that a datagram which the system gave
/// to another one finds its way. Whoever sees the datagrams learns from it on which shard a connection
/// is, and so that two connections of one server are on different ones; the other 56 bits stay random,
/// and two ids of one connection cannot be linked by them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// Which one, below `count`.
    pub index: u8,
    /// How many there are.
    pub count: u8,
}

/// How connections are accepted.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Certificate and key.
    pub tls: ServerTls,
    /// What to speak, most wanted first. The first one that the client offers too is chosen.
    pub versions: Vec<Version>,
    /// What may lie between the streams and UDP, most wanted first. WebTransport needs the feature `h3`.
    pub carriers: Vec<Carrier>,
    /// Who decides whether a peer may come in.
    pub admission: Admission,
    /// What peers are asked to announce.
    pub discover: Discover,
    /// Connections that may be in their handshake at a time. From half of it on, peers have to prove
    /// their address first (Retry); at the limit they get no answer, so that they try again. Default
    /// 1000: a second of handshakes on one core.
    pub max_handshakes: usize,
    /// Connections at a time, those that end included. At the limit new ones are refused. Default
    /// 20,000: far above what one core was measured with; it bounds what peers can make it hold.
    pub max_connections: usize,
}

impl ServerConfig {
    /// A server open to everybody, which speaks every version over raw QUIC and, with the feature `h3`,
    /// over WebTransport, and asks for all announcements.
    pub fn new(tls: ServerTls) -> Self {
        let mut carriers = vec![Carrier::Raw];
        if Web::AVAILABLE {
            carriers.push(Carrier::WebTransport);
        }
        Self {
            tls,
            versions: Version::ALL.to_vec(),
            carriers,
            admission: Admission::Open,
            discover: Discover::Everything,
            max_handshakes: 1000,
            max_connections: 20_000,
        }
    }
}

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The server's addresses, as resolved. They are raced; see [`Endpoint::connect`](crate::Endpoint::connect).
    pub addresses: Vec<SocketAddr>,
    /// The name that the server's certificate has to be for: a DNS name or an IP address, without the
    /// brackets that an URL puts around IPv6.
    pub host: String,
    /// What to offer, most wanted first. The server chooses.
    pub versions: Vec<Version>,
    /// What lies between the streams and UDP.
    pub carrier: Carrier,
    /// The request path with its query, as in the URL: `/room?jwt=x`. On raw QUIC it travels from
    /// moq-lite-05 on, on WebTransport always.
    pub path: String,
    /// What to ask the server to announce.
    pub discover: Discover,
    /// What the server may do, and where in the node.
    pub grant: Grant,
    /// The price of the connection; see [`SessionConfig::cost`](smoq_core::SessionConfig::cost).
    pub cost: Option<u64>,
}

impl Target {
    /// A client's target: every version on raw QUIC, discovering on demand.
    pub fn new(
        addresses: Vec<SocketAddr>,
        host: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        Self {
            addresses,
            host: host.into(),
            versions: Version::ALL.to_vec(),
            carrier: Carrier::Raw,
            path: path.into(),
            discover: Discover::OnDemand,
            grant: Grant::all(Path::root()),
            cost: None,
        }
    }
}

/// How many streams of one direction a peer may have open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slots {
    /// At first. quinn-proto allocates an entry for every stream that is allowed, used or not, so a
    /// server with many quiet viewers wants few.
    pub initial: u32,
    /// At most. The number allowed doubles whenever half of it is in use, and never falls.
    pub max: u32,
}

/// How fast to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Congestion {
    /// CUBIC (RFC 9438): fair to everything else, fills the buffers on the way. The default.
    #[default]
    Cubic,
    /// NewReno (RFC 9002).
    NewReno,
    /// BBR version 1, marked experimental by quinn-proto. Peers that ask how fast the connection is (PROBE) are
    /// told too much: its window is about two round trips long, and much shorter now and then.
    Bbr,
}

/// QUIC parameters. The defaults are for live media; each has its reason beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransportOptions {
    /// A connection without a packet for so long is lost. The lower value of both peers counts.
    /// Default 10 s: a viewer looks for another source by then.
    pub idle_timeout: Duration,
    /// A quiet connection sends a ping so often. Default 3 s: three may get lost.
    pub keep_alive: Duration,
    /// A handshake takes at most so long, over all addresses of a target. Default 5 s.
    pub handshake_timeout: Duration,
    /// The next address of a target is tried so long after the one before. Default 250 ms (RFC 8305,
    /// section 5).
    pub address_delay: Duration,
    /// Unidirectional streams of the peer: SETUP and groups. Default 16, up to 4096.
    pub uni_streams: Slots,
    /// Bidirectional streams of the peer: one per subscription and announce prefix. Default 16, up to
    /// 1024.
    pub bidi_streams: Slots,
    /// Bytes of one stream that the peer may have under way. Default 4 MiB: 160 Mbit/s at a round trip
    /// of 200 ms. What arrives in order is read at once, so this bounds gaps, not queues, unless reading
    /// is paused.
    pub stream_receive_window: u32,
    /// The same over all streams of a connection. Default 16 MiB.
    pub receive_window: u32,
    /// Bytes of datagrams waiting to be read. Default 64 KiB; what is beyond replaces the oldest.
    pub datagram_buffer: usize,
    /// UDP payload that is assumed to pass at first. Default 1200, the least that QUIC works with.
    pub initial_mtu: u16,
    /// Whether larger packets are tried (RFC 8899). Default true. It needs a socket that never
    /// fragments.
    pub mtu_discovery: bool,
    /// How fast to send.
    pub congestion: Congestion,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            address_delay: Duration::from_millis(250),
            uni_streams: Slots { initial: 16, max: 4096 },
            bidi_streams: Slots { initial: 16, max: 1024 },
            stream_receive_window: 4 << 20,
            receive_window: 16 << 20,
            datagram_buffer: 64 << 10,
            initial_mtu: 1200,
            mtu_discovery: true,
            congestion: Congestion::Cubic,
        }
    }
}

/// Bytes that may wait for their acknowledgement. They are shared with the store, so this bounds
/// bookkeeping rather than payload: 1.2 Gbit/s at a round trip of 200 ms.
const SEND_WINDOW: u64 = 32 << 20;

/// Bytes of datagrams that may wait to be sent: more than [`Pace`](crate::pace::Pace) gives at a time, so that
/// none is dropped there. quinn-proto counts each with some 40 bytes more.
const DATAGRAMS: usize = 1 << 20;

/// Packets that a peer may receive without saying so at once, where it knows how to be asked
/// (draft-ietf-quic-ack-frequency). By default every second one is acknowledged, and half of what a relay
/// does is to read that. Few enough that the smallest initial window (10 packets) is heard of twice.
const UNACKNOWLEDGED: u32 = 4;

impl TransportOptions {
    pub(crate) fn build(&self) -> Arc<quic::TransportConfig> {
        let idle = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        let mut acks = quic::AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(UNACKNOWLEDGED.into());
        let mut config = quic::TransportConfig::default();
        config
            .ack_frequency_config(Some(acks))
            .max_idle_timeout(Some(quic::VarInt::from_u32(idle).into()))
            .keep_alive_interval(Some(self.keep_alive))
            .max_concurrent_uni_streams(self.uni_streams.initial.into())
            .max_concurrent_bidi_streams(self.bidi_streams.initial.into())
            .stream_receive_window(self.stream_receive_window.into())
            .receive_window(self.receive_window.into())
            .send_window(SEND_WINDOW)
            // With this off quinn-proto would finish a stream that it began before it looks at a more
            // urgent one. Streams of one priority take turns then, but core gives few the same.
            .send_fairness(true)
            .datagram_receive_buffer_size(Some(self.datagram_buffer))
            .datagram_send_buffer_size(DATAGRAMS)
            .initial_mtu(self.initial_mtu);
        if !self.mtu_discovery {
            config.mtu_discovery_config(None);
        }
        match self.congestion {
            Congestion::Cubic => {}
            Congestion::NewReno => {
                config.congestion_controller_factory(Arc::new(
                    quic::congestion::NewRenoConfig::default(),
                ));
            }
            Congestion::Bbr => {
                config.congestion_controller_factory(Arc::new(
                    quic::congestion::BbrConfig::default(),
                ));
            }
        }
        Arc::new(config)
    }
}

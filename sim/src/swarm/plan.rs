//! What a seed draws: who is there, what they do, and what goes wrong.

use std::{fmt, time::Duration};

use smoq_core::{Limits, Version};

use crate::{LinkConfig, Rng, actors::Ending, packets::Air};

/// How much nodes may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// The limits of a server.
    Plenty,
    /// A small store and little patience.
    Tight,
    /// Almost nothing, so that honest peers pass the limits: only safety can be asked for.
    Starved,
}

impl Room {
    pub(super) fn limits(self) -> Limits {
        match self {
            Self::Plenty => Limits::default(),
            Self::Tight => Limits {
                store_bytes: 1_000_000,
                store_age: Duration::from_secs(2),
                group_bytes: 16_000,
                reorder: 1,
                request_timeout: Duration::from_secs(3),
                stall_timeout: Duration::from_secs(6),
                ..Limits::default()
            },
            Self::Starved => Limits {
                store_bytes: 20_000,
                store_age: Duration::from_secs(2),
                group_bytes: 3000,
                group_frames: 4,
                message_bytes: 200,
                session_buffer: 600,
                peer_streams: 6,
                announcements: 2,
                announce_requests: 1,
                reorder: 1,
                violations: 4,
                opening_timeout: Duration::from_secs(3),
                request_timeout: Duration::from_secs(3),
                wanted: 4,
                wanted_timeout: Duration::from_secs(2),
                stall_timeout: Duration::from_secs(4),
            },
        }
    }
}

/// An end user: which relay it dials, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) relay: usize,
    pub(super) version: Version,
}

/// Something that happens. Who is not there any more does nothing: acts can be left out one by one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Group {
        publisher: usize,
        frames: u64,
        size: u64,
        ending: Ending,
    },
    /// The track ends.
    Finish {
        publisher: usize,
    },
    /// The broadcast ends and begins anew.
    Republish {
        publisher: usize,
    },
    Subscribe {
        viewer: usize,
        path: usize,
        start: u64,
        lossless: bool,
        priority: u8,
    },
    Unsubscribe {
        viewer: usize,
        path: usize,
    },
    Update {
        viewer: usize,
        path: usize,
        priority: u8,
    },
    /// The application does not read for a while.
    SlowReader {
        viewer: usize,
        millis: u64,
    },
    /// A connection is lost, and dialed again.
    Cut {
        link: usize,
    },
    /// A stream is reset; where there are only packets, the address of a client changes.
    Disturb {
        link: usize,
        pick: u64,
    },
    /// One end sends nothing for a while.
    Stall {
        link: usize,
        server: bool,
        millis: u64,
    },
    /// The socket of one end takes almost nothing for a while.
    FullSocket {
        link: usize,
        server: bool,
        millis: u64,
    },
    /// A node dies and comes back.
    Crash {
        host: usize,
        millis: u64,
    },
}

/// What lies between the nodes.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Network {
    /// Streams that a network of ours carries.
    Streams(LinkConfig),
    /// QUIC with its TLS, whose packets a network of ours carries.
    Packets(Air),
}

impl Network {
    /// One of the same kind with nothing odd about it.
    pub(super) fn plain(&self) -> Self {
        match self {
            Self::Streams(_) => Self::Streams(LinkConfig::default()),
            Self::Packets(_) => Self::Packets(Air::default()),
        }
    }

    fn streams(rng: &mut Rng) -> Self {
        Self::Streams(LinkConfig {
            latency: Duration::from_millis([0, 1, 5, 40][rng.below(4) as usize]),
            jitter: Duration::from_millis([0, 1, 10, 60][rng.below(4) as usize]),
            rate: [None, None, Some(500_000), Some(60_000)][rng.below(4) as usize],
            window: [256 << 10, 256 << 10, 4000][rng.below(3) as usize],
            stream_window: [64 << 10, 64 << 10, 700][rng.below(3) as usize],
            streams: [100, 100, 10][rng.below(3) as usize],
            piece: [1200, 1200, 200, 20][rng.below(4) as usize],
            partial: [0, 10, 40][rng.below(3) as usize],
            ..LinkConfig::default()
        })
    }
}

/// A world and its story, as data.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) seed: u64,
    pub(super) relays: usize,
    /// The last relay dials the first one too.
    pub(super) ring: bool,
    /// Spoken between relays.
    pub(super) between: Version,
    pub(super) publishers: Vec<Client>,
    /// Publishers beyond so many share the paths of the first ones.
    pub(super) paths: usize,
    pub(super) viewers: Vec<Client>,
    pub(super) hostile: Option<Client>,
    pub(super) room: Room,
    pub(super) network: Network,
    /// Milliseconds from the beginning, in order.
    pub(super) acts: Vec<(u64, Act)>,
}

/// How long the phase with faults lasts.
pub(super) const CHAOS: u64 = 8_000;

impl Plan {
    /// The plan of a seed at the depth of streams: nodes over a network that knows streams.
    pub fn draw(seed: u64) -> Self {
        Self::draw_with(seed, Rng::new(seed, 1 << 32), Network::streams)
    }

    /// A plan that follows from bytes, a bit of it from each two of them. What they do not say is drawn.
    pub fn chosen(bytes: &[u8]) -> Self {
        let mut rng = Rng::chosen(bytes);
        Self::draw_with(rng.next(), rng, Network::streams)
    }

    /// The same with a publisher, a viewer and the relay between them.
    pub fn with_two_sessions(mut self) -> Self {
        (self.relays, self.ring, self.hostile, self.paths) = (1, false, None, 1);
        for clients in [&mut self.publishers, &mut self.viewers] {
            clients.truncate(1);
            clients.iter_mut().for_each(|client| client.relay = 0);
        }
        self
    }

    /// The same with a hostile peer.
    pub fn with_hostile(mut self) -> Self {
        self.hostile.get_or_insert(self.publishers[0]);
        self
    }

    /// The plan of a seed at the depth of packets: endpoints with QUIC and TLS over a network that knows
    /// datagrams. Nobody in it can say what no endpoint says, but strangers may send what they have heard.
    pub fn draw_packets(seed: u64) -> Self {
        let air = |rng: &mut Rng| Network::Packets(Air::draw(rng));
        Self { hostile: None, ..Self::draw_with(seed, Rng::new(seed, 1 << 34), air) }
    }

    fn draw_with(seed: u64, mut rng: Rng, network: impl FnOnce(&mut Rng) -> Network) -> Self {
        let rng = &mut rng;
        let relays = 1 + rng.below(3) as usize;
        let fixed = rng.chance(60).then(|| version(rng));
        let client = |rng: &mut Rng| Client {
            relay: rng.below(relays as u64) as usize,
            version: fixed.unwrap_or_else(|| version(rng)),
        };
        let publishers: Vec<_> = (0..1 + rng.below(3)).map(|_| client(rng)).collect();
        let viewers = (0..1 + rng.below(3)).map(|_| client(rng)).collect();
        let hostile = rng.chance(25).then(|| client(rng));
        let paths = if rng.chance(20) { 1 } else { publishers.len() };
        let room = match rng.below(10) {
            0..=5 => Room::Plenty,
            6..=7 => Room::Tight,
            _ => Room::Starved,
        };
        let network = network(rng);
        let between = fixed.unwrap_or_else(|| version(rng));
        let mut plan = Self {
            seed,
            relays,
            // 03 has no hop ids: there a ring can be left with subscriptions that wait for each other.
            ring: relays == 3 && rng.chance(50) && between.has_hop_ids(),
            between,
            publishers,
            paths,
            viewers,
            hostile,
            room,
            network,
            acts: Vec::new(),
        };
        // Each kind of fault is there or not, so that every mixture of few is met.
        let faults: Vec<bool> = (0..7).map(|_| rng.chance(35)).collect();
        let count = 20 + rng.below(50);
        for _ in 0..count {
            let at = rng.below(CHAOS);
            if let Some(act) = plan.act(rng, &faults) {
                plan.acts.push((at, act));
            }
        }
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    pub(super) fn links(&self) -> usize {
        let between = self.relays - 1 + usize::from(self.ring);
        between + self.publishers.len() + self.viewers.len() + usize::from(self.hostile.is_some())
    }

    fn act(&self, rng: &mut Rng, faults: &[bool]) -> Option<Act> {
        let below = |rng: &mut Rng, count: usize| rng.below(count as u64) as usize;
        let publisher = below(rng, self.publishers.len());
        let (viewer, path) = (below(rng, self.viewers.len()), below(rng, self.paths));
        let link = below(rng, self.links());
        let millis = 100 + rng.below(5000);
        let server = rng.chance(50);
        let priority = rng.below(256) as u8;
        Some(match rng.below(30) {
            0..=11 => Act::Group {
                publisher,
                frames: rng.below(7),
                size: [0, 1, 20, 300, 1500][rng.below(5) as usize],
                ending: match rng.below(8) {
                    0 => Ending::CutOff(rng.below(100) as u16),
                    1 => Ending::Open,
                    _ => Ending::Complete,
                },
            },
            12 => Act::Finish { publisher },
            13 => Act::Republish { publisher },
            14..=17 => Act::Subscribe {
                viewer,
                path,
                start: rng.below(4),
                lossless: rng.chance(60),
                priority,
            },
            18 => Act::Unsubscribe { viewer, path },
            19 => Act::Update { viewer, path, priority },
            20 if faults[0] => Act::SlowReader { viewer, millis },
            21 if faults[1] => Act::Cut { link },
            22..=23 if faults[2] => Act::Disturb { link, pick: rng.next() },
            24 if faults[3] => Act::Stall { link, server, millis },
            25 if faults[4] => Act::FullSocket { link, server, millis },
            26 if faults[5] => {
                let clients = self.publishers.len() + self.viewers.len();
                Act::Crash { host: self.relays + below(rng, clients), millis }
            }
            27 if faults[6] => Act::Crash { host: below(rng, self.relays), millis },
            _ => return None,
        })
    }
}

fn version(rng: &mut Rng) -> Version {
    Version::ALL[rng.below(Version::ALL.len() as u64) as usize]
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = if self.ring { "in a ring" } else { "in a row" };
        writeln!(
            f,
            "seed {}: {} relays {shape}, {} between them",
            self.seed, self.relays, self.between
        )?;
        let clients = |f: &mut fmt::Formatter<'_>, name: &str, clients: &[Client]| {
            clients.iter().enumerate().try_for_each(|(index, Client { relay, version })| {
                writeln!(f, "  {name}{index} dials relay{relay} with {version}")
            })
        };
        clients(f, "publisher", &self.publishers)?;
        clients(f, "viewer", &self.viewers)?;
        clients(f, "hostile", self.hostile.as_slice())?;
        writeln!(f, "  {} paths, limits: {:?}, {:?}", self.paths, self.room, self.network)?;
        self.acts.iter().try_for_each(|(at, act)| writeln!(f, "  {at:>6} ms  {act:?}"))
    }
}

//! A certificate, and a world of endpoints and links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use smoq_core::{
    Carrier, ClosedBy, Event as Core, Id, Session, Side, Time, Version,
    wire::{Hop, SessionCode},
};
use smoq_tape::Recorder;

use crate::{
    ClientTls, ConnectError, ConnectId, Endpoint, EndpointConfig, Event, ServerConfig, ServerTls,
    Shard, Target, Trust, fingerprint,
};

pub(super) const CLIENT: SocketAddr = v4(1);
pub(super) const SERVER: SocketAddr = v4(2);

/// All that this build has.
pub(super) const CARRIERS: &[Carrier] = &[
    Carrier::Raw,
    #[cfg(feature = "h3")]
    Carrier::WebTransport,
];

/// The host with this number.
pub(super) const fn v4(host: u8) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 4443))
}

/// A self-signed certificate and its key. Ed25519 signatures always have the same length, which keeps
/// runs alike.
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) fn new(names: &[&str]) -> Self {
        Self::valid_until(names, 2200)
    }

    pub(super) fn valid_until(names: &[&str], year: i32) -> Self {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from(1));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.der().clone(), key: key.into() }
    }

    pub(super) fn server_tls(&self) -> ServerTls {
        ServerTls::new(vec![self.certificate.clone()], self.key.clone_key()).unwrap()
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }
}

/// A client that trusts whom `trust` says.
pub(super) fn client_tls(trust: Trust) -> ClientTls {
    ClientTls::new(trust).unwrap()
}

/// What a link does to datagrams.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) latency: Duration,
    /// Bytes per second of each sender, and how many may wait for their turn. `None` is no limit.
    pub(super) rate: Option<(u64, u64)>,
    /// Every so many datagrams one is lost. 0 for none.
    pub(super) lose_every: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: Duration::from_millis(10), rate: None, lose_every: 0 }
    }
}

pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    pub(super) events: Vec<Event>,
    /// When its line is free again.
    line: Instant,
}

enum Arrival {
    Datagram { from: SocketAddr, to: SocketAddr, ecn: u8, data: BytesMut },
    Unreachable { from: SocketAddr, to: SocketAddr },
}

/// Endpoints in virtual time. Same hosts and calls, same trace.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) link: Link,
    pub(super) hosts: BTreeMap<SocketAddr, Host>,
    /// Addresses where ICMP answers. All other ones without a host are silent.
    pub(super) closed: BTreeSet<SocketAddr>,
    /// Hosts that are the shards of one server, in order.
    shards: Vec<SocketAddr>,
    /// The other ends of links between them.
    links: BTreeMap<(usize, Id<Session>), (usize, Id<Session>)>,
    /// Datagrams that one shard handed to another.
    pub(super) handed_over: usize,
    /// How the client looks from outside, and the host that what it sends arrives at.
    pub(super) moved: Option<(SocketAddr, SocketAddr)>,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    sent: u64,
    /// When, from where to where, how many bytes: everything that was sent.
    pub(super) trace: Vec<(Duration, SocketAddr, SocketAddr, usize)>,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            link: Link::default(),
            hosts: BTreeMap::new(),
            closed: BTreeSet::new(),
            shards: Vec::new(),
            links: BTreeMap::new(),
            handed_over: 0,
            moved: None,
            arrivals: BTreeMap::new(),
            sent: 0,
            trace: Vec::new(),
        }
    }

    /// A world with a client and a server that shows `identity`.
    pub(super) fn pair(identity: &Identity) -> Self {
        let mut world = Self::new();
        world.add(CLIENT, EndpointConfig::default());
        world.add_server(SERVER, identity);
        world
    }

    pub(super) fn add_server(&mut self, at: SocketAddr, identity: &Identity) {
        let server = Some(ServerConfig::new(identity.server_tls()));
        self.add(at, EndpointConfig { server, ..EndpointConfig::default() });
    }

    /// Adds hosts that are shards of one server, each linked to each.
    pub(super) fn add_shards(&mut self, at: &[SocketAddr], identity: &Identity) {
        for (index, address) in (0..).zip(at) {
            let server = Some(ServerConfig::new(identity.server_tls()));
            let shard = Some(Shard { index, count: at.len() as u8 });
            let hop = Hop::new(u64::from(index) + 1).unwrap();
            let node = smoq_core::Config { hop, seed: index.into(), ..Default::default() };
            let seed = Some([77; 32]);
            self.add(*address, EndpointConfig { node, server, shard, seed, ..Default::default() });
        }
        self.shards = at.to_vec();
        let now = self.now;
        for one in 0..at.len() {
            for other in 0..one {
                let a = self.host(at[one]).endpoint.add_link(now, Side::Client);
                let b = self.host(at[other]).endpoint.add_link(now, Side::Server);
                self.links.insert((one, a), (other, b));
                self.links.insert((other, b), (one, a));
            }
        }
    }

    /// Carries over what shards have for each other. Says whether there was anything.
    fn hand_over(&mut self) -> bool {
        let now = self.now;
        let mut any = false;
        for from in 0..self.shards.len() {
            let endpoint = &mut self.hosts.get_mut(&self.shards[from]).unwrap().endpoint;
            let batches: Vec<_> = std::iter::from_fn(|| endpoint.poll_link(now)).collect();
            let strays: Vec<_> = std::iter::from_fn(|| endpoint.poll_misdirected()).collect();
            any |= !batches.is_empty() || !strays.is_empty();
            for (session, batch) in batches {
                let (to, session) = self.links[&(from, session)];
                let to = self.shards[to];
                self.host(to).endpoint.handle_link(now, session, batch);
            }
            for datagram in strays {
                self.handed_over += 1;
                let to = self.shards[usize::from(datagram.shard)];
                self.host(to).endpoint.handle_misdirected(now, datagram);
            }
        }
        any
    }

    /// Adds a host. Its seed follows from its address unless the configuration has one.
    pub(super) fn add(&mut self, at: SocketAddr, mut config: EndpointConfig) {
        let IpAddr::V4(ip) = at.ip() else { panic!("hosts have IPv4 addresses here") };
        config.seed.get_or_insert([ip.octets()[3]; 32]);
        let endpoint = Endpoint::new(config, self.now);
        self.hosts.insert(at, Host { endpoint, events: Vec::new(), line: self.now });
    }

    pub(super) fn host(&mut self, at: SocketAddr) -> &mut Host {
        self.hosts.get_mut(&at).expect("a host")
    }

    pub(super) fn node(&mut self, at: SocketAddr) -> (&mut Recorder, Time) {
        let now = self.now;
        let endpoint = &mut self.host(at).endpoint;
        let time = endpoint.time(now);
        (endpoint.node_mut(), time)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Dials from [`CLIENT`].
    pub(super) fn connect(&mut self, target: Target, trust: Trust) -> ConnectId {
        let now = self.now;
        let endpoint = &mut self.host(CLIENT).endpoint;
        endpoint.connect(now, target, &client_tls(trust)).unwrap()
    }

    /// Sends what is to be sent, and collects events, until nothing is left to do at this time.
    pub(super) fn flush(&mut self) {
        self.transmit();
        while self.hand_over() {
            self.transmit();
        }
    }

    fn transmit(&mut self) {
        let mut buf = Vec::new();
        for (&from, host) in &mut self.hosts {
            loop {
                let events = std::iter::from_fn(|| host.endpoint.poll_event());
                host.events.extend(events);
                let Some(transmit) = host.endpoint.poll_transmit(self.now, 10, &mut buf) else {
                    break;
                };
                assert_eq!(buf.len(), transmit.size);
                for data in buf.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                    self.sent += 1;
                    self.trace.push((self.now - self.start, from, transmit.remote, data.len()));
                    if self.link.lose_every > 0 && self.sent.is_multiple_of(self.link.lose_every) {
                        continue;
                    }
                    let mut leaves = self.now;
                    if let Some((rate, queue)) = self.link.rate {
                        host.line = host.line.max(self.now);
                        let waiting = (host.line - self.now).as_secs_f64() * rate as f64;
                        if waiting as u64 > queue {
                            continue;
                        }
                        host.line += Duration::from_secs_f64(data.len() as f64 / rate as f64);
                        leaves = host.line;
                    }
                    let (to, ecn, data) = (transmit.remote, transmit.ecn, data.into());
                    let arrival = Arrival::Datagram { from, to, ecn, data };
                    self.arrivals.insert((leaves + self.link.latency, self.sent), arrival);
                }
            }
        }
    }

    /// Goes on to the next thing that happens. `false` if nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        self.flush();
        let timers = self.hosts.values().filter_map(|host| host.endpoint.poll_timeout());
        let arrival = self.arrivals.first_key_value().map(|(&(at, _), _)| at);
        let Some(next) = timers.chain(arrival).min() else { return false };
        self.now = self.now.max(next);
        while let Some((key, arrival)) = self.arrivals.pop_first() {
            if key.0 > self.now {
                self.arrivals.insert(key, arrival);
                break;
            }
            self.arrive(arrival);
        }
        for host in self.hosts.values_mut() {
            if host.endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                host.endpoint.handle_timeout(self.now);
            }
        }
        self.flush();
        true
    }

    fn arrive(&mut self, arrival: Arrival) {
        let now = self.now;
        match arrival {
            Arrival::Unreachable { from, to } => {
                self.host(to).endpoint.handle_unreachable(now, from);
            }
            Arrival::Datagram { mut from, mut to, ecn, data } => {
                let sent_to = to.ip();
                if let Some((outside, arrives)) = self.moved {
                    if from == CLIENT {
                        (from, to) = (outside, arrives);
                    } else if to == outside {
                        to = CLIENT;
                    }
                }
                if let Some(host) = self.hosts.get_mut(&to) {
                    host.endpoint.handle_datagram(now, from, Some(sent_to), ecn, data);
                } else if self.closed.contains(&to) {
                    self.sent += 1;
                    let news = Arrival::Unreachable { from: to, to: from };
                    self.arrivals.insert((now + self.link.latency, self.sent), news);
                }
            }
        }
    }

    /// Goes on until `done` says something, at most for `limit`.
    pub(super) fn run<T>(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let end = self.now + limit;
        self.flush();
        loop {
            if let Some(answer) = done(self) {
                return Some(answer);
            }
            if !self.step() || self.now > end {
                return None;
            }
        }
    }

    /// Lets time pass.
    pub(super) fn idle(&mut self, time: Duration) {
        let end = self.now + time;
        let _ = self.run(time, |world| (world.now >= end).then_some(()));
    }

    /// What becomes of a call of [`World::connect`].
    pub(super) fn outcome(&mut self, id: ConnectId) -> Result<Connected, ConnectError> {
        let outcome = self.run(Duration::from_secs(60), |world| {
            world.host(CLIENT).events.iter().find_map(|event| match event {
                Event::Connected { connect, session, remote, version, .. }
                    if *connect == Some(id) =>
                {
                    Some(Ok(Connected { session: *session, remote: *remote, version: *version }))
                }
                Event::ConnectFailed { connect, error } if *connect == id => {
                    Some(Err(error.clone()))
                }
                _ => None,
            })
        });
        outcome.expect("an answer")
    }

    /// Connects the client to the server.
    pub(super) fn connected(&mut self) -> Connected {
        let id = self.connect(target(&[SERVER]), Trust::Insecure);
        self.outcome(id).unwrap()
    }
}

/// The ends of sessions that a host was told of.
pub(super) fn closes(world: &mut World, at: SocketAddr) -> Vec<(ClosedBy, SessionCode, String)> {
    let events = world.host(at).events.iter();
    let closed = events.filter_map(|event| match event {
        Event::Core(Core::Closed { closed, .. }) => Some(closed.clone()),
        _ => None,
    });
    closed.map(|closed| (closed.by, closed.code, closed.reason)).collect()
}

/// How a session was reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connected {
    pub(super) session: Id<Session>,
    pub(super) remote: SocketAddr,
    pub(super) version: Version,
}

pub(super) fn target(addresses: &[SocketAddr]) -> Target {
    Target::new(addresses.to_vec(), "localhost", "/")
}

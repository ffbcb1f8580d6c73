//! Endpoints with QUIC and TLS over a network of datagrams, in virtual time.
//!
//! Keys and nonces of TLS stay random. Nothing of them is in the hash of a run, which is of who sent how
//! many bytes to whom and when; a certificate of Ed25519 keeps the lengths alike, and what harms a datagram
//! on the way does so whatever its content.

mod air;
mod depth;
mod host;
mod stranger;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use bytes::BytesMut;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use smoq_core::{Config, Id, Session, SessionConfig, Side, Time, wire::Hop};
use smoq_quic::{ClientTls, ConnectId, Event, ServerConfig, ServerTls, Target, Transmit, Trust};

pub(crate) use air::Air;

use crate::{NodeId, Rng, tap::Tap, world::BEGINNING};
use air::Line;
use host::{Host, Make, address};
use stranger::Stranger;

/// Datagrams of one size that may leave at once.
const SEGMENTS: usize = 10;

/// A datagram on its way.
struct Arrival {
    from: SocketAddr,
    to: usize,
    ecn: u8,
    data: BytesMut,
}

/// A connection that somebody has dialed.
struct Dial {
    hosts: [usize; 2],
    connect: ConnectId,
    sessions: [Option<Id<Session>>; 2],
    /// The one who dialed knows that it is over.
    over: bool,
}

/// The number of a dial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DialId(usize);

/// Hosts and what is between them. The same seed and calls give the same run.
pub(crate) struct Net {
    now: Time,
    seed: u64,
    air: Air,
    tap: Tap,
    epoch: Instant,
    tls: (ClientTls, ServerTls),
    hosts: Vec<Host>,
    /// Endpoints made so far: each has a seed of its own.
    made: u64,
    addresses: BTreeMap<SocketAddr, usize>,
    lines: BTreeMap<(usize, usize), Line>,
    dials: Vec<Dial>,
    failed: VecDeque<DialId>,
    arrivals: BTreeMap<(Time, u64), Arrival>,
    sequence: u64,
    timers: BTreeSet<(Time, usize)>,
    /// Hosts of which something is to be told.
    eventful: BTreeSet<usize>,
    /// Hosts that may have something to say.
    touched: BTreeSet<usize>,
    stranger: Stranger,
    steps: u64,
}

impl Net {
    pub(crate) fn new(seed: u64, air: Air, tap: Tap) -> Self {
        let mut params = CertificateParams::new(vec!["smoq".to_owned()]).expect("a good name");
        params.serial_number = Some(SerialNumber::from(1));
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("ring knows Ed25519");
        let certificate = params.self_signed(&key).expect("the key signs").der().clone();
        let server = ServerTls::new(vec![certificate], key.into()).expect("they fit");
        let client = ClientTls::new(Trust::Insecure).expect("everybody is trusted");
        Self {
            now: BEGINNING,
            seed,
            air,
            tap,
            epoch: Instant::now(),
            tls: (client, server),
            hosts: Vec::new(),
            made: 0,
            addresses: BTreeMap::new(),
            lines: BTreeMap::new(),
            dials: Vec::new(),
            failed: VecDeque::new(),
            arrivals: BTreeMap::new(),
            sequence: 0,
            timers: BTreeSet::new(),
            eventful: BTreeSet::new(),
            touched: BTreeSet::new(),
            stranger: Stranger::new(Rng::new(seed, 1 << 36)),
            steps: 0,
        }
    }

    fn host(&mut self, node: NodeId) -> &mut Host {
        self.touched.insert(node.0);
        &mut self.hosts[node.0]
    }

    fn add_host(&mut self, config: Config) -> NodeId {
        let at = self.hosts.len();
        let drift = Rng::new(self.seed, (1 << 37) + at as u64).below(self.air.drift + 1);
        let (epoch, tardy) = (self.epoch, self.air.tardy);
        let host = Host::new(self.make(config), at, epoch, drift, tardy);
        self.addresses.insert(host.address, at);
        self.hosts.push(host);
        self.touched.insert(at);
        NodeId(at)
    }

    /// Who has a hop id is a relay, and accepts connections.
    fn make(&mut self, node: Config) -> Make {
        self.made += 1;
        let server = (node.hop != Hop::default()).then(|| ServerConfig::new(self.tls.1.clone()));
        let seed = Rng::new(self.seed, (1 << 35) + self.made);
        Make { node, server, transport: self.air.transport.clone(), seed }
    }

    fn dial(&mut self, hosts: [usize; 2], config: &SessionConfig) -> DialId {
        let mut target = Target::new(vec![self.hosts[hosts[1]].address], "smoq", "");
        (target.versions, target.discover) = (vec![config.version], config.discover);
        let now = self.now;
        let tls = self.tls.0.clone();
        let host = self.host(NodeId(hosts[0]));
        let instant = host.instant(now);
        let connect = host.endpoint.connect(instant, target, &tls).expect("a good target");
        self.dials.push(Dial { hosts, connect, sessions: [None; 2], over: false });
        DialId(self.dials.len() - 1)
    }

    /// The line on which an end of a connection sends.
    fn line(&mut self, dial: DialId, side: Side) -> &mut Line {
        let [client, server] = self.dials[dial.0].hosts;
        match side {
            Side::Client => self.line_between(client, server),
            Side::Server => self.line_between(server, client),
        }
    }

    fn line_between(&mut self, from: usize, to: usize) -> &mut Line {
        let concern = (1 << 38) + ((from as u64) << 16) + to as u64;
        let seed = self.seed;
        self.lines.entry((from, to)).or_insert_with(|| Line::new(Rng::new(seed, concern)))
    }

    /// What one host sends to another passes so many bytes a second from now on, and so many may wait.
    pub(crate) fn narrow(&mut self, from: NodeId, to: NodeId, rate: u64, queue: u64) {
        self.line_between(from.0, to.0).narrow = Some((rate, queue));
    }

    /// The client of a connection has another address from now on.
    fn move_client(&mut self, dial: DialId, pick: u64) {
        let at = self.dials[dial.0].hosts[0];
        let changed = address(at, 1 + (pick % 1000) as u16);
        self.hosts[at].address = changed;
        self.addresses.insert(changed, at);
        self.tap
            .tell(self.now, |names| format!("{} has the address {changed}", names[&NodeId(at)]));
    }

    /// Carries out everything that hosts want now.
    fn settle(&mut self) {
        let mut buf = Vec::new();
        while let Some(at) = self.touched.pop_first() {
            let now = self.now;
            while self.hosts[at].takes(now) {
                let host = &mut self.hosts[at];
                let instant = host.instant(now);
                let Some(transmit) = host.endpoint.poll_transmit(instant, SEGMENTS, &mut buf)
                else {
                    break;
                };
                self.depart(at, &transmit, &buf);
            }
            while let Some(event) = self.hosts[at].endpoint.poll_event() {
                self.event(at, event);
            }
            let host = &mut self.hosts[at];
            let due = host.due(now).filter(|_| !host.down);
            if host.timer != due {
                if let Some(before) = std::mem::replace(&mut host.timer, due) {
                    self.timers.remove(&(before, at));
                }
                self.timers.extend(due.map(|due| (due, at)));
            }
        }
    }

    fn depart(&mut self, at: usize, transmit: &Transmit, buf: &[u8]) {
        let now = self.now;
        let from = self.hosts[at].address;
        let to = self.addresses.get(&transmit.remote).copied();
        let to = to.filter(|to| self.hosts[*to].address == transmit.remote);
        for data in buf.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
            let mark = [now.as_micros(), at as u64, to.map_or(0, |to| to as u64 + 1)];
            mark.iter().for_each(|part| self.tap.mix(&part.to_le_bytes()));
            self.tap.mix(&data.len().to_le_bytes());
            let Some(to) = to else { continue };
            self.line_between(at, to);
            let line = self.lines.get_mut(&(at, to)).expect("it was made");
            let copies = line.carry(now, &self.air, data);
            if copies.is_empty() {
                let names = |names: &BTreeMap<NodeId, String>| {
                    let [from, to] = [at, to].map(|at| &names[&NodeId(at)]);
                    format!("lost: {} bytes from {from} to {to}", data.len())
                };
                self.tap.tell(now, names);
            }
            for (time, data) in copies {
                self.arrive_at(time, Arrival { from, to, ecn: transmit.ecn, data });
            }
            if self.air.stranger
                && let Some((delay, from, data)) = self.stranger.hears(from, data)
            {
                self.arrive_at(now.after(delay), Arrival { from, to, ecn: 0, data });
            }
        }
    }

    fn arrive_at(&mut self, time: Time, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((time, self.sequence), arrival);
    }

    fn event(&mut self, at: usize, event: Event) {
        let of = |connect: ConnectId| {
            move |dial: &Dial| dial.hosts[0] == at && dial.connect == connect && !dial.over
        };
        match event {
            Event::Connected { connect: Some(connect), session, .. } => {
                if let Some(dial) = self.dials.iter_mut().rev().find(|dial| of(connect)(dial)) {
                    dial.sessions[0] = Some(session);
                }
            }
            Event::Connected { connect: None, session, remote, .. } => {
                let hosts = self.addresses.get(&remote).map(|client| [*client, at]);
                let mut dials = self.dials.iter_mut().rev();
                if let Some(dial) = dials.find(|dial| Some(dial.hosts) == hosts) {
                    dial.sessions[1] = Some(session);
                }
            }
            Event::ConnectFailed { connect, .. } => {
                if let Some(found) = self.dials.iter().rposition(of(connect)) {
                    self.dials[found].over = true;
                    self.failed.push_back(DialId(found));
                }
            }
            Event::Core(event) => {
                if let smoq_core::Event::Closed { session, .. } = &event {
                    let own = |dial: &&mut Dial| {
                        dial.hosts[0] == at && !dial.over && dial.sessions[0] == Some(*session)
                    };
                    if let Some(dial) = self.dials.iter_mut().rev().find(own) {
                        dial.over = true;
                    }
                }
                self.hosts[at].events.push(event);
                self.eventful.insert(at);
            }
            Event::Link(event) => unreachable!("there are no shards: {event:?}"),
        }
    }

    /// The nodes at which something happened since this was asked last.
    pub(crate) fn eventful(&mut self) -> Vec<NodeId> {
        self.settle();
        std::mem::take(&mut self.eventful).into_iter().map(NodeId).collect()
    }

    /// Lets the next thing happen, if that is not after `until`. Says whether there was one.
    fn step_to(&mut self, until: Time) -> bool {
        self.settle();
        let arrival = self.arrivals.first_key_value().map(|((time, _), _)| *time);
        let timer = self.timers.first().copied();
        let next = arrival.into_iter().chain(timer.map(|(time, _)| time)).min();
        let Some(next) = next.filter(|next| *next <= until) else { return false };
        self.steps += 1;
        self.now = self.now.max(next);
        match timer.filter(|(time, _)| *time == next) {
            Some((_, at)) => {
                let host = &mut self.hosts[at];
                let instant = host.instant(self.now);
                host.endpoint.handle_timeout(instant);
                self.touched.insert(at);
            }
            None => {
                let (_, Arrival { from, to, ecn, data }) =
                    self.arrivals.pop_first().expect("it was there");
                let host = &mut self.hosts[to];
                if !host.down {
                    let (instant, ip) = (host.instant(self.now), host.address.ip());
                    host.endpoint.handle_datagram(instant, from, Some(ip), ecn, data);
                    self.touched.insert(to);
                }
            }
        }
        true
    }
}

//! Real QUIC over a virtual network: packets, queues and losses in virtual time.

mod common;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use common::{from, path, relay_config};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use smoq_core::{Config, Id, NextGroup, Read, Reader, Version, wire::TrackInfo};
use smoq_quic::{
    ClientTls, Endpoint, EndpointConfig, Event, ServerConfig, ServerTls, Target, Trust,
};

const PUBLISHER: u8 = 1;
const RELAY: u8 = 2;
const VIEWER: u8 = 3;

const fn address(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 4443)
}

/// One direction between two hosts: delay, and a bottleneck with a queue that drops its tail.
#[derive(Clone, Copy)]
struct Line {
    latency: Duration,
    /// Bytes per second.
    rate: u64,
    /// Bytes that may wait.
    queue: u64,
    free: Instant,
}

struct Net {
    now: Instant,
    epoch: Instant,
    hosts: BTreeMap<SocketAddr, Endpoint>,
    lines: BTreeMap<(SocketAddr, SocketAddr), Line>,
    arrivals: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, u8, BytesMut)>,
    sent: u64,
    dropped: u64,
    /// Of when, from where, to where and how long each datagram was. Not what was in it: keys differ.
    trace: DefaultHasher,
}

impl Net {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            epoch: now,
            hosts: BTreeMap::new(),
            lines: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            sent: 0,
            dropped: 0,
            trace: DefaultHasher::new(),
        }
    }

    fn host(&mut self, host: u8, node: Config, server: Option<ServerConfig>) {
        let config =
            EndpointConfig { node, server, seed: Some([host; 32]), ..EndpointConfig::default() };
        self.hosts.insert(address(host), Endpoint::new(config, self.now));
    }

    fn line(&mut self, a: u8, b: u8, latency: Duration, rate: u64, queue: u64) {
        let line = Line { latency, rate, queue, free: self.now };
        for (from, to) in [(a, b), (b, a)] {
            self.lines.insert((address(from), address(to)), line);
        }
    }

    fn dial(&mut self, from: u8, to: u8, version: Version) {
        let mut target = Target::new(vec![address(to)], "relay", "/");
        target.versions = vec![version];
        let tls = ClientTls::new(Trust::Insecure).unwrap();
        let endpoint = self.hosts.get_mut(&address(from)).unwrap();
        endpoint.connect(self.now, target, &tls).unwrap();
        while !std::iter::from_fn(|| self.hosts.get_mut(&address(from)).unwrap().poll_event())
            .any(|event| matches!(event, Event::Core(smoq_core::Event::Ready { .. })))
        {
            self.step();
        }
    }

    fn transmit(&mut self) {
        let mut buf = Vec::new();
        for (from, endpoint) in &mut self.hosts {
            while let Some(transmit) = endpoint.poll_transmit(self.now, 10, &mut buf) {
                for data in buf.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                    let line = self.lines.get_mut(&(*from, transmit.remote)).expect("a line");
                    let when = self.now - self.epoch;
                    (when, from, transmit.remote, data.len()).hash(&mut self.trace);
                    line.free = line.free.max(self.now);
                    let micros = (line.free - self.now).as_micros() as u64;
                    if micros * line.rate / 1_000_000 > line.queue {
                        self.dropped += 1;
                        continue;
                    }
                    line.free +=
                        Duration::from_nanos(data.len() as u64 * 1_000_000_000 / line.rate);
                    self.sent += 1;
                    let arrival = (*from, transmit.remote, transmit.ecn, data.into());
                    self.arrivals.insert((line.free + line.latency, self.sent), arrival);
                }
            }
        }
    }

    /// Goes on to the next thing that happens.
    fn step(&mut self) {
        self.transmit();
        let timers = self.hosts.values().filter_map(Endpoint::poll_timeout);
        let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let next = timers.chain(arrival).min().expect("something is to come");
        self.now = self.now.max(next);
        while let Some(entry) =
            self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            let (from, to, ecn, data) = entry.remove();
            let host = self.hosts.get_mut(&to).expect("a host");
            host.handle_datagram(self.now, from, Some(to.ip()), ecn, data);
        }
        for host in self.hosts.values_mut() {
            host.handle_timeout(self.now);
        }
    }

    fn node(&mut self, host: u8) -> (&mut smoq_core::Node, smoq_core::Time) {
        let endpoint = self.hosts.get_mut(&address(host)).unwrap();
        let time = endpoint.time(self.now);
        (endpoint.node_mut(), time)
    }
}

fn server() -> ServerConfig {
    let mut params = CertificateParams::new(vec!["relay".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from(1));
    // Its signatures always have the same length, which keeps runs alike.
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    ServerConfig::new(ServerTls::new(vec![certificate], key.into()).unwrap())
}

/// Reads all there is, and says how many bytes that was.
fn read(
    node: &mut smoq_core::Node,
    now: smoq_core::Time,
    reader: Id<Reader>,
    open: &mut Vec<Id<smoq_core::GroupReader>>,
) -> usize {
    while let NextGroup::Group { id, .. } = node.next_group(now, reader).unwrap() {
        open.push(id);
    }
    let mut bytes = 0;
    open.retain(|id| {
        loop {
            match node.read(*id, usize::MAX).unwrap() {
                Read::Chunk(chunk) => bytes += chunk.data.len(),
                Read::Pending => return true,
                Read::End => return false,
                Read::Reset(code) => panic!("a group was reset: {code}"),
            }
        }
    });
    bytes
}

/// A publisher beside its relay, and a viewer far away: what arrives in each second, and the trace.
fn watch_from_afar(version: Version) -> (Vec<usize>, u64, u64) {
    let mut net = Net::new();
    net.host(PUBLISHER, Config::default(), None);
    net.host(RELAY, relay_config(100), Some(server()));
    net.host(VIEWER, Config::default(), None);
    net.line(PUBLISHER, RELAY, Duration::from_millis(1), 125_000_000, 1 << 20);
    // 50 Mbit/s at a round trip of 200 ms: 1.25 MB are under way, and as much may wait.
    net.line(VIEWER, RELAY, Duration::from_millis(100), 6_250_000, 1_250_000);
    net.dial(PUBLISHER, RELAY, version);
    net.dial(VIEWER, RELAY, version);
    let (node, now) = net.node(PUBLISHER);
    let broadcast = node.publish(now, &path("cam")).unwrap();
    let track = node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    // Thirty frames make a second of 60 Mbit/s: a little more than the path carries.
    let mut frames = 0;
    let mut group = None;
    for _ in 0..100 {
        net.step();
    }
    let (node, now) = net.node(VIEWER);
    let reader = node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
    let started = net.now;
    let (mut seconds, mut open) = (Vec::new(), Vec::new());
    while seconds.len() < 10 {
        while net.now - started >= Duration::from_millis(frames * 1000 / 30) {
            let (node, now) = net.node(PUBLISHER);
            if frames % 30 == 0 {
                if let Some(group) = group {
                    node.finish_group(now, group).unwrap();
                }
                group = Some(node.create_group(now, track, None).unwrap().0);
            }
            let frame = Bytes::from(vec![frames as u8; 250_000]);
            node.write_frame(now, group.unwrap(), frames * 33, frame).unwrap();
            frames += 1;
        }
        net.step();
        let second = (net.now - started).as_secs() as usize;
        seconds.resize(second + 1, 0);
        let (node, now) = net.node(VIEWER);
        seconds[second] += read(node, now, reader, &mut open);
    }
    seconds.pop();
    (seconds, net.trace.finish(), net.dropped)
}

#[test]
fn a_viewer_far_away_gets_the_full_rate() {
    for version in [Version::Lite06, Version::Lite03] {
        let (seconds, _, dropped) = watch_from_afar(version);
        // Slow start fills the queue until it drops; what was lost is here by the third second.
        for (second, bytes) in seconds.iter().enumerate().skip(3) {
            let share = *bytes as f64 / 6_250_000.0;
            assert!(
                share > 0.9,
                "{version}: {share:.2} in second {second}: {seconds:?}, {dropped}"
            );
        }
        let after_start: usize = seconds.iter().skip(2).sum();
        let share = after_start as f64 / (6_250_000.0 * (seconds.len() - 2) as f64);
        assert!(share > 0.95, "{version}: {share:.2} on average: {seconds:?}, {dropped} dropped");
    }
}

#[test]
fn the_same_world_takes_the_same_course() {
    let [first, second] = [(); 2].map(|()| watch_from_afar(Version::Lite06));
    assert_eq!(first, second);
}

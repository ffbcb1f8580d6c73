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
use smoq_core::{
    Config, Discover, Id, Limits, NextGroup, Read, Reader, Stats, SubscribeOptions, Version,
    wire::{GroupOrder, SessionCode, TrackInfo},
};
use smoq_quic::{
    ClientTls, Endpoint, EndpointConfig, Event, ServerConfig, ServerTls, Target, TransportOptions,
    Trust,
};
use smoq_sim::Scripted;

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
    /// The same for each host, and how many there were.
    traces: BTreeMap<SocketAddr, (u64, DefaultHasher)>,
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
            traces: BTreeMap::new(),
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
        let mut target = Target::new(vec![address(to)], "relay", "");
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
                    for host in [*from, transmit.remote] {
                        let (count, trace) = self.traces.entry(host).or_default();
                        *count += 1;
                        (when, from, data.len()).hash(trace);
                    }
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
        self.step_until(None);
    }

    /// The same, not beyond that time.
    fn step_until(&mut self, limit: Option<Instant>) {
        self.transmit();
        let timers = self.hosts.values().filter_map(Endpoint::poll_timeout);
        let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let next = timers.chain(arrival).chain(limit).min().expect("something is to come");
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

    fn node(&mut self, host: u8) -> (&mut smoq_tape::Recorder, smoq_core::Time) {
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

/// Reads all there is, and says how many bytes that was, and how many groups were cut off.
fn read(
    node: &mut smoq_tape::Recorder,
    now: smoq_core::Time,
    reader: Id<Reader>,
    open: &mut Vec<Id<smoq_core::GroupReader>>,
) -> (usize, usize) {
    while let NextGroup::Group { id, .. } = node.next_group(now, reader).unwrap() {
        open.push(id);
    }
    let (mut bytes, mut resets) = (0, 0);
    open.retain(|id| {
        loop {
            match node.read(*id, usize::MAX).unwrap() {
                Read::Chunk(chunk) => bytes += chunk.data.len(),
                Read::Pending => return true,
                Read::End => return false,
                Read::Reset(_) => {
                    resets += 1;
                    return false;
                }
            }
        }
    });
    (bytes, resets)
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
    // What the path does not carry waits, and does not become too old.
    let info = TrackInfo { max_age_ms: 60_000, ..TrackInfo::default() };
    let track = node.create_track(now, broadcast, "video", info).unwrap();
    // Thirty frames make a second of 60 Mbit/s: a little more than the path carries.
    let mut frames = 0;
    let mut group = None;
    for _ in 0..100 {
        net.step();
    }
    let (node, now) = net.node(VIEWER);
    // Up to 04 nobody can say that what is older than five seconds is of use: nothing may wait so long.
    let options = SubscribeOptions { order: GroupOrder::OldestFirst, ..from(0) };
    let reader = node.subscribe(now, &path("cam"), "video", options).unwrap();
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
        let (bytes, resets) = read(node, now, reader, &mut open);
        assert_eq!(resets, 0);
        seconds[second] += bytes;
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

/// The two viewers that may not keep up.
const STOPPED: u8 = VIEWER + 98;
const TENTH: u8 = VIEWER + 99;

/// What became of a relay with a hundred viewers.
struct Crowd {
    /// For each viewer but those two: how many datagrams came and went, and when.
    traces: Vec<(u64, u64)>,
    /// Payload bytes that each viewer has got, and groups that were cut off.
    got: Vec<(usize, usize)>,
    /// How sessions ended at the relay.
    closes: Vec<SessionCode>,
    largest_store: usize,
    stats: Stats,
}

/// Bytes of a frame, and of all.
const SIZE: usize = 1600;
const WHOLE: usize = SECONDS as usize * 40 * SIZE;

const SECONDS: u64 = 6;

/// Six seconds of 64 KB each. If `slow`, one viewer stops to read after the first, and one reads a tenth.
fn watch_together(slow: bool) -> Crowd {
    let limits = Limits { stall_timeout: Duration::from_secs(3), ..Limits::default() };
    let limits = Limits { store_age: Duration::from_secs(2), ..limits };
    let mut net = Net::new();
    net.host(PUBLISHER, Config::default(), None);
    net.host(RELAY, Config { limits, ..relay_config(100) }, Some(server()));
    net.line(PUBLISHER, RELAY, Duration::from_millis(1), 125_000_000, 1 << 20);
    net.dial(PUBLISHER, RELAY, Version::Lite06);
    let (node, now) = net.node(PUBLISHER);
    let broadcast = node.publish(now, &path("cam")).unwrap();
    let track = node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    for viewer in VIEWER..=TENTH {
        let transport = TransportOptions {
            // A tenth of a second.
            stream_receive_window: 6400,
            receive_window: 6400,
            ..TransportOptions::default()
        };
        let config = EndpointConfig {
            seed: Some([viewer; 32]),
            transport: if viewer < STOPPED { TransportOptions::default() } else { transport },
            ..EndpointConfig::default()
        };
        net.hosts.insert(address(viewer), Endpoint::new(config, net.now));
        net.line(viewer, RELAY, Duration::from_millis(10), 12_500_000, 1 << 20);
        net.dial(viewer, RELAY, Version::Lite06);
    }
    let mut viewers: Vec<_> = (VIEWER..=TENTH)
        .map(|viewer| {
            let (node, now) = net.node(viewer);
            let reader = node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
            (viewer, reader, Vec::new())
        })
        .collect();
    net.traces.clear();
    let started = net.now;
    let mut got = vec![(0, 0); viewers.len()];
    let (mut frames, mut reads, mut largest_store) = (0, 0, 0);
    loop {
        let passed = net.now - started;
        if passed >= Duration::from_secs(SECONDS) {
            break;
        }
        // Ten groups a second, of four frames.
        while passed >= Duration::from_millis(frames * 25) {
            let (node, now) = net.node(PUBLISHER);
            let (group, _) = node.create_group(now, track, None).unwrap();
            for frame in frames..frames + 4 {
                node.write_frame(now, group, frame * 25, Bytes::from(vec![7; SIZE])).unwrap();
            }
            node.finish_group(now, group).unwrap();
            frames += 4;
        }
        if slow && passed >= Duration::from_secs(1 + reads) {
            let now = net.now;
            let tenth = net.hosts.get_mut(&address(TENTH)).unwrap();
            tenth.resume_reading(now);
            tenth.pause_reading(now);
            net.hosts.get_mut(&address(STOPPED)).unwrap().pause_reading(now);
            reads += 1;
        }
        net.step_until(Some(started + Duration::from_millis(frames * 25)));
        let (node, _) = net.node(RELAY);
        largest_store = largest_store.max(node.stats().store_bytes);
        for ((viewer, reader, open), got) in viewers.iter_mut().zip(&mut got) {
            let (node, now) = net.node(*viewer);
            let (bytes, resets) = read(node, now, *reader, open);
            *got = (got.0 + bytes, got.1 + resets);
        }
    }
    let relay = net.hosts.get_mut(&address(RELAY)).unwrap();
    let closes = std::iter::from_fn(|| relay.poll_event()).filter_map(|event| match event {
        Event::Core(smoq_core::Event::Closed { closed, .. }) => Some(closed.code),
        _ => None,
    });
    let closes = closes.collect();
    let stats = relay.node().stats();
    let traces = net.traces.range(address(VIEWER)..address(STOPPED));
    let traces = traces.map(|(_, (count, trace))| (*count, trace.finish())).collect();
    Crowd { traces, got, closes, largest_store, stats }
}

#[test]
fn nobody_notices_who_does_not_keep_up() {
    let [without, with] = [false, true].map(watch_together);
    assert!(without.traces == with.traces, "others had theirs at other times");
    assert!(with.traces.len() == 98 && with.traces.iter().all(|(count, _)| *count > 100));
    let [ref others @ .., stopped, tenth] = with.got[..] else { panic!("a hundred viewers") };
    assert_eq!(without.got, vec![(WHOLE, 0); 100]);
    assert_eq!(others, vec![(WHOLE, 0); 98]);
    // A second and a window.
    assert!((WHOLE / 6..WHOLE / 4).contains(&stopped.0), "{stopped:?}");
    assert!((WHOLE / 6..WHOLE / 3).contains(&tenth.0) && tenth.1 > 0, "{tenth:?}");
    assert_eq!((without.closes, with.closes), (vec![], vec![SessionCode::TIMEOUT]));
    assert!(with.largest_store <= without.largest_store + SIZE, "{}", with.largest_store);
    assert_eq!((with.stats.sessions, with.stats.subscriptions), (100, 99));
    assert_eq!(with.stats.groups, without.stats.groups);
}

/// The scripted session over real QUIC: how anybody who drives an endpoint can compare.
#[test]
fn the_streams_of_a_session_are_those_of_every_driver() {
    let mut found = String::new();
    for version in Version::ALL {
        let mut net = Net::new();
        net.host(VIEWER, Scripted::config(false), None);
        let server = ServerConfig { discover: Discover::OnDemand, ..server() };
        let (server, record) = (Some(server), Some(u64::MAX));
        let config = EndpointConfig {
            node: Scripted::config(true),
            server,
            record,
            ..EndpointConfig::default()
        };
        net.hosts.insert(address(RELAY), Endpoint::new(config, net.now));
        net.line(VIEWER, RELAY, Duration::from_millis(10), 125_000_000, 1 << 20);
        let mut sides = [(VIEWER, false), (RELAY, true)].map(|(host, server)| {
            let (node, now) = net.node(host);
            (host, Scripted::new(node, now, server))
        });
        net.dial(VIEWER, RELAY, version);
        while !sides.iter_mut().fold(true, |done, (host, side)| {
            let (node, now) = net.node(*host);
            side.poll(node, now) && done
        }) {
            net.step();
        }
        let recording = net.node(RELAY).0.take_recording();
        let streams = smoq_tape::streams(recording.into()).unwrap();
        found.push_str(&format!("{version}\n{streams}"));
    }
    assert_eq!(found, include_str!("../../runtime/tests/suite/session.txt"));
}

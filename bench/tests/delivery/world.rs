//! A relay, a publisher and subscribers: real TLS and QUIC over datagrams in memory, in virtual time.

use std::{
    collections::VecDeque,
    iter,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Group, GroupReader, Id, NextGroup, Path, Read, Reader, SubscribeOptions, Time, Track,
    wire::{Hop, TrackInfo},
};
use smoq_quic::{
    ClientTls, Endpoint, EndpointConfig, ServerConfig, ServerTls, Target, Trust, tape::Recorder,
};

/// Time of each datagram on its way.
const LATENCY: Duration = Duration::from_millis(2);

/// From one frame to the next.
const INTERVAL: Duration = Duration::from_millis(20);

/// Within this everything happens that a test waits for.
const LIMIT: Duration = Duration::from_secs(5);

/// Datagrams that the relay makes at once, as on a socket with GSO.
const SEGMENTS: usize = 10;

/// The endpoint that accepts; the publisher is the one after it, then the subscribers.
const RELAY: usize = 0;
const PUBLISHER: usize = 1;

/// The address of an endpoint.
fn address(index: usize) -> SocketAddr {
    let [high, low] = (index as u16).to_be_bytes();
    (Ipv4Addr::new(10, 0, high, low), 4443).into()
}

/// The endpoint with this address.
fn index(address: SocketAddr) -> usize {
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is no host here") };
    let [_, _, high, low] = ip.octets();
    u16::from_be_bytes([high, low]).into()
}

struct Datagram {
    arrives: Instant,
    from: usize,
    to: usize,
    ecn: u8,
    data: BytesMut,
}

pub(crate) struct World {
    now: Instant,
    endpoints: Vec<Endpoint>,
    /// In the order of their arrival, since all take the same time.
    datagrams: VecDeque<Datagram>,
    buf: Vec<u8>,
    track: Id<Track>,
    timestamp: u64,
    payload: Bytes,
    /// What the subscribers read, one after the other.
    readers: Vec<Reading>,
    /// Frames that subscribers have read to their end.
    pub(crate) delivered: u64,
    /// Datagrams that the relay has received.
    pub(crate) received: u64,
}

struct Reading {
    track: Id<Reader>,
    group: Option<Id<GroupReader>>,
}

impl World {
    /// Everybody is connected and subscribed, nothing published. Frames will have `size` bytes.
    pub(crate) fn new(subscribers: usize, size: usize) -> Self {
        let start = Instant::now();
        let path = Path::new("live").expect("a valid path");
        let mut endpoints: Vec<_> = (0..subscribers + 2).map(|at| endpoint(at, start)).collect();
        let tls = ClientTls::new(Trust::Insecure).expect("a client without roots");
        for endpoint in &mut endpoints[PUBLISHER..] {
            let target = Target::new(vec![address(RELAY)], "localhost", "/");
            endpoint.connect(start, target, &tls).expect("a valid target");
        }
        let publisher = endpoints[PUBLISHER].node_mut();
        let broadcast = publisher.publish(Time::ZERO, &path).expect("a new path");
        let track = publisher.create_track(Time::ZERO, broadcast, "video", TrackInfo::default());
        let mut world = Self {
            now: start,
            endpoints,
            datagrams: VecDeque::new(),
            buf: Vec::new(),
            track: track.expect("a new track"),
            timestamp: 0,
            payload: vec![0x5a; size].into(),
            readers: Vec::new(),
            delivered: 0,
            received: 0,
        };
        world.run_until(|world| {
            let relay = world.endpoints[RELAY].node().stats();
            relay.sessions == subscribers + 1 && relay.routes == 1
        });
        for endpoint in &mut world.endpoints[PUBLISHER + 1..] {
            let (time, options) = (endpoint.time(world.now), SubscribeOptions::default());
            let track = endpoint.node_mut().subscribe(time, &path, "video", options);
            world.readers.push(Reading { track: track.expect("a valid name"), group: None });
        }
        world.run_until(|world| world.endpoints[RELAY].node().stats().subscriptions == subscribers);
        world
    }

    /// Begins a group.
    pub(crate) fn group(&mut self) -> Id<Group> {
        let track = self.track;
        let (publisher, time) = self.publisher();
        publisher.create_group(time, track, None).expect("a running track").0
    }

    /// Ends a group.
    pub(crate) fn finish(&mut self, group: Id<Group>) {
        let (publisher, time) = self.publisher();
        publisher.finish_group(time, group).expect("an open group");
    }

    /// Writes as many frames into a group, each when the one before has come to everybody.
    pub(crate) fn frames(&mut self, group: Id<Group>, frames: u64) {
        for _ in 0..frames {
            self.timestamp += 1;
            let (timestamp, payload) = (self.timestamp, self.payload.clone());
            let (publisher, time) = self.publisher();
            publisher.write_frame(time, group, timestamp, payload).expect("an open group");
            let (next, all) = (self.now + INTERVAL, self.delivered + self.readers.len() as u64);
            self.run_until(|world| world.now >= next && world.delivered == all);
        }
    }

    fn publisher(&mut self) -> (&mut Recorder, Time) {
        let publisher = &mut self.endpoints[PUBLISHER];
        let time = publisher.time(self.now);
        (publisher.node_mut(), time)
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let limit = self.now + LIMIT;
        self.flush();
        while !done(self) {
            assert!(self.now < limit, "what is waited for does not happen");
            self.step();
        }
    }

    /// Goes on to the next thing that happens, at most for an interval.
    fn step(&mut self) {
        let timers = self.endpoints.iter().filter_map(Endpoint::poll_timeout);
        let arrival = self.datagrams.front().map(|datagram| datagram.arrives);
        let next = timers.chain(arrival).min().unwrap_or(self.now);
        self.now = next.clamp(self.now, self.now + INTERVAL);
        let now = self.now;
        let due = self.datagrams.partition_point(|datagram| datagram.arrives <= now);
        for Datagram { from, to, ecn, data, .. } in self.datagrams.drain(..due) {
            self.received += u64::from(to == RELAY);
            let (endpoint, from) = (&mut self.endpoints[to], address(from));
            on_behalf_of(to, || endpoint.handle_datagram(now, from, None, ecn, data));
        }
        for (at, endpoint) in self.endpoints.iter_mut().enumerate() {
            if endpoint.poll_timeout().is_some_and(|timeout| timeout <= now) {
                on_behalf_of(at, || endpoint.handle_timeout(now));
            }
        }
        self.flush();
    }

    /// Sends and reads what there is.
    fn flush(&mut self) {
        let (now, buf) = (self.now, &mut self.buf);
        for (from, endpoint) in self.endpoints.iter_mut().enumerate() {
            while on_behalf_of(from, || endpoint.poll_event()).is_some() {}
            while let Some(transmit) =
                on_behalf_of(from, || endpoint.poll_transmit(now, SEGMENTS, buf))
            {
                let to = index(transmit.remote);
                for data in buf.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                    let (arrives, ecn, data) = (now + LATENCY, transmit.ecn, data.into());
                    self.datagrams.push_back(Datagram { arrives, from, to, ecn, data });
                }
            }
        }
        let subscribers = &mut self.endpoints[PUBLISHER + 1..];
        for (endpoint, reading) in iter::zip(subscribers, &mut self.readers) {
            let time = endpoint.time(now);
            self.delivered += reading.read(endpoint.node_mut(), time);
        }
    }
}

impl Reading {
    /// Reads what there is, and says how many frames ended.
    fn read(&mut self, node: &mut Recorder, now: Time) -> u64 {
        let mut ended = 0;
        loop {
            let Some(group) = self.group else {
                match node.next_group(now, self.track).expect("a subscription") {
                    NextGroup::Group { id, .. } => self.group = Some(id),
                    NextGroup::Pending => return ended,
                    end => panic!("the track is over: {end:?}"),
                }
                continue;
            };
            match node.read(group, usize::MAX).expect("a group") {
                Read::Chunk(chunk) => ended += u64::from(chunk.is_last()),
                Read::Pending => return ended,
                Read::End => self.group = None,
                Read::Reset(code) => panic!("a group was cut off: {code}"),
            }
        }
    }
}

fn endpoint(at: usize, now: Instant) -> Endpoint {
    let config = smoq_core::Config {
        hop: Hop::new(at as u64 + 1).expect("a small number"),
        ..Default::default()
    };
    let server = (at == RELAY).then(|| ServerConfig::new(identity()));
    let seed = Some([at as u8; 32]);
    Endpoint::new(EndpointConfig { node: config, server, seed, ..Default::default() }, now)
}

/// A certificate of its own, and its key.
fn identity() -> ServerTls {
    let signed =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    ServerTls::new(vec![signed.cert.der().clone()], signed.signing_key.into()).expect("a key")
}

/// Calls an endpoint: the relay by way of [`relay`], which shows in backtraces.
fn on_behalf_of<T>(at: usize, call: impl FnOnce() -> T) -> T {
    if at == RELAY { relay(call) } else { call() }
}

/// What is allocated below this function is the relay's.
#[inline(never)]
fn relay<T>(call: impl FnOnce() -> T) -> T {
    // Work after the call keeps the frame of this function on the stack.
    std::hint::black_box(call())
}

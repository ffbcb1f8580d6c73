//! Whole sessions: what is published at one end is read at the other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use smoq_core::{
    ClosedBy, Group, Id, NextGroup, Path, Read, Reader, Start, SubscribeOptions, Track, Version,
    wire::{SessionCode, TrackInfo},
};

use super::support::{CARRIERS, CLIENT, Connected, Identity, Link, SERVER, World, closes, target};
use crate::{EndpointConfig, ServerConfig, Slots, Target, TransportOptions, Trust};

const LIMIT: Duration = Duration::from_secs(60);

fn world() -> World {
    World::pair(&Identity::new(&["localhost"]))
}

fn path() -> Path {
    Path::new("room/alice").unwrap()
}

pub(super) fn payload(len: usize) -> Bytes {
    (0..len).map(|at| (at / 251 + at) as u8).collect()
}

/// Publishes a track at the server.
pub(super) fn publish(world: &mut World) -> Id<Track> {
    let (node, time) = world.node(SERVER);
    let broadcast = node.publish(time, &path()).unwrap();
    node.create_track(time, broadcast, "video", TrackInfo::default()).unwrap()
}

/// Adds a group of one frame.
pub(super) fn add_group(world: &mut World, track: Id<Track>, data: Bytes) -> Id<Group> {
    let (node, time) = world.node(SERVER);
    let (group, _) = node.create_group(time, track, None).unwrap();
    node.write_frame(time, group, 0, data).unwrap();
    node.finish_group(time, group).unwrap();
    group
}

pub(super) fn finish(world: &mut World, track: Id<Track>) {
    let (node, time) = world.node(SERVER);
    node.finish_track(time, track).unwrap();
}

pub(super) fn subscribe(world: &mut World) -> Id<Reader> {
    let lossless =
        SubscribeOptions { max_age: Duration::MAX, start: Start::From(0), ..Default::default() };
    let (node, time) = world.node(CLIENT);
    node.subscribe(time, &path(), "video", lossless).unwrap()
}

/// What was read of a subscription.
#[derive(Default)]
pub(super) struct Viewer {
    open: Vec<(u64, Id<smoq_core::GroupReader>, BytesMut)>,
    pub(super) groups: Vec<(u64, Bytes)>,
    ended: bool,
}

impl Viewer {
    /// Reads what there is.
    pub(super) fn read(&mut self, world: &mut World, reader: Id<Reader>) {
        let (node, time) = world.node(CLIENT);
        while !self.ended {
            match node.next_group(time, reader).unwrap() {
                NextGroup::Group { id, sequence } => {
                    self.open.push((sequence, id, BytesMut::new()))
                }
                NextGroup::Pending => break,
                NextGroup::End => self.ended = true,
                NextGroup::Failed(code) => panic!("{code}"),
            }
        }
        self.open.retain_mut(|(sequence, id, data)| {
            loop {
                match node.read(*id, usize::MAX).unwrap() {
                    Read::Chunk(chunk) => data.extend_from_slice(&chunk.data),
                    Read::Pending => return true,
                    Read::End => {
                        self.groups.push((*sequence, data.split().freeze()));
                        return false;
                    }
                    Read::Reset(code) => panic!("{code}"),
                }
            }
        });
    }

    /// Reads until the track ends.
    pub(super) fn read_all(&mut self, world: &mut World, reader: Id<Reader>) {
        let done = world.run(LIMIT, |world| {
            self.read(world, reader);
            (self.ended && self.open.is_empty()).then_some(())
        });
        done.expect("the track ends");
        self.groups.sort_by_key(|(sequence, _)| *sequence);
    }
}

#[test]
fn every_version_carries_a_track() {
    for (version, carrier) in Version::ALL
        .into_iter()
        .flat_map(|version| CARRIERS.iter().map(move |carrier| (version, *carrier)))
    {
        let mut world = world();
        let track = publish(&mut world);
        let sizes = [0, 1, 1000, 100_000, 7];
        let target = Target { versions: vec![version], carrier, ..target(&[SERVER]) };
        let id = world.connect(target, Trust::Insecure);
        world.outcome(id).unwrap();
        for size in &sizes[..3] {
            add_group(&mut world, track, payload(*size));
        }
        let reader = subscribe(&mut world);
        let mut viewer = Viewer::default();
        world.idle(Duration::from_millis(100));
        viewer.read(&mut world, reader);
        for size in &sizes[3..] {
            add_group(&mut world, track, payload(*size));
        }
        finish(&mut world, track);
        viewer.read_all(&mut world, reader);
        let expected: Vec<_> = (0..).zip(sizes.map(payload)).collect();
        assert_eq!(viewer.groups, expected, "{version} {carrier:?}");
        assert_eq!(world.host(CLIENT).endpoint.node().stats().violations, 0);
        assert_eq!(world.host(SERVER).endpoint.node().stats().violations, 0);
    }
}

#[test]
fn a_client_publishes_to_a_server() {
    let mut world = world();
    world.connected();
    let (node, time) = world.node(CLIENT);
    let broadcast = node.publish(time, &path()).unwrap();
    let track = node.create_track(time, broadcast, "video", TrackInfo::default()).unwrap();
    let (group, _) = node.create_group(time, track, None).unwrap();
    node.write_frame(time, group, 0, payload(5000)).unwrap();
    world.idle(Duration::from_millis(100));
    let (node, time) = world.node(SERVER);
    let reader = node.subscribe(time, &path(), "video", SubscribeOptions::default()).unwrap();
    let read = world.run(LIMIT, |world| {
        let (node, time) = world.node(SERVER);
        match node.next_group(time, reader).unwrap() {
            NextGroup::Group { id, .. } => Some(id),
            _ => None,
        }
    });
    assert!(read.is_some());
}

/// Time to move `bytes` over `link`, after the connection is up.
fn transfer(link: Link, bytes: usize) -> Duration {
    let mut world = world();
    world.link = link;
    let track = publish(&mut world);
    world.connected();
    let started = world.now;
    let reader = subscribe(&mut world);
    // Groups of a megabyte, as a keyframe interval of high quality is.
    for _ in 0..bytes >> 20 {
        add_group(&mut world, track, payload(1 << 20));
    }
    finish(&mut world, track);
    let mut viewer = Viewer::default();
    viewer.read_all(&mut world, reader);
    assert_eq!(viewer.groups.len(), bytes >> 20);
    world.now - started
}

#[test]
fn a_long_fat_path_is_filled() {
    // 50 Mbit/s at a round trip of 200 ms: 1.25 MB are under way, and the queue holds as much.
    let rate = 6_250_000;
    let latency = Duration::from_millis(100);
    let link = Link { latency, rate: Some((rate, 1_250_000)), lose_every: 0 };
    let bytes = 50 << 20;
    let took = transfer(link, bytes);
    let ideal = Duration::from_secs_f64(bytes as f64 / rate as f64);
    // Slow start takes 7 round trips, subscribing one and a half.
    assert!(took < ideal + Duration::from_millis(2200), "{took:?} for {ideal:?}");
}

#[test]
fn lost_packets_cost_time_and_no_bytes() {
    let link = Link { lose_every: 50, ..Link::default() };
    let took = transfer(link, 4 << 20);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn groups_whose_first_packets_are_late_arrive_whole() {
    // No more than may be late at a time.
    const GROUPS: u64 = 30;
    for &carrier in CARRIERS {
        let mut world = world();
        // Whatever phase of the losses the streams hit.
        world.link = Link { lose_every: 7, ..Link::default() };
        let track = publish(&mut world);
        let id = world.connect(Target { carrier, ..target(&[SERVER]) }, Trust::Insecure);
        world.outcome(id).unwrap();
        let reader = subscribe(&mut world);
        for _ in 0..GROUPS {
            add_group(&mut world, track, payload(3000));
        }
        finish(&mut world, track);
        let mut viewer = Viewer::default();
        viewer.read_all(&mut world, reader);
        let expected: Vec<_> = (0..GROUPS).map(|group| (group, payload(3000))).collect();
        assert!(viewer.groups == expected, "{carrier:?}: {} groups", viewer.groups.len());
        assert_eq!(world.host(CLIENT).endpoint.node().stats().violations, 0, "{carrier:?}");
    }
}

#[test]
fn what_is_urgent_overtakes_a_backlog() {
    let mut world = world();
    // A round trip of 20 ms, and a queue of 160 ms that is always full.
    world.link = Link { rate: Some((125_000, 20_000)), ..Link::default() };
    let track = publish(&mut world);
    world.connected();
    subscribe(&mut world);
    for _ in 0..4 {
        add_group(&mut world, track, payload(1 << 20));
    }
    world.idle(Duration::from_secs(5));
    let (node, time) = world.node(SERVER);
    node.publish(time, &Path::new("room/bob").unwrap()).unwrap();
    let (node, time) = world.node(CLIENT);
    let watcher = node.watch(time, &Path::root());
    let asked = world.now;
    world.run(LIMIT, |world| world.node(CLIENT).0.poll_announced(watcher).unwrap()).expect("bob");
    let took = world.now - asked;
    assert!(took < Duration::from_millis(250), "{took:?}");
}

#[test]
fn small_windows_slow_down_and_stop_nothing() {
    let windows = |stream_receive_window, receive_window| TransportOptions {
        stream_receive_window,
        receive_window,
        ..TransportOptions::default()
    };
    for transport in [windows(5000, 1 << 20), windows(1 << 20, 5000), windows(5000, 7000)] {
        let mut world = World::new();
        world.add(CLIENT, EndpointConfig { transport, ..EndpointConfig::default() });
        world.add_server(SERVER, &Identity::new(&["localhost"]));
        let track = publish(&mut world);
        world.connected();
        let reader = subscribe(&mut world);
        for _ in 0..3 {
            add_group(&mut world, track, payload(100_000));
        }
        finish(&mut world, track);
        let mut viewer = Viewer::default();
        viewer.read_all(&mut world, reader);
        assert_eq!(viewer.groups.len(), 3);
    }
}

#[test]
fn slots_are_raised_on_demand_and_stop_at_their_maximum() {
    let identity = Identity::new(&["localhost"]);
    let slots = Slots { initial: 4, max: 64 };
    let mut world = World::new();
    let transport = TransportOptions { uni_streams: slots, ..TransportOptions::default() };
    world.add(CLIENT, EndpointConfig { transport, ..EndpointConfig::default() });
    world.add_server(SERVER, &identity);
    let track = publish(&mut world);
    let Connected { session, .. } = world.connected();
    let allowed = |world: &mut World| {
        world.host(CLIENT).endpoint.connection_stats(session).unwrap().uni_streams
    };
    assert_eq!(allowed(&mut world), 4);
    // Open groups, each of which holds a stream.
    let reader = subscribe(&mut world);
    let mut groups = Vec::new();
    for _ in 0..100 {
        let (node, time) = world.node(SERVER);
        let (group, _) = node.create_group(time, track, None).unwrap();
        node.write_frame(time, group, 0, payload(10)).unwrap();
        groups.push(group);
    }
    world.idle(Duration::from_secs(1));
    assert_eq!(allowed(&mut world), 64);
    for group in groups {
        let (node, time) = world.node(SERVER);
        node.finish_group(time, group).unwrap();
    }
    finish(&mut world, track);
    let mut viewer = Viewer::default();
    viewer.read_all(&mut world, reader);
    assert_eq!(viewer.groups.len(), 100);
    assert_eq!(allowed(&mut world), 64);
}

#[test]
fn a_reader_that_leaves_stops_the_bytes() {
    let mut world = world();
    world.link.rate = Some((1_250_000, 100_000));
    let track = publish(&mut world);
    let Connected { session, .. } = world.connected();
    let reader = subscribe(&mut world);
    for _ in 0..10 {
        add_group(&mut world, track, payload(1 << 20));
    }
    world.idle(Duration::from_secs(1));
    let (node, time) = world.node(CLIENT);
    node.unsubscribe(time, reader).unwrap();
    world.idle(Duration::from_secs(1));
    let stats = world.host(CLIENT).endpoint.connection_stats(session).unwrap();
    assert!(stats.received_bytes > 500_000, "{stats:?}");
    let before = stats.received_bytes;
    world.idle(Duration::from_secs(2));
    let stats = world.host(CLIENT).endpoint.connection_stats(session).unwrap();
    assert!(stats.received_bytes - before < 2000, "{stats:?}");
    // What was thrown away does not take the place of what comes next.
    finish(&mut world, track);
    let reader = subscribe(&mut world);
    let mut viewer = Viewer::default();
    viewer.read_all(&mut world, reader);
    assert_eq!(viewer.groups.len(), 10);
}

#[test]
fn a_close_is_told_to_both_and_then_all_is_quiet() {
    let mut world = world();
    let Connected { session, .. } = world.connected();
    world.idle(Duration::from_millis(100));
    let now = world.now;
    let code = SessionCode::application(7);
    let endpoint = &mut world.host(CLIENT).endpoint;
    endpoint.close_all(now, code, "good night");
    assert!(!endpoint.is_idle());
    world.flush();
    let endpoint = &mut world.host(CLIENT).endpoint;
    assert!(endpoint.is_idle());
    assert_eq!(endpoint.draining(), 1);
    assert_eq!(endpoint.remote_address(session), None);
    world.idle(Duration::from_secs(5));
    assert_eq!(closes(&mut world, CLIENT), [(ClosedBy::Local, code, "good night".into())]);
    assert_eq!(closes(&mut world, SERVER), [(ClosedBy::Peer, code, "good night".into())]);
    for host in world.hosts.values() {
        assert!(host.endpoint.is_idle());
        assert_eq!(host.endpoint.draining(), 0);
        assert_eq!(host.endpoint.poll_timeout(), None);
    }
}

#[test]
fn a_peer_that_vanishes_times_out_and_a_quiet_one_does_not() {
    let mut world = world();
    world.connected();
    world.idle(Duration::from_secs(60));
    assert_eq!(closes(&mut world, CLIENT), []);
    world.hosts.remove(&SERVER);
    world.idle(Duration::from_secs(20));
    let closed = closes(&mut world, CLIENT);
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].0, ClosedBy::Transport);
    assert!(world.host(CLIENT).endpoint.is_idle());
}

#[test]
fn garbage_is_ignored() {
    let mut world = world();
    let Connected { session, .. } = world.connected();
    let now = world.now;
    let mut noise = 1u64;
    for len in 0..1500 {
        let garbage: BytesMut = (0..len)
            .map(|_| {
                noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (noise >> 56) as u8
            })
            .collect();
        for host in world.hosts.values_mut() {
            let from = super::support::v4(66);
            host.endpoint.handle_datagram(now, from, None, len as u8, garbage.clone());
            host.endpoint.handle_datagram(now, CLIENT, None, len as u8, garbage.clone());
        }
    }
    world.idle(Duration::from_secs(1));
    assert_eq!(closes(&mut world, CLIENT), []);
    assert_eq!(closes(&mut world, SERVER), []);
    assert!(world.host(CLIENT).endpoint.remote_address(session).is_some());
}

#[test]
fn the_same_seeds_give_the_same_packets() {
    let identity = Identity::new(&["localhost"]);
    let run = || {
        let mut world = World::pair(&identity);
        world.link.lose_every = 37;
        let track = publish(&mut world);
        world.connected();
        let reader = subscribe(&mut world);
        for _ in 0..5 {
            add_group(&mut world, track, payload(50_000));
        }
        finish(&mut world, track);
        Viewer::default().read_all(&mut world, reader);
        world.trace
    };
    let trace = run();
    assert!(trace.len() > 200);
    assert_eq!(trace, run());
}

#[test]
fn certificates_can_be_changed_while_running() {
    let (old, new) = (Identity::new(&["localhost"]), Identity::new(&["localhost"]));
    let mut world = World::pair(&old);
    let first = world.connect(target(&[SERVER]), Trust::Fingerprints(vec![old.fingerprint()]));
    let first = world.outcome(first).unwrap();
    world.host(SERVER).endpoint.set_server(Some(ServerConfig::new(new.server_tls())));
    let second = world.connect(target(&[SERVER]), Trust::Fingerprints(vec![new.fingerprint()]));
    world.outcome(second).unwrap();
    assert!(world.host(CLIENT).endpoint.remote_address(first.session).is_some());
}

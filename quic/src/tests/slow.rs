//! Who does not read what comes.

use std::time::Duration;

use smoq_core::{
    ClosedBy, Config, Limits, NextGroup, Path,
    wire::{SessionCode, TrackInfo},
};

use super::{
    session::{Viewer, add_group, finish, payload, publish, subscribe},
    support::{CARRIERS, CLIENT, Identity, SERVER, World, closes, target},
};
use crate::{EndpointConfig, Target, TransportOptions, Trust};

const WINDOW: u32 = 64 << 10;
const SIZE: usize = 10_000;

/// Calls `scene` on each carrier, with a client whose window is small.
fn on_each_carrier(mut scene: impl FnMut(&mut World)) {
    for &carrier in CARRIERS {
        let transport = TransportOptions {
            stream_receive_window: WINDOW,
            receive_window: WINDOW,
            ..TransportOptions::default()
        };
        let world = &mut World::new();
        world.add(CLIENT, EndpointConfig { transport, ..EndpointConfig::default() });
        world.add_server(SERVER, &Identity::new(&["localhost"]));
        let id = world.connect(Target { carrier, ..target(&[SERVER]) }, Trust::Insecure);
        world.outcome(id).unwrap();
        scene(world);
    }
}

#[test]
fn who_pauses_holds_the_sender_back_and_gets_all_later() {
    const GROUPS: usize = 40;
    on_each_carrier(|world| {
        let track = publish(world);
        let reader = subscribe(world);
        world.idle(Duration::from_secs(1));
        let now = world.now;
        world.host(CLIENT).endpoint.pause_reading(now);
        for _ in 0..GROUPS {
            add_group(world, track, payload(SIZE));
        }
        finish(world, track);
        let before = world.trace.iter().map(|(.., size)| size).sum::<usize>();
        world.idle(Duration::from_secs(20));
        let sent = world.trace.iter().map(|(.., size)| size).sum::<usize>() - before;
        assert!(sent < 2 * WINDOW as usize, "{sent} bytes went on");
        let mut viewer = Viewer::default();
        viewer.read(world, reader);
        assert_eq!(viewer.groups.len(), 0);
        // Once is what lies here.
        let now = world.now;
        let endpoint = &mut world.host(CLIENT).endpoint;
        endpoint.resume_reading(now);
        endpoint.pause_reading(now);
        world.idle(Duration::from_secs(1));
        viewer.read(world, reader);
        let once = viewer.groups.len();
        assert!((1..=WINDOW as usize / SIZE).contains(&once), "{once} groups");
        let now = world.now;
        world.host(CLIENT).endpoint.resume_reading(now);
        viewer.read_all(world, reader);
        assert_eq!(viewer.groups.len(), GROUPS);
    });
}

#[test]
fn who_stays_away_is_cut_off() {
    on_each_carrier(|world| {
        let track = publish(world);
        subscribe(world);
        world.idle(Duration::from_secs(1));
        let now = world.now;
        world.host(CLIENT).endpoint.pause_reading(now);
        for _ in 0..20 {
            add_group(world, track, payload(SIZE));
        }
        world.idle(Duration::from_secs(55));
        assert_eq!(closes(world, SERVER), []);
        world.idle(Duration::from_secs(15));
        let reason = "nothing was taken of what waited for 60 s".to_owned();
        assert_eq!(closes(world, SERVER), [(ClosedBy::Local, SessionCode::TIMEOUT, reason)]);
        assert_eq!(closes(world, CLIENT).len(), 1, "it hears of it");
    });
}

/// What the server opens meanwhile is heard later: that it has not said what it is yet, is not its fault.
#[test]
fn who_pauses_has_patience_with_what_it_does_not_read() {
    for &carrier in CARRIERS {
        let world = &mut World::new();
        let opening_timeout = Duration::from_secs(2);
        let limits = Limits { opening_timeout, ..Limits::default() };
        let node = Config { limits, ..Config::default() };
        world.add(CLIENT, EndpointConfig { node, ..EndpointConfig::default() });
        world.add_server(SERVER, &Identity::new(&["localhost"]));
        let id = world.connect(Target { carrier, ..target(&[SERVER]) }, Trust::Insecure);
        world.outcome(id).unwrap();
        let (node, time) = world.node(CLIENT);
        let path = Path::new("room/bob").unwrap();
        let broadcast = node.publish(time, &path).unwrap();
        node.create_track(time, broadcast, "video", TrackInfo::default()).unwrap();
        world.idle(Duration::from_secs(1));
        let now = world.now;
        world.host(CLIENT).endpoint.pause_reading(now);
        let (node, time) = world.node(SERVER);
        let reader = node.subscribe(time, &path, "video", Default::default()).unwrap();
        world.idle(3 * opening_timeout);
        let now = world.now;
        world.host(CLIENT).endpoint.resume_reading(now);
        world.idle(Duration::from_secs(1));
        assert_eq!(world.node(CLIENT).0.stats().violations, 0);
        assert_eq!(world.node(CLIENT).0.stats().subscriptions, 1, "it serves what was asked for");
        let (node, time) = world.node(SERVER);
        assert_eq!(node.next_group(time, reader), Ok(NextGroup::Pending));
    }
}

//! How fast a connection is, as its peer is told.

use std::time::Duration;

use smoq_core::{Id, Probed, Session, wire::Probe};

use super::{
    session::{Viewer, add_group, finish, payload, publish, subscribe},
    support::{CARRIERS, CLIENT, Identity, Link, SERVER, World, target},
};
use crate::{Target, Trust};

/// Bytes per second.
const RATE: u64 = 250_000;
const QUEUE: u64 = 25_000;

/// What the client has heard last, if that is new.
fn latest(world: &mut World, session: Id<Session>) -> Option<Probe> {
    let (node, _) = world.node(CLIENT);
    match node.poll_probe(session).unwrap() {
        Probed::Report(report) => Some(report),
        Probed::Pending => None,
        Probed::Ended => panic!("it goes on"),
    }
}

#[test]
fn an_estimate_follows_the_network() {
    for &carrier in CARRIERS {
        let mut world = World::pair(&Identity::new(&["localhost"]));
        let latency = Duration::from_millis(20);
        world.link = Link { latency, rate: Some((RATE, QUEUE)), lose_every: 0 };
        let id = world.connect(Target { carrier, ..target(&[SERVER]) }, Trust::Insecure);
        let session = world.outcome(id).unwrap().session;
        let (node, time) = world.node(CLIENT);
        node.probe(time, session).unwrap();
        world.idle(Duration::from_secs(1));
        let first = latest(&mut world, session).expect("a report at once");
        let rtt = first.rtt_ms.expect("it is known");
        assert!((40..80).contains(&rtt), "{carrier:?}: {rtt} ms");
        assert!(first.bitrate.is_some(), "{carrier:?}");

        // More than the network takes: the estimate is what it takes, more or less.
        let track = publish(&mut world);
        let reader = subscribe(&mut world);
        for _ in 0..60 {
            add_group(&mut world, track, payload(40_000));
            world.idle(Duration::from_millis(100));
        }
        let full = latest(&mut world, session).expect("a change");
        let bitrate = full.bitrate.expect("it is known");
        let network = RATE * 8;
        assert!((network / 2..network * 2).contains(&bitrate), "{carrier:?}: {bitrate} bit/s");

        finish(&mut world, track);
        Viewer::default().read_all(&mut world, reader);
        // When nobody wants to know, nothing is sent for it.
        let (node, time) = world.node(CLIENT);
        node.unprobe(time, session).unwrap();
        world.idle(Duration::from_secs(1));
        let sent = world.trace.len();
        world.idle(Duration::from_secs(1));
        assert_eq!(world.trace.len(), sent, "{carrier:?}");
    }
}

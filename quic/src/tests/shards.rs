//! Several endpoints that are one server.

use std::time::Duration;

use smoq_core::{Closed, ClosedBy, Path, wire::SessionCode};

use super::{
    session::{Viewer, add_group, finish, payload, publish, subscribe},
    support::{CLIENT, Identity, SERVER, World, client_tls, closes, target, v4},
};
use crate::{EndpointConfig, Event, Trust};

/// [`SERVER`] is the first one.
const SHARDS: [std::net::SocketAddr; 3] = [SERVER, v4(3), v4(4)];

fn world() -> World {
    let mut world = World::new();
    world.add(CLIENT, EndpointConfig::default());
    world.add_shards(&SHARDS, &Identity::new(&["localhost"]));
    world
}

#[test]
fn what_one_shard_publishes_is_read_at_another() {
    let mut world = world();
    let track = publish(&mut world);
    let connect = world.connect(target(&[SHARDS[2]]), Trust::Insecure);
    world.outcome(connect).unwrap();
    let reader = subscribe(&mut world);
    for _ in 0..5 {
        add_group(&mut world, track, payload(50_000));
    }
    finish(&mut world, track);
    let mut viewer = Viewer::default();
    viewer.read_all(&mut world, reader);
    assert_eq!(viewer.groups.len(), 5);
    assert!(viewer.groups.iter().all(|(_, data)| *data == payload(50_000)));
    assert_eq!(world.handed_over, 0, "nothing came to the wrong shard");
    for shard in SHARDS {
        assert_eq!(world.node(shard).0.stats().violations, 0);
    }
}

#[test]
fn of_a_link_only_its_end_is_told() {
    let mut world = world();
    world.idle(Duration::from_secs(1));
    for shard in SHARDS {
        let host = world.host(shard);
        assert_eq!((host.events.as_slice(), host.endpoint.links()), (&[] as &[Event], 2));
        assert!(!host.endpoint.is_idle());
    }
    let now = world.now;
    world.host(SERVER).endpoint.close_all(now, SessionCode::INTERNAL, "it is over");
    world.flush();
    for (shard, left) in SHARDS.into_iter().zip([0, 1, 1]) {
        let by = if shard == SERVER { ClosedBy::Local } else { ClosedBy::Peer };
        let host = world.host(shard);
        assert_eq!(host.endpoint.links(), left);
        assert_eq!(host.events.len(), 2 - left);
        for event in &host.events {
            let Event::Link(smoq_core::Event::Closed { closed, .. }) = event else {
                panic!("{event:?}")
            };
            let code = SessionCode::INTERNAL;
            assert_eq!(*closed, Closed { by, code, reason: "it is over".into() });
        }
    }
    assert!(world.host(SERVER).endpoint.is_idle());
}

#[test]
fn a_client_that_comes_to_the_wrong_shard_goes_on() {
    let mut world = world();
    let track = publish(&mut world);
    world.connected();
    let reader = subscribe(&mut world);
    add_group(&mut world, track, payload(100_000));
    world.idle(Duration::from_secs(1));
    // Its address translator forgets it, and the system gives the new address to another socket.
    let outside = v4(99);
    world.moved = Some((outside, SHARDS[1]));
    for _ in 0..5 {
        add_group(&mut world, track, payload(100_000));
        world.idle(Duration::from_secs(5));
    }
    finish(&mut world, track);
    let mut viewer = Viewer::default();
    viewer.read_all(&mut world, reader);
    assert_eq!(viewer.groups.len(), 6);
    assert!(viewer.groups.iter().all(|(_, data)| *data == payload(100_000)));
    assert!(world.handed_over > 20, "{} datagrams came to the wrong shard", world.handed_over);
    assert_eq!((closes(&mut world, CLIENT), closes(&mut world, SERVER)), (vec![], vec![]));
    let session = world.host(SERVER).events.iter().find_map(|event| match event {
        Event::Connected { session, .. } => Some(*session),
        _ => None,
    });
    let endpoint = &world.host(SERVER).endpoint;
    assert_eq!(endpoint.remote_address(session.unwrap()), Some(outside));
}

#[test]
fn what_is_handed_over_goes_no_further() {
    let mut world = world();
    let now = world.now;
    // Of a connection that no shard has.
    let stray = || [&[0x40, 1, 2, 3, 4, 5, 6, 7, 1][..], &[0; 40]].concat();
    world.host(SERVER).endpoint.handle_datagram(now, CLIENT, None, 0, stray()[..].into());
    let mut datagram = world.host(SERVER).endpoint.poll_misdirected().expect("it is for another");
    assert_eq!((datagram.shard, &*datagram.data), (1, &*stray()));
    datagram.shard = 2;
    let wrong = &mut world.host(SHARDS[2]).endpoint;
    wrong.handle_misdirected(now, datagram);
    assert_eq!(wrong.poll_misdirected(), None);
}

#[test]
fn a_viewer_that_stalls_holds_nobody_up() {
    const STALLED: std::net::SocketAddr = v4(50);
    const GROUPS: usize = 40;
    let mut world = world();
    world.add(STALLED, EndpointConfig::default());
    let track = publish(&mut world);
    // One that will stall is on the last shard, one that goes on is on the second.
    let now = world.now;
    let stalled = &mut world.host(STALLED).endpoint;
    stalled.connect(now, target(&[SHARDS[2]]), &client_tls(Trust::Insecure)).unwrap();
    let connect = world.connect(target(&[SHARDS[1]]), Trust::Insecure);
    world.outcome(connect).unwrap();
    world.idle(Duration::from_secs(1));
    let (node, time) = world.node(STALLED);
    node.subscribe(time, &Path::new("room/alice").unwrap(), "video", Default::default()).unwrap();
    let reader = subscribe(&mut world);
    world.idle(Duration::from_secs(1));
    // Nothing comes from it any more, so its window is soon used up.
    world.hosts.remove(&STALLED);
    let mut viewer = Viewer::default();
    for group in 1..=GROUPS {
        add_group(&mut world, track, payload(200_000));
        let begun = world.now;
        let read = world.run(Duration::from_secs(5), |world| {
            viewer.read(world, reader);
            (viewer.groups.len() == group).then_some(())
        });
        read.expect("it has the group");
        assert!(world.now - begun < Duration::from_millis(500), "group {group} is late");
    }
    // The stalled one's shard has its copy of all, as if nothing were.
    assert_eq!(world.node(SHARDS[2]).0.stats().groups, GROUPS);
    assert_eq!(world.node(SHARDS[2]).0.stats().sessions, 2 + 1, "it is not given up yet");
}

#[test]
fn a_link_carries_the_tracks_of_many_peers() {
    const TRACKS: usize = 5000;
    let mut world = world();
    let (node, time) = world.node(SERVER);
    let path = Path::new("room/alice").unwrap();
    let broadcast = node.publish(time, &path).unwrap();
    for name in 0..TRACKS {
        let track = node.create_track(time, broadcast, &name.to_string(), Default::default());
        let (group, _) = node.create_group(time, track.unwrap(), None).unwrap();
        node.write_frame(time, group, 0, payload(10)).unwrap();
    }
    world.idle(Duration::from_secs(1));
    let (node, time) = world.node(SHARDS[1]);
    for name in 0..TRACKS {
        node.subscribe(time, &path, &name.to_string(), Default::default()).unwrap();
    }
    world.idle(Duration::from_secs(1));
    assert_eq!(world.node(SHARDS[1]).0.stats().groups, TRACKS);
    assert_eq!(SHARDS.map(|shard| world.node(shard).0.stats().violations), [0; 3]);
}

//! Honest nodes: what is published arrives, wherever it goes through and whatever is spoken.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use smoq_core::{
    Announced, Config, Event, Start, SubscribeOptions, Version,
    wire::{StreamCode, TrackInfo},
};
use smoq_sim::Viewer;

/// Publishers before 05 do not say where a track ends: each hop waits a second or two for what may
/// still come.
const LONG: Duration = Duration::from_secs(6);

#[test]
fn two_subscribers_get_what_was_published() {
    for (up, down) in hops() {
        let mut world = world(1);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "room/cam", "video");
        world.run_until_idle();
        let mut viewers =
            net.viewers.map(|node| Viewer::new(&mut world, node, "room/cam", "video", live()));
        world.run_until_idle();
        for group in 0..5 {
            source.group(&mut world, &frames(group, 4, 300));
            world.run_until_idle();
            viewers.iter_mut().for_each(|viewer| viewer.read(&mut world));
        }
        source.finish(&mut world);
        world.run_for(LONG);
        for viewer in &mut viewers {
            viewer.read(&mut world);
            assert_eq!(viewer.complete(), source.payloads(0..5), "{up} {down}");
            assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
        }
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_late_joiner_starts_at_the_latest_group() {
    for (up, down) in hops() {
        let mut world = world(2);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        for group in 0..3 {
            source.group(&mut world, &frames(group, 2, 100));
        }
        world.run_until_idle();
        let mut viewers = net.viewers.map(|node| {
            let mut viewer = Viewer::new(&mut world, node, "cam", "video", Default::default());
            world.run_until_idle();
            viewer.read(&mut world);
            viewer
        });
        source.group(&mut world, &frames(3, 2, 100));
        world.run_until_idle();
        for viewer in &mut viewers {
            viewer.read(&mut world);
            assert_eq!(viewer.complete(), source.payloads(2..4), "{up} {down}");
        }
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn from_zero_gets_everything_held() {
    for (up, down) in hops() {
        let mut world = world(3);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        for group in 0..20 {
            source.group(&mut world, &frames(group, 3, 500));
        }
        world.run_until_idle();
        let mut viewers = net.viewers.map(|node| {
            let viewer = Viewer::new(&mut world, node, "cam", "video", from(0));
            world.run_until_idle();
            viewer
        });
        source.finish(&mut world);
        world.run_for(LONG);
        for viewer in &mut viewers {
            viewer.read(&mut world);
            assert_eq!(viewer.complete(), source.payloads(0..20), "{up} {down}");
            assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
        }
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn an_age_reaches_back_where_a_floor_can_be_asked() {
    let mut world = world(4);
    let net = Net::new(&mut world, Version::Lite06, Version::Lite06);
    let mut source = Source::new(&mut world, net.publisher, "cam", "video");
    // One second per group: 2500 ms reach the groups 3, 4 and 5, whose ends lie at most that far back.
    for group in 0..6 {
        source.group(&mut world, &frames(group, 1, 10));
    }
    world.run_until_idle();
    let options = SubscribeOptions {
        start: Start::Aged { floor: 0 },
        max_age: Duration::from_millis(2500),
        ..Default::default()
    };
    let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", options.clone());
    world.run_until_idle();
    viewer.read(&mut world);
    assert_eq!(viewer.complete(), source.payloads(2..6));
    let floored = SubscribeOptions { start: Start::Aged { floor: 4 }, ..options };
    let mut viewer = Viewer::new(&mut world, net.viewers[1], "cam", "video", floored);
    world.run_until_idle();
    viewer.read(&mut world);
    assert_eq!(viewer.complete(), source.payloads(4..6));
}

#[test]
fn a_track_without_groups_ends() {
    for (up, down) in hops() {
        let mut world = world(10);
        let net = Net::new(&mut world, up, down);
        let source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let mut viewers =
            net.viewers.map(|node| Viewer::new(&mut world, node, "cam", "video", live()));
        world.run_until_idle();
        source.finish(&mut world);
        world.run_for(LONG);
        for viewer in &mut viewers {
            viewer.read(&mut world);
            assert_eq!((viewer.groups.len(), viewer.end), (0, Some(Ok(()))), "{up} {down}");
        }
        // One that comes when it is over is told the same.
        let mut late = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_for(LONG);
        late.read(&mut world);
        assert_eq!((late.groups.len(), late.end), (0, Some(Ok(()))), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn empty_groups_and_empty_frames_arrive() {
    for (up, down) in hops() {
        let mut world = world(11);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        source.group(&mut world, &[]);
        source.group(
            &mut world,
            &[(7, Bytes::new()), (8, Bytes::from_static(b"x")), (9, Bytes::new())],
        );
        source.group(&mut world, &[]);
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", from(0));
        world.run_until_idle();
        viewer.read(&mut world);
        assert_eq!(viewer.complete(), source.payloads(0..3), "{up} {down}");
        assert_eq!(viewer.groups[&1].frames.len(), 3, "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn frames_are_forwarded_while_they_come() {
    for (up, down) in hops() {
        let mut world = world(12);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        let (group, _) = source.open_group(&mut world, None, &frames(0, 1, 5000));
        let now = world.now();
        world[net.publisher].start_frame(now, group, 40, 10).unwrap();
        world[net.publisher].write_chunk(now, group, Bytes::from_static(b"1234")).unwrap();
        world.run_until_idle();
        viewer.read_pieces(&mut world, 100);
        let log = &viewer.groups[&0];
        assert_eq!((log.frames.len(), log.missing, log.end), (2, 6, None), "{up} {down}");
        assert_eq!(log.frames[1].1, b"1234");
        world[net.publisher].write_chunk(now, group, Bytes::from_static(b"567890")).unwrap();
        world[net.publisher].finish_group(now, group).unwrap();
        world.run_until_idle();
        viewer.read(&mut world);
        let log = &viewer.groups[&0];
        assert_eq!((log.frames[1].1.as_slice(), log.end), (&b"1234567890"[..], Some(Ok(()))));
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_group_that_is_cut_off_keeps_its_code() {
    for (up, down) in hops() {
        let mut world = world(13);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        let (group, _) = source.open_group(&mut world, None, &frames(0, 2, 100));
        world.run_until_idle();
        viewer.read(&mut world);
        let now = world.now();
        world[net.publisher].abort_group(now, group, StreamCode::application(5)).unwrap();
        source.group(&mut world, &frames(1, 1, 10));
        source.finish(&mut world);
        world.run_for(LONG);
        viewer.read(&mut world);
        let log = &viewer.groups[&0];
        assert_eq!(log.end, Some(Err(StreamCode::application(5))), "{up} {down}");
        assert_eq!(log.bytes(), source.payloads(0..1)[&0], "{up} {down}");
        assert_eq!(viewer.complete(), source.payloads(1..2), "{up} {down}");
        assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn an_aborted_track_keeps_its_code() {
    for (up, down) in hops() {
        for code in [StreamCode::application(9), StreamCode::CANCEL] {
            let mut world = world(14);
            let net = Net::new(&mut world, up, down);
            let mut source = Source::new(&mut world, net.publisher, "cam", "video");
            source.group(&mut world, &frames(0, 1, 10));
            world.run_until_idle();
            let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
            world.run_until_idle();
            let now = world.now();
            world[net.publisher].abort_track(now, source.track, code).unwrap();
            world.run_for(LONG);
            viewer.read(&mut world);
            assert_eq!(viewer.end, Some(Err(code)), "{up} {down}");
            assert_quiet(&mut world, &net);
        }
    }
}

#[test]
fn a_withdrawn_broadcast_ends_its_unfinished_tracks() {
    for (up, down) in hops() {
        let mut world = world(15);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        source.group(&mut world, &frames(0, 1, 10));
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        let now = world.now();
        world[net.publisher].unpublish(now, source.broadcast).unwrap();
        world.run_for(LONG);
        viewer.read(&mut world);
        assert_eq!(viewer.complete(), source.payloads(0..1), "{up} {down}");
        assert_eq!(viewer.end, Some(Err(StreamCode::CANCEL)), "{up} {down}");
        let stats = world[net.publisher].stats();
        assert_eq!((stats.tracks, stats.groups, stats.store_bytes), (0, 0, 0), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_finished_track_is_served_after_it_was_withdrawn() {
    for (up, down) in hops() {
        let mut world = world(16);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", from(0));
        world.run_until_idle();
        for group in 0..10 {
            source.group(&mut world, &frames(group, 10, 2000));
        }
        source.finish(&mut world);
        let now = world.now();
        world[net.publisher].unpublish(now, source.broadcast).unwrap();
        world.run_for(LONG);
        viewer.read(&mut world);
        assert_eq!(viewer.complete(), source.payloads(0..10), "{up} {down}");
        assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
        let stats = world[net.publisher].stats();
        assert_eq!((stats.tracks, stats.store_bytes), (0, 0), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_lost_publisher_is_told_to_those_who_listen() {
    for (up, down) in hops() {
        let mut world = world(17);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        let now = world.now();
        let watcher = world[net.viewers[0]].watch(now, &path(""));
        source.open_group(&mut world, None, &frames(0, 1, 10));
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        announced(&mut world, net.viewers[0], watcher);
        world.cut(net.up);
        world.run_for(LONG);
        viewer.read(&mut world);
        assert_eq!(viewer.end, Some(Err(StreamCode::SESSION_CLOSED)), "{up} {down}");
        let ended = Announced::Ended { path: path("cam") };
        assert_eq!(announced(&mut world, net.viewers[0], watcher), [ended], "{up} {down}");
        let stats = world[net.relay].stats();
        assert_eq!((stats.sessions, stats.tracks, stats.groups, stats.routes), (2, 0, 0, 0));
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_publisher_that_comes_back_is_found_again() {
    for version in Version::ALL {
        let mut world = world(18);
        let net = Net::new(&mut world, version, version);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        source.group(&mut world, &frames(0, 1, 10));
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        world.cut(net.up);
        world.run_until_idle();
        world.connect(net.publisher, net.relay, version, "");
        world.run_until_idle();
        let mut again = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        source.group(&mut world, &frames(1, 1, 10));
        world.run_until_idle();
        viewer.read(&mut world);
        again.read(&mut world);
        assert!(viewer.end.is_some_and(|end| end.is_err()), "{version}");
        assert!(again.complete().contains_key(&1), "{version}: {again:?}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn demand_follows_the_first_and_the_last_subscriber() {
    for (up, down) in hops() {
        let mut world = world(19);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        world.events(net.publisher);
        let viewers = net.viewers.map(|node| Viewer::new(&mut world, node, "cam", "video", live()));
        world.run_until_idle();
        let demand = |wanted| Event::Demand { track: source.track, wanted };
        assert_eq!(world.events(net.publisher), [demand(true)], "{up} {down}");
        let now = world.now();
        world[net.viewers[0]].unsubscribe(now, viewers[0].reader).unwrap();
        world.run_until_idle();
        assert_eq!(world.events(net.publisher), [], "{up} {down}");
        world[net.viewers[1]].unsubscribe(now, viewers[1].reader).unwrap();
        world.run_until_idle();
        assert_eq!(world.events(net.publisher), [demand(false)], "{up} {down}");
        for node in [net.relay, net.viewers[0], net.viewers[1]] {
            let stats = world[node].stats();
            assert_eq!((stats.tracks, stats.subscriptions), (0, 0), "{up} {down}");
        }
        // Groups in the middle of their way do not disturb: the next subscriber gets the next ones.
        source.group(&mut world, &frames(0, 1, 10));
        let mut again = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        again.read(&mut world);
        assert_eq!(again.complete(), source.payloads(0..1), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn a_late_lower_group_is_still_delivered() {
    for (up, down) in hops() {
        let mut world = world(20);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", from(0));
        world.run_until_idle();
        for group in [0, 3, 1, 4, 2] {
            source.group_at(&mut world, Some(group), &frames(group, 1, 50));
            world.run_until_idle();
            viewer.read(&mut world);
        }
        assert_eq!(viewer.order, [0, 3, 1, 4, 2], "{up} {down}");
        assert_eq!(viewer.complete(), source.payloads(0..5), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn an_end_pauses_and_raising_it_resumes() {
    for (up, down) in hops() {
        let mut world = world(21);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        for group in 0..40 {
            source.group(&mut world, &frames(group, 2, 700));
        }
        world.run_until_idle();
        let mut options = SubscribeOptions { end: Some(3), ..from(0) };
        let node = net.viewers[0];
        let mut viewer = Viewer::new(&mut world, node, "cam", "video", options.clone());
        source.finish(&mut world);
        while viewer.groups.len() < 40 {
            world.run_until_idle();
            let before = viewer.groups.len();
            viewer.read(&mut world);
            assert_eq!(viewer.groups.len(), before + 4, "{up} {down}");
            assert!(viewer.end.is_none() || viewer.groups.len() == 40, "{up} {down}");
            options.end = options.end.map(|end| end + 4);
            let now = world.now();
            world[node].update_subscription(now, viewer.reader, options.clone()).unwrap();
        }
        world.run_for(LONG);
        viewer.read(&mut world);
        assert_eq!(viewer.complete(), source.payloads(0..40), "{up} {down}");
        assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
        assert_quiet(&mut world, &net);
    }
}

#[test]
fn timestamps_travel_from_05_on() {
    for (up, down) in hops() {
        let mut world = world(22);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        let frames: Vec<_> =
            [90_000, 5, (1 << 61) - 1, 0].map(|time| (time, Bytes::from_static(b"x"))).into();
        source.group(&mut world, &frames);
        world.run_until_idle();
        let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", live());
        world.run_until_idle();
        viewer.read(&mut world);
        let got: Vec<u64> = viewer.groups[&0].frames.iter().map(|(time, _)| *time).collect();
        if up.has_timestamps() && down.has_timestamps() {
            assert_eq!(got, [90_000, 5, (1 << 61) - 1, 0], "{up} {down}");
        } else {
            // Where they cannot travel, frames are stamped on arrival, in milliseconds.
            let arrived = world.now().as_millis();
            assert!(got.iter().all(|time| arrived - time < 1000), "{up} {down}: {got:?}");
        }
        let info = world[net.viewers[0]].track_info(viewer.reader).unwrap().unwrap();
        if up.has_track() && down.has_track() {
            assert_eq!(info.max_age_ms, 60_000, "{up} {down}");
        }
        assert_eq!(viewer.complete(), source.payloads(0..1), "{up} {down}");
    }
}

#[test]
fn everything_is_returned_when_everybody_has_left() {
    for (up, down) in hops() {
        let mut world = world(24);
        let net = Net::new(&mut world, up, down);
        let mut source = Source::new(&mut world, net.publisher, "cam", "video");
        let now = world.now();
        world[net.viewers[0]].watch(now, &path(""));
        let viewers =
            net.viewers.map(|node| Viewer::new(&mut world, node, "cam", "video", from(0)));
        world.run_until_idle();
        for group in 0..10 {
            source.group(&mut world, &frames(group, 3, 3000));
        }
        world.run_for(Duration::from_millis(2));
        for connection in [net.up, net.down[0], net.down[1]] {
            world.cut(connection);
        }
        world.run_for(LONG);
        let now = world.now();
        world[net.publisher].unpublish(now, source.broadcast).unwrap();
        for (node, viewer) in net.viewers.into_iter().zip(viewers) {
            world[node].unsubscribe(now, viewer.reader).unwrap();
        }
        for node in net.nodes() {
            let stats = world[node].stats();
            let held = [stats.sessions, stats.tracks, stats.groups, stats.store_bytes];
            assert_eq!(held, [0; 4], "{up} {down}");
            assert_eq!((stats.routes, stats.subscriptions), (0, 0), "{up} {down}");
        }
    }
}

#[test]
fn an_open_group_on_its_way_is_no_backlog() {
    for version in Version::ALL {
        let mut world = world(1);
        let publisher = world.node(Config::default());
        let viewer = world.node(Config::default());
        world.connect(viewer, publisher, version, "");
        let now = world.now();
        let node = &mut world[publisher];
        let broadcast = node.publish(now, &path("cam")).unwrap();
        let track = node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
        world.run_until_idle();
        world[viewer].subscribe(now, &path("cam"), "video", SubscribeOptions::default()).unwrap();
        world.run_until_idle();
        let now = world.now();
        let node = &mut world[publisher];
        let (group, _) = node.create_group(now, track, None).unwrap();
        node.write_frame(now, group, 0, Bytes::from(vec![7; 100_000])).unwrap();
        assert!(node.backlog(track).unwrap().bytes > 100_000, "{version}");
        world.run_until_idle();
        // Its writer may wait for this before it writes on.
        let backlog = world[publisher].backlog(track).unwrap();
        assert_eq!(
            (backlog.subscribers, backlog.bytes, backlog.unfinished),
            (1, 0, 1),
            "{version}"
        );
    }
}

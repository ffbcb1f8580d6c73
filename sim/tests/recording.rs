//! What goes into a node, recorded and replayed, gives the same outputs, bit for bit.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use smoq_core::{Config, Limits, NextGroup, Probed, SubscribeOptions, Version, wire::StreamCode};
use smoq_sim::{NodeId, Recorder, Viewer, World};
use smoq_tape::{Ending, Input, Replay, ReplayError, Step, Timeline, compare};

/// A relay with a lot to do: mixed versions, groups cut off, late joiners, small limits, losses.
fn busy_world(seed: u64) -> (World, Vec<NodeId>) {
    let mut world = World::recorded(seed);
    let limits = Limits { store_bytes: 60_000, reorder: 3, ..Limits::default() };
    let relay = world.node(Config { limits, ..relay_config(100) });
    let publishers = [Version::Lite06, Version::Lite04].map(|version| {
        let node = world.node(Config::default());
        (node, world.connect(node, relay, version, "/room/é?jwt=a b"))
    });
    let viewers = Version::ALL.map(|version| {
        let node = world.node(Config::default());
        world.connect(node, relay, version, "");
        node
    });
    let now = world.now();
    let watchers = viewers.map(|node| world[node].watch(now, &path("")));
    let mut sources: Vec<_> = publishers
        .iter()
        .enumerate()
        .map(|(index, (node, _))| Source::new(&mut world, *node, &format!("cam{index}"), "video"))
        .collect();
    world.run_until_idle();
    let (prober, connection) = publishers[0];
    let now = world.now();
    world[prober].probe(now, connection.client).unwrap();
    let mut readers = Vec::new();
    for round in 0..12 {
        for (index, node) in viewers.into_iter().enumerate() {
            if (round + index) % 4 == 0 {
                let name = ["room/é/cam0", "cam1", "room/é/none"][(round + index) % 3];
                let options = SubscribeOptions { priority: index as u8, ..from(round as u64) };
                readers.push(Viewer::new(&mut world, node, name, "video", options));
            }
        }
        for source in &mut sources {
            source.group(&mut world, &frames(round as u64, 3, 2500));
            let (group, _) = source.open_group(&mut world, None, &frames(7, 1, 100));
            world.run_for(Duration::from_micros(1500));
            let now = world.now();
            let node = &mut world[source.node];
            node.abort_group(now, group, StreamCode::application(round as u16)).unwrap();
        }
        readers.iter_mut().for_each(|reader| reader.read_pieces(&mut world, 700));
        if round == 8 {
            world.cut(publishers[1].1);
        }
    }
    sources[0].finish(&mut world);
    world.run_for(Duration::from_secs(5));
    let heard = world[prober].poll_probe(connection.client);
    assert!(matches!(heard, Ok(Probed::Report(_))), "{heard:?}");
    let now = world.now();
    world[prober].unprobe(now, connection.client).unwrap();
    world.run_for(Duration::from_millis(50));
    readers.iter_mut().for_each(|reader| reader.read(&mut world));
    for (node, watcher) in viewers.into_iter().zip(watchers) {
        announced(&mut world, node, watcher);
    }
    let nodes = [relay].into_iter().chain(publishers.map(|(node, _)| node)).chain(viewers);
    (world, nodes.collect())
}

fn recording(world: &World, node: NodeId) -> Bytes {
    Bytes::copy_from_slice(world[node].recorded())
}

/// All steps, and how the recording ends.
fn run(mut replay: Replay) -> Result<(Vec<Step>, Ending), ReplayError> {
    let mut steps = Vec::new();
    while let Some(step) = replay.step()? {
        steps.push(step);
    }
    Ok((steps, replay.ending().unwrap()))
}

fn replayed(recording: &Bytes) -> (Vec<Step>, Ending) {
    run(Replay::new(recording.clone()).unwrap()).unwrap()
}

/// The number of the first step that is not what was recorded.
fn first_other(steps: &[Step]) -> Option<u64> {
    steps.iter().find(|step| step.same == Some(false)).map(|step| step.number)
}

#[test]
fn a_recording_replays_bit_for_bit() {
    let (world, nodes) = busy_world(1);
    for (index, node) in nodes.into_iter().enumerate() {
        let (steps, ending) = replayed(&recording(&world, node));
        assert!(steps.len() > 100, "node {index} was not busy");
        assert_eq!(ending, Ending::Stopped);
        for step in steps {
            assert_eq!(step.same, Some(true), "node {index}: {}", step.line());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let tapes = |seed| {
        let (world, nodes) = busy_world(seed);
        nodes.into_iter().map(|node| recording(&world, node)).collect::<Vec<_>>()
    };
    assert_eq!(tapes(2), tapes(2));
    assert_ne!(tapes(2), tapes(3));
}

#[test]
fn every_changed_byte_is_noticed() {
    let (world, nodes) = busy_world(4);
    let good = recording(&world, nodes[0]);
    for at in (0..good.len()).step_by(good.len() / 60) {
        let mut changed = good.to_vec();
        changed[at] ^= 1 << (at % 8);
        let Ok(replay) = Replay::new(changed.into()) else { continue };
        let Ok((steps, _)) = run(replay) else { continue };
        assert!(first_other(&steps).is_some(), "byte {at} of {}", good.len());
    }
}

#[test]
fn a_damaged_length_is_no_end() {
    let (world, nodes) = busy_world(4);
    let good = recording(&world, nodes[0]);
    let (steps, _) = replayed(&good);
    let payload = steps.iter().find_map(|step| match &step.input {
        Input::HandleRecv { data, .. } if data.len() > 100 => Some((step.number, data.clone())),
        _ => None,
    });
    let (number, payload) = payload.unwrap();
    let within = payload.as_ptr() as usize - good.as_ptr() as usize;
    // A length is followed by its inverse.
    let word = |at: usize| u32::from_le_bytes(good[at..at + 4].try_into().unwrap());
    let head = (0..within).rev().find(|at| word(*at) == !word(at + 4)).unwrap();
    for at in head..head + 8 {
        let mut changed = good.to_vec();
        changed[at] ^= 0x40;
        let mut replay = Replay::new(changed.into()).unwrap();
        let error = std::iter::repeat_with(|| replay.step()).find_map(Result::err).unwrap();
        assert_eq!(error, ReplayError::Input { number, offset: head as u64 });
        assert_eq!(replay.ending(), None);
    }
}

#[test]
fn a_changed_input_is_the_first_difference() {
    let (world, nodes) = busy_world(4);
    let good = recording(&world, nodes[0]);
    let (steps, _) = replayed(&good);
    let late = steps.iter().rev().find_map(|step| match &step.input {
        Input::HandleRecv { data, .. } if data.len() > 100 => Some((step.number, data.clone())),
        _ => None,
    });
    let (number, payload) = late.unwrap();
    let at = payload.as_ptr() as usize - good.as_ptr() as usize + payload.len() / 2;
    let mut changed = good.to_vec();
    changed[at] ^= 0xff;
    let changed = Bytes::from(changed);
    assert_eq!(first_other(&replayed(&changed).0), Some(number));
    let [mut one, mut other] = [good, changed].map(|bytes| Replay::new(bytes).unwrap());
    let compared = compare(&mut one, &mut other, None).unwrap();
    assert_eq!(compared.unlike, [None, Some(number)]);
    let difference = compared.difference.unwrap();
    assert_eq!(difference.number, number);
    assert_ne!(difference.one.unwrap().line(), difference.other.unwrap().line());
}

#[test]
fn a_node_made_in_another_way_is_noticed() {
    let (world, nodes) = busy_world(4);
    let good = recording(&world, nodes[0]);
    let small = || Replay::with(good.clone(), |config| config.limits.store_bytes = 20_000).unwrap();
    let number = first_other(&run(small()).unwrap().0).unwrap();
    let mut whole = Replay::new(good.clone()).unwrap();
    let compared = compare(&mut whole, &mut small(), None).unwrap();
    assert_eq!(compared.difference.unwrap().number, number);
    let both = |[mut one, mut other]: [Replay; 2], until| {
        let compared = compare(&mut one, &mut other, until).unwrap();
        assert_eq!(compared.difference, None);
        compared.unlike
    };
    assert_eq!(both([(); 2].map(|()| Replay::new(good.clone()).unwrap()), None), [None; 2]);
    // Alike, but neither is what was recorded, unless one stops before.
    assert_eq!(both([(); 2].map(|()| small()), None), [Some(number); 2]);
    let steps = replayed(&good).0;
    let late = steps.iter().find(|step| step.number == number).unwrap().time;
    let before = steps.iter().map(|step| step.time).filter(|time| *time < late).max().unwrap();
    assert_eq!(both([(); 2].map(|()| small()), Some(before)), [None; 2]);
    let mut whole = Replay::new(good.clone()).unwrap();
    assert_eq!(compare(&mut whole, &mut small(), Some(before)).unwrap().difference, None);
}

#[test]
fn a_recording_is_good_as_far_as_it_goes() {
    let (world, nodes) = busy_world(5);
    let good = recording(&world, nodes[1]);
    let (whole, _) = replayed(&good);
    let mut before = 0;
    for length in (good.len() / 2..good.len()).step_by(97) {
        let Ok(replay) = Replay::new(good.slice(..length)) else { panic!("{length}") };
        let (steps, _) = run(replay).unwrap();
        assert!(steps.len() >= before && steps.len() <= whole.len());
        before = steps.len();
        assert_eq!(first_other(&steps), None, "cut at {length}");
        let alike = |(a, b): (&Step, &Step)| a.output == b.output;
        assert!(steps.iter().zip(&whole).all(alike));
    }
    let length = good.len() - 1;
    let (steps, ending) = replayed(&good.slice(..length));
    assert_eq!((steps.len(), ending), (whole.len(), Ending::Stopped));
    assert_eq!(steps.last().unwrap().same, None, "its output was not recorded");
}

#[test]
fn a_recording_is_bounded() {
    const LIMIT: u64 = 10_000;
    let mut node = Recorder::recording(Config::default(), LIMIT);
    let mut bytes = Vec::new();
    for micros in 0..10_000 {
        node.handle_timeout(smoq_core::Time::from_micros(micros));
        if micros % 100 == 0 {
            bytes.extend(node.take_recording());
        }
    }
    bytes.extend(node.take_recording());
    assert!(!node.is_recording() && node.recorded().is_empty());
    assert!((LIMIT..LIMIT + 100).contains(&(bytes.len() as u64)), "{}", bytes.len());
    let (steps, ending) = replayed(&bytes.into());
    assert_eq!((first_other(&steps), ending), (None, Ending::Ended));
}

#[test]
fn the_story_is_told_by_name() {
    let (world, nodes) = busy_world(6);
    let mut timeline = Timeline::new(false);
    let (steps, _) = replayed(&recording(&world, nodes[0]));
    let lines: Vec<_> = steps.iter().flat_map(|step| timeline.note(step)).collect();
    let story = lines.join("\n");
    for text in [
        "a peer connects by moq-lite-06 over QUIC",
        "is up",
        r#"<- sets up for path "/room/é?jwt=a b""#,
        r#"<- announces "cam0""#,
        r#"-> announces "room/é/cam0""#,
        r#"-> subscribes to "video" of "cam0""#,
        r#"<- subscribes to "video" of "room/é/cam0""#,
        r#"subscription to "video" of "room/é/none": reset"#,
        "<- asks how fast",
        "-> could send ",
        " bit/s, a round trip is ",
        "<- question how fast: refused",
        "is closed by the transport",
    ] {
        assert!(story.contains(text), "{text} is not in\n{story}");
    }
    assert!(!story.contains("begins group"));
    let mut timeline = Timeline::new(true);
    let story: Vec<_> = steps.iter().flat_map(|step| timeline.note(step)).collect();
    assert!(story.iter().any(|line| line.contains(r#"<- begins group 0 of "video" of "cam0""#)));
}

#[test]
fn who_is_about_to_go_is_told() {
    let mut world = World::recorded(7);
    let nodes = [relay_config(100), Config::default()].map(|config| world.node(config));
    let [relay, client] = nodes;
    let connection = world.connect(client, relay, Version::Lite06, "");
    world.run_until_idle();
    let now = world.now();
    world[relay].goaway(now, connection.server, "moqt://b").unwrap();
    world.run_until_idle();
    let now = world.now();
    world[client].handle_paused(now, connection.client);
    world[client].handle_resumed(now, connection.client);
    let story = |node| {
        let mut timeline = Timeline::new(false);
        let (steps, _) = replayed(&recording(&world, node));
        assert_eq!(first_other(&steps), None);
        steps.iter().flat_map(|step| timeline.note(step)).collect::<Vec<_>>().join("\n")
    };
    let stories = nodes.map(story);
    for (story, way) in stories.iter().zip(["->", "<-"]) {
        let text = format!("{way} is about to go: connect to \"moqt://b\" anew");
        assert_eq!(story.matches(&text).count(), 1, "{text} is not in\n{story}");
        assert!(!story.contains("opens a stream"), "{story}");
    }
    assert!(stories[1].contains("-- is not read for now\n"), "{}", stories[1]);
    assert!(stories[1].ends_with("-- is read again"), "{}", stories[1]);
}

#[test]
fn what_is_fetched_is_told() {
    let mut world = World::recorded(8);
    let nodes = [relay_config(100), Config::default()].map(|config| world.node(config));
    let [relay, client] = nodes;
    world.connect(client, relay, Version::Lite06, "");
    let mut source = Source::new(&mut world, relay, "cam", "video");
    source.group(&mut world, &frames(0, 2, 10));
    world.run_until_idle();
    let now = world.now();
    let reader = world[client].fetch(now, &path("cam"), "video", 0, 127).unwrap();
    world.run_until_idle();
    let now = world.now();
    assert!(matches!(world[client].next_group(now, reader), Ok(NextGroup::Group { .. })));
    for (node, [asks, answers]) in nodes.into_iter().zip([["<-", "->"], ["->", "<-"]]) {
        let mut timeline = Timeline::new(false);
        let (steps, _) = replayed(&recording(&world, node));
        let story: Vec<_> = steps.iter().flat_map(|step| timeline.note(step)).collect();
        let story = story.join("\n");
        for text in [
            format!(r#"{asks} fetches group 0 of "video" of "cam""#),
            format!(r#"{answers} group 0 of "video" of "cam" is complete"#),
        ] {
            assert_eq!(story.matches(&text).count(), 1, "{text} is not in\n{story}");
        }
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let open = |bytes: &[u8]| Replay::new(Bytes::copy_from_slice(bytes)).err();
    let good = Recorder::recording(Config::default(), u64::MAX).recorded().to_vec();
    assert_eq!(open(&good), None);
    assert_eq!(open(b""), Some(ReplayError::NoRecording));
    assert_eq!(open(b"smoq tape 1\n"), Some(ReplayError::Format));
    assert_eq!(open(&good[..good.len() - 1]), Some(ReplayError::Beginning));
    for body in [&[200][..], &[28], &[28, 1, 1]] {
        let length = body.len() as u32;
        let bytes = [&good[..], &length.to_le_bytes(), &(!length).to_le_bytes(), body].concat();
        let error = ReplayError::Input { number: 1, offset: good.len() as u64 };
        assert_eq!(run(Replay::new(bytes.into()).unwrap()), Err(error), "{body:?}");
    }
}

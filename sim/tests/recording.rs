//! What goes into a node, written to a file and replayed, gives the same outputs, bit for bit.

mod common;

use std::{fs, path::PathBuf, time::Duration};

use common::*;
use smoq_core::{Config, Limits, SubscribeOptions, Version, wire::StreamCode};
use smoq_sim::{NodeId, ReplayError, Viewer, World, first_difference, replay};

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
    readers.iter_mut().for_each(|reader| reader.read(&mut world));
    for (node, watcher) in viewers.into_iter().zip(watchers) {
        announced(&mut world, node, watcher);
    }
    let nodes = [relay].into_iter().chain(publishers.map(|(node, _)| node)).chain(viewers);
    (world, nodes.collect())
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_recording_replays_bit_for_bit() {
    let (world, nodes) = busy_world(1);
    for (index, node) in nodes.into_iter().enumerate() {
        let name = file(&format!("node{index}.tape"));
        fs::write(&name, world[node].tape()).unwrap();
        let tape = fs::read_to_string(&name).unwrap();
        assert!(tape.lines().count() > 100, "node {index} was not busy");
        let again = replay(&tape).unwrap();
        let line = first_difference(&tape, &again);
        assert_eq!(line, None, "{:?}", line.map(|line| again.lines().nth(line - 1)));
        assert_eq!(tape, again);
        fs::remove_file(name).unwrap();
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let tapes = |seed| {
        let (world, nodes) = busy_world(seed);
        nodes.into_iter().map(|node| world[node].tape().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tapes(2), tapes(2));
    assert_ne!(tapes(2), tapes(3));
}

#[test]
fn a_changed_input_is_noticed() {
    let (world, nodes) = busy_world(4);
    let tape = world[nodes[0]].tape();
    let (mut noticed, mut tried) = (0, 0);
    let inputs = tape.match_indices("> handle_recv").map(|(at, _)| at);
    for at in inputs.step_by(7) {
        let end = at + tape[at..].find('\n').unwrap();
        let data = at + tape[at..end].rfind(" x").unwrap() + 2;
        if tape.as_bytes()[data] == b' ' {
            continue;
        }
        let mut changed = tape.to_owned();
        let digit = if tape.as_bytes()[data] == b'2' { "3" } else { "2" };
        changed.replace_range(data..data + 1, digit);
        let again = replay(&changed).unwrap();
        noticed += usize::from(first_difference(&changed, &again).is_some());
        tried += 1;
    }
    // Payload that was given up before anybody got it may change unseen.
    assert!(tried > 10 && noticed * 10 >= tried * 8, "{noticed} of {tried}");
    let line = tape.lines().position(|line| line.starts_with("> handle_acked")).unwrap();
    let without: Vec<&str> =
        tape.lines().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| line).collect();
    let without = without.join("\n");
    assert!(first_difference(&without, &replay(&without).unwrap()).is_some());
}

#[test]
fn what_is_no_recording_is_refused() {
    assert_eq!(replay(""), Err(ReplayError::Beginning));
    assert_eq!(replay("> new 1 2"), Err(ReplayError::Beginning));
    let good = smoq_sim::Recorder::recording(Config::default()).tape().to_owned();
    for line in ["> fly 1", "> handle_timeout", "> handle_timeout x", "> handle_timeout 1 2"] {
        assert_eq!(replay(&format!("{good}{line}")), Err(ReplayError::Input(2)), "{line}");
    }
}

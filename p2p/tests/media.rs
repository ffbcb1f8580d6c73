//! Sound and pictures, by name of what can go wrong. That browsers play them is tested there.

mod common;

use std::time::Duration;

use common::World;
use smoq_p2p::{CHAT, Event, Frame, Kind, State, Stats};

const ANN: usize = 0;
const BOB: usize = 1;
const BOTH: [Kind; 2] = [Kind::Audio, Kind::Video];

/// Peers with these kinds, the first of whom has called the second.
fn call(seed: u64, ann: &[Kind], bob: &[Kind]) -> World {
    let mut world = World::new(seed);
    for (id, kinds) in [("ann", ann), ("bob", bob)] {
        world.media = kinds.to_vec();
        world.add(id, None);
    }
    world.settle();
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    world.until_state(BOB, "ann", State::Direct);
    world
}

fn stats(world: &World, node: usize) -> Stats {
    world.nodes[node].peer.calls().next().unwrap().1
}

/// What others take of a node's.
fn taken(world: &World, node: usize) -> Vec<Kind> {
    let kinds = world.nodes[node].events.iter().filter_map(|event| match event {
        Event::Media { kind, .. } => Some(*kind),
        _ => None,
    });
    kinds.collect()
}

/// Pictures, the first of which can be decoded by itself, and sound: a second of them.
fn play(world: &mut World, node: usize) {
    play_for(world, node, 50);
}

fn play_for(world: &mut World, node: usize, frames: u64) {
    for i in 0..frames {
        let at = Duration::from_millis(20 * i);
        // The head of a picture of VP8 says whether it is a whole one, and how large its first part is.
        let mut picture = vec![0; 3000];
        picture[0] = u8::from(i > 0);
        let sound = vec![0xfc; 100];
        let now = world.now;
        for (kind, bytes) in [(Kind::Video, picture), (Kind::Audio, sound)] {
            let frame = Frame { kind, at, bytes: bytes.into() };
            world.nodes[node].peer.send_frame(now, &frame);
        }
        world.pass(Duration::from_millis(20));
    }
}

#[test]
fn both_take_what_the_other_has() {
    let mut world = call(1, &BOTH, &BOTH);
    assert_eq!((taken(&world, ANN), taken(&world, BOB)), (BOTH.to_vec(), BOTH.to_vec()));
    play(&mut world, ANN);
    play(&mut world, BOB);
    world.pass(Duration::from_secs(1));
    for node in [ANN, BOB] {
        let it = stats(&world, node);
        assert_eq!(it.frames_sent, 100);
        // What is not followed by more may wait for it.
        assert!((95..=100).contains(&it.frames_received), "{it:?}");
    }
    world.send(ANN, "bob", CHAT, "and still a word");
    world.until_heard(BOB, CHAT, "and still a word");
}

#[test]
fn who_has_nothing_takes_what_others_have() {
    let mut world = call(2, &BOTH, &[]);
    assert_eq!((taken(&world, ANN), taken(&world, BOB)), (BOTH.to_vec(), vec![]));
    assert!(BOTH.iter().all(|&kind| world.nodes[ANN].peer.takes(kind)));
    play(&mut world, BOB);
    play(&mut world, ANN);
    world.pass(Duration::from_secs(1));
    assert_eq!((stats(&world, ANN).frames_sent, stats(&world, BOB).frames_sent), (100, 0));
    assert!(stats(&world, BOB).frames_received >= 95);
    world.send(BOB, "ann", CHAT, "words go on");
    world.until_heard(ANN, CHAT, "words go on");
}

#[test]
fn who_offers_no_place_for_media_gets_none() {
    let mut world = call(3, &[], &BOTH);
    assert_eq!(taken(&world, BOB), []);
    play(&mut world, BOB);
    assert_eq!(stats(&world, BOB).frames_sent, 0);
}

#[test]
fn lost_packets_are_sent_again() {
    let mut world = call(4, &BOTH, &[]);
    world.loss = 10;
    play_for(&mut world, ANN, 100);
    world.loss = 0;
    world.pass(Duration::from_secs(2));
    let received = stats(&world, BOB).frames_received;
    // Packets of sound are not asked for again; without that, a quarter of the pictures would be missing, too.
    assert!(received >= 175, "{received} of 200");
}

#[test]
fn frames_wait_for_nothing() {
    let mut world = World::new(5);
    world.media = BOTH.to_vec();
    world.add("ann", None);
    world.add("bob", None);
    world.settle();
    world.blocked = true;
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Hub);
    play(&mut world, ANN);
    world.blocked = false;
    assert_eq!(stats(&world, ANN).frames_sent, 0);
}

#[test]
fn nothing_is_encoded_for_whom_no_way_leads_to() {
    let mut world = call(6, &BOTH, &[]);
    world.blocked = true;
    world.until_state(ANN, "bob", State::Hub);
    assert!(BOTH.iter().all(|&kind| !world.nodes[ANN].peer.takes(kind)));
}

#[test]
fn a_way_that_is_found_late_is_told_to_who_encodes() {
    let mut world = World::new(7);
    world.media = BOTH.to_vec();
    world.add("ann", None);
    world.add("bob", None);
    world.settle();
    world.blocked = true;
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Hub);
    world.nodes[ANN].events.clear();
    world.blocked = false;
    world.until_state(ANN, "bob", State::Direct);
    assert_eq!(taken(&world, ANN), BOTH);
}

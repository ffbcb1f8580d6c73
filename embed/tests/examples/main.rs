//! Runs each example by itself and through a relay.
//!
//! An example is a program of its own, whose `main` nobody calls here.

mod same_bytes;
#[path = "../support/mod.rs"]
mod support;

#[path = "../../examples/blocking.rs"]
#[allow(dead_code)]
mod blocking;
#[path = "../../examples/game_loop.rs"]
#[allow(dead_code)]
mod game_loop;
#[path = "../../examples/in_memory.rs"]
#[allow(dead_code)]
mod in_memory;
#[path = "../../examples/mio.rs"]
#[allow(dead_code)]
mod mio_loop;
#[path = "../../examples/relay.rs"]
#[allow(dead_code)]
mod relay;

use std::{net::Ipv4Addr, sync::mpsc::sync_channel, thread};

use smoq_embed_examples::{Error, Relay};
use smoq_quic::parse_fingerprint;
use support::{RelayForTests, in_time};

/// What a viewer hears of [`smoq_embed_examples::Talk`].
const TICKS: [&str; 5] = ["tick 0", "tick 1", "tick 2", "tick 3", "tick 4"];

/// What it hears when the two ends speak to each other, and when they do through a relay.
fn both_ways(example: fn(Option<Relay>) -> Result<Vec<String>, Error>) -> [Vec<String>; 2] {
    let RelayForTests { address, fingerprint } = RelayForTests::start();
    let relay = Relay { address, fingerprint: parse_fingerprint(&fingerprint).unwrap() };
    [None, Some(relay)].map(|relay| in_time(move || example(relay)).unwrap())
}

#[test]
fn nodes_meet_in_memory() {
    assert_eq!(in_memory::run().unwrap(), TICKS[..3]);
}

#[test]
fn a_thread_blocks() {
    assert_eq!(both_ways(blocking::run), [TICKS, TICKS]);
}

#[test]
fn mio_polls() {
    assert_eq!(both_ways(mio_loop::run), [TICKS, TICKS]);
}

#[test]
fn a_relay_is_a_mio_loop() {
    let (sender, started) = sync_channel(1);
    thread::spawn(move || {
        relay::run((Ipv4Addr::LOCALHOST, 0).into(), |relay| sender.send(relay).unwrap())
    });
    let relay = in_time(move || started.recv().unwrap());
    assert_eq!(in_time(move || mio_loop::run(Some(relay))).unwrap(), TICKS);
}

#[test]
fn players_see_each_other_move() {
    for seen in both_ways(game_loop::run) {
        assert!(seen.len() >= 10, "{seen:?}");
        let tick = |position: &String| position.strip_prefix("x = ").unwrap().parse().unwrap();
        let mut ticks: Vec<u64> = seen.iter().map(tick).collect();
        ticks.sort_unstable();
        ticks.dedup();
        assert_eq!(ticks.len(), seen.len(), "no position comes twice: {seen:?}");
    }
}

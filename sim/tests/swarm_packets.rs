//! Worlds of endpoints with QUIC and TLS. `smoq sim --packets --seed N` tells the story of one.

use std::ops::Range;

use smoq_sim::{
    big,
    swarm::{Plan, run},
};

/// Runs each seed twice.
fn hold(seeds: Range<u64>) {
    for seed in seeds {
        let plan = Plan::draw_packets(seed);
        let [once, twice] = [(); 2].map(|()| run(&plan, None, false));
        if let Err(broken) = once.outcome {
            panic!("seed {seed} breaks {broken}: `smoq sim --packets --seed {seed}` tells more");
        }
        assert_eq!((once.hash, once.steps), (twice.hash, twice.steps), "seed {seed} differs");
    }
}

#[test]
fn seeds_from_0_hold_and_repeat() {
    hold(0..30);
}

#[test]
fn seeds_from_30_hold_and_repeat() {
    hold(30..60);
}

#[test]
fn many_in_one_thread_get_everything() {
    let report = big(10, 40, 2).expect("everybody gets every frame");
    // Two seconds of 25 frames.
    assert_eq!(report.frames, 40 * 50);
}

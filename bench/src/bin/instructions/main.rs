//! One case of what `cargo xtask instructions` counts: `instructions CASE` runs it, `instructions` lists
//! all.

mod decode;

use std::{env, process::ExitCode};

use smoq_bench::{Delivery, FanOut, SMALL, VIDEO};
use smoq_core::Version;

const CASES: &[(&str, fn())] = &[
    ("decode-messages", decode::messages),
    ("decode-group", decode::group),
    ("fan-out-video", || fan_out(VIDEO, Delivery::Live)),
    ("fan-out-small", || fan_out(SMALL, Delivery::Whole)),
    ("idle-poll", idle_poll),
];

const SUBSCRIBERS: usize = 64;
const SESSIONS: usize = 1000;

/// Groups until tables have grown to their size.
const WARM_UP: u64 = 20;

fn main() -> ExitCode {
    let Some(name) = env::args().nth(1) else {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, case)) = CASES.iter().find(|(case, _)| *case == name) else {
        eprintln!("there is no case `{name}`; without arguments all are listed");
        return ExitCode::from(2);
    };
    case();
    ExitCode::SUCCESS
}

/// What is called here is counted, and nothing else: callgrind is told this name.
#[inline(never)]
fn counted_from_here(work: &mut dyn FnMut()) {
    work();
}

/// Groups to many subscribers.
fn fan_out(shape: smoq_bench::Shape, delivery: Delivery) {
    let mut fan_out = FanOut::new(SUBSCRIBERS, Version::Lite06);
    (0..WARM_UP).for_each(|_| fan_out.group(shape, delivery));
    counted_from_here(&mut || (0..10).for_each(|_| fan_out.group(shape, delivery)));
}

/// Turns in which nothing is to be done.
fn idle_poll() {
    let mut idle = FanOut::new(SESSIONS, Version::Lite06);
    counted_from_here(&mut || (0..1000).for_each(|_| idle.poll()));
}

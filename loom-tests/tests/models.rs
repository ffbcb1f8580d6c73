//! Runs every model, as it is and with each of its planted bugs.

use std::{
    process::{Command, Output},
    time::Instant,
};

use smoq_loom_tests::{MODELS, MUTANTS};

fn explore(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoq-loom-tests"));
    command.args(args).env_remove("RUST_BACKTRACE").output().expect("the binary beside the tests")
}

#[test]
fn every_order_of_events_is_sound() {
    for model in MODELS {
        let start = Instant::now();
        let output = explore(&[model.name]);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} fails: {why}", model.name);
        let text = String::from_utf8_lossy(&output.stdout);
        let orders: usize = text.trim().parse().expect("a number of orders");
        assert!(orders > 1, "the threads of {} never meet", model.name);
        println!("{:<32} {orders:>7} orders {:>6} ms", model.name, start.elapsed().as_millis());
    }
}

#[test]
fn every_planted_bug_is_noticed() {
    for bug in MUTANTS {
        let output = explore(&[bug.model, bug.name]);
        let why = String::from_utf8_lossy(&output.stderr);
        let noticed = !output.status.success() && why.contains("panicked at");
        assert!(noticed, "{} is not noticed by {}: {why}", bug.name, bug.model);
        println!("{:<32} noticed by {}", bug.name, bug.model);
    }
}

#[test]
fn every_model_has_a_bug_that_it_notices() {
    for model in MODELS {
        assert!(MUTANTS.iter().any(|bug| bug.model == model.name), "{} has none", model.name);
    }
}

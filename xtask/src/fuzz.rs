//! Fuzzing with libFuzzer, on the stable compiler.

use std::env;
use std::fs;
use std::process::Output;
use std::sync::Mutex;
use std::thread;

use crate::run::{Outcome, command, output, probe, root, run};
use crate::target;

const FOLDER: &str = "fuzz/targets";

/// What makes cargo look at the targets, which are a workspace of their own.
pub(crate) const MANIFEST: &str = "--manifest-path fuzz/targets/Cargo.toml";

/// Runs every target for a while, from its seeds and from what earlier runs have found; as many at a time
/// as there are cores. Each leaves one line: how much it has run and what it has covered.
pub(crate) fn fuzz() -> Outcome {
    if !probe("cargo", "fuzz --version") {
        return Err(
            "this needs cargo-fuzz (`cargo install cargo-fuzz --locked`) and a C++ compiler".into(),
        );
    }
    let seconds = number("FUZZ_SECONDS", 60)?;
    let jobs = number("FUZZ_JOBS", thread::available_parallelism().map_or(1, usize::from))?;
    run(cargo_fuzz("build", "").env("CARGO_TARGET_DIR", target().join("fuzz")))?;
    let names = output("cargo", &format!("fuzz list --fuzz-dir {FOLDER}"))?;
    let (left, failures) = (Mutex::new(names.lines()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let Some(name) = left.lock().expect("nobody panics").next() else { break };
                    if let Err(why) = fuzz_one(name, seconds) {
                        failures.lock().expect("nobody panics").push(why);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics");
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// A number from the environment, or what there is without it.
fn number(name: &str, default: usize) -> Result<usize, String> {
    let Ok(text) = env::var(name) else { return Ok(default) };
    text.parse().map_err(|_| format!("{name} is `{text}`; give a number"))
}

fn cargo_fuzz(verb: &str, rest: &str) -> std::process::Command {
    command("cargo", &format!("fuzz {verb} --sanitizer none --fuzz-dir {FOLDER} {rest}"))
}

fn fuzz_one(name: &str, seconds: usize) -> Outcome {
    let corpus = format!("{FOLDER}/corpus/{name}");
    fs::create_dir_all(root().join(&corpus))
        .map_err(|error| format!("cannot make the folder {corpus}: {error}"))?;
    // A slow machine is no hang.
    let rest = format!(
        "{name} {corpus} fuzz/seeds/{name} -- -max_total_time={seconds} -timeout=30 \
         -rss_limit_mb=1024"
    );
    let Output { status, stderr, .. } = cargo_fuzz("run", &rest)
        .env("CARGO_TARGET_DIR", target().join("fuzz"))
        .output()
        .map_err(|error| format!("cannot start cargo fuzz: {error}"))?;
    let told = String::from_utf8_lossy(&stderr);
    let done = told.lines().rev().find(|line| line.contains("DONE"));
    match done.filter(|_| status.success()) {
        Some(done) => {
            println!("{name:<22} {}", done.split_whitespace().collect::<Vec<_>>().join(" "));
            Ok(())
        }
        None => Err(format!(
            "{told}\n{name} fails: its input lies in {FOLDER}/artifacts/{name}; mend it and keep the \
             input in fuzz/crashes/{name}"
        )),
    }
}

//! Fuzzing with libFuzzer, on the stable compiler.

use std::env;
use std::fs;

use crate::run::{Outcome, command, output, probe, root, run};
use crate::target;

const FOLDER: &str = "fuzz/targets";

/// What makes cargo look at the targets, which are a workspace of their own.
pub(crate) const MANIFEST: &str = "--manifest-path fuzz/targets/Cargo.toml";

/// Runs every target for a while, from its seeds and from what earlier runs have found.
pub(crate) fn fuzz() -> Outcome {
    if !probe("cargo", "fuzz --version") {
        return Err(
            "this needs cargo-fuzz (`cargo install cargo-fuzz --locked`) and a C++ compiler".into(),
        );
    }
    let seconds = env::var("FUZZ_SECONDS").unwrap_or_else(|_| "60".into());
    if seconds.parse::<u32>().is_err() {
        return Err(format!("FUZZ_SECONDS is `{seconds}`; give a number of seconds"));
    }
    for name in output("cargo", &format!("fuzz list --fuzz-dir {FOLDER}"))?.lines() {
        let corpus = format!("{FOLDER}/corpus/{name}");
        fs::create_dir_all(root().join(&corpus))
            .map_err(|error| format!("cannot make the folder {corpus}: {error}"))?;
        let args = format!(
            "fuzz run --sanitizer none --fuzz-dir {FOLDER} {name} {corpus} fuzz/seeds/{name} -- \
             -max_total_time={seconds} -timeout=5 -rss_limit_mb=1024 -print_final_stats=1"
        );
        run(command("cargo", &args).env("CARGO_TARGET_DIR", target().join("fuzz"))).map_err(
            |why| {
                format!(
                    "{why}; if {name} fails, its input lies in {FOLDER}/artifacts/{name}: mend it \
                     and keep the input in fuzz/crashes/{name}"
                )
            },
        )?;
    }
    Ok(())
}

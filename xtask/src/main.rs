//! Developer commands, run as `cargo xtask COMMAND`. `cargo xtask help` lists them.
#![forbid(unsafe_code)]

mod bench_relay;
mod bench_table;
mod coverage;
mod fuzz;
mod instructions;
mod interop;
mod plot;
mod purity;
mod run;
mod scan;
mod server;
mod soak;
#[cfg(test)]
mod status;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use run::{Outcome, cargo, command, probe, root, run};

struct Task {
    name: &'static str,
    help: &'static str,
    run: fn() -> Outcome,
}

const TASKS: &[Task] = &[
    Task { name: "fmt", help: "format all code", run: fmt },
    Task { name: "lint", help: "clippy on every target, warnings are errors", run: lint },
    Task { name: "docs", help: "build the documentation, warnings are errors", run: docs },
    Task {
        name: "check",
        help: "formatting, lint and docs, without changing anything",
        run: check,
    },
    Task { name: "test", help: "all tests of the workspace", run: test },
    Task {
        name: "coverage",
        help: "which lines and branches of core its tests run (needs llvm's tools)",
        run: coverage::coverage,
    },
    Task {
        name: "mutants",
        help: "whether tests notice changes of core's wire, or of part MUTANTS_SHARD=0/16 of it",
        run: mutants,
    },
    Task { name: "bench", help: "benchmarks of core", run: bench },
    Task {
        name: "build",
        help: "optimised build of everything, target/release/smoq among it",
        run: build,
    },
    Task { name: "clean", help: "remove everything that was built, interop included", run: clean },
    Task {
        name: "purity",
        help: "core, signal and tape have no clock, lock, thread, randomness or std",
        run: purity::run,
    },
    Task {
        name: "msrv",
        help: "the libraries compile with the oldest supported compiler",
        run: msrv,
    },
    Task {
        name: "deny",
        help: "licences, sources, bans and advisories of dependencies",
        run: deny,
    },
    Task {
        name: "media",
        help: "real media through publish, relay and subscribe (needs ffmpeg)",
        run: media,
    },
    Task {
        name: "fuzz",
        help: "every fuzz target for FUZZ_SECONDS, 60 by default (needs cargo-fuzz)",
        run: fuzz::fuzz,
    },
    Task {
        name: "loom",
        help: "the runtime's locks and wakers in every order, and planted bugs",
        run: loom,
    },
    Task {
        name: "interop",
        help: "every foreign peer that is at hand, and the matrix (gomoqt needs go)",
        run: interop::compare,
    },
    Task {
        name: "interop --write",
        help: "the same, and write docs/interop.md",
        run: interop::write,
    },
    Task {
        name: "browser",
        help: "tests in a real browser (needs node, npm and chromium)",
        run: browser,
    },
    Task {
        name: "instructions",
        help: "whether hot paths take more instructions than before (needs valgrind)",
        run: instructions::compare,
    },
    Task {
        name: "instructions --update",
        help: "take what they need now as the new measure",
        run: instructions::update,
    },
    Task {
        name: "bench-relay",
        help: "our relay beside moq-relay and the floor, under the same load (takes long)",
        run: bench_relay::relays,
    },
    Task {
        name: "bench-runtimes",
        help: "our relay on tokio, on smol and in a bare mio loop, under the same load",
        run: bench_relay::runtimes,
    },
    Task {
        name: "bench-signal",
        help: "how many connections and messages the hub takes on this machine",
        run: bench_signal,
    },
    Task { name: "soak", help: "whether a relay's memory stays flat (takes long)", run: soak::run },
    Task { name: "ci", help: "everything that CI does, in its order", run: ci },
    Task { name: "help", help: "this list", run: help },
];

/// The oldest compiler that the libraries promise, as in `rust-version` of the workspace.
const MSRV: &str = "1.88";
const MSRV_PACKAGES: &[&str] = &[
    "smoq-core",
    "smoq-ffi",
    "smoq-h3",
    "smoq-quic",
    "smoq-runtime",
    "smoq-smol",
    "smoq-tokio",
    "smoq-signal",
    "smoq-p2p",
];

/// What makes cargo look at the models for loom, which are a workspace of their own.
const LOOM: &str = "--manifest-path loom-tests/Cargo.toml";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let name = if args.is_empty() { "help".into() } else { args.join(" ") };
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprintln!("there is no command `{name}`; `cargo xtask help` lists them");
        return ExitCode::from(2);
    };
    match (task.run)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {name}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn fmt() -> Outcome {
    cargo("fmt --all")?;
    cargo(&format!("fmt {}", fuzz::MANIFEST))?;
    cargo(&format!("fmt {LOOM}"))?;
    run(&mut foreign("fmt --all"))
}

fn lint() -> Outcome {
    cargo("clippy --workspace --all-targets -- -D warnings")?;
    // The runtime's own tests do not compile on the types of loom, so not with all targets.
    run(&mut on_loom("clippy", "--lib --bins --test models -- -D warnings"))?;
    run(&mut foreign("clippy --workspace --all-targets -- -D warnings"))
}

fn docs() -> Outcome {
    run(command("cargo", "doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}

fn check() -> Outcome {
    cargo("fmt --all --check")?;
    cargo(&format!("fmt {} --check", fuzz::MANIFEST))?;
    cargo(&format!("fmt {LOOM} --check"))?;
    run(&mut foreign("fmt --all --check"))?;
    lint()?;
    docs()
}

fn test() -> Outcome {
    cargo("test --workspace")
}

fn mutants() -> Outcome {
    if !probe("cargo", "mutants --version") {
        println!(
            "SKIPPED: this needs cargo-mutants: `cargo install cargo-mutants --version 27.1.0 --locked`"
        );
        return Ok(());
    }
    let files = ["wire/*.rs", "path.rs", "id.rs"].map(|file| format!("--file core/src/{file}"));
    let shard = env::var("MUTANTS_SHARD").unwrap_or_else(|_| "0/1".into());
    let args = format!("{} --shard {shard} --sharding round-robin --jobs 1", files.join(" "));
    cargo(&format!("mutants --package smoq-core {args}"))
}

fn bench() -> Outcome {
    cargo("bench --package smoq-bench")
}

fn build() -> Outcome {
    cargo("build --workspace --release")
}

fn clean() -> Outcome {
    cargo("clean")
}

fn msrv() -> Outcome {
    let toolchain = format!("+{MSRV}");
    if !probe("cargo", &format!("{toolchain} --version")) {
        println!(
            "SKIPPED: no toolchain {MSRV} at hand; `rustup toolchain install {MSRV}` brings it"
        );
        return Ok(());
    }
    let packages = MSRV_PACKAGES.join(" --package ");
    cargo(&format!("{toolchain} check --package {packages}"))
}

fn deny() -> Outcome {
    cargo("deny check bans licenses sources")?;
    if cargo("deny fetch db").is_ok() {
        return cargo("deny check advisories");
    }
    println!(
        "SKIPPED: advisories were NOT checked, because their database cannot be reached from here"
    );
    Ok(())
}

fn media() -> Outcome {
    run(&mut command("bash", "scripts/media.sh"))
}

fn loom() -> Outcome {
    run(&mut on_loom("test", "-- --nocapture"))
}

/// A cargo command for the models. loom's own dependencies would choose features of ours, so its target
/// folder is another one.
fn on_loom(name: &str, rest: &str) -> Command {
    let mut command = command("cargo", &format!("{name} {LOOM} {rest}"));
    command.env("CARGO_TARGET_DIR", target().join("loom"));
    command
}

fn browser() -> Outcome {
    browser_tests(None)
}

/// The tests in a browser, with their results as TAP in a file too.
fn browser_tests(tap: Option<&Path>) -> Outcome {
    let chromium = env::var("CHROMIUM_BIN").unwrap_or_else(|_| "/usr/bin/chromium".into());
    for program in ["node", "npm", &chromium] {
        if !probe(program, "--version") {
            println!(
                "SKIPPED: {program} is not at hand; install nodejs, npm and chromium, or set \
                 CHROMIUM_BIN"
            );
            return Ok(());
        }
    }
    cargo("build --package smoq")?;
    run(&mut command("npm", "--prefix interop/browser ci --ignore-scripts --no-audit --no-fund"))?;
    let mut tests = command("npm", "--prefix interop/browser test");
    if let Some(tap) = tap {
        tests.args(["--", "--test-reporter=spec", "--test-reporter-destination=stdout"]);
        tests.arg("--test-reporter=tap");
        tests.arg(format!("--test-reporter-destination={}", tap.display()));
    }
    run(tests
        .env("CHROMIUM_BIN", chromium)
        .env("SMOQ_BIN", root().join(target()).join("debug/smoq")))
}

/// A cargo command for the workspace of foreign peers. Its target folder lies below ours, so that one
/// cache holds both.
fn foreign(args: &str) -> Command {
    let (name, rest) = args.split_once(' ').unwrap_or((args, ""));
    let mut command =
        command("cargo", &format!("{name} --manifest-path interop/Cargo.toml {rest}"));
    command.env("CARGO_TARGET_DIR", target().join("interop"));
    command
}

/// Where cargo builds, as seen from the root.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

fn bench_signal() -> Outcome {
    cargo("run --release --package smoq-signal --features server --example load")
}

fn ci() -> Outcome {
    run(&mut command("bash", ".ci/run"))
}

fn help() -> Outcome {
    println!("Usage: cargo xtask COMMAND\n");
    for task in TASKS {
        println!("  {:<23}{}", task.name, task.help);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_one_name() {
        let mut names: Vec<_> = TASKS.iter().map(|task| task.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TASKS.len());
    }

    #[test]
    fn msrv_is_the_one_of_the_manifest() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("rust-version = \"{MSRV}\"")));
    }
}

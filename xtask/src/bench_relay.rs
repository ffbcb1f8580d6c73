//! Relays side by side: ours, moq-relay, and the floor, under the same load, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};

use crate::bench_table::{plots, row, table};
use crate::run::{Outcome, cargo, command, output, root};
use crate::server::{PORT, Server, release, target};

/// The leader, as released.
const MOQ_RELAY: &str = "0.17.10";

/// What it needs for its own loop.
const IO_URING: &str = "io-uring";

/// WebRTC, which takes longest to build, is not measured.
const FEATURES: &str = "--no-default-features --features smoq/h3,smoq/smol";

/// Seconds that a run may take beyond the time of its load.
const PATIENCE: u32 = 90;

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Floor,
    Smoq,
    Smol,
    Mio,
    MoqNoq,
    MoqUring,
}

/// In the order of the tables.
pub(crate) const CONTENDERS: [Contender; 6] = [
    Contender::Floor,
    Contender::Smoq,
    Contender::Smol,
    Contender::Mio,
    Contender::MoqNoq,
    Contender::MoqUring,
];

/// What a comparison measures if it is not told otherwise.
struct Defaults {
    /// Where it leaves its results, below the target folder.
    folder: &'static str,
    relays: &'static str,
    shapes: &'static str,
    subscribers: &'static str,
    rounds: &'static str,
    seconds: &'static str,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoq => "smoq",
            Self::Smol => "smoq on smol",
            Self::Mio => "smoq in a mio loop",
            Self::MoqNoq => "moq-relay noq",
            Self::MoqUring => "moq-relay io_uring",
            Self::Floor => "floor",
        }
    }

    fn named(name: &str) -> Result<Self, String> {
        let found = CONTENDERS.into_iter().find(|contender| contender.name() == name);
        found.ok_or_else(|| format!("BENCH_RELAYS: there is no {name:?}"))
    }

    fn is_moq(self) -> bool {
        matches!(self, Self::MoqNoq | Self::MoqUring)
    }

    fn command(self, shape: &Shape) -> Command {
        let moq = tools().join("bin/moq-relay").display().to_string();
        let listen = format!("127.0.0.1:{PORT}");
        let line = match self {
            Self::Smoq => format!("{} --log warn relay --listen {listen}", release("smoq")),
            Self::Smol => {
                let smoq = release("smoq");
                format!("{smoq} --log warn relay --listen {listen} --runtime smol")
            }
            Self::Mio => format!("{} {listen}", release("examples/relay")),
            Self::MoqNoq => {
                format!("{moq} --listen {listen} --listen-tls-generate localhost --auth-public **")
            }
            Self::MoqUring => {
                let (chain, key) = (certificate("chain"), certificate("key"));
                format!(
                    "{moq} --listen {listen} --listen-tls-cert {} --listen-tls-key {} --auth-public ** \
                     --runtime-workers 1 --runtime-io-uring",
                    chain.display(),
                    key.display()
                )
            }
            Self::Floor => {
                let Shape { rate, size, group, .. } = shape;
                format!(
                    "{} --listen {listen} --rate {rate} --size {size} --group {group}",
                    release("floor")
                )
            }
        };
        command("taskset", &format!("-c 0 {line}"))
    }
}

/// What flows: as `smoq bench` has it.
struct Shape {
    name: &'static str,
    rate: u32,
    size: u32,
    group: u32,
}

const SHAPES: [Shape; 5] = [
    Shape { name: "video", rate: 30, size: 4096, group: 60 },
    Shape { name: "small", rate: 200, size: 1200, group: 200 },
    Shape { name: "chat", rate: 30, size: 200, group: 1 },
    Shape { name: "hd", rate: 60, size: 16 << 10, group: 120 },
    Shape { name: "idle", rate: 1, size: 8, group: 1 },
];

/// `cargo xtask bench-relay`: ours beside others.
pub(crate) fn relays() -> Outcome {
    compare(&Defaults {
        folder: "bench-relay",
        relays: "floor,smoq,moq-relay noq,moq-relay io_uring",
        shapes: "video small chat hd idle",
        subscribers: "100 500",
        rounds: "5",
        seconds: "10",
    })
}

/// `cargo xtask bench-runtimes`: ours on each runtime, and without one.
pub(crate) fn runtimes() -> Outcome {
    compare(&Defaults {
        folder: "bench-runtimes",
        relays: "floor,smoq,smoq on smol,smoq in a mio loop",
        shapes: "video hd",
        subscribers: "100",
        rounds: "3",
        seconds: "4",
    })
}

/// `BENCH_SHAPES`, `BENCH_SUBSCRIBERS`, `BENCH_ROUNDS`, `BENCH_RELAYS` (their names with commas) and
/// `BENCH_SECONDS` choose less or more. `BENCH_RESUME=1` goes on where runs were left off: what `runs.jsonl`
/// holds is not measured again.
fn compare(defaults: &Defaults) -> Outcome {
    let list = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let shapes = list("BENCH_SHAPES", defaults.shapes);
    let counts = list("BENCH_SUBSCRIBERS", defaults.subscribers);
    let rounds: u32 = number("BENCH_ROUNDS", &list("BENCH_ROUNDS", defaults.rounds))?;
    let seconds = number("BENCH_SECONDS", &list("BENCH_SECONDS", defaults.seconds))?;
    let relays = list("BENCH_RELAYS", defaults.relays);
    let contenders = relays.split(',').map(Contender::named).collect::<Result<Vec<_>, _>>()?;
    cargo(&format!("build --release --package smoq --package smoq-bench --bins {FEATURES}"))?;
    if contenders.contains(&Contender::Mio) {
        cargo("build --release --package smoq-embed-examples --example relay")?;
    }
    let folder = target().join(defaults.folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if contenders.iter().any(|contender| contender.is_moq()) {
        install_moq_relay()?;
        make_certificate()?;
    }
    let mut runs = if env::var("BENCH_RESUME").is_ok() { load(&folder)? } else { Vec::new() };
    for name in shapes.split_whitespace() {
        let shape = SHAPES.iter().find(|shape| shape.name == name);
        let shape = shape.ok_or_else(|| format!("there is no shape {name:?}"))?;
        for count in counts.split_whitespace() {
            let count: u32 = number("BENCH_SUBSCRIBERS", count)?;
            for round in 1..=rounds {
                for &contender in &contenders {
                    if runs.iter().any(|run| is(run, contender, shape, count, round)) {
                        continue;
                    }
                    let result = measure(contender, shape, count, seconds);
                    match &result {
                        Ok(run) => println!("{}", row(contender.name(), run)),
                        Err(why) => println!("{:<20} {name} {count}: {why}", contender.name()),
                    }
                    runs.push(json!({
                        "relay": contender.name(),
                        "shape": name,
                        "subscribers": count,
                        "round": round,
                        "run": result.unwrap_or_else(|why| json!({ "error": without_root(&why) })),
                    }));
                    save(&folder, &runs)?;
                }
            }
        }
    }
    let table = table(&runs);
    println!("\n{table}");
    for (name, text) in [("table.md", table)].into_iter().chain(plots(&runs)) {
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// Results are kept, and where this tree lies is nobody's business.
fn without_root(text: &str) -> String {
    text.replace(&format!("{}/", root().display()), "")
}

fn number(what: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{what}: {text:?} is no number"))
}

fn save(folder: &Path, runs: &[Value]) -> Outcome {
    let text: String = runs.iter().map(|run| format!("{run}\n")).collect();
    let file = folder.join("runs.jsonl");
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn load(folder: &Path) -> Result<Vec<Value>, String> {
    let file = folder.join("runs.jsonl");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let runs = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    runs.map_err(|error| format!("{}: {error}", file.display()))
}

fn is(run: &Value, contender: Contender, shape: &Shape, count: u32, round: u32) -> bool {
    run["relay"] == contender.name()
        && run["shape"] == shape.name
        && run["subscribers"] == count
        && run["round"] == round
}

fn tools() -> PathBuf {
    target().join("tools")
}

/// Not with its own lock file, which names a release that registries have withdrawn.
fn install_moq_relay() -> Outcome {
    let root = tools();
    let listed = fs::read_to_string(root.join(".crates2.json")).unwrap_or_default();
    let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
    let installed = listed["installs"].as_object().is_some_and(|installs| {
        installs.iter().any(|(name, install)| {
            let features = install["features"].as_array();
            name.starts_with(&format!("moq-relay {MOQ_RELAY} "))
                && features.is_some_and(|features| features.contains(&json!(IO_URING)))
        })
    });
    if installed {
        return Ok(());
    }
    let root = root.display();
    cargo(&format!(
        "install moq-relay --version {MOQ_RELAY} --features {IO_URING} --root {root} --force"
    ))
}

/// Where the certificate or its key is: with io_uring moq-relay makes none itself.
fn certificate(part: &str) -> PathBuf {
    tools().join(part).with_extension("pem")
}

fn make_certificate() -> Outcome {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]);
    let made = made.map_err(|error| error.to_string())?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (part, text) in [("chain", chain), ("key", key)] {
        let file = certificate(part);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// One run of one of them.
fn measure(
    contender: Contender,
    shape: &Shape,
    subscribers: u32,
    seconds: u32,
) -> Result<Value, String> {
    let server = Server::start(contender.command(shape))?;
    let publish = if contender == Contender::Floor { "--no-publish" } else { "" };
    // A relay that cannot keep up may leave viewers waiting for ever.
    let limit = seconds + PATIENCE;
    let text = output(
        "timeout",
        &format!(
            "{limit} taskset -c 1 {} bench --json --insecure --moq-version moq-lite-06 --shape {} --subscribers \
             {subscribers} --duration {seconds}s --pid {} {publish} moqt://127.0.0.1:{PORT}",
            release("smoq"),
            shape.name,
            server.pid(),
        ),
    )?;
    serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
}

//! Relays side by side: ours, moq-relay, and the floor, under the same load, in turns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};

use crate::plot::{self, Bar};
use crate::run::{Outcome, cargo, command, output};
use crate::server::{PORT, Server, release, target};

/// The leader, as released.
const MOQ_RELAY: &str = "0.17.10";

/// What it needs for its own loop.
const IO_URING: &str = "io-uring";

/// Seconds that a run may take beyond the time of its load.
const PATIENCE: u32 = 90;

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    Smoq,
    MoqNoq,
    MoqUring,
    Floor,
}

const CONTENDERS: [Contender; 4] =
    [Contender::Floor, Contender::Smoq, Contender::MoqNoq, Contender::MoqUring];

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Smoq => "smoq",
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

/// `cargo xtask bench-relay`. `BENCH_SHAPES`, `BENCH_SUBSCRIBERS`, `BENCH_ROUNDS`, `BENCH_RELAYS` (their
/// names with commas) and `BENCH_SECONDS` choose less or more. `BENCH_RESUME=1` goes on where runs were
/// left off: what `runs.jsonl` holds is not measured again.
pub(crate) fn run() -> Outcome {
    let list = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let shapes = list("BENCH_SHAPES", "video small chat hd idle");
    let counts = list("BENCH_SUBSCRIBERS", "100 500");
    let rounds: u32 = number("BENCH_ROUNDS", &list("BENCH_ROUNDS", "5"))?;
    let seconds = number("BENCH_SECONDS", &list("BENCH_SECONDS", "10"))?;
    let relays = list("BENCH_RELAYS", "floor,smoq,moq-relay noq,moq-relay io_uring");
    let contenders = relays.split(',').map(Contender::named).collect::<Result<Vec<_>, _>>()?;
    cargo("build --release --package smoq --package smoq-bench --bins")?;
    if contenders.iter().any(|contender| contender.is_moq()) {
        install_moq_relay()?;
    }
    let folder = target().join("bench-relay");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    make_certificate()?;
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
                        "run": result.unwrap_or_else(|why| json!({ "error": why })),
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
    target().join("bench-relay").join(part).with_extension("pem")
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

/// What the tables tell of one run.
struct Figures {
    round: u64,
    /// CPU seconds for a GB.
    cost: f64,
    /// CPU seconds for a million frames.
    frame_cost: f64,
    delivered: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    /// KiB for each subscriber.
    memory: f64,
    join: f64,
    sessions: f64,
}

impl Figures {
    fn of(round: u64, run: &Value) -> Option<Self> {
        let get = |path: &str| run.pointer(path).and_then(Value::as_f64);
        let subscribers = get("/subscribers")?;
        let cpu = get("/server/cpu_seconds")?;
        let (frames, expected) = (get("/frames")?, get("/expected")?);
        let memory = get("/server/resident_kib")? - get("/server/resident_kib_before")?;
        Some(Self {
            round,
            cost: cpu / (get("/bytes")? / 1e9),
            frame_cost: cpu / (frames / 1e6),
            delivered: if expected > 0.0 { frames / expected } else { 1.0 },
            p50: get("/latency_ms/p50")?,
            p99: get("/latency_ms/p99")?,
            p999: get("/latency_ms/p999")?,
            memory: memory / subscribers,
            join: get("/join_ms/p50")?,
            sessions: get("/sessions_per_second")?,
        })
    }
}

fn row(name: &str, run: &Value) -> String {
    let Some(figures) = Figures::of(0, run) else { return format!("{name:<20} {run}") };
    format!(
        "{name:<20} {} {}: {:.2} s/GB, {:.3} %, p50 {:.1} ms, p99 {:.1} ms, {:.0} KiB each",
        run["shape"].as_str().unwrap_or_default(),
        run["subscribers"],
        figures.cost,
        figures.delivered * 100.0,
        figures.p50,
        figures.p99,
        figures.memory
    )
}

/// The runs that came to their end, by shape, number of subscribers and contender.
fn grouped(runs: &[Value]) -> BTreeMap<(String, u64, usize), Vec<Figures>> {
    let mut groups: BTreeMap<_, Vec<Figures>> = BTreeMap::new();
    for run in runs {
        let order = CONTENDERS.iter().position(|contender| run["relay"] == contender.name());
        let round = run["round"].as_u64().unwrap_or_default();
        if let (Some(order), Some(figures)) = (order, Figures::of(round, &run["run"])) {
            let shape = run["shape"].as_str().unwrap_or_default().to_owned();
            let count = run["subscribers"].as_u64().unwrap_or_default();
            groups.entry((shape, count, order)).or_default().push(figures);
        }
    }
    groups
}

/// What the relays cost beside each other, and what they hold: files and their content.
fn plots(runs: &[Value]) -> [(&'static str, String); 3] {
    let groups = grouped(runs);
    let plot = |title: &str, of: fn(&Figures) -> f64| {
        let bar = |((shape, count, order), runs): (&(String, u64, usize), &Vec<Figures>)| Bar {
            group: format!("{shape}, {count} subscribers"),
            name: CONTENDERS[*order].name(),
            value: median(runs.iter().map(of).collect()),
        };
        plot::bars(title, &groups.iter().map(bar).collect::<Vec<_>>())
    };
    [
        ("cost.svg", plot("CPU seconds for a million frames delivered", |run| run.frame_cost)),
        ("memory.svg", plot("KiB resident for each subscriber", |run| run.memory)),
        ("latency.svg", plot("Latency that 99 % of frames stay below, ms", |run| run.p99)),
    ]
}

/// Medians over the rounds, in Markdown. What a relay costs beside the floor is compared within each
/// round, as machines are not equally fast all the time.
fn table(runs: &[Value]) -> String {
    let groups = grouped(runs);
    let mut text = String::from(
        "| Shape | N | Relay | CPU s per GB | × floor | CPU s per million frames | delivered | p50 ms | \
         p99 ms | p99.9 ms | KiB per subscriber | first frame ms | sessions/s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for ((shape, count, order), rounds) in &groups {
        let median = |of: fn(&Figures) -> f64| median(rounds.iter().map(of).collect());
        let floors = groups.get(&(shape.clone(), *count, 0)).map_or(&[][..], Vec::as_slice);
        let beside_floor = |run: &Figures| {
            let floor = floors.iter().find(|floor| floor.round == run.round);
            floor.map(|floor| run.cost / floor.cost)
        };
        let beside_floor = self::median(rounds.iter().filter_map(beside_floor).collect());
        let _ = writeln!(
            text,
            "| {shape} | {count} | {} | {:.2} | {:.2} | {:.1} | {:.3} % | {:.2} | {:.2} | {:.2} | {:.0} | \
             {:.0} | {:.0} |",
            CONTENDERS[*order].name(),
            median(|run| run.cost),
            beside_floor,
            median(|run| run.frame_cost),
            median(|run| run.delivered) * 100.0,
            median(|run| run.p50),
            median(|run| run.p99),
            median(|run| run.p999),
            median(|run| run.memory),
            median(|run| run.join),
            median(|run| run.sessions),
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(relay: &str, round: u64, cpu: f64) -> Value {
        json!({ "relay": relay, "shape": "video", "subscribers": 10, "round": round, "run": {
            "shape": "video", "subscribers": 10, "frames": 100, "expected": 200, "bytes": 1_000_000_000,
            "latency_ms": { "p50": 1.0, "p99": 2.0, "p999": 3.0, "max": 4.0 },
            "join_ms": { "p50": 5.0, "p99": 6.0 }, "sessions_per_second": 7.0,
            "server": { "cpu_seconds": cpu, "resident_kib": 1500, "resident_kib_before": 1000 },
        }})
    }

    #[test]
    fn the_table_has_medians_and_ratios() {
        let of =
            |relay, cpu: [f64; 3]| (1..).zip(cpu).map(move |(round, cpu)| run(relay, round, cpu));
        let runs: Vec<_> =
            of("floor", [2.0, 1.0, 3.0]).chain(of("smoq", [9.0, 1.0, 3.0])).collect();
        let table = table(&runs);
        assert!(table.contains("| video | 10 | floor | 2.00 | 1.00 |"), "{table}");
        let smoq = "| video | 10 | smoq | 3.00 | 1.00 | 30000.0 | 50.000 % | 1.00 | 2.00 | 3.00 | 50 | 5 | 7 |";
        assert!(table.contains(smoq), "{table}");
    }

    #[test]
    fn a_run_that_failed_is_left_out() {
        let failed =
            json!({ "relay": "smoq", "shape": "hd", "subscribers": 1, "run": { "error": "x" } });
        assert!(!table(&[failed]).contains("hd"));
    }
}

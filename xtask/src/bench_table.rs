//! What came of runs side by side: a table in Markdown, and plots.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::bench_relay::CONTENDERS;
use crate::plot::{self, Bar};

/// What the tables tell of one run.
struct Figures {
    round: u64,
    /// CPU seconds for a GB.
    cost: f64,
    /// CPU seconds for a million frames.
    frame_cost: f64,
    delivered: f64,
    /// MB a second that arrived, at all viewers together.
    rate: f64,
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
            rate: get("/bytes")? / 1e6 / get("/seconds")?,
            p50: get("/latency_ms/p50")?,
            p99: get("/latency_ms/p99")?,
            p999: get("/latency_ms/p999")?,
            memory: memory / subscribers,
            join: get("/join_ms/p50")?,
            sessions: get("/sessions_per_second")?,
        })
    }
}

pub(crate) fn row(name: &str, run: &Value) -> String {
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
pub(crate) fn plots(runs: &[Value]) -> [(&'static str, String); 3] {
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
pub(crate) fn table(runs: &[Value]) -> String {
    let groups = grouped(runs);
    let mut text = String::from(
        "| Shape | N | Relay | CPU s per GB | × floor | CPU s per million frames | delivered | MB/s | p50 ms | \
         p99 ms | p99.9 ms | KiB per subscriber | first frame ms | sessions/s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
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
            "| {shape} | {count} | {} | {:.2} | {:.2} | {:.1} | {:.3} % | {:.1} | {:.2} | {:.2} | {:.2} | {:.0} | \
             {:.0} | {:.0} |",
            CONTENDERS[*order].name(),
            median(|run| run.cost),
            beside_floor,
            median(|run| run.frame_cost),
            median(|run| run.delivered) * 100.0,
            median(|run| run.rate),
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
    use serde_json::json;

    use super::*;

    fn run(relay: &str, round: u64, cpu: f64) -> Value {
        json!({ "relay": relay, "shape": "video", "subscribers": 10, "round": round, "run": {
            "shape": "video", "subscribers": 10, "seconds": 2, "frames": 100, "expected": 200, "bytes": 1_000_000_000,
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
        let smoq = "| video | 10 | smoq | 3.00 | 1.00 | 30000.0 | 50.000 % | 500.0 | 1.00 | 2.00 | 3.00 | 50 | 5 | 7 |";
        assert!(table.contains(smoq), "{table}");
    }

    #[test]
    fn a_run_that_failed_is_left_out() {
        let failed =
            json!({ "relay": "smoq", "shape": "hd", "subscribers": 1, "run": { "error": "x" } });
        assert!(!table(&[failed]).contains("hd"));
    }
}

//! Whether a relay's memory stays flat over many connections and many groups.
//!
//! What is judged is what it has in use. What is resident is shown beside it: the C library keeps what a
//! burst has freed, so that rises whenever a burst is larger than all before.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write},
    process::{ChildStdin, ChildStdout},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::run::{Outcome, cargo, command, output};
use crate::server::{Server, release};

/// What comes and goes in one run.
const CONNECTIONS: u32 = 100_000;
const GROUPS: u32 = 1_000_000;
/// In so many parts, after each of which memory is looked at.
const PARTS: u32 = 10;
/// Groups a second, each of one message, to so many subscribers.
const RATE: u32 = 4000;
const SUBSCRIBERS: u32 = 4;
/// How long the last connections of a part may take to be forgotten.
const GONE: Duration = Duration::from_secs(5);
/// How far the least of the later half may lie above the least of the earlier one. What is lost stays, so
/// it shows in the least.
const GROWTH: f64 = 1.01;
/// Parts that fill caches and the pools of the allocator.
const WARM: usize = 2;

/// `cargo xtask soak`. `SOAK_PERCENT` runs so much of it.
pub(crate) fn run() -> Outcome {
    let percent = env::var("SOAK_PERCENT").unwrap_or_else(|_| "100".into());
    let percent: u32 = percent.parse().map_err(|_| "SOAK_PERCENT is no number".to_owned())?;
    let part = |whole: u32| (whole / PARTS * percent / 100).max(1);
    cargo("build --release --package smoq --package smoq-bench --bin smoq --example soak_relay")?;
    let connections = part(CONNECTIONS);
    let seconds = part(GROUPS).div_ceil(RATE);
    println!("{PARTS} times {connections} connections that see a frame and go:");
    soak(&format!("--subscribers 1 --dials 16 --visits {connections} --duration 2s"))?;
    println!("{PARTS} times {} groups to {SUBSCRIBERS} subscribers:", seconds * RATE);
    soak(&format!("--rate {RATE} --subscribers {SUBSCRIBERS} --duration {seconds}s"))
}

/// The same load again and again on one relay.
#[expect(clippy::disallowed_methods, reason = "a relay does not tell when it has forgotten")]
fn soak(load: &str) -> Outcome {
    let mut relay = Relay::start()?;
    let mut memory = Vec::new();
    for part in 1..=PARTS {
        let text = output(
            &release("smoq"),
            &format!(
                "bench --json --insecure --moq-version moq-lite-06 --shape chat {load} {}",
                relay.url
            ),
        )?;
        let run: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        thread::sleep(GONE);
        let used = relay.used_kib()?;
        let resident = relay.process.resident_kib()?;
        let (frames, expected) = (&run["frames"], &run["expected"]);
        println!(
            "{part:>4}: {used:.0} KiB in use, {resident:.0} resident, {frames} of {expected} \
             frames of the end delivered"
        );
        memory.push(used);
    }
    let growth = growth(&memory[WARM..]);
    println!("growth, warmed up: {:+.2} %", (growth - 1.0) * 100.0);
    if growth > GROWTH {
        return Err(format!("memory grew by {:.1} %", (growth - 1.0) * 100.0));
    }
    Ok(())
}

/// A relay that tells how much memory it uses.
struct Relay {
    process: Server,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Relay {
    fn start() -> Result<Self, String> {
        let (process, ask, answers) =
            Server::talking(command(&release("examples/soak_relay"), ""))?;
        let mut relay =
            Self { process, ask, answers: BufReader::new(answers).lines(), url: String::new() };
        relay.url = relay.line()?;
        Ok(relay)
    }

    fn line(&mut self) -> Result<String, String> {
        let line = self.answers.next().ok_or("the relay has ended")?;
        line.map_err(|error| error.to_string())
    }

    fn used_kib(&mut self) -> Result<f64, String> {
        writeln!(self.ask).map_err(|error| error.to_string())?;
        let line = self.line()?;
        let bytes: f64 = line.parse().map_err(|_| format!("no number of bytes: {line}"))?;
        Ok(bytes / 1024.0)
    }
}

/// How the least of the later half compares with the least of the earlier one.
fn growth(memory: &[f64]) -> f64 {
    let least = |part: &[f64]| part.iter().copied().fold(f64::INFINITY, f64::min);
    let (early, late) = memory.split_at(memory.len() / 2);
    least(late) / least(early)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_no_growth() {
        assert!(growth(&[100.0, 103.0, 112.0, 100.5, 107.0, 100.2]) < GROWTH);
        assert!(growth(&[100.0, 101.0, 102.0, 103.0, 104.0, 105.0]) > GROWTH);
    }
}

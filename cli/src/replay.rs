//! `smoq replay`

use std::{
    fs,
    io::{self, BufRead, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use smoq_core::Time;
use smoq_quic::tape::{Comparison, Replay, Step, Timeline};

use crate::{
    failure::Failure,
    terminal::{printable, tell},
};

const EXAMPLES: &str = "\
Examples:
  smoq relay --record relay.tape
      Record; then, with the file that it made:
  smoq replay relay.tape
      What happened, by name
  smoq replay --inputs --until 12.5 relay.tape | tail
      Everything that went in, up to 12.5 seconds after the start
  smoq replay --diff other.tape relay.tape
      Where two recordings part

A replay gives the same outputs, bit for bit, or stops at the first one that is not what was recorded.

Exit status:
  0  everything was as recorded; with --diff, of both, and there is no difference
  1  it was not, or the file cannot be replayed
  2  the command line is not right";

/// Characters of a line, and of it before the place where two lines part.
const WIDTH: usize = 300;
const CONTEXT: usize = 60;

/// Play a recording of `smoq relay --record` back, and tell what happened
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The recording of one shard
    file: PathBuf,
    /// Stop before what comes later than so many seconds after the start
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    until: Option<Time>,
    /// Wait for Enter after each line
    #[arg(long, conflicts_with = "diff")]
    step: bool,
    /// Tell of each group too
    #[arg(long, conflicts_with = "diff")]
    groups: bool,
    /// Print every input, and what came of it
    #[arg(long, conflicts_with = "diff")]
    inputs: bool,
    /// Replay this recording beside it, and print only the first input in which they differ
    #[arg(long, value_name = "OTHER")]
    diff: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Time, String> {
    let seconds: f64 = text.parse().map_err(|_| "give seconds, as in 12.5".to_owned())?;
    let after = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    Ok(Time::ZERO.after(after))
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let Args { file, until, step, groups, inputs, diff } = args;
    let replay = open(&file)?;
    let mut show = Show { timeline: Timeline::new(groups), inputs, step };
    let result = match diff {
        Some(other) => compare([(&file, replay), (&other, open(&other)?)], until),
        None => show.all(replay, until),
    };
    match result {
        // Whoever read it had enough.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn open(file: &Path) -> Result<Replay, Failure> {
    let failed = |source| Failure::Recording { path: file.to_owned(), source };
    let bytes = fs::read(file).map_err(failed)?;
    let replay = Replay::new(bytes.into());
    let replay = replay.map_err(|error| Failure::Replay { path: file.to_owned(), error })?;
    if replay.version() != env!("CARGO_PKG_VERSION") {
        let (file, version) = (file.display(), replay.version());
        tell(format_args!("{file} was recorded by smoq {version}: another one may do otherwise"));
    }
    Ok(replay)
}

/// What of a replay is shown.
struct Show {
    timeline: Timeline,
    inputs: bool,
    step: bool,
}

impl Show {
    fn all(&mut self, mut replay: Replay, until: Option<Time>) -> Result<(), Failure> {
        let mut done = 0;
        let mut out = io::stdout().lock();
        loop {
            // A panic of the node is what some recordings are made for.
            let next = catch_unwind(AssertUnwindSafe(|| replay.step_until(until)));
            let next = next.map_err(|_| Failure::Panic { number: done + 1 })?;
            let Some(step) = next.map_err(|error| Failure::Damaged { done, error })? else { break };
            done = step.number;
            if self.inputs {
                self.line(&mut out, &line(&step, 0))?;
            }
            for text in self.timeline.note(&step) {
                self.line(&mut out, &printable(&text))?;
            }
            if step.same == Some(false) {
                return Err(Failure::Different { number: done, line: line(&step, 0) });
            }
        }
        out.flush()?;
        let stats = replay.node().stats();
        tell(format_args!(
            "{done} inputs, all as recorded; {} sessions, {} tracks, {} groups of {} bytes, {} violations",
            stats.sessions, stats.tracks, stats.groups, stats.store_bytes, stats.violations
        ));
        if let Some(ending) = replay.ending() {
            tell(ending);
        }
        Ok(())
    }

    fn line(&self, out: &mut impl Write, text: &str) -> io::Result<()> {
        writeln!(out, "{text}")?;
        if self.step {
            out.flush()?;
            io::stdin().lock().skip_until(b'\n')?;
        }
        Ok(())
    }
}

fn compare(sides: [(&PathBuf, Replay); 2], until: Option<Time>) -> Result<(), Failure> {
    let [(file, mut one), (other_file, mut other)] = sides;
    if one.node().config() != other.node().config() {
        tell("the nodes were made in different ways");
        tell(format_args!("< {:?}", one.node().config()));
        tell(format_args!("> {:?}", other.node().config()));
    }
    let compared = AssertUnwindSafe(|| smoq_quic::tape::compare(&mut one, &mut other, until));
    let compared = catch_unwind(compared).map_err(|_| Failure::ComparePanic)?;
    let Comparison { difference, unlike } = compared.map_err(Failure::Compare)?;
    for (file, number) in [file, other_file].into_iter().zip(unlike) {
        if let Some(number) = number {
            let file = file.display();
            tell(format_args!("{file}: what comes of input {number} is not what was recorded"));
        }
    }
    let Some(difference) = difference else {
        for (file, replay) in [(file, &one), (other_file, &other)] {
            if let Some(ending) = replay.ending() {
                tell(format_args!("{}: {ending}", file.display()));
            }
        }
        let unlike = unlike.into_iter().flatten().min();
        return unlike.map_or(Ok(()), |number| Err(Failure::Unlike { number }));
    };
    let [a, b] = [&difference.one, &difference.other].map(|step| step.as_ref().map(Step::line));
    let lines = a.iter().flat_map(|line| line.chars()).zip(b.iter().flat_map(|line| line.chars()));
    let parts = lines.take_while(|(a, b)| a == b).count();
    let mut out = io::stdout().lock();
    for (mark, step, replay) in [('<', &difference.one, &one), ('>', &difference.other, &other)] {
        let end =
            || replay.ending().map_or_else(|| "later".to_owned(), |ending| ending.to_string());
        let text = step.as_ref().map_or_else(end, |step| line(step, parts));
        writeln!(out, "{mark} {text}")?;
    }
    out.flush()?;
    Err(Failure::Differ { number: difference.number })
}

/// A step on a line of bounded length, which shows what lies around a place.
fn line(step: &Step, place: usize) -> String {
    let micros = step.time.as_micros();
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    format!("{}: {seconds}.{micros:06} {}", step.number, around(&step.line(), place))
}

/// What of a long text lies around a place.
fn around(text: &str, place: usize) -> String {
    let skipped = if place + CONTEXT < WIDTH { 0 } else { place - CONTEXT };
    let part: String = text.chars().skip(skipped).take(WIDTH).collect();
    let before = if skipped > 0 { "…" } else { "" };
    let after = if text.chars().count() > skipped + WIDTH { "…" } else { "" };
    format!("{before}{}{after}", printable(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_those_of_the_timeline() {
        assert_eq!(seconds("12.000345"), Ok(Time::from_micros(12_000_345)));
        for wrong in ["-1", "x", "nan", "1e300"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        assert_eq!(around("short", 3), "short");
        let text = "ü".repeat(1000) + "x";
        assert_eq!(around(&text, 0).chars().count(), WIDTH + 1);
        assert_eq!(around(&text, 1000), format!("…{}x", "ü".repeat(CONTEXT)));
    }
}

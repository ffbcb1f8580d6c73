//! `smoq sim`: worlds with faults, drawn from seeds.

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    time::Instant,
};

use smoq_sim::{
    Bug, big,
    swarm::{Plan, run, shrink},
};

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  smoq sim --seed 7
      The story of one world: who does what, what goes wrong, what is said
  smoq sim --seeds 0..500
      A line for each world; the first that fails is made smaller and told
  smoq sim --packets --seeds 0..50
      The same with QUIC and TLS, over a network that loses and changes datagrams
  smoq sim --big
      A hundred relays and a thousand viewers: how fast, and how much memory
  smoq sim --break list
      The bugs that can be planted
  smoq sim --seeds 0..50 --break lost-reset
      Look how one of them is caught";

/// Run whole networks in virtual time, with faults, and judge them
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Tell the story of this world
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these worlds, as in 0..500
    #[arg(long, value_parser = seeds, default_value = "0..50")]
    seeds: Range<u64>,
    /// Endpoints with QUIC and TLS instead of nodes alone
    #[arg(long)]
    packets: bool,
    /// One large world instead: 100 relays, 1000 viewers, ten seconds
    #[arg(long, conflicts_with_all = ["seed", "seeds", "packets", "bug"])]
    big: bool,
    /// Plant a known bug into what honest nodes say; `list` tells which there are
    #[arg(long = "break", value_name = "NAME", value_parser = bug, conflicts_with = "packets")]
    bug: Option<Planted>,
}

/// What `--break` says.
#[derive(Clone, Copy)]
pub(crate) enum Planted {
    List,
    Bug(Bug),
}

impl Planted {
    /// The bug to plant; `None` if they are to be listed.
    pub(crate) fn bug(self) -> Option<Bug> {
        match self {
            Self::List => None,
            Self::Bug(bug) => Some(bug),
        }
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(first, end)| {
        let range = first.parse().ok()?..end.parse().ok()?;
        Some(range).filter(|range| !range.is_empty())
    });
    range.ok_or_else(|| "give a range of numbers, as in 0..500".into())
}

pub(crate) fn bug(text: &str) -> Result<Planted, String> {
    if text == "list" {
        return Ok(Planted::List);
    }
    let found = Bug::ALL.iter().find(|bug| bug.name() == text);
    found.map(|bug| Planted::Bug(*bug)).ok_or_else(|| "`--break list` tells which there are".into())
}

/// Lists the bugs that can be planted.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    Bug::ALL.iter().try_for_each(|bug| writeln!(out, "{:<20} {}", bug.name(), bug.what().trim()))
}

pub(crate) fn run_worlds(args: Args) -> Result<(), Failure> {
    let out = &mut io::stdout().lock();
    if let Some(Planted::List) = args.bug {
        return Ok(list(out)?);
    }
    if args.big {
        return run_big(out);
    }
    let bug = args.bug.and_then(Planted::bug);
    match args.seed {
        Some(seed) => tell(out, args.packets, seed, bug),
        None => run_seeds(out, args.packets, args.seeds, bug),
    }
}

fn draw(packets: bool, seed: u64) -> Plan {
    if packets { Plan::draw_packets(seed) } else { Plan::draw(seed) }
}

fn run_big(out: &mut impl Write) -> Result<(), Failure> {
    const RELAYS: usize = 100;
    const VIEWERS: usize = 1000;
    const SECONDS: u64 = 10;
    let replay = "it happens each time".to_owned();
    let report = big(RELAYS, VIEWERS, SECONDS);
    let report = report.map_err(|broken| Failure::Broken { broken, replay })?;
    let [time, real] = [report.time, report.real].map(|time| time.as_secs_f64());
    let [began, took] = [report.joining.0, report.joining.1].map(|time| time.as_secs_f64());
    writeln!(out, "{RELAYS} relays, {VIEWERS} viewers, one thread")?;
    writeln!(out, "joining: {began:.1} s in {took:.1} s")?;
    writeln!(
        out,
        "watching: {time:.1} s in {real:.1} s: {:.2} s for each second, {} steps, {} frames delivered",
        time / real,
        report.steps,
        report.frames
    )?;
    // Only Linux tells it so.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        Some(memory) => writeln!(out, "memory at most: {}", memory.trim())?,
        None => writeln!(out, "this system does not tell how much memory it took")?,
    }
    Ok(())
}

fn run_seeds(
    out: &mut impl Write,
    packets: bool,
    seeds: Range<u64>,
    bug: Option<Bug>,
) -> Result<(), Failure> {
    let (begun, count) = (Instant::now(), seeds.end - seeds.start);
    let (mut time, mut steps) = (0.0, 0);
    for seed in seeds {
        let report = run(&draw(packets, seed), bug, false);
        time += report.time.as_secs_f64();
        steps += report.steps;
        if report.outcome.is_err() {
            return tell(out, packets, seed, bug);
        }
        writeln!(out, "seed {seed}: {} steps, hash {:016x}", report.steps, report.hash)?;
    }
    let real = begun.elapsed().as_secs_f64();
    writeln!(out, "{count} worlds, {steps} steps, {time:.0} s in {real:.1} s: nothing broken")?;
    Ok(())
}

/// Tells one world; one that fails is made smaller first.
fn tell(out: &mut impl Write, packets: bool, seed: u64, bug: Option<Bug>) -> Result<(), Failure> {
    let mut plan = draw(packets, seed);
    let mut report = run(&plan, bug, true);
    if let Err(broken) = report.outcome.clone() {
        let before = report.steps;
        plan = shrink(&plan, bug, &broken);
        report = run(&plan, bug, true);
        writeln!(out, "seed {seed} fails after {before} steps; made smaller it is:")?;
    }
    writeln!(out, "{plan}")?;
    report.log.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    writeln!(out, "{} steps, hash {:016x}", report.steps, report.hash)?;
    match report.outcome {
        Ok(()) => Ok(()),
        Err(broken) => {
            let planted = bug.map_or(String::new(), |bug| format!(" --break {}", bug.name()));
            let packets = if packets { " --packets" } else { "" };
            let replay = format!("smoq sim{packets} --seed {seed}{planted}");
            Err(Failure::Broken { broken, replay })
        }
    }
}

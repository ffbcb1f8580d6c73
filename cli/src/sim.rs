//! `smoq sim`: worlds with faults, drawn from seeds.

use std::{
    io::{self, Write},
    ops::Range,
    time::Instant,
};

use smoq_sim::{
    Bug,
    swarm::{Plan, run, shrink},
};

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  smoq sim --seed 7
      The story of one world: who does what, what goes wrong, what is said
  smoq sim --seeds 0..500
      A line for each world; the first that fails is made smaller and told
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
    /// Plant a known bug into what honest nodes say; `list` tells which there are
    #[arg(long = "break", value_name = "NAME", value_parser = bug)]
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
    let bug = args.bug.and_then(Planted::bug);
    match args.seed {
        Some(seed) => tell(out, seed, bug),
        None => run_seeds(out, args.seeds, bug),
    }
}

fn run_seeds(out: &mut impl Write, seeds: Range<u64>, bug: Option<Bug>) -> Result<(), Failure> {
    let (begun, count) = (Instant::now(), seeds.end - seeds.start);
    let (mut time, mut steps) = (0.0, 0);
    for seed in seeds {
        let report = run(&Plan::draw(seed), bug, false);
        time += report.time.as_secs_f64();
        steps += report.steps;
        if report.outcome.is_err() {
            return tell(out, seed, bug);
        }
        writeln!(out, "seed {seed}: {} steps, hash {:016x}", report.steps, report.hash)?;
    }
    let real = begun.elapsed().as_secs_f64();
    writeln!(out, "{count} worlds, {steps} steps, {time:.0} s in {real:.1} s: nothing broken")?;
    Ok(())
}

/// Tells one world; one that fails is made smaller first.
fn tell(out: &mut impl Write, seed: u64, bug: Option<Bug>) -> Result<(), Failure> {
    let mut plan = Plan::draw(seed);
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
            Err(Failure::Broken { broken, replay: format!("smoq sim --seed {seed}{planted}") })
        }
    }
}

//! `smoq explore`: every interleaving of small worlds.

use std::{
    io::{self, Write},
    time::Instant,
};

use smoq_core::Version;
use smoq_sim::explore::{Bounds, Scenario, explore};

use crate::{
    failure::Failure,
    sim::{Planted, bug, list},
};

const EXAMPLES: &str = "\
Examples:
  smoq explore
      A publisher, a relay and a viewer, two groups, in every order
  smoq explore --cut-off --unsubscribe --moq-version moq-lite-03
      The second group is cut off, and the viewer leaves at some time
  smoq explore --break wrong-end
      Plant a bug and see the shortest way to where it shows";

/// Walk every interleaving of a small network, and judge each state
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What the three nodes speak; all versions one after the other if not given
    #[arg(long, value_name = "VERSION")]
    moq_version: Option<Version>,
    /// The last group is cut off
    #[arg(long)]
    cut_off: bool,
    /// The viewer leaves at some time
    #[arg(long)]
    unsubscribe: bool,
    /// The publisher dies and comes back
    #[arg(long)]
    restart: bool,
    /// One group instead of two
    #[arg(long)]
    one_group: bool,
    /// That a stream has arrived becomes known some time later
    #[arg(long)]
    late_acks: bool,
    /// Steps from the beginning
    #[arg(long, default_value_t = 1000)]
    depth: usize,
    /// Different states to keep at most
    #[arg(long, default_value_t = 1_000_000)]
    states: usize,
    /// Plant a known bug into what the nodes say; `list` tells which there are
    #[arg(long = "break", value_name = "NAME", value_parser = bug)]
    bug: Option<Planted>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let out = &mut io::stdout().lock();
    if let Some(Planted::List) = args.bug {
        return Ok(list(out)?);
    }
    let planted = args.bug.and_then(Planted::bug);
    let versions = args.moq_version.map_or(Version::ALL.to_vec(), |version| vec![version]);
    for version in versions {
        let Args { cut_off, unsubscribe, restart, one_group, late_acks, depth, states, .. } = args;
        let scenario = Scenario { version, cut_off, unsubscribe, restart, one_group, late_acks };
        let begun = Instant::now();
        let found = explore(&scenario, planted, Bounds { depth, states });
        let whole = if found.complete { "all of them" } else { "as far as the bounds go" };
        writeln!(
            out,
            "{version}: {} states, {} steps, {} ends, depth {}, {whole}, {:.1} s",
            found.states,
            found.steps,
            found.ends,
            found.depth,
            begun.elapsed().as_secs_f64()
        )?;
        if let Some((broken, way)) = found.broken {
            way.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            let replay = "the way to it is above".into();
            return Err(Failure::Broken { broken, replay });
        }
    }
    Ok(())
}

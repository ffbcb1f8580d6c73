//! Every interleaving of small worlds. `smoq explore` goes further.

use smoq_core::Version;
use smoq_sim::{
    Bug, Invariant,
    explore::{Bounds, Scenario, explore},
};

fn scenario(version: Version) -> Scenario {
    Scenario { version, cut_off: false, unsubscribe: false, restart: false }
}

fn holds(scenario: Scenario, states: usize) {
    let found = explore(&scenario, None, Bounds { depth: usize::MAX, states });
    if let Some((broken, way)) = found.broken {
        panic!("{scenario:?}: {broken}\n{}", way.join("\n"));
    }
    println!("{scenario:?}: {} states, depth {}", found.states, found.depth);
}

#[test]
fn two_groups() {
    Version::ALL.into_iter().for_each(|version| holds(scenario(version), 3000));
}

#[test]
fn a_planted_bug_is_found_by_the_shortest_way() {
    for (bug, invariant) in [
        (Bug::WrongEnd, Invariant::NoInvention),
        (Bug::LostReset, Invariant::Answered),
        (Bug::LeakedSubscription, Invariant::Baseline),
    ] {
        let scenario = Scenario { cut_off: true, ..scenario(Version::Lite06) };
        let bounds = Bounds { depth: usize::MAX, states: 100_000 };
        let found = explore(&scenario, Some(bug), bounds);
        let (broken, way) = found.broken.unwrap_or_else(|| panic!("{} is not found", bug.name()));
        assert_eq!(broken.invariant, invariant, "{}: {broken}", bug.name());
        assert!(!way.is_empty());
    }
}

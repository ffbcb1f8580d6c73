//! Worlds with faults, drawn from seeds. `smoq sim --seed N` tells the story of one.

use std::ops::Range;

use smoq_sim::{
    Bug, Invariant,
    swarm::{Plan, run, shrink},
};

/// Runs each seed twice.
fn hold(seeds: Range<u64>) {
    for seed in seeds {
        let plan = Plan::draw(seed);
        let [once, twice] = [(); 2].map(|()| run(&plan, None, false));
        if let Err(broken) = once.outcome {
            panic!("seed {seed} breaks {broken}: `smoq sim --seed {seed}` makes it smaller");
        }
        assert_eq!((once.hash, once.steps), (twice.hash, twice.steps), "seed {seed} differs");
    }
}

#[test]
fn seeds_from_0_hold_and_repeat() {
    hold(0..125);
}

#[test]
fn seeds_from_125_hold_and_repeat() {
    hold(125..250);
}

#[test]
fn seeds_from_250_hold_and_repeat() {
    hold(250..375);
}

#[test]
fn seeds_from_375_hold_and_repeat() {
    hold(375..500);
}

/// What first shows a planted bug, in one seed or another.
fn shown_by(bug: Bug) -> &'static [Invariant] {
    use Invariant::*;
    match bug {
        Bug::WrongEnd | Bug::WrongStart => &[NoInvention],
        Bug::LostReset => &[Answered],
        Bug::LostFin => &[Answered, NewGroups],
        Bug::EarlyFin | Bug::LostFrame | Bug::MadeUpFrame | Bug::StaleCursor => &[Prefix],
        Bug::WrongTimestamp => &[Prefix],
        Bug::WrongGroup => &[NoInvention, Prefix],
        Bug::LeakedSubscription => &[FanIn, Baseline],
        Bug::ReusedId | Bug::TwiceAnnounce => &[Ids],
        Bug::LostUnannounce => &[Converged, Ids, Baseline],
        Bug::SkippedLoopCheck => &[LoopFreedom],
        Bug::EarlyEviction => &[Expiry],
        Bug::WrongCredit => &[NewGroups],
        Bug::WrongCode => &[Codes],
        Bug::LostTrackInfo => &[Answered, NewGroups],
        Bug::LostDrop => &[Accounting],
        Bug::Garbled => &[Isolation],
    }
}

#[test]
fn planted_bugs_are_caught() {
    for bug in Bug::ALL {
        let caught =
            (0..200).find_map(|seed| run(&Plan::draw(seed), Some(*bug), false).outcome.err());
        let caught = caught.unwrap_or_else(|| panic!("{} is not caught", bug.name()));
        assert!(shown_by(*bug).contains(&caught.invariant), "{}: {caught}", bug.name());
    }
}

#[test]
fn a_failure_is_made_smaller() {
    let bug = Some(Bug::LostReset);
    let fails = |seed: &u64| run(&Plan::draw(*seed), bug, false).outcome.is_err();
    let plan = Plan::draw((0..200).find(fails).expect("it is caught"));
    let broken = run(&plan, bug, false).outcome.unwrap_err();
    let small = shrink(&plan, bug, &broken);
    let lines = |plan: &Plan| plan.to_string().lines().count();
    assert!(lines(&small) < lines(&plan) / 2, "{small}");
    let again = run(&small, bug, true);
    assert_eq!(again.outcome.map_err(|broken| broken.invariant), Err(broken.invariant));
    assert!(!again.log.is_empty());
}

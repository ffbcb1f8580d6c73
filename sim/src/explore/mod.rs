//! Every interleaving of a small world: a publisher, a relay and a viewer, two groups of two frames.
//!
//! Messages of one stream keep their order, and nothing else does: what waits on any stream may
//! arrive next, or an actor may do the next thing of its list. States are walked breadth first, so
//! that the first violation found is one with the shortest way to it. At the end of every way all that
//! has to come true later is judged as well.

mod cable;
mod fingerprint;
mod state;

use std::collections::{HashSet, VecDeque};

use smoq_core::Version;

use self::state::{State, Step};
use crate::{Broken, Bug};

/// A small world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// What everybody speaks.
    pub version: Version,
    /// The last group is cut off instead of completed.
    pub cut_off: bool,
    /// The viewer leaves some time after it has subscribed.
    pub unsubscribe: bool,
    /// The publisher's node dies inside its first group, comes back and publishes anew.
    pub restart: bool,
    /// One group instead of two.
    pub one_group: bool,
    /// That a stream has arrived becomes known some time later, not at once.
    pub late_acks: bool,
}

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Steps from the beginning.
    pub depth: usize,
    /// Different states.
    pub states: usize,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps from one of them to another.
    pub steps: u64,
    /// States in which nothing more can happen.
    pub ends: usize,
    /// Steps to the farthest state.
    pub depth: usize,
    /// Every state was reached and judged: none lay beyond the bounds.
    pub complete: bool,
    /// A violation, and the shortest way to it: a line for each thing that happened.
    pub broken: Option<(Broken, Vec<String>)>,
}

/// Where a state was reached from.
struct Origin {
    before: usize,
    step: Step,
}

/// Walks a small world, with a bug planted into what its nodes say if wanted.
pub fn explore(scenario: &Scenario, bug: Option<Bug>, bounds: Bounds) -> Explored {
    let mut found =
        Explored { states: 0, steps: 0, ends: 0, depth: 0, complete: true, broken: None };
    let first = match State::first(scenario, bug, false) {
        Ok(first) => first,
        Err(broken) => {
            found.broken = Some((broken, Vec::new()));
            return found;
        }
    };
    let mut seen = HashSet::from([first.fingerprint()]);
    let mut origins: Vec<Option<Origin>> = vec![None];
    let mut waiting = VecDeque::from([(first, 0, 0)]);
    while let Some((state, at, depth)) = waiting.pop_front() {
        found.depth = found.depth.max(depth);
        let steps = state.steps();
        if steps.is_empty() {
            found.ends += 1;
            if let Err(broken) = state.judge_end() {
                found.broken = Some((broken.clone(), story(scenario, bug, &origins, at, None)));
                break;
            }
            continue;
        }
        if depth >= bounds.depth {
            found.complete = false;
            continue;
        }
        for step in steps {
            let mut next = state.clone();
            found.steps += 1;
            if let Err(broken) = next.take(step) {
                found.broken = Some((broken, story(scenario, bug, &origins, at, Some(step))));
                found.states = seen.len();
                return found;
            }
            if seen.len() >= bounds.states {
                found.complete = false;
            } else if seen.insert(next.fingerprint()) {
                origins.push(Some(Origin { before: at, step }));
                waiting.push_back((next, origins.len() - 1, depth + 1));
            }
        }
    }
    found.states = seen.len();
    found
}

/// The way to a state and one step further, told.
fn story(
    scenario: &Scenario,
    bug: Option<Bug>,
    origins: &[Option<Origin>],
    mut at: usize,
    last: Option<Step>,
) -> Vec<String> {
    let mut way: Vec<Step> = last.into_iter().collect();
    while let Some(Origin { before, step }) = &origins[at] {
        way.push(*step);
        at = *before;
    }
    let mut lines = Vec::new();
    let Ok(mut state) = State::first(scenario, bug, true) else { return lines };
    state.tap.log = Some(Vec::new());
    for step in way.into_iter().rev() {
        lines.push(step.tell(&state));
        // The last step fails, which is why it is told.
        _ = state.take(step);
        let said = state.tap.log.replace(Vec::new()).unwrap_or_default();
        lines.extend(said.into_iter().map(|line| format!("    {}", line.trim_start())));
    }
    lines
}

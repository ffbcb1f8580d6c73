//! A plan that fails, made smaller as long as it fails in the same way.

use super::{Plan, run};
use crate::{Broken, Bug};

/// Runs that are spent on it at most.
const RUNS: usize = 300;

/// The smallest plan found that breaks the same invariant: fewer acts, fewer nodes, a plain network.
pub fn shrink(plan: &Plan, bug: Option<Bug>, broken: &Broken) -> Plan {
    let mut runs = 0;
    let mut fails = |plan: &Plan| {
        runs += 1;
        let outcome = run(plan, bug, false).outcome;
        runs <= RUNS && outcome.is_err_and(|found| found.invariant == broken.invariant)
    };
    let mut best = plan.clone();
    loop {
        let size = best.size();
        let mut chunk = best.acts.len().max(1);
        while chunk > 0 {
            let mut at = 0;
            while at < best.acts.len() {
                let mut less = best.clone();
                less.acts.drain(at..(at + chunk).min(best.acts.len()));
                if fails(&less) {
                    best = less;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
        for smaller in best.smaller() {
            if fails(&smaller) {
                best = smaller;
            }
        }
        if best.size() == size {
            return best;
        }
    }
}

impl Plan {
    fn size(&self) -> usize {
        self.acts.len() + self.links() + usize::from(self.network != self.network.plain())
    }

    /// Plans with one thing less each.
    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut less = |possible: bool, change: fn(&mut Self)| {
            if possible {
                let mut plan = self.clone();
                change(&mut plan);
                smaller.push(plan);
            }
        };
        less(self.hostile.is_some(), |plan| plan.hostile = None);
        less(self.viewers.len() > 1, |plan| _ = plan.viewers.pop());
        less(self.publishers.len() > 1, |plan| {
            plan.publishers.pop();
            plan.paths = plan.paths.min(plan.publishers.len());
        });
        less(self.ring, |plan| plan.ring = false);
        less(self.relays > 1 && !self.ring, |plan| {
            plan.relays -= 1;
            let last = plan.relays - 1;
            let clients = plan.publishers.iter_mut().chain(&mut plan.viewers);
            clients.chain(&mut plan.hostile).for_each(|one| one.relay = one.relay.min(last));
        });
        less(self.network != self.network.plain(), |plan| plan.network = plan.network.plain());
        smaller
    }
}

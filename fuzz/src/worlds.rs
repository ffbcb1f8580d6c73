//! Networks of honest nodes with faults, drawn from bytes instead of a seed, and judged by the invariants
//! of the simulation.

use smoq_sim::swarm::{Plan, run};

/// A publisher, a relay and a viewer: two sessions.
pub fn world_pair(data: &[u8]) {
    holds(&Plan::chosen(data).with_two_sessions());
}

/// Among others there is a peer that changes what it has to say.
pub fn world_attack(data: &[u8]) {
    holds(&Plan::chosen(data).with_hostile());
}

/// Relays with any number of sessions.
pub fn world_relay(data: &[u8]) {
    holds(&Plan::chosen(data));
}

fn holds(plan: &Plan) {
    if let Err(broken) = run(plan, None, false).outcome {
        panic!("{broken}: {plan}");
    }
}

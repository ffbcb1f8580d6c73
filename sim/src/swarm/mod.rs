//! Swarm testing: each seed draws a world, what its nodes do and what goes wrong there.
//!
//! While things go wrong every safety invariant is judged at each step. Then everything heals, and
//! after a while everybody has to know and to get what there is. In the end nothing may be left.

mod deeds;
pub(crate) mod depth;
mod plan;
mod run;
mod shrink;

pub use plan::Plan;
pub use run::{Report, run};
pub use shrink::shrink;

#[cfg(test)]
mod tests {
    use super::{plan::Network, *};
    use crate::{Invariant, packets::Air};

    #[test]
    fn a_network_that_carries_no_packet_of_quic_is_noticed() {
        let mut plan = Plan::draw_packets(0);
        plan.network = Network::Packets(Air { mtu: 1199, ..Air::default() });
        let broken = run(&plan, None, false).outcome.expect_err("nobody can know anything");
        assert_eq!(broken.invariant, Invariant::Converged);
    }
}

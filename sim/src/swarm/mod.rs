//! Swarm testing: each seed draws a world, what its nodes do and what goes wrong there.
//!
//! While things go wrong every safety invariant is judged at each step. Then everything heals, and
//! after a while everybody has to know and to get what there is. In the end nothing may be left.

mod deeds;
mod plan;
mod run;
mod shrink;

pub use plan::Plan;
pub use run::{Report, run};
pub use shrink::shrink;

//! Checks a moq-lite relay from outside, as a black box.
//!
//! Each [`Check`] is one rule of the protocol. It opens sessions of its own, as a publisher and as a viewer,
//! and says on raw streams what the rule is about, legal or not. Nothing of a smoq node is in it: only the
//! codec of messages is shared. [`run`] runs them, on each version that the relay speaks.
//!
//! Checks use names that nobody else has and run beside each other, so the relay may have other
//! traffic. They need a relay that lets everybody publish and subscribe below the path of the URL.
#![forbid(unsafe_code)]

mod areas;
mod check;
mod dial;
mod faults;
mod peer;
mod proxy;
mod report;
mod run;
mod stage;
mod stream;
mod verdict;
mod web;

pub use areas::checks;
pub use check::{Check, Level};
pub use dial::{Target, reach};
pub use faults::{FAULTS, Fault};
pub use proxy::{ProxyError, plant};
pub use report::{junit, list, table, tap};
pub use run::{Options, Outcome, Report, run};
pub use verdict::Unmet;

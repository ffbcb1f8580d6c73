//! What must hold, by name. The swarm and the explorer judge by these alone.

mod delivery;
mod ledger;
mod node;
mod wire;

use std::fmt;

pub(crate) use delivery::Delivery;
pub(crate) use ledger::{Instance, Ledger};
pub(crate) use node::{bounded, empty, honest_peer, unwatched};
pub(crate) use wire::{Spy, Who, acyclic};

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)*) => {
        /// A rule of moq-lite, or a promise of this implementation, that a run can break.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Invariant {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Invariant {
            /// Every invariant.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

invariants! {
    /// What is delivered of a group is the beginning of what was published of it, and all of it if the
    /// group ended in good order. One subscription shows one broadcast.
    Prefix = "prefix",
    /// No group is sent or delivered that was not published, lies outside of what was asked for, below
    /// START, at or after END, or was there before.
    NoInvention = "no invention",
    /// When a publisher ends a subscription in good order, each of its groups from START to END was sent
    /// or dropped by name.
    Accounting = "accounting",
    /// Subscribe ids are used once; announcement ids are in order and dead after their end; a path is
    /// announced once at a time on a stream; nothing comes before ANNOUNCE_OK.
    Ids = "ids",
    /// No hop is twice in an announcement, and no node forwards one that has been with it. Once the
    /// network is quiet, nobody is served in a circle.
    LoopFreedom = "loop freedom",
    /// A node has at most one subscription to a track on a session for each of its publishers there, four
    /// in all, and none when nobody watches it.
    FanIn = "fan-in",
    /// A group is given up for lack of room, or for its age, only if there is a newer one.
    Expiry = "expiry",
    /// What a node holds stays below its limits.
    Bounds = "bounds",
    /// Honest peers never see each other break a rule, whatever a hostile one does.
    Isolation = "isolation",
    /// A group that its publisher cut off arrives cut off, with the publisher's code.
    Codes = "codes",
    /// After the faults each viewer gets a group that was published after them.
    NewGroups = "new groups",
    /// After the faults everybody knows exactly the broadcasts that are there.
    Converged = "converged",
    /// No request and no group stays open for ever.
    Answered = "answered",
    /// A network in which nobody does anything is quiet.
    Quiet = "quiet",
    /// When everybody has left, nothing is held.
    Baseline = "baseline",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An invariant that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Broken {
    /// Which one.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl Invariant {
    /// This invariant does not hold.
    pub(crate) fn broken(self, what: impl Into<String>) -> Broken {
        Broken { invariant: self, what: what.into() }
    }

    /// Fails unless something holds.
    pub(crate) fn holds(self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(self.broken(what())) }
    }
}

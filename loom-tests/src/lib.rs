//! The runtime's own source on the types of loom, and the models of what its threads do to each other.
//!
//! `build.rs` copies the source and sets the cfg `smoq_loom` for it, so that `runtime/src/sync.rs` names
//! loom's locks. The copy has the bugs of `mutants.rs` in it, each behind a switch.
#![forbid(unsafe_code)]

use std::{
    cell::Cell,
    sync::{
        Arc as Counted,
        atomic::{AtomicUsize, Ordering},
    },
};

include!(concat!(env!("OUT_DIR"), "/runtime/lib.rs"));

mod models;
mod mutants {
    include!("../mutants.rs");
}

pub use models::{MODELS, Model};
pub use mutants::{MUTANTS, Mutant};

/// Preemptions in one execution, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 3;
/// Steps of one execution, beyond which it is taken for one that spins.
const MAX_BRANCHES: usize = 20_000;

thread_local! {
    static PLANTED: Cell<&'static str> = const { Cell::new("") };
}

/// Whether this bug is switched on.
fn planted(name: &str) -> bool {
    PLANTED.get() == name
}

impl Model {
    /// Runs it in every order of events, with the bug of this name switched on, if any. Returns the
    /// number of orders. Threads of a model are coroutines of the caller's thread.
    ///
    /// # Panics
    /// If an order breaks what the model asserts, blocks for ever or leaks. The panic may end in an abort.
    pub fn explore(&self, bug: &'static str) -> usize {
        PLANTED.set(bug);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(PREEMPTIONS);
        builder.max_branches = MAX_BRANCHES;
        let orders = Counted::new(AtomicUsize::new(0));
        let (count, run) = (orders.clone(), self.run);
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            run();
        });
        orders.load(Ordering::Relaxed)
    }
}

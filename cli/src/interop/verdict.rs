//! What became of each step.

use std::{
    fmt::{self, Display, Formatter},
    io::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::failure::Failure;

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// With what was seen instead.
    Fail(String),
    /// The version has no such thing, or the peer says that it has none; with the reason. Silence fails.
    NotOffered(String),
}

impl<E: Display> From<Result<(), E>> for Verdict {
    fn from(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Pass,
            Err(error) => Self::Fail(error.to_string()),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Fail(why) => write!(f, "fail: {why}"),
            Self::NotOffered(why) => write!(f, "not offered: {why}"),
        }
    }
}

/// Says what becomes of the steps with one peer.
pub(super) struct Report {
    /// Before each line: which peer, if there are several.
    peer: String,
    failed: AtomicU32,
}

impl Report {
    pub(super) fn new(peer: String) -> Self {
        Self { peer, failed: AtomicU32::new(0) }
    }

    /// One line on standard output: `STEP: VERDICT`.
    pub(super) fn step(&self, name: &str, verdict: impl Into<Verdict>) {
        let verdict = verdict.into();
        if matches!(verdict, Verdict::Fail(_)) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        // If nobody reads it, the exit status still tells.
        let _ = writeln!(io::stdout(), "{}{name}: {verdict}", self.peer);
    }

    /// Whether all went well.
    pub(super) fn result(&self) -> Result<(), Failure> {
        match self.failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => Err(Failure::Interop { count }),
        }
    }
}

//! What came of a check.

use std::fmt;

/// What a check did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// A rule does not hold.
    Failed {
        /// What should have come.
        expected: String,
        /// What came.
        came: String,
    },
    /// The relay does not offer what the rule is about.
    Skipped(String),
}

impl Unmet {
    /// Something else came than was expected.
    pub(crate) fn failed(expected: impl fmt::Display, came: impl fmt::Display) -> Self {
        Self::Failed { expected: plain(expected), came: plain(came) }
    }

    /// The relay does not offer it.
    pub(crate) fn skipped<T>(reason: impl fmt::Display) -> Result<T> {
        Err(Self::Skipped(reason.to_string()))
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { expected, came } => write!(f, "expected {expected}; came {came}"),
            Self::Skipped(reason) => f.write_str(reason),
        }
    }
}

/// A text without characters that do something to a terminal, or that XML does not have: a peer may have chosen it.
fn plain(text: impl fmt::Display) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.to_string().chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// What a check, or a step of it, comes to.
pub(crate) type Result<T = ()> = std::result::Result<T, Unmet>;

/// Holds, or fails with both.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, came: T, expected: T) -> Result {
    if came == expected {
        return Ok(());
    }
    Err(Unmet::failed(format_args!("{what}: {expected:?}"), format_args!("{came:?}")))
}

/// Holds, or fails with what came.
pub(crate) fn holds(what: &str, holds: bool, came: impl fmt::Debug) -> Result {
    if holds { Ok(()) } else { Err(Unmet::failed(what, format_args!("{came:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_does_nothing_to_a_terminal() {
        let unmet = Unmet::failed("a reason", "\u{1b}[2J\nok 2\u{9b}\u{ffff} größe");
        let plain = "expected a reason; came \u{fffd}[2J\u{fffd}ok 2\u{fffd}\u{fffd} größe";
        assert_eq!(unmet.to_string(), plain);
    }
}

//! What the user is told besides the output.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// A line on standard error. If nobody listens there, that is no reason to stop.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "smoq: {}", printable(&text.to_string()));
}

/// What peers choose must not forge lines, command the terminal, or turn around how a line is read.
pub(crate) fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escape = |c: char| {
        if c.is_control() || turns(c) { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(escape).collect()
}

/// What peers choose to be called, or call something, must not look like more than a name.
#[cfg(feature = "p2p")]
pub(crate) fn name(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.into() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_forge_a_line() {
        assert_eq!(printable("a/b\n- c\u{1b}[2J/ü"), "a/b\\n- c\\u{1b}[2J/ü");
        #[cfg(feature = "p2p")]
        assert_eq!(
            [name("b.o-b_1@x"), name("bob chat] hi"), name("")],
            ["b.o-b_1@x", "\"bob chat] hi\"", "\"\""]
        );
        assert_eq!(printable("from \u{202e}eno on"), "from \\u{202e}eno on");
    }
}

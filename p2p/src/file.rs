//! A file on a channel of its own.
//!
//! The sender opens a channel with the protocol [`PROTOCOL`] and says [`Said::Begin`]. The receiver answers
//! [`Said::Go`] or [`Said::Refuse`]. Then come the bytes, in binary messages of at most [`CHUNK`], and
//! [`Said::End`] with the SHA-256 of all of them. The receiver checks it and says [`Said::Done`] or
//! [`Said::Refuse`]. What is no chunk is a line of text, so that a page can do it too.

use thiserror::Error;

/// What such a channel has for its protocol.
pub const PROTOCOL: &str = "smoq-file";
/// Bytes of a chunk: what every implementation takes at once.
pub const CHUNK: usize = 16 << 10;
/// Bytes of a name.
const MOST_NAME: usize = 255;
/// Bytes of a reason.
const MOST_REASON: usize = 200;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What the two sides say about a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// The sender has a file.
    Begin {
        /// How many bytes it has.
        size: u64,
        /// What it is called: not a path, and nothing that a terminal would obey.
        name: String,
    },
    /// The receiver wants it.
    Go,
    /// That were all bytes.
    End {
        /// Their hash.
        hash: Hash,
    },
    /// The receiver has the file, and the hash is right.
    Done,
    /// The receiver does not take it, or not any more.
    Refuse {
        /// Why, for people.
        reason: String,
    },
}

/// The other side said what nobody understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the other side does not send files as `smoq p2p` does")]
pub struct Unintelligible;

impl Said {
    /// As a line.
    pub fn write(&self) -> String {
        match self {
            Self::Begin { size, name } => format!("begin {size} {name}"),
            Self::Go => "go".into(),
            Self::End { hash } => format!("end {}", hex(hash)),
            Self::Done => "done".into(),
            Self::Refuse { reason } => format!("refuse {reason}"),
        }
    }

    /// Reads a line. Names of files are checked, reasons are cut.
    pub fn read(line: &str) -> Result<Self, Unintelligible> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let said = match verb {
            "begin" => {
                let (size, name) = rest.split_once(' ').ok_or(Unintelligible)?;
                let size = size.parse().map_err(|_| Unintelligible)?;
                Self::Begin { size, name: checked(name).ok_or(Unintelligible)?.into() }
            }
            "go" => Self::Go,
            "end" => Self::End { hash: unhex(rest).ok_or(Unintelligible)? },
            "done" => Self::Done,
            "refuse" => {
                let shown = rest.chars().filter(|c| !c.is_control());
                Self::Refuse { reason: shown.take(MOST_REASON).collect() }
            }
            _ => return Err(Unintelligible),
        };
        Ok(said)
    }
}

/// A name that stays in its folder on every system, and does not hide there.
fn checked(name: &str) -> Option<&str> {
    let sound = !name.is_empty()
        && name.len() <= MOST_NAME
        && !name.starts_with('.')
        && !name.contains(|c: char| c.is_control() || "/\\:".contains(c))
        // What turns around how it is read hides what kind of file it is.
        && !name.contains(['\u{200e}', '\u{200f}', '\u{61c}'])
        && !name.contains(|c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
    sound.then_some(name)
}

/// A hash as people see it.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let bytes: Vec<u8> = digits?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    (text.len() == 64).then(|| bytes.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for said in [
            Said::Begin { size: u64::MAX, name: "a b ü.bin".into() },
            Said::Go,
            Said::End { hash: std::array::from_fn(|i| i as u8 * 8) },
            Said::Done,
            Said::Refuse { reason: "no room".into() },
        ] {
            assert_eq!(Said::read(&said.write()), Ok(said));
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let long = "x".repeat(256);
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "c:x",
            ".profile",
            "a\nb",
            "\u{1b}[2J",
            "photo\u{202e}gpj.exe",
            &long,
        ] {
            assert_eq!(Said::read(&format!("begin 1 {name}")), Err(Unintelligible), "{name}");
        }
    }

    #[test]
    fn a_reason_is_short_and_plain() {
        let Ok(Said::Refuse { reason }) =
            Said::read(&format!("refuse \u{1b}[2J{}", "x".repeat(999)))
        else {
            panic!("refused");
        };
        assert!(reason.len() == MOST_REASON && reason.starts_with("[2Jx"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".{0,100}") {
            let _ = Said::read(&line);
            let _ = Said::read(&format!("end {line}"));
        }
    }
}

//! What is known of one step with one peer.

/// One place of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Name and version.
    pub(super) peer: String,
    pub(super) version: String,
    pub(super) transport: &'static str,
    /// Who is what, and who checks.
    pub(super) role: String,
    pub(super) step: String,
    pub(super) verdict: Verdict,
}

impl Cell {
    /// Which one it is, in words.
    pub(super) fn place(&self) -> String {
        let Self { peer, version, transport, role, step, verdict: _ } = self;
        format!("{peer}, {version}, {transport}, {role}, {step}")
    }
}

/// How a step ended; all but the first with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail(String),
    NotOffered(String),
    NotRun(String),
}

impl Verdict {
    /// The word for it, and the reason.
    pub(super) fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Pass => ("pass", None),
            Self::Fail(why) => ("**fail**", Some(why)),
            Self::NotOffered(why) => ("not offered", Some(why)),
            Self::NotRun(why) => ("not run", Some(why)),
        }
    }
}

pub(super) const QUIC: &str = "raw QUIC";
pub(super) const WEB: &str = "WebTransport";

/// The carrier of a URL that begins like this.
pub(super) fn transport(scheme: &str) -> &'static str {
    if scheme == "https" { WEB } else { QUIC }
}

/// A line of `smoq interop`, and of what does the same: `STEP: VERDICT`.
pub(super) fn step(line: &str) -> Option<(String, Verdict)> {
    let (step, verdict) = line.split_once(": ")?;
    let (word, why) = verdict.split_once(": ").unwrap_or((verdict, ""));
    let why = why.to_owned();
    let verdict = match word {
        "pass" => Verdict::Pass,
        "fail" => Verdict::Fail(why),
        "not offered" => Verdict::NotOffered(why),
        _ => return None,
    };
    Some((step.to_owned(), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_programs_are_read() {
        assert_eq!(step("small: pass"), Some(("small".into(), Verdict::Pass)));
        let fail = Verdict::Fail("group 3: cut off".into());
        assert_eq!(step("big: fail: group 3: cut off"), Some(("big".into(), fail)));
        let absent = Verdict::NotOffered("none on moq-lite-03".into());
        assert_eq!(step("fetch: not offered: none on moq-lite-03"), Some(("fetch".into(), absent)));
        assert_eq!(step("moqt://127.0.0.1:4443 abcd"), None);
        assert_eq!(step("warning: odd"), None);
    }
}

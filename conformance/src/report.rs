//! A report in words, for people and for machines.

use std::{collections::BTreeMap, fmt::Write};

use smoq_core::Carrier;

use crate::{
    areas::checks,
    check::Level,
    faults::FAULTS,
    run::{Outcome, Report},
    verdict::Unmet,
};

/// What a verdict is called.
fn word(outcome: &Outcome) -> &'static str {
    match (&outcome.verdict, outcome.check.level) {
        (Ok(()), _) => "pass",
        (Err(Unmet::Skipped(_)), _) => "skip",
        (Err(Unmet::Failed { .. }), Level::Must) => "FAIL",
        (Err(Unmet::Failed { .. }), Level::Should) => "warn",
    }
}

/// `03`, not `moq-lite-03`.
fn short(version: smoq_core::Version) -> &'static str {
    version.alpn().trim_start_matches("moq-lite-")
}

fn carrier(report: &Report) -> &'static str {
    match report.carrier {
        Carrier::Raw | Carrier::Link => "raw QUIC",
        Carrier::WebTransport => "WebTransport",
    }
}

/// For people: a line for each area, and a paragraph for whatever did not pass.
pub fn table(report: &Report) -> String {
    let words = ["pass", "warn", "skip", "FAIL"];
    let mut areas: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut total = [0; 4];
    for outcome in &report.outcomes {
        let at = words.iter().position(|known| *known == word(outcome)).unwrap_or(0);
        areas.entry(outcome.check.area()).or_default()[at] += 1;
        total[at] += 1;
    }
    let mut text = String::new();
    let line = |text: &mut String, name: &str, counts: &[usize; 4]| {
        _ = write!(text, "{name:<12}");
        words.iter().zip(counts).for_each(|(word, count)| _ = write!(text, "{count:>6} {word}"));
        text.push('\n');
    };
    for (area, counts) in &areas {
        line(&mut text, area, counts);
    }
    line(&mut text, carrier(report), &total);
    for (version, unmet) in &report.unspoken {
        _ = writeln!(text, "\n{version} is not spoken: {unmet}");
    }
    for (version, unmet) in &report.unanswered {
        _ = writeln!(text, "\nFAIL {version} is neither spoken nor refused: {unmet}");
    }
    for outcome in report.outcomes.iter().filter(|outcome| outcome.verdict.is_err()) {
        let (check, version) = (outcome.check, short(outcome.version));
        _ = writeln!(text, "\n{} {} ({version})", word(outcome), check.name);
        _ = writeln!(text, "  rule      {} [{}]", check.rule, check.section);
        match &outcome.verdict {
            Ok(()) => {}
            Err(Unmet::Skipped(reason)) => _ = writeln!(text, "  because   {reason}"),
            Err(Unmet::Failed { expected, came }) => {
                _ = writeln!(text, "  expected  {expected}\n  came      {came}");
            }
        }
    }
    text
}

/// A text in quotes, as YAML has them. There are no control characters in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Why nothing was checked, which is a failure, also for who reads only lists of failures.
fn nothing(report: &Report) -> Option<String> {
    let mut reason = String::from("nothing was checked");
    let versions = report.unspoken.iter().chain(&report.unanswered);
    versions.for_each(|(version, unmet)| _ = write!(reason, "; {version}: {unmet}"));
    report.outcomes.is_empty().then_some(reason)
}

/// The Test Anything Protocol, version 14. Warnings are marked as TODO, as that protocol wants it.
pub fn tap(report: &Report) -> String {
    if let Some(reason) = nothing(report) {
        let message = quoted(&reason);
        return format!(
            "TAP version 14\n1..1\nnot ok 1 - anything to check\n  ---\n  message: {message}\n  ...\n"
        );
    }
    let versions = report.unspoken.len() + report.unanswered.len();
    let mut text = format!("TAP version 14\n1..{}\n", versions + report.outcomes.len());
    for (number, (version, unmet)) in (1..).zip(&report.unspoken) {
        _ = writeln!(text, "ok {number} - {version} {} # SKIP {unmet}", carrier(report));
    }
    for (number, (version, unmet)) in (1 + report.unspoken.len()..).zip(&report.unanswered) {
        let (title, message) = (carrier(report), quoted(&unmet.to_string()));
        _ = writeln!(
            text,
            "not ok {number} - {version} {title}\n  ---\n  message: {message}\n  ..."
        );
    }
    for (number, outcome) in (versions + 1..).zip(&report.outcomes) {
        let (check, version) = (outcome.check, short(outcome.version));
        let title = format!("{number} - {} {version} {}", check.name, carrier(report));
        _ = match &outcome.verdict {
            Ok(()) => writeln!(text, "ok {title}"),
            Err(Unmet::Skipped(reason)) => writeln!(text, "ok {title} # SKIP {reason}"),
            Err(failed @ Unmet::Failed { .. }) => {
                let todo = if outcome.is_fault() { "" } else { " # TODO" };
                writeln!(
                    text,
                    "not ok {title}{todo}\n  ---\n  rule: {}\n  section: {}\n  message: {}\n  ...",
                    quoted(check.rule),
                    quoted(check.section),
                    quoted(&failed.to_string()),
                )
            }
        };
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The XML that came with JUnit, which many CI systems read. Warnings are skipped tests there.
pub fn junit(report: &Report) -> String {
    let count =
        |wanted: &str| report.outcomes.iter().filter(|outcome| word(outcome) == wanted).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let nothing = nothing(report);
    let versions =
        if nothing.is_some() { [0; 2] } else { [report.unspoken.len(), report.unanswered.len()] };
    let one = usize::from(nothing.is_some());
    _ = writeln!(
        text,
        "<testsuite name=\"moq-lite conformance, {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">",
        carrier(report),
        report.outcomes.len() + one + versions[0] + versions[1],
        count("FAIL") + one + versions[1],
        count("skip") + count("warn") + versions[0],
    );
    if let Some(reason) = &nothing {
        let message = escape(reason);
        _ = writeln!(
            text,
            "  <testcase name=\"anything to check\"><failure message=\"{message}\"/></testcase>"
        );
    }
    let lists = [("skipped", &report.unspoken), ("failure", &report.unanswered)];
    for (tag, versions) in lists.into_iter().filter(|_| nothing.is_none()) {
        for (version, unmet) in versions {
            let message = escape(&unmet.to_string());
            _ = writeln!(
                text,
                "  <testcase name=\"{version}\"><{tag} message=\"{message}\"/></testcase>"
            );
        }
    }
    for outcome in &report.outcomes {
        _ = write!(
            text,
            "  <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3}\"",
            short(outcome.version),
            outcome.check.area(),
            outcome.check.name,
            outcome.took.as_secs_f64(),
        );
        _ = match &outcome.verdict {
            Ok(()) => writeln!(text, "/>"),
            Err(unmet) => {
                let tag = if outcome.is_fault() { "failure" } else { "skipped" };
                let message = escape(&format!("{}: {unmet}", outcome.check.rule));
                writeln!(text, "><{tag} message=\"{message}\"/></testcase>")
            }
        };
    }
    text.push_str("</testsuite>\n");
    text
}

/// Every check and every fault, as tables in Markdown.
pub fn list() -> String {
    let mut text = String::from(
        "| Check | Versions | Level | What must hold | Section |\n|---|---|---|---|---|\n",
    );
    for check in checks() {
        let (first, last) = (short(*check.versions.start()), short(*check.versions.end()));
        let versions = if first == last { first.to_owned() } else { format!("{first} to {last}") };
        let level = match check.level {
            Level::Must => "must",
            Level::Should => "should",
        };
        let only = match check.carrier {
            None => "",
            Some(Carrier::Raw | Carrier::Link) => ", raw QUIC",
            Some(Carrier::WebTransport) => ", WebTransport",
        };
        _ = writeln!(
            text,
            "| `{}` | {versions}{only} | {level} | {} | {} |",
            check.name, check.rule, check.section,
        );
    }
    text.push_str("\n| Fault | What is wrong | Noticed by, among others |\n|---|---|---|\n");
    for fault in FAULTS {
        _ = writeln!(text, "| `{}` | {} | `{}` |", fault.name, fault.what.trim(), fault.noticed_by);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smoq_core::Version;

    use super::*;

    /// A relay that speaks 06, refuses 04 and says nothing to who offers 05.
    fn report() -> Report {
        let (check, version) = (&checks()[0], Version::Lite06);
        let outcome = Outcome { check, version, verdict: Ok(()), took: Duration::ZERO };
        Report {
            carrier: Carrier::Raw,
            unspoken: vec![(Version::Lite04, Unmet::failed("a connection", "a refusal"))],
            unanswered: vec![(Version::Lite05, Unmet::failed("a session", "nothing"))],
            outcomes: vec![outcome],
        }
    }

    #[test]
    fn silence_is_a_fault_and_a_refusal_is_none() {
        let mut report = report();
        assert_eq!((report.is_good(), report.faults()), (false, 1));
        report.unanswered.clear();
        assert_eq!((report.is_good(), report.faults()), (true, 0));
    }

    #[test]
    fn versions_that_are_not_spoken_are_in_each_report() {
        let report = report();
        let tap = tap(&report);
        for line in [
            "1..3\n",
            "ok 1 - moq-lite-04 raw QUIC # SKIP expected a connection; came a refusal\n",
            "\nnot ok 2 - moq-lite-05 raw QUIC\n",
            "\nok 3 - ",
        ] {
            assert!(tap.contains(line), "{line:?} in {tap}");
        }
        let junit = junit(&report);
        assert!(junit.contains("tests=\"3\" failures=\"1\" skipped=\"1\""), "{junit}");
        assert!(junit.contains("<testcase name=\"moq-lite-05\"><failure"), "{junit}");
        assert!(table(&report).contains("FAIL moq-lite-05 is neither spoken nor refused"));
    }
}

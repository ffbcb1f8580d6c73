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
    report.unspoken.iter().for_each(|(version, unmet)| _ = write!(reason, "; {version}: {unmet}"));
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
    let mut text = format!("TAP version 14\n1..{}\n", report.outcomes.len());
    for (number, outcome) in (1..).zip(&report.outcomes) {
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
    let one = usize::from(nothing.is_some());
    _ = writeln!(
        text,
        "<testsuite name=\"moq-lite conformance, {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">",
        carrier(report),
        report.outcomes.len() + one,
        count("FAIL") + one,
        count("skip") + count("warn"),
    );
    if let Some(reason) = nothing {
        let message = escape(&reason);
        _ = writeln!(
            text,
            "  <testcase name=\"anything to check\"><failure message=\"{message}\"/></testcase>"
        );
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

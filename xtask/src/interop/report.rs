//! The matrix, for a terminal and as a document that can be read back.

use std::fmt::Write;

use super::cell::{Cell, Verdict};
use super::changes::not_run;
use super::faults;
use crate::run::output;

const INTRODUCTION: &str = "\
# Interop: who understands whom

Written by `cargo xtask interop --write`; `.ci/run` runs the same and fails when something comes out that is not
as it stands here. All peers run on one machine over loopback. Payloads are compared byte for byte on both ends.

Where a row says who checks, both ends run the steps of `smoq interop`, which anybody can point at a client, a
server or a relay of their own:

```sh
smoq interop server                                     # dial it with your client
smoq interop client --insecure moqt://localhost:4443    # with your server there
smoq interop client --as server moqt://localhost:4443   # the other side, for a relay
```

Each side announces a broadcast with known tracks (`smoq interop --help` tells their bytes) and takes the other's:

| Step | What passes |
|---|---|
| connect | there is a session |
| probe | the server says how fast it could send |
| announce, unannounce | the other broadcast is announced, and ended when both are done |
| small, empty, big, many | all groups and frames of the track, byte for byte: small frames; groups and frames without bytes; frames of 2 MiB; 300 groups |
| end | each of these tracks says that it has ended |
| live | groups of a track that goes on, as they come |
| unknown | a track that nobody has is refused |
| fetch | one group by its number |
| unsubscribe | who publishes sees that nobody listens to the live track any more |
| served | the other side has checked everything |
| goaway, leave | the server asks to leave, and the client goes |
| close | the client can close its session after that |

gomoqt is built with the original webtransport-go 0.12.0 in place of its fork, which the module proxy does not have
(`interop/go/webtransport`).

";

/// What the name of a peer comes after.
const SECTION: &str = "\n## ";

/// What stands where there is no cell.
const NOTHING: &str = "–";

/// A line for each peer, version, carrier and role, with what did not pass.
pub(super) fn summary(cells: &[Cell]) -> String {
    let mut text = String::new();
    for (peer, cells) in by(cells, |cell| cell.peer.clone()) {
        let _ = writeln!(text, "{peer}");
        let key = |cell: &Cell| (cell.version.clone(), cell.transport, cell.role.clone());
        for ((version, transport, role), cells) in by(&cells, key) {
            let passed = cells.iter().filter(|cell| cell.verdict == Verdict::Pass).count();
            let _ = writeln!(text, "  {version}, {transport}, {role}: {passed} pass");
            for cell in &cells {
                let known = if faults::reason(cell).is_some() { " (known)" } else { "" };
                if let (word, Some(why)) = cell.verdict.parts() {
                    let _ = writeln!(text, "    {}: {word}{known}: {why}", cell.step);
                }
            }
        }
    }
    text
}

/// The whole document, after the one before it.
pub(super) fn document(cells: &[Cell], before: &str) -> Result<String, String> {
    let mut text = INTRODUCTION.to_owned();
    let version = |program: &str, args| {
        let found = output(program, args).unwrap_or_default();
        found.lines().next().unwrap_or("not at hand").to_owned()
    };
    let chromium = std::env::var("CHROMIUM_BIN").unwrap_or_else(|_| "/usr/bin/chromium".into());
    let _ = writeln!(text, "Date: {}. Versions:\n", output("date", "-u +%F")?.trim());
    for line in [
        format!("smoq {}", version("git", "describe --always --exclude=*")),
        version("rustc", "--version"),
        version("go", "version"),
        format!("node {}", version("node", "--version")),
        version(&chromium, "--version").trim().to_owned(),
    ] {
        let _ = writeln!(text, "- {line}");
    }
    Ok(text + &tables(cells, before))
}

/// A table for each peer. One that was not run now keeps that of the document before, if it was run then.
fn tables(cells: &[Cell], before: &str) -> String {
    let idle = not_run(cells);
    let kept = |peer: &str| {
        let mut sections = before.split(SECTION).skip(1);
        let section = sections.find(|section| section.lines().next() == Some(peer))?;
        (idle.contains(&peer) && section.contains("| pass |")).then_some(section)
    };
    let peers = by(cells, |cell| cell.peer.clone()).into_iter();
    peers
        .map(|(peer, cells)| match kept(&peer) {
            Some(section) => format!("{SECTION}{section}"),
            None => format!("{SECTION}{peer}\n\n{}", table(&cells)),
        })
        .collect()
}

/// Roles and steps of one peer by its versions and carriers, and what is to be said of some.
fn table(cells: &[Cell]) -> String {
    let column = |cell: &Cell| format!("{}, {}", cell.version, cell.transport);
    let columns: Vec<_> = by(cells, column).into_iter().map(|(column, _)| column).collect();
    let mut text = format!("| Role | Step | {} |\n", columns.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(columns.len()));
    let mut notes: Vec<String> = Vec::new();
    for (role, cells) in by(cells, |cell| cell.role.clone()) {
        for (step, cells) in by(&cells, |cell| cell.step.clone()) {
            let _ = write!(text, "| {role} | {step} |");
            for name in &columns {
                let cell = cells.iter().find(|cell| column(cell) == *name);
                let _ = write!(
                    text,
                    " {} |",
                    cell.map_or(NOTHING.into(), |cell| mark(cell, &mut notes))
                );
            }
            text.push('\n');
        }
    }
    for (number, note) in (1..).zip(&notes) {
        let begin = if number == 1 { "\n" } else { "" };
        let _ = writeln!(text, "{begin}{number}. {note}");
    }
    text
}

/// What a document says of one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) peer: String,
    /// As [`Cell::place`] tells it.
    pub(super) place: String,
    /// The word for the verdict.
    pub(super) word: String,
}

/// What stands in the [`tables`] of a document.
pub(super) fn read(document: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for section in document.split(SECTION).skip(1) {
        let peer = section.lines().next().unwrap_or_default();
        let mut rows = section
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ")));
        let columns: Vec<_> = rows.next().into_iter().flatten().skip(2).collect();
        for mut row in rows {
            let (Some(role), Some(step)) = (row.next(), row.next()) else { continue };
            for (column, mark) in columns.iter().zip(row).filter(|(_, mark)| *mark != NOTHING) {
                let place = format!("{peer}, {column}, {role}, {step}");
                let (word, _note) = mark.split_once(" (").unwrap_or((mark, ""));
                entries.push(Entry { peer: peer.into(), place, word: word.into() });
            }
        }
    }
    entries
}

/// What stands in the table, with the number of its note.
fn mark(cell: &Cell, notes: &mut Vec<String>) -> String {
    let (word, why) = cell.verdict.parts();
    let Some(why) = why else { return word.into() };
    let note = match faults::reason(cell) {
        Some(reason) => format!("{why}: {reason}."),
        None => format!("{why}."),
    };
    let number = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    });
    format!("{word} ({})", number + 1)
}

/// The cells that have the same key, in the order in which the keys come first.
fn by<K: PartialEq>(cells: &[Cell], key: impl Fn(&Cell) -> K) -> Vec<(K, Vec<Cell>)> {
    let mut groups: Vec<(K, Vec<Cell>)> = Vec::new();
    for cell in cells {
        let key = key(cell);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, cells)) => cells.push(cell.clone()),
            None => groups.push((key, vec![cell.clone()])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::cell::{QUIC, WEB};
    use super::*;

    fn cell(transport: &'static str, step: &str, verdict: Verdict) -> Cell {
        Cell {
            peer: "peer 1".into(),
            version: "moq-lite-04".into(),
            transport,
            role: "client".into(),
            step: step.into(),
            verdict,
        }
    }

    #[test]
    fn a_table_has_a_place_for_each_cell() {
        let why = || "it has none".to_owned();
        let cells = [
            cell(QUIC, "small", Verdict::Pass),
            cell(WEB, "small", Verdict::Fail("cut off".into())),
            cell(QUIC, "fetch", Verdict::NotOffered(why())),
            cell(QUIC, "probe", Verdict::NotOffered(why())),
        ];
        let expected = "\
| Role | Step | moq-lite-04, raw QUIC | moq-lite-04, WebTransport |
|---|---|---|---|
| client | small | pass | **fail** (1) |
| client | fetch | not offered (2) | – |
| client | probe | not offered (2) | – |

1. cut off.
2. it has none.
";
        assert_eq!(table(&cells), expected);
        let summary = summary(&cells);
        assert!(summary.contains("  moq-lite-04, raw QUIC, client: 1 pass\n"), "{summary}");
        assert!(summary.contains("    small: **fail**: cut off\n"), "{summary}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut cells = vec![
            cell(QUIC, "small", Verdict::Pass),
            cell(WEB, "small", Verdict::Fail("cut off (0x1)".into())),
            cell(QUIC, "fetch", Verdict::NotOffered("it has none".into())),
        ];
        cells.push(Cell {
            peer: "peer 2".into(),
            ..cell("all", "all", Verdict::NotRun("no go".into()))
        });
        let expected = cells.iter().map(|cell| Entry {
            peer: cell.peer.clone(),
            place: cell.place(),
            word: cell.verdict.parts().0.into(),
        });
        assert_eq!(read(&tables(&cells, "")), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_peer_that_was_not_run_keeps_its_table() {
        let other = |verdict| Cell { peer: "peer 2".into(), ..cell(QUIC, "small", verdict) };
        let absent = || other(Verdict::NotRun("no go".into()));
        let ran = [other(Verdict::Pass), cell(QUIC, "small", Verdict::Pass)];
        let before = tables(&ran, "");
        assert_eq!(tables(&[absent(), ran[1].clone()], &before), before);
        // Where nothing ran before there is nothing to keep, and who runs now is told anew.
        assert!(!tables(&[absent()], &tables(&[absent()], "")).contains("pass"));
        let fewer = other(Verdict::NotOffered("it has none".into()));
        assert!(!tables(&[fewer], &before).contains("pass"));
    }

    #[test]
    fn the_committed_document_is_read() {
        let entries = read(include_str!("../../../docs/interop.md"));
        assert!(entries.iter().any(|entry| entry.word == "pass"));
        for Entry { place, word, .. } in entries {
            let words = ["pass", "**fail**", "not offered", "not run"];
            assert!(words.contains(&&*word), "{place}: {word}");
        }
    }
}

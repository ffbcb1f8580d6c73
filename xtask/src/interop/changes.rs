//! What came out otherwise than it is written down.

use super::cell::{Cell, Verdict};
use super::report::Entry;

/// The peers of which nothing was run.
pub(super) fn not_run(cells: &[Cell]) -> Vec<&str> {
    let idle = |cell: &Cell| matches!(cell.verdict, Verdict::NotRun(_));
    let mut peers: Vec<_> = cells.iter().map(|cell| &*cell.peer).collect();
    peers.dedup();
    peers.retain(|peer| cells.iter().filter(|cell| cell.peer == *peer).all(idle));
    peers
}

/// Places of which the document says something else, in words. Peers that were not run are left out, and so are
/// steps that fail: whether that is known is in [`super::faults`].
pub(super) fn changes(cells: &[Cell], page: &[Entry]) -> Vec<String> {
    let idle = not_run(cells);
    let gone = page.iter().filter(|entry| !idle.contains(&&*entry.peer)).filter_map(|entry| {
        let Entry { peer: _, place, word } = entry;
        match cells.iter().find(|cell| cell.place() == *place).map(|cell| &cell.verdict) {
            None => Some(format!("{place}: missing, was {word}")),
            Some(Verdict::Fail(_)) => None,
            Some(Verdict::Pass) if word == Verdict::Fail(String::new()).parts().0 => None,
            Some(verdict) if verdict.parts().0 == word => None,
            Some(verdict) => {
                let (now, why) = verdict.parts();
                Some(format!("{place}: {now}, was {word}: {}", why.unwrap_or("better")))
            }
        }
    });
    let new = cells.iter().filter(|cell| !idle.contains(&&*cell.peer)).filter_map(|cell| {
        let place = cell.place();
        let known = page.iter().any(|entry| entry.place == place);
        (!known).then(|| format!("{place}: new: run `cargo xtask interop --write`"))
    });
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::super::cell::QUIC;
    use super::*;

    fn cell(peer: &str, step: &str, verdict: Verdict) -> Cell {
        Cell {
            peer: peer.into(),
            version: "moq-lite-04".into(),
            transport: QUIC,
            role: "client".into(),
            step: step.into(),
            verdict,
        }
    }

    fn page(cells: &[Cell]) -> Vec<Entry> {
        let entry = |cell: &Cell| Entry {
            peer: cell.peer.clone(),
            place: cell.place(),
            word: cell.verdict.parts().0.into(),
        };
        cells.iter().map(entry).collect()
    }

    #[test]
    fn what_passed_is_to_pass() {
        let why = || "why".to_owned();
        let one = |verdict| [cell("peer", "announce", verdict)];
        let page = page(&one(Verdict::Pass));
        assert!(changes(&one(Verdict::Pass), &page).is_empty());
        assert!(changes(&[], &page)[0].ends_with("announce: missing, was pass"));
        let refused = changes(&one(Verdict::NotOffered(why())), &page);
        assert!(refused[0].ends_with("announce: not offered, was pass: why"));
        // Told by the faults.
        assert!(changes(&one(Verdict::Fail(why())), &page).is_empty());
        assert!(changes(&one(Verdict::Pass), &[])[0].contains("announce: new: run"));
    }

    #[test]
    fn a_peer_that_was_not_run_is_not_compared() {
        let run = cell("peer", "small", Verdict::Pass);
        let absent = || cell("other", "small", Verdict::NotRun("no go".into()));
        let page = page(&[run.clone(), cell("other", "big", Verdict::Pass)]);
        assert_eq!(not_run(&[run.clone(), absent()]), ["other"]);
        assert!(changes(&[run.clone(), absent()], &page).is_empty());
        // In part it is.
        let part = [run, absent(), cell("other", "many", Verdict::Pass)];
        assert_eq!(changes(&part, &page).len(), 3);
    }
}

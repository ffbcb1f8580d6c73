//! Faults of peers that are known, each seen on the wire.

use super::cell::{Cell, QUIC, Verdict, WEB};

/// What goes wrong as long as the peer is as it is.
struct Fault {
    /// How its name begins.
    peer: &'static str,
    transport: &'static str,
    /// How the role begins.
    role: &'static str,
    step: &'static str,
    /// Whose fault it is, and how that was seen.
    reason: &'static str,
}

const FAULTS: [Fault; 3] = [
    Fault {
        peer: "gomoqt 0.17.0",
        transport: QUIC,
        role: "gomoqt's client, smoq's server; gomoqt checks",
        step: "close",
        reason: "after it has got GOAWAY, gomoqt's own `CloseWithError` returns at once and sends nothing: the \
                 session is marked as terminating already",
    },
    Fault {
        peer: "gomoqt 0.17.0",
        transport: QUIC,
        role: "gomoqt's client, smoq's server; smoq checks",
        step: "leave",
        reason: "the same, seen from the other end: no CONNECTION_CLOSE comes, so a server that has asked a gomoqt \
                 client to leave has to close the session itself",
    },
    Fault {
        peer: "gomoqt 0.17.0",
        transport: WEB,
        role: "gomoqt's client, smoq's server; gomoqt checks",
        step: "connect",
        reason: "its webtransport-go, from 0.12 on, refuses servers without RESET_STREAM_AT, which quinn-proto does \
                 not have: after the handshake it closes with WT_REQUIREMENTS_NOT_MET. Its clients come over raw \
                 QUIC",
    },
];

impl Fault {
    fn is_of(&self, cell: &Cell) -> bool {
        let &Self { peer, transport, role, step, reason: _ } = self;
        cell.peer.starts_with(peer)
            && cell.transport == transport
            && cell.role.starts_with(role)
            && cell.step == step
    }
}

/// Why a step fails, if that is known.
pub(super) fn reason(cell: &Cell) -> Option<&'static str> {
    fault(cell).filter(|_| matches!(cell.verdict, Verdict::Fail(_))).map(|fault| fault.reason)
}

fn fault(cell: &Cell) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.is_of(cell))
}

/// Failures that nobody knows of, and known ones that are no more, in words.
pub(super) fn surprises(cells: &[Cell]) -> Vec<String> {
    let surprise = |cell: &Cell| match (&cell.verdict, fault(cell)) {
        (Verdict::Fail(why), None) => Some(format!("{}: {why}", cell.place())),
        (Verdict::Pass, Some(_)) => {
            Some(format!("{}: passes now, take it out of the known faults", cell.place()))
        }
        (Verdict::Pass, None)
        | (Verdict::Fail(_), Some(_))
        | (Verdict::NotOffered(_) | Verdict::NotRun(_), _) => None,
    };
    cells.iter().filter_map(surprise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(step: &str, verdict: Verdict) -> Cell {
        Cell {
            peer: "gomoqt 0.17.0".into(),
            version: "moq-lite-04".into(),
            transport: QUIC,
            role: "gomoqt's client, smoq's server; smoq checks".into(),
            step: step.into(),
            verdict,
        }
    }

    #[test]
    fn only_what_is_new_surprises() {
        let fail = || Verdict::Fail("why".into());
        assert_eq!(surprises(&[cell("leave", fail()), cell("small", Verdict::Pass)]), [""; 0]);
        assert!(surprises(&[cell("small", fail())])[0].ends_with("small: why"));
        assert!(surprises(&[cell("leave", Verdict::Pass)])[0].contains("passes now"));
        assert!(surprises(&[cell("leave", Verdict::NotRun("no go".into()))]).is_empty());
    }
}

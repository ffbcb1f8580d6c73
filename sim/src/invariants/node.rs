//! What a node says of itself.

use smoq_core::{Event, Limits, Stats, Violation, wire::SessionCode};

use super::{Broken, Invariant};

/// Nothing is beyond its limits. `sessions` is how many the node may have.
pub(crate) fn bounded(
    stats: &Stats,
    limits: &Limits,
    sessions: usize,
    own: usize,
) -> Result<(), Broken> {
    let fine = stats.store_bytes <= limits.store_bytes
        && stats.routes <= sessions * limits.announcements + own
        && stats.subscriptions <= sessions * limits.peer_streams + own
        && stats.tracks <= sessions * limits.peer_streams + own;
    Invariant::Bounds.holds(fine, || format!("{stats:?} is beyond {limits:?}"))
}

/// Nobody watches any more, so nobody is served.
pub(crate) fn unwatched(stats: &Stats) -> Result<(), Broken> {
    let none = stats.subscriptions == 0;
    Invariant::FanIn.holds(none, || format!("nobody watches, and there are {stats:?}"))
}

/// Nothing is held any more; the sessions left are counted by the caller.
pub(crate) fn empty(stats: &Stats, sessions: usize) -> Result<(), Broken> {
    let held = [stats.tracks, stats.groups, stats.store_bytes, stats.routes, stats.subscriptions];
    let empty = held == [0; 5] && stats.sessions == sessions;
    Invariant::Baseline.holds(empty, || format!("{stats:?} is left, with {sessions} sessions"))
}

/// An event of a session with an honest peer tells of no broken rule. Where limits are so low that
/// honest peers pass them, breaking those is no fault.
pub(crate) fn honest_peer(event: &Event, starved: bool) -> Result<(), Broken> {
    let fine = match event {
        Event::Violation { error, .. } => match error {
            // Who is stalled is late with everything.
            Violation::SetupTimeout | Violation::OpeningTimeout => true,
            Violation::TooManyStreams
            | Violation::TooMuchBuffered
            | Violation::TooManyAnnounceRequests
            | Violation::TooManyViolations
            | Violation::GroupTooLarge
            | Violation::Decode(_) => starved,
            _ => false,
        },
        Event::Closed { closed, .. } => starved || closed.code != SessionCode::PROTOCOL_VIOLATION,
        _ => true,
    };
    Invariant::Isolation.holds(fine, || format!("between honest peers: {event:?}"))
}

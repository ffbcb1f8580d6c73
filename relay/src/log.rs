//! What happens on the relay, a line each, with who it was.

use std::collections::HashMap;

use smoq_core::{ClosedBy, Id, Path, Session, Version};
use smoq_tokio::ServerEvent;
use tracing::{debug, info, warn};

/// What is known of a session when it is up.
struct Peer {
    version: Version,
    root: Path,
}

/// Writes events to the log. It remembers who is connected, so that every line can say so.
#[derive(Default)]
pub(crate) struct Log {
    peers: HashMap<Id<Session>, Peer>,
    missed: u64,
}

impl Log {
    /// Logs an event; `missed` is how many there were in all that nobody could read in time.
    pub(crate) fn event(&mut self, event: ServerEvent, missed: u64) {
        if missed > self.missed {
            warn!(
                events = missed - self.missed,
                "too much happens: events are left out of the log"
            );
            self.missed = missed;
        }
        match event {
            ServerEvent::Request { session, remote, .. } => {
                debug!(%session, %remote, "asks to come in");
            }
            ServerEvent::Connected { session, remote, version, root } => {
                info!(%session, %remote, %version, path = quotable(&root), "connected");
                self.peers.insert(session, Peer { version, root });
            }
            ServerEvent::Violation { session, remote, stream, error } => {
                let (version, path) = self.peer(session);
                let stream = stream.map(|stream| stream.0);
                let rule = rule(&error);
                warn!(%session, %remote, %version, path, stream, rule, "broke a rule: {error}");
            }
            ServerEvent::Closed { session, remote, closed } => {
                let (version, path) = self.peer(session);
                let by = by(closed.by);
                let (code, reason) = (closed.code, closed.reason);
                info!(%session, %remote, %version, path, by, %code, reason, "closed");
                self.peers.remove(&session);
            }
        }
    }

    /// Version and path; dashes before they are known.
    fn peer(&self, session: Id<Session>) -> (String, String) {
        match self.peers.get(&session) {
            Some(peer) => (peer.version.to_string(), quotable(&peer.root)),
            None => ("-".into(), "-".into()),
        }
    }
}

/// As it stands in a URL. Logged as a string, which the log quotes: a peer has chosen it.
fn quotable(root: &Path) -> String {
    format!("/{root}")
}

/// The rule's name in code, without its details, to search a log for.
fn rule(error: &impl std::fmt::Debug) -> String {
    let mut name = format!("{error:?}");
    name.truncate(name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len()));
    name
}

fn by(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Local => "relay",
        ClosedBy::Peer => "peer",
        ClosedBy::Transport => "network",
    }
}

//! What happens on the relay, a line each, with who it was.

use std::collections::HashMap;

use smoq_core::{ClosedBy, Grant, Path, Version};
use smoq_tokio::{ServerEvent, SessionId, Status, Statuses, Url};
use tracing::{debug, info, warn};

/// What is known of a session when it is up.
struct Peer {
    version: Version,
    grant: Grant,
}

/// Writes events to the log. It remembers who is connected, so that every line can say so.
#[derive(Default)]
pub struct Log {
    peers: HashMap<SessionId, Peer>,
    missed: u64,
}

/// Characters of a peer's URI that go into a line.
const URI: usize = 100;

impl Log {
    /// Logs an event; `missed` is how many there were in all that nobody could read in time.
    pub fn event(&mut self, event: &ServerEvent, missed: u64) {
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
            ServerEvent::Connected { session, remote, version, carrier, grant } => {
                let (publish, subscribe) = places(grant);
                info!(%session, %remote, %version, %carrier, publish, subscribe, "connected");
                let (version, grant) = (*version, grant.clone());
                self.peers.insert(*session, Peer { version, grant });
            }
            ServerEvent::Violation { session, remote, stream, error } => {
                let (version, publish, subscribe) = self.peer(*session);
                let stream = stream.map(|stream| stream.0);
                let rule = rule(error);
                warn!(
                    %session, %remote, %version, publish, subscribe, stream, rule,
                    "broke a rule: {error}"
                );
            }
            ServerEvent::Goaway { session, remote, uri } => {
                // What a peer says is no reason for lines without end.
                let uri: String = uri.chars().take(URI).collect();
                info!(%session, %remote, uri, "is about to go");
            }
            ServerEvent::Closed { session, remote, closed } => {
                let (version, publish, subscribe) = self.peer(*session);
                let by = by(closed.by);
                let (code, reason) = (closed.code, &closed.reason);
                info!(
                    %session, %remote, %version, publish, subscribe, by, %code, reason,
                    "closed"
                );
                self.peers.remove(session);
            }
        }
    }

    /// Version and places; dashes before they are known.
    fn peer(&self, session: SessionId) -> (String, String, String) {
        let Some(peer) = self.peers.get(&session) else {
            return ("-".into(), "-".into(), "-".into());
        };
        let (publish, subscribe) = places(&peer.grant);
        (peer.version.to_string(), publish, subscribe)
    }
}

/// Logs what becomes of the connection to another relay, until it is over.
pub(crate) async fn link(url: Url, mut statuses: Statuses) {
    let mut told = String::new();
    while let Some(status) = statuses.next().await {
        linked(&url, status, &mut told);
    }
}

/// `told` is why the last attempt has failed: attempts fail alike as a rule. Reasons are logged as strings, which
/// the log quotes: the other relay has chosen them.
fn linked(url: &Url, status: Status, told: &mut String) {
    let mut failed = String::new();
    match status {
        Status::Connected { remote, version, attempt } => {
            info!(%url, %remote, %version, attempt, "joined another relay");
        }
        Status::Lost { reason, .. } => {
            let reason = reason.to_string();
            warn!(%url, reason, "the way to another relay is lost");
        }
        Status::Leaving { place, .. } => {
            info!(%url, %place, "another relay is about to go: connecting anew");
        }
        Status::Failed { attempt, error, after } => {
            let (error, again) = (error.to_string(), after.unwrap_or_default());
            if error == *told {
                debug!(%url, attempt, ?again, error, "cannot join another relay");
            } else {
                warn!(%url, attempt, ?again, error, "cannot join another relay");
            }
            failed = error;
        }
    }
    *told = failed;
}

/// Where a peer publishes and where it subscribes.
fn places(grant: &Grant) -> (String, String) {
    (place(grant.publish.as_ref()), place(grant.subscribe.as_ref()))
}

/// As it stands in a URL, a dash for nowhere. Logged as a string, which the log quotes: a peer has
/// chosen it.
fn place(path: Option<&Path>) -> String {
    path.map_or_else(|| "-".into(), |path| format!("/{path}"))
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use smoq_core::{
        Carrier, Closed, Config, Node, SessionConfig, StreamId, Time, Violation, wire::SessionCode,
    };

    use smoq_tokio::Reason;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged meanwhile.
    fn lines(logs: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, logs);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// What is logged of these events, a line each.
    fn logged(events: Vec<ServerEvent>) -> Vec<String> {
        lines(|| {
            let mut log = Log::default();
            events.iter().for_each(|event| log.event(event, 0));
            assert!(log.peers.is_empty());
        })
    }

    fn session(version: Version) -> SessionId {
        let config = SessionConfig::server(version, Carrier::WebTransport, "");
        let session = Node::new(Config::default()).add_session(Time::ZERO, config);
        SessionId { shard: 1, session }
    }

    #[test]
    fn every_line_says_who_it_was_and_a_violation_names_its_rule() {
        let version = Version::Lite05;
        let session = session(version);
        let remote = "192.0.2.7:1234".parse().unwrap();
        let room = Path::new("room\n").unwrap();
        let grant = Grant { publish: Some(room), subscribe: None };
        let stream = Some(StreamId(14));
        let error = Violation::DuplicateSubscribe(7);
        let code = SessionCode::PROTOCOL_VIOLATION;
        let closed = Closed { by: ClosedBy::Local, code, reason: error.to_string() };
        let lines = logged(vec![
            ServerEvent::Connected {
                session,
                remote,
                version,
                carrier: Carrier::WebTransport,
                grant,
            },
            ServerEvent::Violation { session, remote, stream, error },
            ServerEvent::Closed { session, remote, closed },
        ]);
        let id = format!("session={session}");
        for line in &lines {
            for part in [
                &id,
                "remote=192.0.2.7:1234",
                "version=moq-lite-05",
                r#"publish="/room\n" subscribe="-""#,
            ] {
                assert!(line.contains(part), "{part} is not in {line}");
            }
        }
        let [connected, violation, closed] = &lines[..] else { panic!("{lines:?}") };
        assert!(connected.contains(" connected ") && connected.contains("carrier=WebTransport"));
        assert!(violation.contains("WARN") && violation.contains("stream=14"));
        assert!(violation.contains(r#"rule="DuplicateSubscribe""#), "{violation}");
        assert!(violation.contains("subscribe id 7 was used before"), "{violation}");
        assert!(closed.contains(r#"by="relay" code=protocol violation (0x3)"#), "{closed}");
    }

    #[test]
    fn a_peer_that_never_came_in_is_logged_by_its_address() {
        let session = session(Version::Lite06);
        let remote = "192.0.2.7:1234".parse().unwrap();
        let error = Violation::SetupTimeout;
        let lines = logged(vec![ServerEvent::Violation { session, remote, stream: None, error }]);
        assert!(
            lines[0].contains("remote=192.0.2.7:1234 version=- publish=\"-\" subscribe=\"-\""),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn another_relay_writes_no_lines_of_its_own() {
        let url = "moqt://b.example/?jwt=x".parse::<Url>().unwrap();
        let (by, code) = (ClosedBy::Peer, SessionCode::INTERNAL);
        let closed = Closed { by, code, reason: "bye\n2026 INFO all is well".into() };
        let lost = Status::Lost { reason: Reason(closed), after: None };
        let lines = lines(|| linked(&url, lost, &mut String::new()));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

//! Who wants to know how fast the server could send.

use smoq_core::{Id, Probed, Session, Time, wire::Probe};
use smoq_quic::tape::Recorder;

use crate::{mailbox::Key, slot::Far};

/// The handles that wait for estimates of the only connection: its server is asked once for all.
#[derive(Default)]
pub(super) struct Probes {
    session: Option<Id<Session>>,
    /// For those who come later.
    latest: Option<Probe>,
    handles: Vec<(Key, Far<Option<Probe>>)>,
}

impl Probes {
    pub(super) fn connected(&mut self, session: Id<Session>) {
        self.session = Some(session);
    }

    /// A handle wants to know. It hears of its end at once if the connection is over.
    pub(super) fn ask(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        far: Far<Option<Probe>>,
    ) {
        let Some(session) = self.session else { return };
        if node.probe(now, session).is_ok() {
            if self.latest.is_some() {
                far.update(|latest| *latest = self.latest);
            }
            self.handles.push((key, far));
        }
    }

    /// A handle was dropped.
    pub(super) fn forget(&mut self, node: &mut Recorder, now: Time, key: Key) {
        let before = self.handles.len();
        self.handles.retain(|(other, _)| *other != key);
        if let Some(session) = self.session
            && self.handles.is_empty()
            && before > 0
        {
            self.latest = None;
            // A session that is over has forgotten it.
            let _ = node.unprobe(now, session);
        }
    }

    /// The server has said something.
    pub(super) fn heard(&mut self, node: &mut Recorder, session: Id<Session>) {
        loop {
            match node.poll_probe(session) {
                Ok(Probed::Report(report)) => {
                    self.latest = Some(report);
                    for (_, far) in &self.handles {
                        far.update(|latest| *latest = self.latest);
                    }
                }
                Ok(Probed::Pending) => break,
                Ok(Probed::Ended) | Err(_) => break self.end(),
            }
        }
    }

    /// Nothing more will be said. Handles hear it by what is dropped here.
    pub(super) fn end(&mut self) {
        self.latest = None;
        self.handles.clear();
    }
}

//! Who wants to know how fast the server could send.

use smoq_core::{Id, Probed, Session, Time, wire::Probe};
use smoq_quic::tape::Recorder;

use crate::{mailbox::Key, slot::Far};

/// The handles that wait for estimates of the connection: its server is asked once for all, and each one that
/// takes its place.
#[derive(Default)]
pub(super) struct Probes {
    session: Option<Id<Session>>,
    /// For those who come later.
    latest: Option<Probe>,
    handles: Vec<(Key, Far<Option<Probe>>)>,
    /// There is no connection, and there will be none.
    over: bool,
}

impl Probes {
    /// There is a connection, or another one.
    pub(super) fn connected(&mut self, node: &mut Recorder, now: Time, session: Id<Session>) {
        if let Some(before) = self.session.replace(session) {
            // It is over, or was not asked.
            let _ = node.unprobe(now, before);
        }
        self.latest = None;
        if !self.handles.is_empty() {
            // If it is over already, another one takes its place, or the end is told.
            let _ = node.probe(now, session);
        }
    }

    /// A handle wants to know. It hears of its end at once if the connection is over.
    pub(super) fn ask(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        far: Far<Option<Probe>>,
    ) {
        if self.over {
            return;
        }
        if let Some(session) = self.session {
            // If it is over already, another one takes its place, or the end is told.
            let _ = node.probe(now, session);
        }
        if self.latest.is_some() {
            far.update(|latest| *latest = self.latest);
        }
        self.handles.push((key, far));
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
        while self.session == Some(session) {
            match node.poll_probe(session) {
                Ok(Probed::Report(report)) => {
                    self.latest = Some(report);
                    for (_, far) in &self.handles {
                        far.update(|latest| *latest = self.latest);
                    }
                }
                // What follows its end is told by that.
                Ok(Probed::Pending) | Err(_) => break,
                Ok(Probed::Ended) => {
                    self.forget_all();
                    break;
                }
            }
        }
    }

    /// The connection is over, and there will be no other.
    pub(super) fn end(&mut self) {
        self.over = true;
        self.forget_all();
    }

    /// Nothing more will be said. Handles hear it by what is dropped here.
    fn forget_all(&mut self) {
        self.latest = None;
        self.handles.clear();
    }
}

//! How fast a session is: what its peer says, and what its peer is told.

use alloc::boxed::Box;

use super::Node;
use crate::{
    Estimate, Id, Misuse, Probed, Session, Time,
    estimate::SAMPLING,
    session::{Asking, ProbeOut},
};

impl Node {
    /// Asks a peer how fast it could send to us (PROBE). What it says is read by
    /// [`poll_probe`](Self::poll_probe); an [`Event::Probed`](crate::Event::Probed) comes when there is
    /// something. It costs the peer some work ten times a second, so [`unprobe`](Self::unprobe) when done.
    /// Does nothing if it is asked already; once it has ended it may be asked again.
    ///
    /// The peer is asked when it is known whether it can tell. One that cannot, and one that is about to
    /// go, gives [`Probed::Ended`]; but nothing makes a peer that says it can tell do so, so do not wait for
    /// it. Its first report may be that it knows nothing yet.
    ///
    /// Fails with [`Misuse::Stale`] if the session is over.
    pub fn probe(&mut self, now: Time, session: Id<Session>) -> Result<(), Misuse> {
        self.advance(now);
        let state = self.live(session).ok_or(Misuse::Stale)?;
        if state.probe_out.as_ref().is_none_or(|probe| probe.asking == Asking::Ended) {
            let asking = Asking::Undecided;
            state.probe_out = Some(Box::new(ProbeOut { asking, report: None, signalled: false }));
            self.advance_probe(session);
        }
        Ok(())
    }

    /// Stops asking.
    ///
    /// Fails with [`Misuse::Stale`] if nothing was asked, or the session is over.
    pub fn unprobe(&mut self, now: Time, session: Id<Session>) -> Result<(), Misuse> {
        self.advance(now);
        let state = self.live(session).ok_or(Misuse::Stale)?;
        let probe = state.probe_out.take().ok_or(Misuse::Stale)?;
        self.stop_probe_out(session, probe.asking);
        Ok(())
    }

    /// What a peer that is probed says: the latest, each once.
    ///
    /// Fails with [`Misuse::Stale`] if nothing was asked, or the session is over.
    pub fn poll_probe(&mut self, session: Id<Session>) -> Result<Probed, Misuse> {
        let state = self.live(session).ok_or(Misuse::Stale)?;
        let probe = state.probe_out.as_mut().ok_or(Misuse::Stale)?;
        probe.signalled = false;
        Ok(match probe.report.take() {
            Some(report) => Probed::Report(report),
            None if probe.asking == Asking::Ended => Probed::Ended,
            None => Probed::Pending,
        })
    }

    /// The transport says how fast it is, because [`Command::Estimate`](crate::Command::Estimate) asked.
    pub fn handle_estimate(&mut self, now: Time, session: Id<Session>, estimate: Estimate) {
        self.advance(now);
        self.take_estimate(session, estimate);
    }

    /// Lets the transport of a session be asked again and again, for as long as its peer wants to know.
    pub(crate) fn watch_probe(&mut self, session: Id<Session>) {
        self.probed.insert(session);
        self.sample_at.get_or_insert(self.now.after(SAMPLING));
    }

    /// Asks all transports whose peers want to know.
    pub(crate) fn sample(&mut self) {
        let mut probed = core::mem::take(&mut self.probed);
        probed.retain(|session| self.ask_estimate(*session));
        self.sample_at = (!probed.is_empty()).then(|| self.now.after(SAMPLING));
        self.probed = probed;
    }
}

//! A peer wants to know how fast we can send.

use super::Kind;
use crate::{
    Command, Estimate, Id, Node, Session, Violation,
    estimate::Reporter,
    node::Offence,
    session::Stream,
    wire::{Message, Probe, StreamCode},
};

/// What a peer that probes is told.
#[derive(Clone, Debug)]
pub(crate) struct ProbeIn {
    stream: Id<Stream>,
    reporter: Reporter,
    /// The transport has been asked for an estimate.
    asked: bool,
    /// It has given one.
    answered: bool,
}

impl Node {
    /// The peer asked. The first report goes as soon as the transport has said how fast it is; another
    /// stream of the same peer takes the place of an earlier one.
    pub(crate) fn serve_probe(&mut self, session_id: Id<Session>, id: Id<Stream>) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        // An answer that is on its way is for the new stream then.
        let asked = session.probe_in.as_ref().is_some_and(|before| before.asked);
        let probe = ProbeIn { stream: id, reporter: Reporter::default(), asked, answered: false };
        let before = session.probe_in.replace(probe.into());
        self.set_kind(session_id, id, Kind::ProbeIn);
        if let Some(before) = before {
            self.refuse(session_id, before.stream, StreamCode::CANCEL);
        }
        self.ask_estimate(session_id);
        self.watch_probe(session_id);
    }

    /// Lets the transport say how fast it is. Says whether somebody wants to know.
    pub(crate) fn ask_estimate(&mut self, session_id: Id<Session>) -> bool {
        let Some(session) = self.sessions.get_mut(session_id) else { return false };
        let Some(probe) = &mut session.probe_in else { return false };
        if !core::mem::replace(&mut probe.asked, true) {
            session.commands.push_back(Command::Estimate);
            self.touch(session_id);
        }
        true
    }

    /// The transport has said it.
    pub(crate) fn take_estimate(&mut self, session_id: Id<Session>, estimate: Estimate) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let Some(probe) = &mut session.probe_in else { return };
        probe.asked = false;
        let rtt = estimate.rtt.filter(|_| version.has_probe_rtt());
        let estimate = Estimate { rtt, ..estimate };
        let known = estimate.bitrate.is_some() || rtt.is_some();
        let stream = probe.stream;
        if !core::mem::replace(&mut probe.answered, true) && !known {
            // It has no idea, and will have none.
            session.probe_in = None;
            return self.refuse(session_id, stream, StreamCode::CANCEL);
        }
        probe.reporter.sample(estimate);
        if probe.reporter.is_due(now) {
            session.wake(stream);
            self.touch(session_id);
        }
    }

    /// Makes a report, if one is due: from what holds now, however long the stream had no room.
    pub(crate) fn fill_report(&mut self, session_id: Id<Session>, id: Id<Stream>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let Some(stream) = session.streams.get_mut(id).filter(|stream| stream.out.is_empty())
        else {
            return;
        };
        let report = session.probe_in.as_mut().and_then(|probe| probe.reporter.take(now));
        if let Some(report) = report {
            report.encode(&mut stream.out, version);
        }
    }

    /// The peer may say what it would like to get (which is not ours to give, as our SETUP says), and that
    /// it has heard enough.
    pub(crate) fn read_targets(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        while session
            .next(id, |buffer, version| Probe::take(buffer, limit, version))
            .map_err(|error| Offence::Stream(error.into()))?
            .is_some()
        {}
        let Some(stream) = session.streams.get(id).filter(|stream| stream.inbox_fin) else {
            return Ok(());
        };
        if !stream.inbox.is_empty() {
            return Err(Offence::Stream(Violation::Truncated));
        }
        session.probe_in = None;
        session.finish(id);
        self.set_kind(session_id, id, Kind::Over);
        Ok(())
    }
}

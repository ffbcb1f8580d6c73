//! What happens inside an endpoint when something was put in.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use quinn_proto::{self as quic, ConnectionHandle, ConnectionIdGenerator, Incoming};
use smoq_core::{Carrier, SessionConfig};

use super::*;
use crate::{
    connect::Step,
    connection::{Ear, closed, varint},
};

/// What a connection is driven by.
#[expect(clippy::large_enum_variant, reason = "it is passed on at once and never kept")]
pub(super) enum Input {
    Event(quic::ConnectionEvent),
    Timeout,
    /// It is new.
    Start,
}

impl Endpoint {
    /// Gives an input to a connection and carries out all that follows from it, except sending.
    pub(super) fn drive(&mut self, now: Instant, index: usize, input: Input) {
        let Some(mut connection) = self.connections[index].take() else {
            return;
        };
        match input {
            Input::Event(event) => connection.quic.handle_event(event),
            Input::Timeout => {
                connection.quic.handle_timeout(now);
                if self.is_late(now, &connection) {
                    connection.quic.close(now, varint(0), Bytes::new());
                    self.lost(now, index, &mut connection, quic::ConnectionError::TimedOut);
                }
            }
            Input::Start => {}
        }
        // Events of the connection go first: "drained" frees its index for the next attempt of a race.
        while let Some(event) = connection.quic.poll() {
            self.handle_event(now, index, &mut connection, event);
        }
        let mut drained = false;
        while let Some(event) = connection.quic.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(answer) = self.quic.handle_event(connection.handle, event) {
                connection.quic.handle_event(answer);
            }
        }
        if drained {
            self.timers.set(Timer::Connection(index), &mut connection.deadline, None);
        } else {
            self.connections[index] = Some(connection);
            self.wake(index);
            self.schedule(index);
        }
    }

    /// Whether an accepted connection has taken too long for its handshake.
    fn is_late(&self, now: Instant, connection: &Connection) -> bool {
        matches!(connection.stage, Stage::Accepting(_))
            && now >= connection.started + self.options.handshake_timeout
    }

    fn handle_event(
        &mut self,
        now: Instant,
        index: usize,
        connection: &mut Connection,
        event: quic::Event,
    ) {
        match (event, connection.stage) {
            // The peer has proved nothing yet, but what the session says first needs no proof. The
            // embedder hears of it when there is one.
            (quic::Event::HandshakeDataReady, Stage::Accepting(None)) => {
                self.begin(now, index, connection);
            }
            (quic::Event::Connected, Stage::Dialing(_)) => self.begin(now, index, connection),
            (quic::Event::Connected, Stage::Accepting(Some(session))) => {
                self.handshakes -= 1;
                connection.stage = Stage::Up(session);
                self.events.extend(self.unproven.remove(&session).unwrap_or_default());
            }
            (quic::Event::ConnectionLost { reason }, _) => {
                self.lost(now, index, connection, reason);
            }
            (quic::Event::Stream(event), _) => {
                if let Some(session) = connection.session() {
                    let time = self.time(now);
                    let mut ear = Ear { node: &mut self.node, session, time };
                    connection.handle_stream(event, &mut ear);
                }
            }
            (quic::Event::DatagramReceived, _) => {
                // The node has no use for them yet. Left unread they would only be replaced.
                while connection.quic.datagrams().recv().is_some() {}
            }
            (
                quic::Event::HandshakeDataReady
                | quic::Event::Connected
                | quic::Event::DatagramsUnblocked,
                _,
            ) => {}
        }
    }

    /// Makes the session of a connection on which a version was agreed.
    fn begin(&mut self, now: Instant, index: usize, connection: &mut Connection) {
        let time = self.time(now);
        let Some((version, server_name)) = connection.handshake() else {
            return;
        };
        let (connect, config) = match connection.stage {
            Stage::Dialing(connect) => {
                let Some(mut race) = self.races.remove(&connect) else {
                    return;
                };
                let path = std::mem::take(&mut race.target.path);
                let client = SessionConfig::client(version, Carrier::Raw, path);
                let config = SessionConfig { discover: race.target.discover, ..client };
                self.end_race(now, connect, race);
                (Some(connect), config)
            }
            _ => {
                let Some(accept) = &self.accept else { return };
                let server = SessionConfig::server(version, Carrier::Raw, "");
                let Accept { admission, discover, .. } = *accept;
                (None, SessionConfig { admission, discover, ..server })
            }
        };
        let carrier = config.carrier;
        let session = self.node.add_session(time, config);
        self.sessions.insert(session, index);
        connection.stage = match connect {
            Some(_) => Stage::Up(session),
            None => Stage::Accepting(Some(session)),
        };
        connection.feed();
        let remote = connection.remote();
        let event = Event::Connected { connect, session, remote, version, carrier, server_name };
        match connect {
            Some(_) => self.events.push_back(event),
            None => _ = self.unproven.insert(session, vec![event]),
        }
    }

    /// A connection has come to its end, by whomever.
    fn lost(
        &mut self,
        now: Instant,
        index: usize,
        connection: &mut Connection,
        reason: quic::ConnectionError,
    ) {
        let stage = std::mem::replace(&mut connection.stage, Stage::Closing);
        self.leave(stage);
        match stage {
            Stage::Dialing(id) => {
                let after = now.saturating_duration_since(connection.started);
                let error = ConnectError::new(reason, connection.remote(), after);
                self.attempt_failed(now, id, Some(index), error);
            }
            Stage::Up(session) | Stage::Accepting(Some(session)) => {
                self.node.handle_closed(self.time(now), session, closed(reason));
            }
            Stage::Accepting(None) | Stage::Closing => {}
        }
    }

    /// Keeps the books when a connection leaves `stage` for [`Stage::Closing`].
    pub(super) fn leave(&mut self, stage: Stage) {
        if let Stage::Accepting(_) = stage {
            self.handshakes -= 1;
        }
        if let Stage::Up(session) | Stage::Accepting(Some(session)) = stage {
            self.sessions.remove(&session);
        }
    }

    pub(super) fn accept(&mut self, now: Instant, incoming: Incoming, mut buf: Vec<u8>) {
        let limits = self.accept.as_ref();
        let (limit, connections) =
            limits.map_or((0, 0), |accept| (accept.max_handshakes, accept.max_connections));
        if self.handshakes >= limit {
            // Silence costs least, and who means it tries again.
            return self.quic.ignore(incoming);
        }
        if self.quic.open_connections() >= connections {
            let transmit = self.quic.refuse(incoming, &mut buf);
            return self.respond(transmit, buf);
        }
        if 2 * self.handshakes >= limit && incoming.may_retry() {
            if let Ok(transmit) = self.quic.retry(incoming, &mut buf) {
                self.respond(transmit, buf);
            }
            return;
        }
        match self.quic.accept(incoming, now, &mut buf, None) {
            Ok((handle, quic)) => {
                self.handshakes += 1;
                self.insert(now, handle, quic, Stage::Accepting(None));
                self.drive(now, handle.0, Input::Start);
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.respond(transmit, buf);
                }
            }
        }
    }

    pub(super) fn respond(&mut self, transmit: quic::Transmit, data: Vec<u8>) {
        // A flood of strangers must not keep an endpoint that closes from coming to its end.
        if self.accept.is_some() && self.responses.len() < MAX_RESPONSES {
            self.responses.push_back((transmit, data));
        }
    }

    /// Makes the attempts that a race wants now, and its timer.
    pub(super) fn step_race(&mut self, now: Instant, id: ConnectId) {
        while let Some(race) = self.races.get_mut(&id) {
            match race.step(now) {
                Step::Try(address) => {
                    let initial = self.initial_ids.generate_cid();
                    race.tls.initial_dst_cid_provider(Arc::new(move || initial));
                    let attempt =
                        self.quic.connect(now, race.tls.clone(), address, &race.target.host);
                    match attempt {
                        Ok((handle, quic)) => {
                            race.began(now, handle.0, self.options.address_delay);
                            self.insert(now, handle, quic, Stage::Dialing(id));
                            self.drive(now, handle.0, Input::Start);
                        }
                        Err(error) => race.failed(now, None, refused(error)),
                    }
                }
                Step::Wait(until) => {
                    return self.timers.set(Timer::Race(id), &mut race.deadline, Some(until));
                }
                Step::Fail(error) => {
                    if let Some(race) = self.races.remove(&id) {
                        self.end_race(now, id, race);
                    }
                    self.events.push_back(Event::ConnectFailed { connect: id, error });
                }
            }
        }
    }

    pub(super) fn attempt_failed(
        &mut self,
        now: Instant,
        id: ConnectId,
        index: Option<usize>,
        error: ConnectError,
    ) {
        if let Some(race) = self.races.get_mut(&id) {
            race.failed(now, index, error);
            self.step_race(now, id);
        }
    }

    /// Drops what is left of a race that was taken out of the list.
    pub(super) fn end_race(&mut self, now: Instant, id: ConnectId, mut race: Race) {
        self.timers.set(Timer::Race(id), &mut race.deadline, None);
        for &index in race.running() {
            self.abandon(now, index);
        }
    }

    /// Ends a connection that has no session. Its peer is told even if it was never heard: its answer
    /// may be under way.
    pub(super) fn abandon(&mut self, now: Instant, index: usize) {
        // The winner of a race is being driven, and not here.
        let Some(connection) = &mut self.connections[index] else { return };
        connection.stage = Stage::Closing;
        connection.quic.close(now, varint(0), Bytes::new());
        self.wake(index);
        self.schedule(index);
    }

    /// Forgets a connection without a word to its peer.
    pub(super) fn discard(&mut self, index: usize) {
        if let Some(mut connection) = self.connections[index].take() {
            self.timers.set(Timer::Connection(index), &mut connection.deadline, None);
            self.quic.handle_event(connection.handle, quic::EndpointEvent::drained());
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        quic: quic::Connection,
        stage: Stage,
    ) {
        let slots = [self.options.bidi_streams, self.options.uni_streams];
        if self.connections.len() <= handle.0 {
            self.connections.resize_with(handle.0 + 1, || None);
        }
        let connection = Connection::new(quic, handle, stage, now, slots);
        self.connections[handle.0] = Some(Box::new(connection));
    }

    /// Puts a connection into the queue of those with something to send.
    pub(super) fn wake(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index]
            && !connection.queued
        {
            connection.queued = true;
            self.queue.push_back(index);
        }
    }

    /// Moves a connection's timer to where it belongs.
    pub(super) fn schedule(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index] {
            let quic = connection.quic.poll_timeout();
            let handshake = match connection.stage {
                Stage::Accepting(_) => Some(connection.started + self.options.handshake_timeout),
                Stage::Dialing(_) | Stage::Up(_) | Stage::Closing => None,
            };
            let next = [quic, handshake].into_iter().flatten().min();
            self.timers.set(Timer::Connection(index), &mut connection.deadline, next);
        }
    }
}

/// What to tell of an attempt that was refused before it was made.
fn refused(error: quic::ConnectError) -> ConnectError {
    match error {
        quic::ConnectError::InvalidRemoteAddress(address) => ConnectError::InvalidAddress(address),
        quic::ConnectError::InvalidServerName(host) => ConnectError::InvalidHost(host),
        error => ConnectError::Handshake(error.to_string()),
    }
}

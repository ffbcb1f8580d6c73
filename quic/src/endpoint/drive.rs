//! What happens inside an endpoint when something was put in.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use quinn_proto::{self as quic, ConnectionHandle, ConnectionIdGenerator, Incoming, VarInt};
use smoq_core::{Carrier, Closed, ClosedBy, SessionConfig};

use super::*;
use crate::{
    connect::Step,
    connection::{Agreed, PATIENCE},
    listener::{Ear, Nobody},
    web::News,
};

/// What a connection is driven by.
#[expect(clippy::large_enum_variant, reason = "it is passed on at once and never kept")]
pub(super) enum Input {
    Event(quic::ConnectionEvent),
    Timeout,
    /// It is new.
    Start,
    /// It is read again.
    Resume,
}

/// What a client has asked for, where its carrier says so.
#[derive(Default)]
struct Asked {
    path: String,
    origin: Option<String>,
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
                    connection.quic.close(now, connection.no_error(), Bytes::new());
                    self.lost(now, index, &mut connection, quic::ConnectionError::TimedOut);
                }
                if let Stage::Ending(until) = connection.stage
                    && now >= until
                {
                    connection.give_up_ending(now);
                }
            }
            Input::Start => {}
            Input::Resume => {
                if let Some(session) = connection.session() {
                    self.node.handle_resumed(self.time(now), session);
                }
                for event in connection.resume() {
                    self.handle_event(now, index, &mut connection, quic::Event::Stream(event));
                    self.handle_web(now, index, &mut connection);
                }
                self.hear_datagrams(now, &mut connection);
            }
        }
        // Events of the connection go first: "drained" frees its index for the next attempt of a race.
        while let Some(event) = connection.quic.poll() {
            self.handle_event(now, index, &mut connection, event);
            self.handle_web(now, index, &mut connection);
        }
        let mut drained = false;
        while let Some(event) = connection.quic.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(answer) = self.quic.handle_event(connection.handle, event) {
                connection.quic.handle_event(answer);
            }
        }
        if drained {
            self.timers.set_connection(index, None);
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
            (quic::Event::HandshakeDataReady, Stage::Accepting(None))
            | (quic::Event::Connected, Stage::Dialing(_)) => self.agreed(now, index, connection),
            (quic::Event::Connected, Stage::Accepting(Some(session))) => {
                self.handshakes -= 1;
                connection.stage = Stage::Up(session);
                self.events.extend(self.unproven.remove(&session).unwrap_or_default());
            }
            (quic::Event::ConnectionLost { reason }, _) => {
                self.lost(now, index, connection, reason);
            }
            (quic::Event::Stream(event), _) => {
                let time = self.time(now);
                match connection.session() {
                    Some(session) => {
                        let mut ear = Ear { node: &mut self.node, session, time };
                        connection.handle_stream(event, &mut ear);
                    }
                    None => connection.handle_stream(event, &mut Nobody),
                }
            }
            (quic::Event::DatagramReceived, _) => {
                self.hear_datagrams(now, connection);
            }
            (
                quic::Event::HandshakeDataReady
                | quic::Event::Connected
                | quic::Event::DatagramsUnblocked,
                _,
            ) => {}
        }
    }

    fn hear_datagrams(&mut self, now: Instant, connection: &mut Connection) {
        let time = self.time(now);
        match connection.session() {
            Some(session) => {
                connection.handle_datagrams(&mut Ear { node: &mut self.node, session, time });
            }
            None => connection.handle_datagrams(&mut Nobody),
        }
    }

    /// TLS has agreed on what is spoken: the session begins, or HTTP/3 that will have one.
    fn agreed(&mut self, now: Instant, index: usize, connection: &mut Connection) {
        match (connection.handshake(), connection.stage) {
            (Some((Agreed::Version(version), _)), _) => {
                self.begin(now, index, connection, version, Carrier::Raw, Asked::default());
            }
            (Some((Agreed::Http3, _)), Stage::Dialing(connect)) => {
                let Some(race) = self.races.get_mut(&connect) else { return };
                let target = &race.target;
                let authority = authority(&target.host, connection.remote().port());
                connection.web = Web::client(authority, target.path.clone(), &target.versions);
                for other in race.settle(index) {
                    self.abandon(now, other);
                }
            }
            (Some((Agreed::Http3, _)), _) => {
                let versions = self.accept.as_ref().map(|accept| accept.versions.clone());
                connection.web = Web::server(versions.unwrap_or_default());
            }
            (None, _) => {}
        }
    }

    /// Does what HTTP/3 wants, and hears what it has to say.
    fn handle_web(&mut self, now: Instant, index: usize, connection: &mut Connection) {
        while let Some(news) = connection.poll_web() {
            match news {
                News::Stream(news) => {
                    let time = self.time(now);
                    if let Some(session) = connection.session() {
                        news.tell(&mut Ear { node: &mut self.node, session, time });
                    }
                }
                News::Asked { path, origin, version } => {
                    let Some(web) = &mut connection.web else { return };
                    match version {
                        Some(version) if self.accept.is_some() => {
                            web.accept(version);
                            let carrier = Carrier::WebTransport;
                            let asked = Asked { path, origin };
                            self.begin(now, index, connection, version, carrier, asked);
                        }
                        _ => {
                            web.refuse(if version.is_none() { 400 } else { 503 });
                            self.leave(connection.stage);
                            connection.stage = Stage::Ending(now + PATIENCE);
                        }
                    }
                }
                News::Accepted(Some(version)) => {
                    let carrier = Carrier::WebTransport;
                    self.begin(now, index, connection, version, carrier, Asked::default());
                }
                News::Accepted(None) => {
                    self.give_up(now, index, connection, ConnectError::NoCommonVersion);
                }
                News::Refused(status) => {
                    self.give_up(now, index, connection, ConnectError::Refusal(status));
                }
                News::Ended(closed) => {
                    self.over(now, index, connection, connection.no_error(), "", closed);
                }
                News::NoWebTransport => {
                    self.give_up(now, index, connection, ConnectError::NoWebTransport);
                }
                News::Failed(code, what) => {
                    let (by, violation) = (ClosedBy::Local, SessionCode::PROTOCOL_VIOLATION);
                    let closed = Closed { by, code: violation, reason: what.clone() };
                    self.over(now, index, connection, code, &what, closed);
                }
            }
        }
    }

    /// HTTP/3 has come to its end: so does the connection.
    fn over(
        &mut self,
        now: Instant,
        index: usize,
        connection: &mut Connection,
        code: VarInt,
        reason: &str,
        closed: Closed,
    ) {
        let stage = connection.stage;
        if let Stage::Dialing(id) = stage {
            connection.shut(now, code, reason);
            let error = ConnectError::Http3(closed.reason);
            return self.attempt_failed(now, id, Some(index), error);
        }
        self.leave(stage);
        if let Some(session) = connection.session() {
            self.node.handle_closed(self.time(now), session, closed);
        }
        connection.shut(now, code, reason);
    }

    /// The server does not want what a connection was made for.
    fn give_up(
        &mut self,
        now: Instant,
        index: usize,
        connection: &mut Connection,
        error: ConnectError,
    ) {
        let Stage::Dialing(id) = connection.stage else { return };
        connection.shut(now, connection.no_error(), "");
        self.attempt_failed(now, id, Some(index), error);
    }

    /// Makes the session of a connection on which a version was agreed.
    fn begin(
        &mut self,
        now: Instant,
        index: usize,
        connection: &mut Connection,
        version: Version,
        carrier: Carrier,
        asked: Asked,
    ) {
        let time = self.time(now);
        let server_name = connection.handshake().and_then(|(_, server_name)| server_name);
        let datagrams = connection.has_datagrams();
        let (connect, config) = match connection.stage {
            Stage::Dialing(connect) => {
                let Some(race) = self.races.remove(&connect) else {
                    return;
                };
                let Target { path, discover, grant, cost, .. } = race.target.clone();
                self.end_race(now, connect, race);
                let client = SessionConfig::client(version, carrier, path);
                let config = SessionConfig { datagrams, discover, grant, cost, ..client };
                (Some(connect), config)
            }
            _ => {
                let Some(accept) = &self.accept else { return };
                let server = SessionConfig::server(version, carrier, asked.path);
                let Accept { admission, discover, .. } = *accept;
                (None, SessionConfig { datagrams, admission, discover, ..server })
            }
        };
        let session = self.node.add_session(time, config);
        self.sessions.insert(session, index);
        connection.feed();
        let remote = connection.remote();
        let origin = asked.origin;
        let event =
            Event::Connected { connect, session, remote, version, carrier, server_name, origin };
        if connection.quic.is_handshaking() {
            connection.stage = Stage::Accepting(Some(session));
            self.unproven.insert(session, vec![event]);
        } else {
            self.leave(connection.stage);
            connection.stage = Stage::Up(session);
            self.events.push_back(event);
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
                let error = match ConnectError::new(reason, connection.remote(), after) {
                    ConnectError::NoCommonVersion if self.is_web(id) => {
                        ConnectError::NoWebTransport
                    }
                    error => error,
                };
                self.attempt_failed(now, id, Some(index), error);
            }
            Stage::Up(session) | Stage::Accepting(Some(session)) => {
                self.node.handle_closed(self.time(now), session, connection.closed(reason));
            }
            Stage::Accepting(None) | Stage::Ending(_) | Stage::Closing => {}
        }
    }

    fn is_web(&self, connect: ConnectId) -> bool {
        self.races.get(&connect).is_some_and(|race| race.target.carrier == Carrier::WebTransport)
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
                    return self.timers.set_race(id, &mut race.deadline, Some(until));
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
        self.timers.set_race(id, &mut race.deadline, None);
        for &index in race.running() {
            self.abandon(now, index);
        }
    }

    /// Ends a connection that has no session. Its peer is told even if it was never heard: its answer
    /// may be under way.
    pub(super) fn abandon(&mut self, now: Instant, index: usize) {
        // The winner of a race is being driven, and not here.
        let Some(connection) = &mut self.connections[index] else { return };
        connection.shut(now, connection.no_error(), "");
        self.wake(index);
        self.schedule(index);
    }

    /// Forgets a connection without a word to its peer.
    pub(super) fn discard(&mut self, index: usize) {
        if let Some(connection) = self.connections[index].take() {
            self.timers.set_connection(index, None);
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
            let ours = match connection.stage {
                Stage::Accepting(_) => Some(connection.started + self.options.handshake_timeout),
                Stage::Ending(until) => Some(until),
                Stage::Dialing(_) | Stage::Up(_) | Stage::Closing => None,
            };
            let next = [quic, ours].into_iter().flatten().min();
            self.timers.set_connection(index, next);
        }
    }
}

/// Host and port as an `https` URL has them.
fn authority(host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == 443 { host } else { format!("{host}:{port}") }
}

/// What to tell of an attempt that was refused before it was made.
fn refused(error: quic::ConnectError) -> ConnectError {
    match error {
        quic::ConnectError::InvalidRemoteAddress(address) => ConnectError::InvalidAddress(address),
        quic::ConnectError::InvalidServerName(host) => ConnectError::InvalidHost(host),
        error => ConnectError::Handshake(error.to_string()),
    }
}

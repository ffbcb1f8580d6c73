//! [`Endpoint`]: a node and its connections behind one UDP socket that is somebody else's.

mod drive;
mod shards;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn_proto::{self as quic, DatagramEvent, EcnCodepoint};
use rustls::pki_types::ServerName;
use smoq_core::{
    Admission, Carrier, Discover, Id, Misuse, Node, Session, Time, Version,
    wire::{Goaway, SessionCode},
};
use smoq_tape::Recorder;

use crate::{
    ClientTls, ConnectError, ConnectId, ConnectionStats, EndpointConfig, Misdirected, ServerConfig,
    Shard, Target, TransportOptions,
    connect::Race,
    connection::{Connection, Stage},
    crypto::{Ids, Secrets},
    shard::{Links, Strays, elsewhere},
    timers::{Timer, Timers},
    tls::alpn,
    web::Web,
};
use drive::Input;

/// Answers to datagrams of no connection that may wait to be sent. Beyond it they are dropped, as the
/// network might have done.
const MAX_RESPONSES: usize = 256;

/// One or more UDP datagrams to one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where to send them.
    pub remote: SocketAddr,
    /// The address to send them from, if the socket has several.
    pub local_ip: Option<IpAddr>,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
    /// Bytes of the buffer.
    pub size: usize,
    /// Bytes of each datagram but the last one, which may be shorter; `None` if there is only one.
    pub segment_size: Option<usize>,
}

/// What came of what was put in.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A session begins. It precedes every other event of the session, of which
    /// [`smoq_core::Event::Closed`] is the last. A server's session is told of when its peer's
    /// handshake is done, which proves the peer's address; of one that does not get so far nothing is
    /// told.
    Connected {
        /// Whose connection; `None` for an accepted one.
        connect: Option<ConnectId>,
        /// The session in the node.
        session: Id<Session>,
        /// The peer's address.
        remote: SocketAddr,
        /// What both ends have agreed to speak.
        version: Version,
        /// What carries the streams.
        carrier: Carrier,
        /// The name that the client asked for (SNI), on accepted connections.
        server_name: Option<String>,
        /// Where the page comes from that asks, on accepted connections over WebTransport. Browsers say
        /// so, others may say anything or nothing. A server that knows who comes only by what browsers
        /// send along has to compare it (draft-ietf-webtrans-http3, section 3.2).
        origin: Option<String>,
    },
    /// A call of [`Endpoint::connect`] came to nothing.
    ConnectFailed {
        /// Which one.
        connect: ConnectId,
        /// Why.
        error: ConnectError,
    },
    /// The node has something to say.
    Core(smoq_core::Event),
    /// A link to another shard ([`Endpoint::add_link`]) has broken a rule, or is over:
    /// [`smoq_core::Event::Violation`] or [`smoq_core::Event::Closed`]. Unless it was closed on purpose,
    /// the peers of the two shards do not reach each other any more.
    Link(smoq_core::Event),
}

/// How sessions of accepted connections are made.
struct Accept {
    admission: Admission,
    discover: Discover,
    versions: Vec<Version>,
    max_handshakes: usize,
    max_connections: usize,
}

/// A [`Node`] and its QUIC connections. See the crate's documentation for how to drive it.
pub struct Endpoint {
    node: Recorder,
    quic: quic::Endpoint,
    epoch: Instant,
    options: TransportOptions,
    transport: Arc<quic::TransportConfig>,
    secrets: Secrets,
    initial_ids: Ids,
    accept: Option<Accept>,
    /// By quinn-proto's handle, which it reuses.
    connections: Vec<Option<Box<Connection>>>,
    sessions: BTreeMap<Id<Session>, usize>,
    races: BTreeMap<ConnectId, Race>,
    next_connect: u64,
    /// Accepted connections in their handshake.
    handshakes: usize,
    timers: Timers,
    /// Connections that may have something to send, in turns.
    queue: VecDeque<usize>,
    responses: VecDeque<(quic::Transmit, Vec<u8>)>,
    /// The last thing sent was one of them: a session is next, or strangers could silence all.
    responded: bool,
    events: VecDeque<Event>,
    /// What is to be told of sessions whose peers have not proved their addresses yet.
    unproven: BTreeMap<Id<Session>, Vec<Event>>,
    shard: Option<Shard>,
    links: Links,
    strays: Strays,
    scratch: Vec<Bytes>,
}

impl Endpoint {
    /// An endpoint whose time begins `now`.
    pub fn new(config: EndpointConfig, now: Instant) -> Self {
        let secrets = Secrets::new(config.seed, config.shard);
        let mut quic = quic::EndpointConfig::new(secrets.reset_key());
        let ids = secrets.local_ids();
        quic.cid_generator(move || Box::new(ids.clone())).rng_seed(Some(secrets.rng()));
        let mut endpoint = Self {
            node: match config.record {
                Some(limit) => Recorder::recording(config.node, limit),
                None => Recorder::silent(config.node),
            },
            quic: quic::Endpoint::new(Arc::new(quic), None, config.transport.mtu_discovery, None),
            epoch: now,
            transport: config.transport.build(),
            options: config.transport,
            initial_ids: secrets.initial_ids(),
            secrets,
            accept: None,
            connections: Vec::new(),
            sessions: BTreeMap::new(),
            races: BTreeMap::new(),
            next_connect: 0,
            handshakes: 0,
            timers: Timers::default(),
            queue: VecDeque::new(),
            responses: VecDeque::new(),
            responded: false,
            events: VecDeque::new(),
            unproven: BTreeMap::new(),
            shard: config.shard,
            links: Links::default(),
            strays: Strays::default(),
            scratch: Vec::new(),
        };
        endpoint.set_server(config.server);
        endpoint
    }

    /// Replaces the way in which connections are accepted from now on, to change certificates say.
    /// `None` accepts none.
    pub fn set_server(&mut self, server: Option<ServerConfig>) {
        let config = server.as_ref().map(|server| {
            let tls = server.tls.accepting(alpn(&server.versions, &server.carriers));
            let mut config = quic::ServerConfig::new(tls, self.secrets.token_key());
            config.transport_config(self.transport.clone());
            Arc::new(config)
        });
        self.quic.set_server_config(config);
        self.accept = server.map(|server| Accept {
            admission: server.admission,
            discover: server.discover,
            versions: server.versions,
            max_handshakes: server.max_handshakes,
            max_connections: server.max_connections,
        });
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The node, to act on: a [`Recorder`] has the methods of one. What it wants to send is found by
    /// [`Endpoint::poll_transmit`].
    pub fn node_mut(&mut self) -> &mut Recorder {
        &mut self.node
    }

    /// `now` as the node counts it: since this endpoint was made.
    pub fn time(&self, now: Instant) -> Time {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        Time::from_micros(micros.try_into().unwrap_or(u64::MAX))
    }

    /// Dials. The addresses are raced: the first one at once, each next one
    /// [`TransportOptions::address_delay`] later or as soon as the one before has failed, IPv6 and IPv4
    /// in turns. The first handshake that completes wins, the other attempts are dropped; WebTransport
    /// then asks for its session, within the same time limit. The answer is
    /// [`Event::Connected`] or [`Event::ConnectFailed`].
    ///
    /// # Errors
    /// What is wrong with the target itself: [`ConnectError::NoAddress`], [`ConnectError::NoVersions`],
    /// [`ConnectError::InvalidHost`], [`ConnectError::NoHttp3Here`].
    pub fn connect(
        &mut self,
        now: Instant,
        target: Target,
        tls: &ClientTls,
    ) -> Result<ConnectId, ConnectError> {
        if ServerName::try_from(target.host.as_str()).is_err() {
            return Err(ConnectError::InvalidHost(target.host));
        }
        if target.carrier == Carrier::WebTransport && !Web::AVAILABLE {
            return Err(ConnectError::NoHttp3Here);
        }
        let alpn = alpn(&target.versions, &[target.carrier]);
        if target.versions.is_empty() || alpn.is_empty() {
            return Err(ConnectError::NoVersions);
        }
        let mut config = quic::ClientConfig::new(tls.offering(alpn));
        config.transport_config(self.transport.clone()).token_store(Arc::new(quic::NoneTokenStore));
        let race = Race::new(now, target, config, self.options.handshake_timeout)?;
        let id = ConnectId(self.next_connect);
        self.next_connect += 1;
        self.races.insert(id, race);
        self.step_race(now, id);
        Ok(id)
    }

    /// Gives up dialing, without an event. Does nothing if the answer is there already.
    pub fn cancel(&mut self, now: Instant, connect: ConnectId) {
        if let Some(race) = self.races.remove(&connect) {
            self.end_race(now, connect, race);
        }
    }

    /// A datagram arrived. `local_ip` is the address it was sent to, if known; `ecn` the two ECN bits of
    /// its IP header. What is no QUIC is ignored; what is for another shard comes out of
    /// [`Endpoint::poll_misdirected`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        ecn: u8,
        data: BytesMut,
    ) {
        match self.shard.and_then(|here| elsewhere(here, &data)) {
            Some(shard) => self.strays.push(Misdirected { shard, remote, local_ip, ecn, data }),
            None => self.take_datagram(now, remote, local_ip, ecn, data),
        }
    }

    fn take_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        ecn: u8,
        data: BytesMut,
    ) {
        let ecn = EcnCodepoint::from_bits(ecn & 0b11);
        let mut buf = Vec::new();
        match self.quic.handle(now, remote, local_ip, ecn, data, &mut buf) {
            None => {}
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.drive(now, handle.0, Input::Event(event));
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.accept(now, incoming, buf),
            Some(DatagramEvent::Response(transmit)) => self.respond(transmit, buf),
        }
    }

    /// ICMP says that nobody listens at `remote`. Attempts at it that have heard nothing fail; anything
    /// else is left alone, as ICMP is easily forged.
    pub fn handle_unreachable(&mut self, now: Instant, remote: SocketAddr) {
        self.fail_deaf(now, remote, ConnectError::Unreachable);
    }

    /// The system refuses to send to `remote`, and will again. Attempts at it that have heard nothing
    /// fail; to anything else it is a loss.
    pub fn handle_send_error(&mut self, now: Instant, remote: SocketAddr, error: &io::Error) {
        self.fail_deaf(now, remote, |remote| ConnectError::CannotSend {
            remote,
            error: error.to_string(),
        });
    }

    fn fail_deaf(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        error: impl Fn(SocketAddr) -> ConnectError,
    ) {
        // Reports come without the scope of an IPv6 address.
        let same = |other: SocketAddr| (other.ip(), other.port()) == (remote.ip(), remote.port());
        let deaf: Vec<_> = self
            .races
            .iter()
            .flat_map(|(&id, race)| race.running().iter().map(move |&index| (id, index)))
            .filter(|&(_, index)| {
                self.connections[index].as_ref().is_some_and(|connection| {
                    same(connection.remote()) && connection.quic.stats().udp_rx.datagrams == 0
                })
            })
            .collect();
        for (id, index) in deaf {
            self.discard(index);
            self.attempt_failed(now, id, Some(index), error(remote));
        }
    }

    /// Does what is due. Calling it early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.timers.look(now);
        while let Some(timer) = self.timers.next_due() {
            match timer {
                Timer::Race(id) => self.step_race(now, id),
                Timer::Connection(index) => self.drive(now, index, Input::Timeout),
            }
        }
        let time = self.time(now);
        if self.node.poll_timeout().is_some_and(|at| at <= time) {
            self.node.handle_timeout(time);
        }
    }

    /// When to call [`Endpoint::handle_timeout`]. Valid once [`Endpoint::poll_transmit`] has nothing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let node = self.node.poll_timeout();
        let node =
            node.and_then(|at| self.epoch.checked_add(Duration::from_micros(at.as_micros())));
        [self.timers.first(), node].into_iter().flatten().min()
    }

    /// Wakes what carries the sessions that have output.
    fn sort_out(&mut self) {
        while let Some(session) = self.node.poll_session() {
            match self.sessions.get(&session) {
                Some(&index) => {
                    if let Some(connection) = &mut self.connections[index] {
                        connection.feed();
                        self.wake(index);
                    }
                }
                None => self.links.wake(session),
            }
        }
    }

    /// The next datagrams to send: at most `max_segments` (0 counts as 1) for one peer, put into `buf`,
    /// whose content is replaced. Connections take turns. Idle calls are O(1).
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        buf.clear();
        let max_segments = max_segments.max(1);
        if !std::mem::take(&mut self.responded)
            && let Some(transmit) = self.next_response(buf)
        {
            self.responded = true;
            return Some(transmit);
        }
        self.sort_out();
        let time = self.time(now);
        while let Some(index) = self.queue.pop_front() {
            let Some(connection) = &mut self.connections[index] else {
                continue;
            };
            connection.queued = false;
            let before = connection.stage;
            let scratch = &mut self.scratch;
            let transmit =
                connection.poll_transmit(now, time, &mut self.node, scratch, max_segments, buf);
            if connection.stage != before {
                self.leave(before);
            }
            self.schedule(index);
            if let Some(transmit) = transmit {
                self.wake(index);
                return Some(public(transmit));
            }
        }
        self.next_response(buf)
    }

    fn next_response(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (transmit, data) = self.responses.pop_front()?;
        buf.extend_from_slice(&data);
        Some(public(transmit))
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        use smoq_core::Event as Core;
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        loop {
            let event = self.node.poll_event()?;
            let Some(session) = session_of(&event) else { return Some(Event::Core(event)) };
            if self.links.contains(session) {
                match event {
                    Core::Violation { .. } | Core::Closed { .. } => {
                        return Some(Event::Link(event));
                    }
                    Core::Request { .. } | Core::Ready { .. } | Core::Goaway { .. } => continue,
                    Core::Announced { .. }
                    | Core::Readable { .. }
                    | Core::Demand { .. }
                    | Core::Wanted { .. }
                    | Core::Unread { .. }
                    | Core::Probed { .. } => {}
                }
            }
            if !self.unproven.contains_key(&session) {
                return Some(Event::Core(event));
            }
            if let smoq_core::Event::Closed { .. } = event {
                self.unproven.remove(&session);
            } else if let Some(held) = self.unproven.get_mut(&session) {
                held.push(Event::Core(event));
            }
        }
    }

    /// Accepts no more connections, and asks the peers of all sessions to connect to `uri` instead, or to
    /// the same place again if it is empty ([`Node::goaway`]). Those that speak moq-lite-03 cannot be asked,
    /// and who was asked before is not asked again.
    ///
    /// # Errors
    /// [`Misuse::Uri`] if it is too long; nothing was done then.
    pub fn drain(&mut self, now: Instant, uri: &str) -> Result<(), Misuse> {
        if uri.len() > Goaway::MAX_URI {
            return Err(Misuse::Uri);
        }
        self.set_server(None);
        let time = self.time(now);
        for session in self.sessions.keys() {
            // It fails for sessions that are over, or were asked before, or cannot be asked.
            let _ = self.node.goaway(time, *session, uri);
        }
        Ok(())
    }

    /// Closes all sessions, gives up all handshakes and dials, and accepts no more. The closes are sent
    /// by [`Endpoint::poll_transmit`] and [`Endpoint::poll_link`]; [`Endpoint::is_idle`] tells when they
    /// are.
    pub fn close_all(&mut self, now: Instant, code: SessionCode, reason: &str) {
        self.set_server(None);
        self.responses.clear();
        let time = self.time(now);
        for (id, race) in std::mem::take(&mut self.races) {
            self.end_race(now, id, race);
            self.events
                .push_back(Event::ConnectFailed { connect: id, error: ConnectError::Closed });
        }
        for session in self.sessions.keys().copied().chain(self.links.sessions()) {
            // A stale id is a session whose close is on its way already.
            let _ = self.node.close(time, session, code, reason);
        }
        for index in 0..self.connections.len() {
            let stage = self.connections[index].as_ref().map(|connection| connection.stage);
            if stage == Some(Stage::Accepting(None)) {
                self.leave(Stage::Accepting(None));
                self.abandon(now, index);
            }
        }
    }

    /// Reads nothing more over the connections there are, until [`Endpoint::resume_reading`]. Peers may
    /// send no more than [`TransportOptions::receive_window`] then, and a relay gives up who takes nothing
    /// for too long ([`smoq_core::Limits::stall_timeout`]). Sending goes on, and so do acknowledgements; but
    /// a request of the peer is not heard, and an answer neither: the one who asked gives up after its limit
    /// of time. What the peer has not said about its streams is no fault meanwhile.
    pub fn pause_reading(&mut self, now: Instant) {
        let time = self.time(now);
        for connection in self.connections.iter_mut().flatten() {
            connection.pause();
            if let Some(session) = connection.session() {
                self.node.handle_paused(time, session);
            }
        }
    }

    /// Reads again, at once what has come meanwhile.
    pub fn resume_reading(&mut self, now: Instant) {
        for index in 0..self.connections.len() {
            self.drive(now, index, Input::Resume);
        }
    }

    /// Whether nothing is left but connections that were closed and whose close was sent: a good moment
    /// to drop the endpoint.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
            && self.races.is_empty()
            && self.links() == 0
            && self.responses.is_empty()
            && self.queue.is_empty()
            && self
                .connections
                .iter()
                .flatten()
                .all(|connection| connection.stage == Stage::Closing)
    }

    /// Connections that are closed and still answer late packets with their close, for three probe
    /// timeouts (RFC 9000, section 10.2).
    pub fn draining(&self) -> usize {
        let connections = self.connections.iter().flatten();
        connections.filter(|connection| connection.stage == Stage::Closing).count()
    }

    /// The peer's present address; `None` once the session has ended.
    pub fn remote_address(&self, session: Id<Session>) -> Option<SocketAddr> {
        self.find(session).map(Connection::remote)
    }

    /// Figures of the session's connection; `None` once the session has ended.
    pub fn connection_stats(&self, session: Id<Session>) -> Option<ConnectionStats> {
        self.find(session).map(Connection::stats)
    }

    fn find(&self, session: Id<Session>) -> Option<&Connection> {
        self.connections[*self.sessions.get(&session)?].as_deref()
    }
}

/// Whose news it is.
fn session_of(event: &smoq_core::Event) -> Option<Id<Session>> {
    use smoq_core::Event as Core;
    match event {
        Core::Request { session, .. }
        | Core::Ready { session, .. }
        | Core::Goaway { session, .. }
        | Core::Probed { session, .. }
        | Core::Violation { session, .. }
        | Core::Closed { session, .. } => Some(*session),
        Core::Announced { .. }
        | Core::Readable { .. }
        | Core::Demand { .. }
        | Core::Wanted { .. }
        | Core::Unread { .. } => None,
    }
}

fn public(transmit: quic::Transmit) -> Transmit {
    Transmit {
        remote: transmit.destination,
        local_ip: transmit.src_ip,
        ecn: transmit.ecn.map_or(0, |ecn| ecn as u8),
        size: transmit.size,
        segment_size: transmit.segment_size,
    }
}

//! The hub: who is there, and what goes to whom.

mod addresses;
mod conn;
mod output;
mod requests;
mod rooms;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::IpAddr;

use smoq_core::Time;

use crate::{
    id::{ConnId, Entropy, PeerId, RoomName, spell},
    limits::Limits,
    policy::Policies,
    wire::{Reply, Stamp, Timestamp},
};
use addresses::Addresses;
use conn::{Conn, Origin, QueueFull};
use rooms::View;

pub(crate) use addresses::counted;
pub use output::{CloseReason, ConnectRefused, Event, Output, Stats};

/// How a hub is set up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// Choices.
    pub policies: Policies,
    /// What distinguishes the ids of this hub's messages from those of others. It need not be secret.
    pub seed: u64,
    /// What the clock shows at [`Time::ZERO`]: microseconds since 1970 began in UTC.
    pub wall_micros: u64,
}

/// A registered client.
#[derive(Clone)]
struct Peer {
    conn: ConnId,
    /// Who shows it may take the id over.
    token: String,
    rooms: BTreeMap<RoomName, View>,
}

/// A signalling hub.
///
/// It does nothing by itself: tell it what happens with the `handle_` verbs, each with the time; after
/// each of them drain [`poll_output`](Self::poll_output), and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so. What is
/// told of a connection that is over is ignored: it has crossed its end.
#[derive(Clone)]
pub struct Hub {
    limits: Limits,
    policies: Policies,
    seed: u64,
    wall_micros: u64,
    started: Option<Time>,
    now: Time,
    stopped: bool,
    next_conn: u64,
    next_message: u32,
    conns: BTreeMap<ConnId, Conn>,
    addresses: Addresses,
    peers: BTreeMap<PeerId, Peer>,
    rooms: BTreeMap<RoomName, BTreeSet<PeerId>>,
    deadlines: BTreeSet<(Time, ConnId)>,
    outputs: VecDeque<Output>,
    /// Connections with something to send that the embedder may have.
    ready: VecDeque<ConnId>,
    /// Connections that must be closed when the input is done.
    doomed: Vec<(ConnId, CloseReason)>,
    totals: Stats,
}

impl Hub {
    /// A hub without connections.
    pub fn new(config: Config) -> Self {
        let Config { limits, policies, seed, wall_micros } = config;
        Self {
            limits,
            policies,
            seed,
            wall_micros,
            started: None,
            now: Time::ZERO,
            stopped: false,
            next_conn: 0,
            next_message: 0,
            conns: BTreeMap::new(),
            addresses: Addresses::default(),
            peers: BTreeMap::new(),
            rooms: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
            ready: VecDeque::new(),
            doomed: Vec::new(),
            totals: Stats::default(),
        }
    }

    /// Somebody wants to connect from `address`.
    pub fn handle_connect(
        &mut self,
        now: Time,
        address: IpAddr,
        entropy: Entropy,
    ) -> Result<ConnId, ConnectRefused> {
        self.advance(now);
        let counted = counted(address);
        let entered = if self.stopped {
            Err(ConnectRefused::Shutdown)
        } else if self.conns.len() >= self.limits.connections {
            Err(ConnectRefused::Full)
        } else {
            self.addresses.enter(self.now, counted, &self.limits)
        };
        if let Err(refused) = entered {
            self.totals.turned_away += 1;
            return Err(refused);
        }
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        self.totals.connected += 1;
        self.conns.insert(id, Conn::new(self.now, counted, entropy, &self.limits));
        self.deadlines.insert((self.now, id));
        self.arm(id);
        self.outputs.push_back(Output::Event(Event::Connected { conn: id, address }));
        Ok(id)
    }

    /// A connection gave a sign of life that is no message: a ping or a pong.
    pub fn handle_alive(&mut self, now: Time, conn: ConnId) {
        self.advance(now);
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.heard = self.now;
        }
    }

    /// The transport has taken one message of [`Output::Send`], the oldest that it had not.
    pub fn handle_sent(&mut self, now: Time, conn: ConnId) {
        self.advance(now);
        if let Some(state) = self.conns.get_mut(&conn) {
            self.totals.queued_bytes -= state.sent(self.now);
            self.list(conn);
            self.arm(conn);
            self.refresh(conn);
            self.settle();
        }
    }

    /// A connection is over, by its client or by the network. Its ids are free at once.
    pub fn handle_disconnect(&mut self, now: Time, conn: ConnId) {
        self.advance(now);
        self.end(conn, None);
        self.settle();
    }

    /// Closes a connection: the embedder has found a reason.
    pub fn close(&mut self, now: Time, conn: ConnId, reason: CloseReason) {
        self.advance(now);
        self.end(conn, Some(reason));
        self.settle();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= self.now)
        {
            self.deadlines.pop_first();
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if let Some(reason) = conn.expired(self.now, &self.limits) {
                self.end(id, Some(reason));
                continue;
            }
            if conn.next_ping <= self.now {
                let interval = self.limits.ping_interval;
                let next = conn.next_ping.after(interval);
                conn.next_ping = if next > self.now { next } else { self.now.after(interval) };
                self.outputs.push_back(Output::Ping { conn: id });
            }
            conn.armed = conn.deadline(&self.limits);
            self.deadlines.insert((conn.armed, id));
        }
        self.settle();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called. `None` if there is nobody.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Closes all connections and lets no more in.
    pub fn shutdown(&mut self, now: Time) {
        self.advance(now);
        self.stopped = true;
        let all: Vec<_> = self.conns.keys().copied().collect();
        // Nobody is told of the others: all go.
        self.rooms.clear();
        all.into_iter().for_each(|conn| self.end(conn, Some(CloseReason::Shutdown)));
    }

    /// The next thing to do. To be called until there is none, after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            conn.listed = false;
            let Some(text) = conn.send(self.now) else { continue };
            self.list(id);
            self.arm(id);
            self.totals.messages_sent += 1;
            self.totals.bytes_sent += text.len() as u64;
            return Some(Output::Send { conn: id, text });
        }
        None
    }

    /// What there is and what was done.
    pub fn stats(&self) -> Stats {
        let uptime = self.now.as_micros() - self.started.unwrap_or(self.now).as_micros();
        Stats {
            connections: self.conns.len(),
            peers: self.peers.len(),
            rooms: self.rooms.len(),
            uptime_micros: uptime,
            ..self.totals
        }
    }

    /// The connection that holds an id.
    pub fn holder(&self, peer: &str) -> Option<ConnId> {
        self.peers.get(peer).map(|peer| peer.conn)
    }

    /// The clock does not go back.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.started.get_or_insert(now);
    }

    /// Notes that a connection has something to send.
    fn list(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.listed && conn.can_send(&self.limits) {
            conn.listed = true;
            self.ready.push_back(id);
        }
    }

    /// Brings a deadline forward. One that moves back is noticed when it is reached.
    fn arm(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let deadline = conn.deadline(&self.limits);
        // One that was just put in has no deadline yet, but the time of its beginning.
        if deadline < conn.armed || conn.armed <= self.now {
            self.deadlines.remove(&(conn.armed, id));
            conn.armed = deadline;
            self.deadlines.insert((deadline, id));
        }
    }

    /// Queues an answer. Who has asked for so many without reading is closed.
    fn tell(&mut self, id: ConnId, reply: &Reply) {
        if self.queue(id, Origin::Answer, reply).is_err() {
            self.doomed.push((id, CloseReason::SlowReader));
        }
    }

    /// Queues a message of the hub's own.
    fn queue(&mut self, id: ConnId, origin: Origin, reply: &Reply) -> Result<(), QueueFull> {
        let stamp = self.stamp();
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        let text = reply.write(conn.form(), &stamp);
        self.push(id, origin, text)
    }

    fn push(&mut self, id: ConnId, origin: Origin, text: String) -> Result<(), QueueFull> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        let bytes = text.len();
        conn.push(origin, text, &self.limits)?;
        self.totals.queued_bytes += bytes;
        self.list(id);
        Ok(())
    }

    /// For a message that is made here.
    fn stamp(&mut self) -> Stamp {
        self.next_message = self.next_message.wrapping_add(1);
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_message.to_be_bytes());
        Stamp { id: spell(&bytes), timestamp: self.timestamp() }
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.wall_micros.saturating_add(self.now.as_micros()))
    }

    /// Closes what an input has made unbearable, and what that makes so in turn.
    fn settle(&mut self) {
        while let Some((conn, reason)) = self.doomed.pop().or_else(|| self.too_full()) {
            self.end(conn, Some(reason));
        }
    }

    /// Where too much waits for all together, those for whom most waits go: so whoever reads is served.
    fn too_full(&self) -> Option<(ConnId, CloseReason)> {
        if self.totals.queued_bytes <= self.limits.total_queue_bytes {
            return None;
        }
        let fullest = self.conns.iter().max_by_key(|(_, conn)| conn.queued_bytes());
        fullest.map(|(id, _)| (*id, CloseReason::SlowReader))
    }

    /// Forgets a connection and frees its ids.
    fn end(&mut self, id: ConnId, reason: Option<CloseReason>) {
        let Some(conn) = self.conns.remove(&id) else { return };
        self.deadlines.remove(&(conn.armed, id));
        self.totals.queued_bytes -= conn.queued_bytes();
        self.addresses.leave(self.now, conn.address, &self.limits);
        if let Some(reason) = reason {
            self.outputs.push_back(Output::Close { conn: id, reason });
        }
        for peer in conn.ids {
            self.free(id, peer);
        }
        self.outputs.push_back(Output::Event(Event::Closed { conn: id, reason }));
    }

    /// Makes an id free. Its connection has forgotten it already.
    fn free(&mut self, conn: ConnId, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        for room in peer.rooms.keys() {
            self.walk_out(&id, room);
        }
        self.outputs.push_back(Output::Event(Event::Unregistered { conn, peer: id }));
    }
}

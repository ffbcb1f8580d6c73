//! Peers, a hub and a network in virtual time.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use smoq_p2p::{
    Config, CryptoProvider, End, Event, Kind, Message, Output, Peer, State, Time,
    signal::{
        self, ClientConfig, ConnId, Hub, Policies,
        wire::{Dialect, Forward, Payload, Request, Stamp, Timestamp},
    },
};

/// No test needs so much virtual time unless it waits in vain.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a datagram or a message takes.
const DELAY: Duration = Duration::from_millis(20);
pub(crate) const STUN: &str = "192.0.2.1:3478";
pub(crate) const ROOM: &str = "lobby";

pub(crate) struct Node {
    pub(crate) peer: Peer,
    pub(crate) events: Vec<Event>,
    socket: SocketAddr,
    /// How the world sees the socket, if it is behind a NAT.
    outside: Option<SocketAddr>,
    conn: Option<ConnId>,
    /// It hears nothing of the hub any more.
    deaf: bool,
}

/// Somebody at the hub who is no [`Peer`].
pub(crate) struct Stranger {
    conn: ConnId,
    id: String,
}

enum Parcel {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    ToHub { conn: ConnId, text: String },
    ToPeer { node: usize, conn: ConnId, text: String },
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) hub: Hub,
    /// Datagrams lost, of a hundred.
    pub(crate) loss: u64,
    /// Datagrams that arrive with a wrong byte in them, of a hundred.
    pub(crate) corruption: u64,
    /// Of what kinds those who are added have frames.
    pub(crate) media: Vec<Kind>,
    /// What peers have said to the hub.
    pub(crate) said: Vec<String>,
    /// Whether datagrams between peers arrive at all.
    pub(crate) blocked: bool,
    /// Whether datagrams and messages take more or less time, so that they overtake each other.
    pub(crate) jitter: bool,
    on_the_way: BTreeMap<(Time, u64), Parcel>,
    sent: u64,
    random: u64,
    zero: Instant,
    crypto: Arc<CryptoProvider>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let config = signal::Config { policies: Policies::SAFE, seed, ..Default::default() };
        Self {
            now: Time::ZERO,
            nodes: Vec::new(),
            hub: Hub::new(config),
            loss: 0,
            corruption: 0,
            media: Vec::new(),
            said: Vec::new(),
            blocked: false,
            jitter: false,
            on_the_way: BTreeMap::new(),
            sent: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            zero: Instant::now(),
            crypto: Arc::new(str0m_aws_lc_rs::default_provider()),
        }
    }

    /// Peers with these ids, each at the hub and in the room.
    pub(crate) fn with(seed: u64, ids: &[&str]) -> Self {
        let mut world = Self::new(seed);
        for id in ids {
            world.add(id, None);
        }
        world.settle();
        world
    }

    pub(crate) fn add(&mut self, id: &str, outside: Option<&str>) -> usize {
        let node = self.nodes.len();
        let signal = ClientConfig {
            id: Some(id.into()),
            dialect: Dialect::Envelope,
            rooms: vec![ROOM.into()],
            entropy: [node as u8 + 1; 28],
            wall_micros: 0,
        };
        let stun = outside.map(|_| STUN.parse().unwrap()).into_iter().collect();
        let config =
            Config { signal, crypto: self.crypto.clone(), stun, media: self.media.clone() };
        let socket: SocketAddr = format!("10.0.0.{}:5000", node + 1).parse().unwrap();
        let mut peer = Peer::new(config, self.zero);
        peer.add_socket(self.now, socket);
        let outside = outside.map(|outside| outside.parse().unwrap());
        self.nodes.push(Node {
            peer,
            events: Vec::new(),
            socket,
            outside,
            conn: None,
            deaf: false,
        });
        node
    }

    /// Lets all register.
    pub(crate) fn settle(&mut self) {
        self.until("all are registered", |world| {
            world.nodes.iter().all(|node| {
                node.events
                    .iter()
                    .any(|event| matches!(event, Event::Hub(signal::ClientEvent::Joined { .. })))
            })
        });
    }

    pub(crate) fn call(&mut self, from: usize, to: &str) {
        let now = self.now;
        self.nodes[from].peer.call(now, to).unwrap();
    }

    pub(crate) fn send(&mut self, from: usize, to: &str, label: &str, text: &str) {
        let now = self.now;
        self.nodes[from].peer.send(now, to, label, Message::Text(text.into())).unwrap();
    }

    pub(crate) fn state(&self, node: usize, peer: &str) -> Option<State> {
        self.nodes[node].peer.calls().find(|(it, _)| *it == peer).map(|(_, stats)| stats.state)
    }

    pub(crate) fn until_state(&mut self, node: usize, peer: &'static str, state: State) {
        self.until("a state", |world| world.state(node, peer) == Some(state));
    }

    pub(crate) fn until_ended(&mut self, node: usize, peer: &str) -> End {
        let ended = |world: &Self| {
            world.nodes[node].events.iter().find_map(|event| match event {
                Event::Ended { peer: who, end } if who == peer => Some(end.clone()),
                _ => None,
            })
        };
        self.until("the end of a call", |world| ended(world).is_some());
        ended(self).unwrap()
    }

    /// What a node heard on a label: from whom, whether through the hub, what.
    pub(crate) fn heard(&self, node: usize, label: &str) -> Vec<(String, bool, String)> {
        let messages = self.nodes[node].events.iter().filter_map(|event| match event {
            Event::Message { peer, channel, label: on, message, .. } if on == label => {
                let text = String::from_utf8_lossy(message.bytes()).into_owned();
                Some((peer.clone(), channel.is_none(), text))
            }
            _ => None,
        });
        messages.collect()
    }

    pub(crate) fn until_heard(&mut self, node: usize, label: &str, text: &str) {
        self.until(text, |world| world.heard(node, label).iter().any(|(_, _, it)| it == text));
    }

    /// Lets time pass until a condition holds.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let limit = self.now.after(PATIENCE);
        self.drain();
        while !holds(self) {
            assert!(self.now < limit, "waited in vain for {what}");
            self.step();
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        self.drain();
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// A peer takes nothing from the hub any more.
    pub(crate) fn deafen(&mut self, node: usize) {
        self.nodes[node].deaf = true;
    }

    /// A peer loses its connection to the hub.
    pub(crate) fn cut_off(&mut self, node: usize) {
        if let Some(conn) = self.nodes[node].conn.take() {
            self.hub.handle_disconnect(self.now, conn);
            self.nodes[node].peer.handle_hub_disconnected(self.now, None);
        }
    }

    pub(crate) fn stranger(&mut self, id: &str) -> Stranger {
        let address = [127, 0, 0, 1].into();
        let conn = self.hub.handle_connect(self.now, address, [200; 28]).unwrap();
        let request = Request::Register { id: Some(id.into()), token: None };
        self.hub.handle_message(self.now, conn, &request.write(Dialect::Envelope, &stamp()));
        Stranger { conn, id: id.into() }
    }

    pub(crate) fn say(&mut self, stranger: &Stranger, to: &str, payload: Payload) {
        let request = Request::Forward(Forward::new(stranger.id.clone(), to, payload));
        let text = request.write(Dialect::Envelope, &stamp());
        self.hub.handle_message(self.now, stranger.conn, &text);
    }

    /// The process of a peer is gone, without a word.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(conn) = self.nodes[node].conn.take() {
            self.hub.handle_disconnect(self.now, conn);
        }
        self.nodes[node].socket = "0.0.0.0:0".parse().unwrap();
        self.nodes[node].outside = None;
    }

    fn is_dead(&self, node: usize) -> bool {
        self.nodes[node].socket.port() == 0
    }

    fn next(&self) -> Option<Time> {
        let parcel = self.on_the_way.keys().next().map(|(at, _)| *at);
        let living = (0..self.nodes.len()).filter(|&node| !self.is_dead(node));
        let timers = living.filter_map(|node| self.nodes[node].peer.poll_timeout());
        timers.chain(parcel).chain(self.hub.poll_timeout()).min()
    }

    fn step(&mut self) {
        let Some(next) = self.next() else { panic!("nothing will ever happen") };
        self.now = self.now.max(next);
        while let Some(entry) = self.on_the_way.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let parcel = entry.remove();
            self.deliver(parcel);
        }
        self.hub.handle_timeout(self.now);
        for node in 0..self.nodes.len() {
            if !self.is_dead(node) {
                self.nodes[node].peer.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn deliver(&mut self, parcel: Parcel) {
        let now = self.now;
        match parcel {
            Parcel::ToHub { conn, text } => self.hub.handle_message(now, conn, &text),
            Parcel::ToPeer { node, conn, text } => {
                if self.nodes[node].conn == Some(conn) && !self.nodes[node].deaf {
                    self.nodes[node].peer.handle_hub_message(now, &text);
                }
            }
            Parcel::Datagram { from, to, bytes } if to == STUN.parse().unwrap() => {
                let answer = stun_answer(&bytes, from);
                self.post(Parcel::Datagram { from: to, to: from, bytes: answer });
            }
            Parcel::Datagram { from, to, bytes } => {
                // Behind a NAT only the outside can be reached.
                let is_it = |node: &&mut Node| node.outside.unwrap_or(node.socket) == to;
                if let Some(node) = self.nodes.iter_mut().find(is_it) {
                    node.peer.handle_datagram(now, node.socket, from, &bytes);
                }
            }
        }
    }

    fn drain(&mut self) {
        loop {
            let mut quiet = true;
            for node in 0..self.nodes.len() {
                while let Some(output) = self.nodes[node].peer.poll_output() {
                    quiet = false;
                    if !self.is_dead(node) {
                        self.handle(node, output);
                    }
                }
            }
            while let Some(output) = self.hub.poll_output() {
                quiet = false;
                self.handle_hub(output);
            }
            if quiet {
                return;
            }
        }
    }

    fn handle(&mut self, node: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Connect => {
                let address = [127, 0, 0, 1].into();
                let conn = self.hub.handle_connect(now, address, [node as u8 + 100; 28]).unwrap();
                self.nodes[node].conn = Some(conn);
                self.nodes[node].peer.handle_hub_connected(now);
            }
            Output::Send(text) => {
                self.said.push(text.clone());
                if let Some(conn) = self.nodes[node].conn {
                    self.post(Parcel::ToHub { conn, text });
                }
            }
            Output::Close => {
                if let Some(conn) = self.nodes[node].conn.take() {
                    self.hub.handle_disconnect(now, conn);
                }
            }
            Output::Transmit { socket, to, mut datagram } => {
                let Node { socket: own, outside, .. } = &self.nodes[node];
                assert_eq!(socket, *own, "it has only one socket");
                let from = outside.unwrap_or(socket);
                if self.roll() % 100 < self.corruption {
                    let place = self.roll() as usize % datagram.len();
                    datagram[place] ^= (self.roll() as u8).max(1);
                }
                let is_lost =
                    self.roll() % 100 < self.loss || (self.blocked && to != STUN.parse().unwrap());
                if !is_lost {
                    self.post(Parcel::Datagram { from, to, bytes: datagram });
                }
            }
            Output::Event(event) => self.nodes[node].events.push(event),
        }
    }

    fn handle_hub(&mut self, output: signal::Output) {
        match output {
            signal::Output::Send { conn, text } => {
                self.hub.handle_sent(self.now, conn);
                let is_it = |node: &Node| node.conn == Some(conn);
                if let Some(node) = self.nodes.iter().position(is_it) {
                    self.post(Parcel::ToPeer { node, conn, text });
                }
            }
            signal::Output::Ping { conn } => {
                self.hub.handle_alive(self.now, conn);
                if let Some(node) = self.nodes.iter_mut().find(|node| node.conn == Some(conn)) {
                    node.peer.handle_hub_alive(self.now);
                }
            }
            signal::Output::Close { conn, reason } => {
                let now = self.now;
                if let Some(node) = self.nodes.iter_mut().find(|node| node.conn == Some(conn)) {
                    node.conn = None;
                    node.peer.handle_hub_disconnected(now, Some(reason.code()));
                }
            }
            signal::Output::Event(_) => {}
        }
    }

    fn post(&mut self, parcel: Parcel) {
        // What goes over one connection keeps its order.
        let may_overtake = matches!(parcel, Parcel::Datagram { .. }) && self.jitter;
        let extra = if may_overtake { self.roll() % 15 } else { 0 };
        let at = self.now.after(DELAY + Duration::from_millis(extra));
        self.sent += 1;
        self.on_the_way.insert((at, self.sent), parcel);
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }
}

fn stamp() -> Stamp {
    Stamp { id: String::new(), timestamp: Timestamp::from_unix_micros(0) }
}

/// What a STUN server says to a binding request from an IPv4 address.
fn stun_answer(request: &[u8], from: SocketAddr) -> Vec<u8> {
    assert_eq!(request[..4], [0, 1, 0, 0]);
    let SocketAddr::V4(from) = from else { panic!("no IPv4") };
    let plain = [&from.port().to_be_bytes()[..], &from.ip().octets()].concat();
    let mask = [&request[4..6], &request[4..8]].concat();
    let masked: Vec<u8> = plain.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    [&[1, 1, 0, 12], &request[4..20], &[0, 0x20, 0, 8, 0, 1], &masked].concat()
}

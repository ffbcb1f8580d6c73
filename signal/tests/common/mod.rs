//! A hub in virtual time, and clients that a test speaks for.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod net;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use smoq_signal::{
    CloseReason, Config, ConnId, ConnectRefused, Entropy, Event, Hub, Limits, Output, Policies,
    Refusal, Time,
};

/// 2026-11-20T00:00:00Z
pub(crate) const WALL_MICROS: u64 = 1_795_132_800_000_000;

pub(crate) fn safe() -> Config {
    Config { wall_micros: WALL_MICROS, seed: 7, ..Config::default() }
}

pub(crate) fn go() -> Config {
    Config { policies: Policies::GO_COMPAT, limits: Limits::go_compat(), ..safe() }
}

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) now: Time,
    /// What was sent and not looked at yet.
    pub(crate) heard: BTreeMap<ConnId, VecDeque<String>>,
    pub(crate) pings: BTreeMap<ConnId, Vec<Time>>,
    pub(crate) closed: BTreeMap<ConnId, CloseReason>,
    pub(crate) events: Vec<Event>,
    /// Those that read nothing: what they are sent stays with the transport.
    pub(crate) stalled: BTreeSet<ConnId>,
    live: BTreeSet<ConnId>,
    made: u8,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            hub: Hub::new(config),
            now: Time::ZERO,
            heard: BTreeMap::new(),
            pings: BTreeMap::new(),
            closed: BTreeMap::new(),
            events: Vec::new(),
            stalled: BTreeSet::new(),
            live: BTreeSet::new(),
            made: 0,
        }
    }

    pub(crate) fn try_connect(&mut self, address: IpAddr) -> Result<ConnId, ConnectRefused> {
        self.made = self.made.wrapping_add(1);
        let conn = self.hub.handle_connect(self.now, address, entropy(self.made))?;
        self.live.insert(conn);
        self.drain();
        Ok(conn)
    }

    pub(crate) fn connect(&mut self) -> ConnId {
        self.try_connect(Ipv4Addr::LOCALHOST.into()).unwrap()
    }

    /// A connection that speaks in envelopes and has this id.
    pub(crate) fn client(&mut self, id: &str) -> ConnId {
        let conn = self.connect();
        self.say(conn, &register(id));
        let answer = self.hear(conn);
        assert!(answer.contains(r#""success":true"#), "{answer}");
        conn
    }

    pub(crate) fn say(&mut self, conn: ConnId, text: &str) {
        self.hub.handle_message(self.now, conn, text);
        self.drain();
    }

    pub(crate) fn leave(&mut self, conn: ConnId) {
        self.live.remove(&conn);
        self.hub.handle_disconnect(self.now, conn);
        self.drain();
    }

    /// A reader that stalled takes the oldest of what waits for it.
    pub(crate) fn take_one(&mut self, conn: ConnId) {
        self.hub.handle_sent(self.now, conn);
        self.drain();
    }

    /// The next message that a connection got.
    #[track_caller]
    pub(crate) fn hear(&mut self, conn: ConnId) -> String {
        self.try_hear(conn).expect("a message")
    }

    pub(crate) fn try_hear(&mut self, conn: ConnId) -> Option<String> {
        self.heard.get_mut(&conn)?.pop_front()
    }

    /// Lets time pass; everybody alive answers pings.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.pass_but(duration, &[]);
    }

    /// Lets time pass; all but `dead` answer pings.
    pub(crate) fn pass_but(&mut self, duration: Duration, dead: &[ConnId]) {
        let end = self.now.after(duration);
        while let Some(at) = self.hub.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.hub.handle_timeout(self.now);
            let pinged = self.drain();
            for conn in pinged.into_iter().filter(|conn| !dead.contains(conn)) {
                self.hub.handle_alive(self.now, conn);
            }
            assert!(self.hub.poll_timeout().is_none_or(|at| at > self.now), "it does not spin");
        }
        self.now = end;
    }

    /// Does what the hub wants; gives who was pinged.
    pub(crate) fn drain(&mut self) -> Vec<ConnId> {
        let mut pinged = Vec::new();
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { conn, text } => {
                    assert!(self.live.contains(&conn), "sent to a connection that is over");
                    self.heard.entry(conn).or_default().push_back(text);
                    if !self.stalled.contains(&conn) {
                        self.hub.handle_sent(self.now, conn);
                    }
                }
                Output::Ping { conn } => {
                    assert!(self.live.contains(&conn), "pinged a connection that is over");
                    self.pings.entry(conn).or_default().push(self.now);
                    pinged.push(conn);
                }
                Output::Close { conn, reason } => {
                    assert!(self.live.remove(&conn), "closed a connection that is over");
                    self.closed.insert(conn, reason);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
        pinged
    }

    /// The refusals of a connection.
    pub(crate) fn refusals(&self, of: ConnId) -> Vec<Refusal> {
        let refusal = |event: &Event| match event {
            Event::Refused { conn, refusal } if *conn == of => Some(refusal.clone()),
            _ => None,
        };
        self.events.iter().filter_map(refusal).collect()
    }
}

/// The n-th connection's randomness.
pub(crate) fn entropy(n: u8) -> Entropy {
    let mut bytes = [n; 28];
    bytes[12..].fill(!n);
    bytes
}

pub(crate) fn register(id: &str) -> String {
    format!(r#"{{"id":"r","type":"register_request","data":{{"client_id":"{id}"}}}}"#)
}

/// A message through the hub.
pub(crate) fn data(from: &str, to: &str, payload: &str) -> String {
    let time = "2026-11-20T00:00:00Z";
    format!(
        r#"{{"id":"m","type":"data_channel","timestamp":"{time}","data":{{"from_id":"{from}","to_id":"{to}","label":"chat","payload":"{payload}"}}}}"#
    )
}

//! What holds for a hub whatever its clients say. `PROPTEST_CASES` asks for more cases.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{World, data, register, safe};
use proptest::prelude::*;
use smoq_signal::{
    Config, ConnId, Limits, Policies, Rate, Sender,
    wire::{Dialect, Frame, Presence, Reply, Spelling},
};

/// What one of a few clients does.
#[derive(Clone, Debug)]
enum Act {
    Connect,
    Register(usize),
    /// Registers with the token of whoever had the id last.
    TakeOver(usize),
    Unregister,
    Join(usize),
    Leave(usize),
    /// Comes into a room and leaves it, so many times.
    Flap(usize, usize),
    /// So many numbered messages to whoever has the id.
    Send(usize, usize),
    /// As somebody else.
    Forge(usize),
    Junk(String),
    Disconnect,
    Stall,
    /// Reads so many of what waits.
    Read(usize),
    /// So many milliseconds pass, and this one does not answer pings.
    Pass(u64),
}

const CLIENTS: usize = 5;
const IDS: [&str; 4] = ["a", "b", "c", "ü"];

fn act() -> impl Strategy<Value = (usize, Act)> {
    let id = 0..IDS.len();
    let act = prop_oneof![
        4 => Just(Act::Connect),
        4 => id.clone().prop_map(Act::Register),
        1 => id.clone().prop_map(Act::TakeOver),
        1 => Just(Act::Unregister),
        2 => (0..3_usize).prop_map(Act::Join),
        1 => (0..3_usize).prop_map(Act::Leave),
        2 => (0..3_usize, 1..6_usize).prop_map(|(room, count)| Act::Flap(room, count)),
        6 => (id.clone(), 1..12_usize).prop_map(|(to, count)| Act::Send(to, count)),
        1 => id.prop_map(Act::Forge),
        1 => junk().prop_map(Act::Junk),
        2 => Just(Act::Disconnect),
        1 => Just(Act::Stall),
        2 => (1..20_usize).prop_map(Act::Read),
        3 => (0..40_000_u64).prop_map(Act::Pass),
    ];
    (0..CLIENTS, act)
}

/// Texts that are nearly messages, and others.
fn junk() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "null",
        "1e9",
        "\"type\"",
        "\"data\"",
        "\"raw\"",
        "\"id\"",
        "\"register\"",
        "\"register_request\"",
        "\"sdp\"",
        "\"candidate\"",
        "\"to_id\"",
        "\"{\\\"ID\\\":1}\"",
        "\"eyJ9\"",
        "\u{2028}",
        " ",
        "é",
    ]);
    let words = prop::collection::vec(word, 0..24).prop_map(|words| words.concat());
    prop_oneof![words, any::<String>()]
}

struct Run {
    world: World,
    clients: [Option<ConnId>; CLIENTS],
    /// The last number that was sent, and that was heard, from a connection to another.
    sent: u64,
    heard: BTreeMap<(String, ConnId), u64>,
    /// Who each connection has been told to be in its rooms.
    views: BTreeMap<ConnId, BTreeMap<String, BTreeSet<String>>>,
    tokens: BTreeMap<String, String>,
    policies: Policies,
}

impl Run {
    fn act(&mut self, who: usize, act: Act) {
        if let (None, Act::Connect) = (self.clients[who], &act) {
            self.clients[who] = self.world.try_connect([192, 0, 2, who as u8].into()).ok();
            return;
        }
        let Some(conn) = self.clients[who] else { return };
        let room = |kind: &str, room: usize| {
            format!(r#"{{"type":"{kind}_request","data":{{"room":"room {room}"}}}}"#)
        };
        match act {
            Act::Connect => {}
            Act::Register(id) => self.world.say(conn, &register(IDS[id])),
            Act::TakeOver(id) => {
                let token = self.tokens.get(IDS[id]).map_or("", String::as_str);
                let with = format!(r#""client_id":"{}","token":"{token}""#, IDS[id]);
                let text = format!(r#"{{"type":"register_request","data":{{{with}}}}}"#);
                self.world.say(conn, &text);
            }
            Act::Unregister => self.world.say(conn, r#"{"type":"unregister_request"}"#),
            Act::Join(at) => self.world.say(conn, &room("join", at)),
            Act::Leave(at) => self.world.say(conn, &room("leave", at)),
            Act::Flap(at, count) => {
                for kind in ["join", "leave"].repeat(count) {
                    self.world.say(conn, &room(kind, at));
                }
            }
            Act::Send(to, count) => {
                let own = IDS.iter().find(|id| self.world.hub.holder(id) == Some(conn));
                for _ in 0..count {
                    self.sent += 1;
                    let text = data(own.unwrap_or(&"?"), IDS[to], "aGk=");
                    let text = text.replace("chat", &self.sent.to_string());
                    self.world.say(conn, &text);
                }
            }
            Act::Forge(_) if self.policies.sender == Sender::AsSent => {}
            Act::Forge(to) => {
                let other = IDS.iter().find(|id| self.world.hub.holder(id) != Some(conn)).unwrap();
                self.world.say(conn, &data(other, IDS[to], "Zm9yZ2Vk"));
            }
            Act::Junk(text) => self.world.say(conn, &text),
            Act::Disconnect => {
                self.world.leave(conn);
                self.clients[who] = None;
            }
            Act::Stall => {
                self.world.stalled.insert(conn);
            }
            Act::Read(count) => (0..count).for_each(|_| self.world.take_one(conn)),
            Act::Pass(millis) => {
                let dead: Vec<_> = self.world.stalled.iter().copied().chain([conn]).collect();
                self.world.pass_but(Duration::from_millis(millis), &dead);
            }
        }
    }

    /// When all have read what waits for them, they agree on who is where.
    fn agree(&mut self) {
        self.world.stalled.clear();
        for conn in self.clients.into_iter().flatten() {
            (0..200).for_each(|_| self.world.take_one(conn));
        }
        self.check();
        let named = |id| Some((self.world.hub.holder(id)?, id));
        let live: Vec<_> = IDS.into_iter().filter_map(named).collect();
        let empty = BTreeMap::new();
        for (viewer, own) in &live {
            for (room, peers) in self.views.get(viewer).unwrap_or(&empty) {
                let is_there = |(conn, id): &&(ConnId, &str)| {
                    id != own && self.views.get(conn).is_some_and(|view| view.contains_key(room))
                };
                let there = live.iter().filter(is_there).map(|(_, id)| id.to_string()).collect();
                assert_eq!(*peers, there, "what {own} knows of {room}");
            }
        }
    }

    fn check(&mut self) {
        let closed = &self.world.closed;
        for client in &mut self.clients {
            *client = client.filter(|conn| !closed.contains_key(conn));
        }
        let live: Vec<_> = self.clients.iter().flatten().copied().collect();
        for id in IDS {
            let holder = self.world.hub.holder(id);
            assert!(holder.is_none_or(|conn| live.contains(&conn)), "{id} is held by the dead");
        }
        let stats = self.world.hub.stats();
        assert_eq!(stats.connections, live.len());
        assert!(stats.peers <= live.len() && stats.rooms <= stats.peers * limits().rooms);
        assert!(stats.queued_bytes <= limits().total_queue_bytes);
        for (conn, texts) in std::mem::take(&mut self.world.heard) {
            for text in texts {
                self.hear(conn, &text);
            }
        }
    }

    fn hear(&mut self, conn: ConnId, text: &str) {
        assert!(!text.contains("Zm9yZ2Vk"), "forged: {text}");
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!(r#""{name}":""#))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        self.look(conn, text);
        if !text.contains(r#""type":"data_channel""#) {
            return;
        }
        let from = field("from_id").unwrap();
        let number = field("label").unwrap().parse().unwrap();
        let last = self.heard.insert((from, conn), number).unwrap_or(0);
        assert!(last < number, "{number} after {last}");
    }
}

impl Run {
    fn look(&mut self, conn: ConnId, text: &str) {
        let frame = Frame::read(text, Spelling::Exact).unwrap();
        let view = self.views.entry(conn).or_default();
        match Reply::read(&frame, Dialect::Envelope, Spelling::Exact).unwrap() {
            Reply::Joined { room, peers } => {
                view.insert(room, peers.into_iter().collect());
            }
            Reply::Left { room } => {
                view.remove(&room);
            }
            Reply::Unregistered { .. } => view.clear(),
            Reply::Presence { room, peer, state } => {
                let peers = view.get_mut(&room).expect("told of rooms that it is in only");
                let news = match state {
                    Presence::Joined => peers.insert(peer),
                    Presence::Left => peers.remove(&peer),
                };
                assert!(news, "told once: {text}");
            }
            Reply::Registered { id, token } => {
                self.tokens.extend(token.map(|token| (id, token)));
            }
            Reply::Forward(_) | Reply::Refused(_) => {}
        }
    }
}

/// Small, so that a short run reaches them.
fn limits() -> Limits {
    Limits {
        connections: 4,
        rooms: 2,
        room_peers: 3,
        messages: Rate { per_second: 20, burst: 60 },
        membership_cost: 2,
        refusals: Rate { per_second: 1, burst: 8 },
        queue_messages: 8,
        queue_bytes: 1000,
        total_queue_bytes: 1500,
        own_messages: 6,
        own_bytes: 900,
        in_flight: 3,
        ..Limits::default()
    }
}

fn run(policies: Policies, acts: Vec<(usize, Act)>) -> Run {
    let world = World::new(Config { limits: limits(), policies: policies.clone(), ..safe() });
    let mut run = Run {
        world,
        clients: [None; CLIENTS],
        sent: 0,
        heard: BTreeMap::new(),
        views: BTreeMap::new(),
        tokens: BTreeMap::new(),
        policies,
    };
    let begin = (0..3).flat_map(|who| [(who, Act::Connect), (who, Act::Register(who))]);
    // One of them is told more than it takes.
    let slow = [(0, Act::Join(0)), (0, Act::Stall), (1, Act::Flap(0, 3)), (2, Act::Join(0))];
    for (who, act) in begin.chain(slow).chain(acts) {
        run.act(who, act);
        run.check();
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hub_stays_sound_and_forgets_what_is_over(
        acts in prop::collection::vec(act(), 1..80),
        go in any::<bool>(),
    ) {
        let mut run = run(if go { Policies::GO_COMPAT } else { Policies::SAFE }, acts);
        run.agree();
        for conn in std::mem::take(&mut run.clients).into_iter().flatten() {
            run.world.leave(conn);
        }
        let stats = run.world.hub.stats();
        prop_assert_eq!((stats.connections, stats.peers, stats.rooms, stats.queued_bytes), (0, 0, 0, 0));
        prop_assert_eq!(run.world.hub.poll_timeout(), None);
    }

    #[test]
    fn any_text_is_answered_or_passed_over(
        texts in prop::collection::vec(junk(), 1..20),
        go in any::<bool>(),
    ) {
        let policies = if go { Policies::GO_COMPAT } else { Policies::SAFE };
        let mut world = World::new(Config { policies, ..safe() });
        let conn = world.connect();
        for text in texts {
            world.say(conn, &text);
            let answers = world.heard.remove(&conn).map_or(0, |texts| texts.len());
            prop_assert!(answers <= 1, "one answer at most");
        }
        prop_assert!(world.closed.is_empty());
    }
}

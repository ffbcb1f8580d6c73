//! Signalling: a hub with clients that say and do anything, and a client whose hub does.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use smoq_signal::{
    Client, ClientConfig, ClientOutput, Config, ConnId, Hub, Limits, Output, Policies, Rate, Time,
    wire::{Candidate, Description, Dialect, Payload, SdpType},
};

use crate::Input;

/// Ids that clients are likely to take.
const IDS: [&str; 3] = ["a", "b", "c"];

/// A hub: its policies, then steps. A step is a byte for what is done, one for who does it, and, if something is
/// said, its length and its text.
pub fn signal_hub(data: &[u8]) {
    let mut input = Input(data);
    let go = input.byte().is_some_and(|byte| byte % 2 == 1);
    let policies = if go { Policies::GO_COMPAT } else { Policies::SAFE };
    let mut world = World::new(policies);
    while let Some(step) = input.byte() {
        world.step(step, &mut input);
        world.drain();
        world.check();
    }
    for conn in std::mem::take(&mut world.live) {
        world.hub.handle_disconnect(world.now, conn);
    }
    let stats = world.hub.stats();
    assert_eq!((stats.connections, stats.peers, stats.rooms, stats.queued_bytes), (0, 0, 0, 0));
}

struct World {
    hub: Hub,
    now: Time,
    live: BTreeSet<ConnId>,
    /// What the hub gave out and nobody has taken yet.
    given: VecDeque<ConnId>,
}

impl World {
    fn new(policies: Policies) -> Self {
        let config = Config { limits: limits(), policies, ..Config::default() };
        let (live, given) = (BTreeSet::new(), VecDeque::new());
        Self { hub: Hub::new(config), now: Time::ZERO, live, given }
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        let now = self.now;
        let who = usize::from(input.byte().unwrap_or_default());
        let conn = self.live.iter().nth(who % self.live.len().max(1)).copied();
        match (step % 8, conn) {
            (0, _) => {
                let address = [192, 0, 2, (who % 4) as u8].into();
                self.live.extend(self.hub.handle_connect(now, address, [who as u8; 28]));
            }
            (1 | 2, Some(conn)) => {
                let text = String::from_utf8_lossy(input.counted().unwrap_or_default());
                self.hub.handle_message(now, conn, &text);
            }
            (3, _) => {
                if let Some(conn) = self.given.pop_front() {
                    self.hub.handle_sent(now, conn);
                }
            }
            (4, Some(conn)) => self.hub.handle_alive(now, conn),
            (5, Some(conn)) => {
                self.hub.handle_disconnect(now, conn);
                self.live.remove(&conn);
            }
            (6, _) => {
                self.now = now.after(Duration::from_millis(100 * who as u64));
                self.hub.handle_timeout(self.now);
            }
            (7, _) if who == 0xff => self.hub.shutdown(now),
            _ => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { conn, .. } => {
                    assert!(self.live.contains(&conn), "said to somebody who is there");
                    self.given.push_back(conn);
                }
                Output::Ping { conn } => assert!(self.live.contains(&conn)),
                Output::Close { conn, .. } => assert!(self.live.remove(&conn), "closed once"),
                Output::Event(_) => {}
            }
        }
    }

    fn check(&self) {
        let (stats, limits) = (self.hub.stats(), limits());
        assert_eq!(stats.connections, self.live.len());
        assert!(stats.queued_bytes <= limits.total_queue_bytes);
        assert!(stats.rooms <= stats.peers * limits.rooms);
        for id in IDS {
            assert!(self.hub.holder(id).is_none_or(|conn| self.live.contains(&conn)));
        }
    }
}

/// So small that scripts reach them.
fn limits() -> Limits {
    Limits {
        connections: 4,
        rooms: 2,
        room_peers: 3,
        messages: Rate { per_second: 20, burst: 60 },
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

/// A client: the form it speaks and whether it has an id, then steps like those of [`signal_hub`].
pub fn signal_client(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte().unwrap_or_default();
    let dialect = match kind % 3 {
        0 => Dialect::Envelope,
        1 => Dialect::Raw,
        _ => Dialect::Legacy,
    };
    let id = (kind < 0x80).then(|| "b".to_owned());
    let rooms = vec!["room".into()];
    let entropy = [7; 28];
    let mut client = Client::new(ClientConfig { id, dialect, rooms, entropy, wall_micros: 0 });
    let mut now = Time::ZERO;
    // Whether a connection was asked for, and is there.
    let (mut wanted, mut there) = (false, false);
    loop {
        let mut said = 0;
        while let Some(output) = client.poll_output() {
            match output {
                ClientOutput::Connect => {
                    assert!(!wanted && !there, "one connection at a time");
                    wanted = true;
                }
                ClientOutput::Send(_) => {
                    assert!(there, "only where there is a connection");
                    said += 1;
                    assert!(said < 100, "little at once");
                }
                ClientOutput::Close => (wanted, there) = (false, false),
                ClientOutput::Event(_) => {}
            }
        }
        let Some(step) = input.byte() else { return };
        match step % 8 {
            0 if wanted => {
                (wanted, there) = (false, true);
                client.handle_connected(now);
            }
            1 | 2 if there => {
                let text = String::from_utf8_lossy(input.counted().unwrap_or_default());
                client.handle_message(now, &text);
            }
            3 => {
                let time = Duration::from_millis(100 * u64::from(input.byte().unwrap_or_default()));
                now = now.after(time);
                client.handle_timeout(now);
            }
            4 if wanted || there => {
                (wanted, there) = (false, false);
                client.handle_disconnected(now, input.byte().map(|byte| 3800 + u16::from(byte)));
            }
            5 | 6 => {
                let what = input.byte().unwrap_or_default();
                let to = IDS[usize::from(what / 4) % IDS.len()];
                // Without a registration there is nobody to say it for.
                let _ = client.send(now, to, payload(what));
            }
            7 => client.handle_alive(now),
            _ => {}
        }
    }
}

fn payload(what: u8) -> Payload {
    let describe =
        |kind, json: &str| Payload::Sdp(Some(Description { kind: Some(kind), json: json.into() }));
    match what % 4 {
        0 => describe(SdpType::Offer, r#"{"type":"offer","sdp":"v=0"}"#),
        1 => describe(SdpType::Answer, r#"{"type":"answer","sdp":"v=0"}"#),
        2 => {
            let candidate = "candidate:1 1 udp 1 127.0.0.1 9 typ host".into();
            Payload::Candidate(Some(Candidate { candidate, ..Candidate::default() }))
        }
        _ => Payload::Data { label: "chat".into(), bytes: Some(vec![what]) },
    }
}

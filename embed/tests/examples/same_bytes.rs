//! The scripted session, driven by the loops of the examples: its streams are those of every driver.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use smoq_core::{Discover, Event as Core, Version, wire::SessionCode};
use smoq_embed_examples::{App, Error, Peer, pair};
use smoq_quic::{Endpoint, EndpointConfig, Event, tape::streams};
use smoq_sim::Scripted;

use crate::{blocking, mio_loop, support::in_time};

/// What `runtime/tests/suite` compares with.
const GOLDEN: &str = include_str!("../../../runtime/tests/suite/session.txt");

/// What drives both sides, the server first, until they are done.
type Drive = fn([Peer; 2], [Side; 2]) -> Result<[Side; 2], Error>;

/// One side of the session.
struct Side {
    scripted: Scripted,
    server: bool,
    /// What the server and the client have done.
    done: Arc<[AtomicBool; 2]>,
    over: bool,
    /// What the node has recorded so far.
    recording: Vec<u8>,
}

impl App for Side {
    fn act(&mut self, endpoint: &mut Endpoint, now: Instant) -> Result<bool, Error> {
        let mut acted = false;
        while let Some(event) = endpoint.poll_event() {
            acted = true;
            match event {
                Event::ConnectFailed { error, .. } => return Err(error.into()),
                Event::Core(Core::Closed { .. }) => self.over = true,
                Event::Connected { .. } | Event::Core(_) | Event::Link(_) => {}
            }
        }
        let time = endpoint.time(now);
        if !self.over && self.scripted.poll(endpoint.node_mut(), time) {
            self.done[usize::from(self.server)].store(true, Ordering::SeqCst);
            if !self.server && self.done.iter().all(|done| done.load(Ordering::SeqCst)) {
                endpoint.close_all(now, SessionCode::NO_ERROR, "");
            }
        }
        self.recording.extend(endpoint.node_mut().take_recording());
        Ok(acted)
    }

    fn is_over(&self, endpoint: &Endpoint) -> bool {
        self.over && endpoint.is_idle()
    }
}

/// What the server's streams had when a loop has driven both sides.
fn session(version: Version, drive: Drive) -> String {
    let now = Instant::now();
    let mut peers = pair(now, |config: &mut EndpointConfig| {
        let is_server = config.server.is_some();
        config.node = Scripted::config(is_server);
        config.record = is_server.then_some(u64::MAX);
        // A client that sleeps has to look whether the server has everything.
        config.transport.keep_alive = Duration::from_millis(20);
        if let Some(server) = &mut config.server {
            server.versions = vec![version];
            server.discover = Discover::OnDemand;
        }
    })
    .unwrap();
    let done = Arc::new([const { AtomicBool::new(false) }; 2]);
    let mut sides = [true, false].into_iter();
    let sides = peers.each_mut().map(|Peer { endpoint, .. }| {
        let (server, time) = (sides.next().unwrap(), endpoint.time(now));
        let scripted = Scripted::new(endpoint.node_mut(), time, server);
        Side { scripted, server, done: done.clone(), over: false, recording: Vec::new() }
    });
    let [server, _] = in_time(move || drive(peers, sides)).unwrap();
    assert!(server.done.iter().all(|done| done.load(Ordering::SeqCst)), "it was closed early");
    streams(server.recording.into()).unwrap()
}

fn compare(drive: Drive) {
    let sections = Version::ALL.map(|version| format!("{version}\n{}", session(version, drive)));
    let found = sections.concat();
    assert_eq!(found, GOLDEN, "found:\n{found}");
}

#[test]
fn of_threads_that_block() {
    compare(|[server, client], [answer, ask]| {
        let server = thread::spawn(|| blocking::drive(server, answer));
        let client = blocking::drive(client, ask)?;
        Ok([server.join().expect("the server's thread goes on")?, client])
    });
}

#[test]
fn of_a_mio_loop() {
    compare(mio_loop::drive);
}

//! A game: two players tell each other where they are, 60 times a second.
//!
//!     cargo run -p smoq-embed-examples --example game_loop
//!     cargo run -p smoq-embed-examples --example game_loop -- moqt://127.0.0.1:4443 FINGERPRINT
//!
//! The network gets a slice of each frame; what does not fit waits for the next, which is late, never wrong.

use std::{
    io::ErrorKind,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use smoq_core::{
    Announced, Event as Core, Frames, Id, NextFrame, Path, SubscribeOptions, Track, Watcher,
    wire::{SessionCode, TrackInfo},
};
use smoq_embed_examples::{DATAGRAM, Error, Peer, Relay, peers};
use smoq_quic::{Endpoint, Event, Transmit};

/// What the screen gives us for a frame, and what of it the network may use.
const FRAME: Duration = Duration::from_millis(16);
const BUDGET: Duration = Duration::from_millis(4);
/// Positions that a player wants to see of the other one.
const ENOUGH: usize = 10;

struct Player {
    endpoint: Endpoint,
    socket: UdpSocket,
    /// Where it says where it is.
    track: Id<Track>,
    watcher: Id<Watcher>,
    /// Where it hears of the other one.
    other: Option<Frames>,
    seen: Vec<String>,
    outbox: Vec<u8>,
    /// What `outbox` holds that a full socket refused.
    held: Option<Transmit>,
}

impl Player {
    fn new(peer: Peer, name: &str, other: &str, now: Instant) -> Result<Self, Error> {
        let Peer { mut endpoint, socket } = peer;
        socket.set_nonblocking(true)?;
        let (time, node) = (endpoint.time(now), endpoint.node_mut());
        let broadcast = node.create_broadcast(time, &Path::new(name)?)?;
        let track = node.create_track(time, broadcast, "position", TrackInfo::default())?;
        node.announce(time, broadcast)?;
        let watcher = node.watch(time, &Path::new(other)?);
        let (other, seen, outbox, held) = (None, Vec::new(), Vec::new(), None);
        Ok(Self { endpoint, socket, track, watcher, other, seen, outbox, held })
    }

    /// What the network gets of a frame.
    fn network(&mut self, inbox: &mut [u8]) -> Result<(), Error> {
        let deadline = Instant::now() + BUDGET / 2; // what arrives must not keep us from sending
        while Instant::now() < deadline {
            match self.socket.recv_from(inbox) {
                Ok((size, remote)) => {
                    let (now, data) = (Instant::now(), BytesMut::from(&inbox[..size]));
                    self.endpoint.handle_datagram(now, remote, None, 0, data);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let now = Instant::now();
        self.endpoint.handle_timeout(now);
        while now.elapsed() < BUDGET / 2 {
            let held = self.held.take();
            let next = held.or_else(|| self.endpoint.poll_transmit(now, 1, &mut self.outbox));
            let Some(transmit) = next else { break };
            match self.socket.send_to(&self.outbox, transmit.remote) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.held = Some(transmit);
                    break;
                }
                Err(error) => self.endpoint.handle_send_error(now, transmit.remote, &error),
            }
        }
        Ok(())
    }

    /// What the game does in a frame: says where this player is, and looks where the other one is.
    fn play(&mut self, tick: u64, now: Instant) -> Result<(), Error> {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::ConnectFailed { error, .. } => return Err(error.into()),
                Event::Core(Core::Closed { closed, .. }) => {
                    Err(format!("closed: {}", closed.code))?
                }
                // All other ones say when to look, and a game looks in each frame.
                Event::Connected { .. } | Event::Core(_) | Event::Link(_) => {}
            }
        }
        let (time, node) = (self.endpoint.time(now), self.endpoint.node_mut());
        // A position is a group: who is late skips to the newest.
        let (group, _) = node.create_group(time, self.track, None)?;
        node.write_frame(time, group, tick * 16, format!("x = {tick}").into())?;
        node.finish_group(time, group)?;

        if let Some(Announced::Active { path, .. }) = node.poll_announced(self.watcher)? {
            let reader = node.subscribe(time, &path, "position", SubscribeOptions::default())?;
            self.other = Some(Frames::new(reader));
        }
        while let Some(other) = &mut self.other {
            match other.next(node, time)? {
                NextFrame::Frame(frame) => self.seen.push(String::from_utf8(frame.payload.into())?),
                NextFrame::GroupEnd { .. } => {}
                NextFrame::Pending => break,
                // Until that player is announced again.
                NextFrame::End | NextFrame::Failed(_) => self.other = None,
            }
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a sleep stands for waiting for the screen")]
pub(crate) fn run(relay: Option<Relay>) -> Result<Vec<String>, Error> {
    let start = Instant::now();
    let [one, two] = peers(relay, start)?;
    let one = Player::new(one, "game/one", "game/two", start)?;
    let two = Player::new(two, "game/two", "game/one", start)?;
    let (mut players, mut inbox, mut tick) = ([one, two], vec![0; DATAGRAM], 0);
    while players.iter().any(|player| player.seen.len() < ENOUGH) {
        let frame = Instant::now();
        for player in &mut players {
            player.play(tick, frame)?;
            player.network(&mut inbox)?;
        }
        tick += 1;
        thread::sleep(FRAME.saturating_sub(frame.elapsed()));
    }
    for player in &mut players {
        player.endpoint.close_all(Instant::now(), SessionCode::NO_ERROR, "game over");
        player.network(&mut inbox)?;
    }
    let [one, _] = players;
    Ok(one.seen)
}

fn main() -> Result<(), Error> {
    run(Relay::from_args()?)?.iter().for_each(|position| println!("{position}"));
    Ok(())
}

//! The other end: a client that registers, comes back when it is cut off, and hands over what peers send
//! in an order that can be used.

mod calls;
mod output;

use alloc::{collections::VecDeque, string::String};
use core::time::Duration;

use smoq_core::Time;

use crate::{
    hub::CloseReason,
    id::{id_of, spell, token_of},
    wire::{
        About, Dialect, Forward, Frame, Payload, Presence, Refused, Reply, Request, Spelling,
        Stamp, Timestamp,
    },
};
use calls::Calls;

pub use output::{ClientConfig, ClientEvent, ClientOutput, Unregistered};

/// A hub pings every 15 s; one that says nothing for so long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a hub may take to answer the registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause before it connects again; each failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no connection until then.
    Waiting(Time),
    /// The embedder connects.
    Connecting,
    /// The hub must answer until then.
    Registering(Time),
    Registered,
    /// Nothing follows.
    Ended,
}

/// The client's half of the signalling.
///
/// Drive it like the [`Hub`](crate::Hub): `handle_` verbs with the time, then
/// [`poll_output`](Self::poll_output) until there is nothing, and
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
    id: Option<String>,
    /// Whether it was registered before.
    known: bool,
    state: State,
    heard: Time,
    pause: Duration,
    random: u64,
    messages: u32,
    calls: Calls,
    outputs: VecDeque<ClientOutput>,
}

impl Client {
    /// A client that wants to connect.
    pub fn new(config: ClientConfig) -> Self {
        let id = config.id.clone().or_else(|| match config.dialect {
            Dialect::Envelope => Some(id_of(&config.entropy)),
            Dialect::Raw | Dialect::Legacy => None,
        });
        let seed =
            config.entropy.iter().fold(0, |seed: u64, b| seed.rotate_left(8) ^ u64::from(*b));
        Self {
            config,
            id,
            known: false,
            state: State::Connecting,
            heard: Time::ZERO,
            pause: FIRST_PAUSE,
            random: seed | 1,
            messages: 0,
            calls: Calls::default(),
            outputs: [ClientOutput::Connect].into(),
        }
    }

    /// The id, if there is one yet.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The connection is there.
    pub fn handle_connected(&mut self, now: Time) {
        let State::Connecting = self.state else { return };
        self.state = State::Registering(now.after(REGISTER_TIMEOUT));
        self.heard = now;
        // The same each time: if the answer to an earlier one was lost, the hub may still hold the id.
        let token = Some(token_of(&self.config.entropy));
        self.say(now, &Request::Register { id: self.id.clone(), token });
    }

    /// The connection is over or could not be made; `code` is that of the hub's close frame. Only for the
    /// connection that was asked for last: once there is another one, the ends of those before are not told.
    pub fn handle_disconnected(&mut self, now: Time, code: Option<u16>) {
        match self.state {
            State::Waiting(_) | State::Ended => {}
            State::Connecting | State::Registering(_) | State::Registered
                if code == Some(CloseReason::Replaced.code()) =>
            {
                self.state = State::Ended;
                self.event(ClientEvent::Replaced);
            }
            State::Connecting | State::Registering(_) | State::Registered => {
                self.event(ClientEvent::Disconnected);
                self.wait(now);
            }
        }
    }

    /// The hub gave a sign of life that is no message: a ping or a pong.
    pub fn handle_alive(&mut self, now: Time) {
        self.heard = now;
    }

    /// The hub said something. What cannot be understood is passed over, as a later version may know it.
    pub fn handle_message(&mut self, now: Time, text: &str) {
        let (State::Registering(_) | State::Registered) = self.state else { return };
        self.heard = now;
        let dialect = self.config.dialect;
        let spelling = dialect.spelling(Spelling::Exact);
        let Ok(frame) = Frame::read(text, spelling) else { return };
        let Ok(reply) = Reply::read(&frame, dialect, spelling) else { return };
        match reply {
            Reply::Registered { id, token: _ } => self.registered(now, id),
            Reply::Refused(refused) if matches!(refused.about, About::Register(_)) => {
                self.not_registered(now, refused);
            }
            Reply::Refused(refused) => {
                refused.target.iter().for_each(|peer| self.calls.doubt(peer));
                self.event(ClientEvent::Refused(refused));
            }
            Reply::Forward(forward) => self.received(forward),
            Reply::Joined { room, peers } => self.event(ClientEvent::Joined { room, peers }),
            Reply::Presence { room, peer, state } => {
                // It may have lost its connection only, and come back to go on.
                if state == Presence::Left {
                    self.calls.doubt(&peer);
                }
                self.event(ClientEvent::Presence { room, peer, state });
            }
            Reply::Unregistered { .. } | Reply::Left { .. } => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::Waiting(_) => {
                self.state = State::Connecting;
                self.outputs.push_back(ClientOutput::Connect);
            }
            State::Registering(_) | State::Registered => {
                self.outputs.push_back(ClientOutput::Close);
                self.event(ClientEvent::Disconnected);
                self.wait(now);
            }
            State::Connecting | State::Ended => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Registering(until) => Some(until),
            State::Registered => Some(self.heard.after(IDLE_TIMEOUT)),
            State::Connecting | State::Ended => None,
        }
    }

    /// The next thing to do. To be called until there is none, after each input.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// Sends something to a peer.
    pub fn send(
        &mut self,
        now: Time,
        to: impl Into<String>,
        payload: Payload,
    ) -> Result<(), Unregistered> {
        let (State::Registered, Some(id)) = (self.state, self.id.clone()) else {
            return Err(Unregistered);
        };
        let to = to.into();
        if let Payload::Sdp(Some(description)) = &payload {
            self.calls.sent(&to, description.kind);
        }
        self.say(now, &Request::Forward(Forward::new(id, to, payload)));
        Ok(())
    }

    /// Comes into a room, also after each later registration.
    pub fn join(&mut self, now: Time, room: impl Into<String>) {
        let room = room.into();
        if self.state == State::Registered {
            self.say(now, &Request::Join { room: room.clone() });
        }
        if !self.config.rooms.contains(&room) {
            self.config.rooms.push(room);
        }
    }

    /// Leaves a room.
    pub fn leave(&mut self, now: Time, room: &str) {
        self.config.rooms.retain(|joined| joined != room);
        if self.state == State::Registered {
            self.say(now, &Request::Leave { room: room.into() });
        }
    }

    /// Ends: unregisters and closes the connection.
    pub fn close(&mut self, now: Time) {
        match (self.state, self.id.clone()) {
            (State::Registered, Some(id)) => {
                self.say(now, &Request::Unregister { id });
                self.outputs.push_back(ClientOutput::Close);
            }
            (State::Registering(_) | State::Registered | State::Connecting, _) => {
                self.outputs.push_back(ClientOutput::Close);
            }
            (State::Waiting(_) | State::Ended, _) => {}
        }
        self.state = State::Ended;
    }

    fn registered(&mut self, now: Time, id: String) {
        // A hub answers again if it was asked again.
        let State::Registering(_) = self.state else { return };
        self.state = State::Registered;
        self.pause = FIRST_PAUSE;
        self.id = Some(id.clone());
        self.known = true;
        self.event(ClientEvent::Registered { id });
        for room in self.config.rooms.clone() {
            self.say(now, &Request::Join { room });
        }
    }

    fn not_registered(&mut self, now: Time, refused: Refused) {
        let State::Registering(_) = self.state else { return };
        // Whoever has the id now may leave again.
        let again = self.known;
        self.event(ClientEvent::NotRegistered { refused, again });
        self.outputs.push_back(ClientOutput::Close);
        if again {
            self.wait(now);
        } else {
            self.state = State::Ended;
        }
    }

    fn received(&mut self, forward: Forward) {
        let Forward { from, payload, .. } = forward;
        match payload {
            Payload::Sdp(Some(description)) => {
                let own = self.id.as_deref().unwrap_or_default();
                let events = self.calls.description(own, &from, description);
                self.outputs.extend(events.into_iter().map(ClientOutput::Event));
            }
            Payload::Candidate(Some(candidate)) => {
                if let Some(event) = self.calls.candidate(&from, candidate) {
                    self.event(event);
                }
            }
            Payload::Data { label, bytes: Some(bytes) } => {
                self.event(ClientEvent::Data { from, label, bytes });
            }
            Payload::Sdp(None) | Payload::Candidate(None) | Payload::Data { bytes: None, .. } => {}
        }
    }

    fn say(&mut self, now: Time, request: &Request) {
        self.messages = self.messages.wrapping_add(1);
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.config.entropy[..8]);
        id[8..].copy_from_slice(&self.messages.to_be_bytes());
        let micros = self.config.wall_micros.saturating_add(now.as_micros());
        let stamp = Stamp { id: spell(&id), timestamp: Timestamp::from_unix_micros(micros) };
        self.outputs.push_back(ClientOutput::Send(request.write(self.config.dialect, &stamp)));
    }

    fn event(&mut self, event: ClientEvent) {
        self.outputs.push_back(ClientOutput::Event(event));
    }

    /// The connection is over: waits for half the pause to all of it, so that the clients of a hub that
    /// failed do not come back at the same moment.
    fn wait(&mut self, now: Time) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = self.pause / 2;
        let spread = self.random % (half.as_micros() as u64).max(1);
        self.state = State::Waiting(now.after(half + Duration::from_micros(spread)));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.calls.doubt_all();
    }
}

//! A peer: its client at the hub, its sockets and its calls.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use smoq_signal::{
    Client, ClientEvent, ClientOutput, Time, Unregistered,
    wire::{Description, Payload, Presence, Refused, SdpType},
};
use str0m::{
    Candidate, Input,
    config::CryptoProvider,
    net::{Protocol, Receive},
};

use crate::{
    call::{Call, Do},
    channels::{MOST_LABEL, MOST_MESSAGE},
    clock::Clock,
    gather::Gather,
    media::{Frame, Kind},
    output::{
        CallError, Channel, ChannelId, Config, End, Event, Message, Output, SendError, State, Stats,
    },
    random::Random,
    rate::Rate,
};

/// The label of the channel that every call begins with.
pub const CHAT: &str = "chat";

/// Calls at a time. Anybody at the hub can begin one.
const MOST_CALLS: usize = 32;
/// Addresses of this end: its sockets, and how the world sees them.
const MOST_LOCALS: usize = 32;
/// What the hub says of a target that it does not know.
const UNKNOWN_TARGET: &str = "unknown_target";

/// One end of calls with data channels.
///
/// Drive it like [`Client`]: `handle_` verbs with the time, then [`poll_output`](Self::poll_output) until
/// there is nothing, and [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so. The time must not go backwards.
pub struct Peer {
    client: Client,
    registered: bool,
    crypto: Arc<CryptoProvider>,
    stun: Vec<SocketAddr>,
    media: Vec<Kind>,
    clock: Clock,
    random: Random,
    gather: Gather,
    rate: Rate,
    locals: Vec<Candidate>,
    calls: BTreeMap<String, Call>,
    /// How many calls there were.
    numbers: u32,
    outputs: VecDeque<Output>,
}

impl Peer {
    /// A peer that wants to connect to the hub. `zero` is the moment of [`Time::ZERO`].
    pub fn new(config: Config, zero: Instant) -> Self {
        let random = Random::new(&config.signal.entropy);
        let mut peer = Self {
            client: Client::new(config.signal),
            registered: false,
            crypto: config.crypto,
            stun: config.stun,
            media: config.media,
            clock: Clock { zero },
            random,
            gather: Gather::default(),
            rate: Rate::new(),
            locals: Vec::new(),
            calls: BTreeMap::new(),
            numbers: 0,
            outputs: VecDeque::new(),
        };
        peer.listen_to_client(Time::ZERO);
        peer
    }

    /// The id at the hub, if there is one yet.
    pub fn id(&self) -> Option<&str> {
        self.client.id()
    }

    /// There is a UDP socket at an address, which must be that of an interface, not an unspecified one.
    /// Peers are told of it, and STUN servers are asked how the world sees it.
    pub fn add_socket(&mut self, now: Time, socket: SocketAddr) {
        if let Ok(candidate) = Candidate::host(socket, "udp") {
            self.add_local(now, candidate);
        }
        self.gather.ask(now, socket, &self.stun, &mut self.random);
    }

    /// The connection to the hub is there.
    pub fn handle_hub_connected(&mut self, now: Time) {
        self.client.handle_connected(now);
        self.listen_to_client(now);
    }

    /// The connection to the hub is over, or could not be made; see [`Client::handle_disconnected`].
    pub fn handle_hub_disconnected(&mut self, now: Time, code: Option<u16>) {
        self.client.handle_disconnected(now, code);
        self.listen_to_client(now);
    }

    /// The hub said something.
    pub fn handle_hub_message(&mut self, now: Time, text: &str) {
        self.client.handle_message(now, text);
        self.listen_to_client(now);
    }

    /// The hub gave a sign of life that is no message.
    pub fn handle_hub_alive(&mut self, now: Time) {
        self.client.handle_alive(now);
    }

    /// A datagram came to one of the sockets. What nobody waits for is passed over.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        socket: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        let random = &mut self.random;
        if let Some(seen) = self.gather.handle_datagram(now, socket, from, datagram, random) {
            let candidate = |seen| Candidate::server_reflexive(seen, socket, "udp").ok();
            if let Some(old) = seen.before.filter(|before| *before != seen.now).and_then(candidate)
            {
                // Nobody who calls from now on would reach this peer there.
                self.locals.retain(|local| *local != old);
            }
            if let Some(candidate) = candidate(seen.now) {
                self.add_local(now, candidate);
            }
            return;
        }
        let Ok(receive) = Receive::new(Protocol::Udp, from, socket, datagram) else { return };
        let input = Input::Receive(self.clock.instant(now), receive);
        let Some(call) = self.calls.values_mut().find(|call| call.accepts(&input)) else { return };
        call.now = now;
        call.handle_datagram(input);
        self.listen_to_calls(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.client.handle_timeout(now);
        self.listen_to_client(now);
        for (socket, to, datagram) in self.gather.handle_timeout(now) {
            self.outputs.push_back(Output::Transmit { socket, to, datagram });
        }
        for call in self.calls.values_mut() {
            call.now = now;
            call.handle_timeout();
        }
        self.listen_to_calls(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Time> {
        let calls = self.calls.values().filter_map(Call::poll_timeout);
        calls.chain(self.client.poll_timeout()).chain(self.gather.poll_timeout()).min()
    }

    /// The next thing to do. To be called until there is none, after each input and each verb.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Calls another peer. The call has a channel [`CHAT`]. One that has no direct way is begun anew.
    pub fn call(&mut self, now: Time, peer: &str) -> Result<(), CallError> {
        if !self.registered {
            return Err(Unregistered.into());
        }
        if self.id() == Some(peer) {
            return Err(CallError::Oneself);
        }
        match self.calls.get(peer).map(Call::state) {
            Some(State::Hub) => self.hang_up(now, peer),
            Some(State::Calling | State::Connecting | State::Direct) => {
                return Err(CallError::Already);
            }
            None if !self.make_room(now) => {
                return Err(CallError::Full { most: MOST_CALLS });
            }
            None => {}
        }
        let mut call = self.new_call(now, peer);
        call.offer(CHAT);
        self.calls.insert(peer.into(), call);
        self.listen_to_calls(now);
        Ok(())
    }

    /// Ends a call, if there is one. The application is told nothing more of it.
    pub fn hang_up(&mut self, now: Time, peer: &str) {
        let Some(mut call) = self.calls.remove(peer) else { return };
        call.now = now;
        call.hang_up();
        for todo in call.take_todo() {
            if let Do::Transmit { socket, to, datagram } = todo {
                self.outputs.push_back(Output::Transmit { socket, to, datagram });
            }
        }
    }

    /// Opens a channel beside those that a call has. An empty `protocol` is for messages.
    pub fn open(
        &mut self,
        now: Time,
        peer: &str,
        label: &str,
        protocol: &str,
    ) -> Result<ChannelId, SendError> {
        let call = self.with(now, peer)?;
        let id = call.open(label, protocol)?;
        self.listen_to_calls(now);
        Ok(id)
    }

    /// Closes a channel. The application is told nothing more of it.
    pub fn close_channel(&mut self, now: Time, channel: ChannelId) -> Result<(), SendError> {
        self.having(now, channel)?.close_channel(channel)?;
        self.listen_to_calls(now);
        Ok(())
    }

    /// Sends a message on the channel of a label: when it is open, or through the hub when the call has no
    /// direct way. What is sent before waits; there is a bound to it.
    pub fn send(
        &mut self,
        now: Time,
        peer: &str,
        label: &str,
        message: Message,
    ) -> Result<(), SendError> {
        let registered = self.registered;
        let call = self.with(now, peer)?;
        if call.state() == State::Hub && !registered {
            return Err(Unregistered.into());
        }
        call.send(label, message)?;
        self.listen_to_calls(now);
        Ok(())
    }

    /// Writes on an open channel. `false` if it has no room: [`Event::Writable`] tells when to try again.
    pub fn write(
        &mut self,
        now: Time,
        channel: ChannelId,
        message: &Message,
    ) -> Result<bool, SendError> {
        let taken = self.having(now, channel)?.write(channel, message)?;
        self.listen_to_calls(now);
        Ok(taken)
    }

    /// Sends a frame to all who take its kind; see [`takes`](Self::takes). It must be one of
    /// [`Config::media`]. What cannot be sent at once is lost.
    pub fn send_frame(&mut self, now: Time, frame: &Frame) {
        for call in self.calls.values_mut() {
            call.now = now;
            call.send_frame(frame);
        }
        self.listen_to_calls(now);
    }

    /// Whether anybody takes frames of a kind and has a direct way for them, or may soon, so that it is worth while to make some.
    pub fn takes(&self, kind: Kind) -> bool {
        self.calls.values().any(|call| call.takes(kind))
    }

    /// With whom there is a call.
    pub fn calls(&self) -> impl Iterator<Item = (&str, Stats)> {
        self.calls.iter().map(|(peer, call)| (peer.as_str(), call.stats()))
    }

    /// The channels of a call. Empty if there is none.
    pub fn channels(&self, peer: &str) -> Vec<Channel> {
        self.calls.get(peer).map(Call::channels).unwrap_or_default()
    }

    /// Whether something that was sent has not arrived yet, as far as that is known. What goes through the
    /// hub has when it was given to the hub.
    pub fn has_unsent(&mut self) -> bool {
        self.calls.values_mut().any(Call::has_unsent)
    }

    /// Ends all calls and leaves the hub. What remains to be done is in the outputs.
    pub fn close(&mut self, now: Time) {
        for peer in self.calls.keys().cloned().collect::<Vec<_>>() {
            self.hang_up(now, &peer);
        }
        self.client.close(now);
        self.listen_to_client(now);
    }

    fn with(&mut self, now: Time, peer: &str) -> Result<&mut Call, SendError> {
        let call = self.calls.get_mut(peer).ok_or(SendError::NoCall)?;
        call.now = now;
        Ok(call)
    }

    fn having(&mut self, now: Time, channel: ChannelId) -> Result<&mut Call, SendError> {
        let found = self.calls.values_mut().find(|call| call.has(channel));
        let call = found.ok_or(SendError::NoChannel)?;
        call.now = now;
        Ok(call)
    }

    fn new_call(&mut self, now: Time, peer: &str) -> Call {
        self.numbers += 1;
        let (clock, crypto) = (self.clock, &self.crypto);
        Call::new(now, self.numbers, peer, clock, crypto, &self.locals, &self.media)
    }

    fn add_local(&mut self, now: Time, candidate: Candidate) {
        if self.locals.len() >= MOST_LOCALS || self.locals.contains(&candidate) {
            return;
        }
        for call in self.calls.values_mut() {
            call.now = now;
            call.add_local(&candidate);
        }
        self.locals.push(candidate);
        self.listen_to_calls(now);
    }

    /// Does what the client wants done.
    fn listen_to_client(&mut self, now: Time) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Connect => self.outputs.push_back(Output::Connect),
                ClientOutput::Send(text) => self.outputs.push_back(Output::Send(text)),
                ClientOutput::Close => self.outputs.push_back(Output::Close),
                ClientOutput::Event(event) => self.handle_client_event(now, event),
            }
        }
    }

    fn handle_client_event(&mut self, now: Time, event: ClientEvent) {
        match &event {
            ClientEvent::Description { from, description } => {
                return self.handle_description(now, from, description);
            }
            ClientEvent::Candidate { from, candidate } => {
                if let Ok(call) = self.with(now, from) {
                    call.handle_presence();
                    call.handle_candidate(candidate);
                    self.listen_to_calls(now);
                }
                return;
            }
            // The peer's offer follows, and takes the place of the call.
            ClientEvent::Rollback { .. } => return,
            ClientEvent::Data { .. } => return self.handle_data(now, event),
            ClientEvent::Refused(Refused { code, target: Some(peer), .. })
                if code == UNKNOWN_TARGET =>
            {
                if self.calls.get(peer).map(Call::state) == Some(State::Calling) {
                    return self.end(now, peer, End::Gone);
                }
                if let Ok(call) = self.with(now, peer) {
                    call.handle_absence();
                }
            }
            ClientEvent::Presence { peer, state, .. } => {
                if let Ok(call) = self.with(now, peer) {
                    match state {
                        Presence::Left => call.handle_absence(),
                        Presence::Joined => call.handle_presence(),
                    }
                }
            }
            ClientEvent::Joined { peers, .. } => {
                for peer in peers {
                    if let Ok(call) = self.with(now, peer) {
                        call.handle_presence();
                    }
                }
            }
            ClientEvent::Registered { .. } => {
                self.registered = true;
                for call in self.calls.values_mut() {
                    call.now = now;
                    call.send_waiting();
                }
                self.listen_to_calls(now);
            }
            // Told once, and not again each time that it cannot be made anew.
            ClientEvent::Disconnected if !self.registered => return,
            ClientEvent::Disconnected
            | ClientEvent::NotRegistered { .. }
            | ClientEvent::Replaced => self.registered = false,
            ClientEvent::Refused(_) => {}
        }
        self.event(Event::Hub(event));
    }

    fn handle_description(&mut self, now: Time, from: &str, description: &Description) {
        if let Ok(call) = self.with(now, from) {
            call.handle_presence();
        }
        match description.kind {
            Some(SdpType::Offer) => self.handle_offer(now, from, description),
            Some(SdpType::Answer) => {
                if let Ok(call) = self.with(now, from) {
                    call.handle_answer(description);
                }
            }
            // A provisional answer is followed by the real one.
            Some(SdpType::Pranswer | SdpType::Rollback) | None => {}
        }
        self.listen_to_calls(now);
    }

    fn handle_offer(&mut self, now: Time, from: &str, offer: &Description) {
        if let Some(call) = self.calls.get_mut(from).filter(|call| !call.is_other(offer)) {
            call.now = now;
            return call.handle_offer(offer);
        }
        if !self.rate.allows(now, from) || !self.calls.contains_key(from) && !self.make_room(now) {
            return;
        }
        let mut call = self.new_call(now, from);
        match self.calls.get(from).map(Call::state) {
            Some(State::Calling) => {
                if let Some(earlier) = self.calls.remove(from) {
                    call.inherit(earlier);
                }
            }
            Some(State::Connecting | State::Direct | State::Hub) => {
                self.end(now, from, End::Restarted);
            }
            None => {}
        }
        call.handle_offer(offer);
        self.calls.insert(from.into(), call);
    }

    /// Whether there is room for another call. Somebody who calls in many names and never comes must not keep
    /// others out, whatever is said through the hub.
    fn make_room(&mut self, now: Time) -> bool {
        if self.calls.len() < MOST_CALLS {
            return true;
        }
        let apart = self.calls.iter().filter(|(_, call)| call.state() == State::Hub);
        let idle = apart.min_by_key(|(_, call)| call.spoken()).map(|(peer, _)| peer.clone());
        let found = idle.is_some();
        if let Some(peer) = idle {
            self.end(now, &peer, End::Idle);
        }
        found
    }

    fn handle_data(&mut self, now: Time, event: ClientEvent) {
        let ClientEvent::Data { from, label, bytes } = event else { return };
        // A hub may pass on more than a channel would.
        if label.len() > MOST_LABEL || bytes.len() > MOST_MESSAGE {
            return;
        }
        if let Ok(call) = self.with(now, &from) {
            call.handle_presence();
            call.count_received();
        }
        let message = Message::from(bytes);
        let protocol = String::new();
        self.event(Event::Message { peer: from, channel: None, label, protocol, message });
    }

    /// Does what the calls want done, and forgets those that are over.
    fn listen_to_calls(&mut self, now: Time) {
        let mut ended = Vec::new();
        for (peer, call) in &mut self.calls {
            for todo in call.take_todo() {
                match todo {
                    Do::Transmit { socket, to, datagram } => {
                        self.outputs.push_back(Output::Transmit { socket, to, datagram });
                    }
                    Do::Event(event) => self.outputs.push_back(Output::Event(event)),
                    // Without the hub it is lost, and the call ends when nobody answers.
                    Do::Signal(payload) => {
                        let _ = self.client.send(now, peer.as_str(), payload);
                    }
                    Do::ThroughHub { label, message } => {
                        let bytes = Some(message.bytes().to_vec());
                        let payload = Payload::Data { label: label.clone(), bytes };
                        match self.client.send(now, peer.as_str(), payload) {
                            Ok(()) => call.count_sent(),
                            // It waited before, so there is room for it.
                            Err(Unregistered) => {
                                let _ = call.wait(&label, message);
                            }
                        }
                    }
                }
            }
            if let Some(end) = call.end() {
                ended.push((peer.clone(), end.clone()));
            }
        }
        for (peer, end) in ended {
            self.calls.remove(&peer);
            self.event(Event::Ended { peer, end });
        }
        self.listen_to_client(now);
    }

    fn end(&mut self, now: Time, peer: &str, end: End) {
        if let Ok(call) = self.with(now, peer) {
            call.finish(end);
            self.listen_to_calls(now);
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

//! One run: what comes from the person, the hub and the network goes to the peer, what it wants is done.

use std::{
    collections::BTreeSet,
    future::pending,
    io,
    net::SocketAddr,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use smoq_p2p::{
    Config, End, Event, Message, Output, Peer, State, Time,
    file::PROTOCOL,
    signal::{ClientEvent, wire::Presence},
};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet, time};

use super::{
    Role,
    command::{Command, HELP, parse},
    console::{self, Screen, Typed},
    files::{Files, Told},
    hub::{HubEvent, Link},
    media::{Coded, Media},
    show,
};
use crate::{failure::Failure, terminal::name};

/// Datagrams that wait to be looked at.
const QUEUE: usize = 1024;
/// Datagrams that are looked at before anything else gets its turn.
const BATCH: usize = 64;
/// Bytes of a datagram. WebRTC's are shorter.
const MOST_DATAGRAM: usize = 2048;
/// How long `quit` waits for what was sent before.
const PARTING: Duration = Duration::from_secs(10);

struct Datagram {
    socket: SocketAddr,
    from: SocketAddr,
    bytes: Vec<u8>,
}

/// When the program ends.
enum Leaving {
    /// Not yet.
    No,
    /// When all is sent, or at that time.
    Until(Option<time::Instant>),
}

pub(super) struct Session {
    peer: Peer,
    zero: Instant,
    link: Link,
    sockets: Vec<(SocketAddr, Arc<UdpSocket>)>,
    datagrams: mpsc::Receiver<Datagram>,
    screen: Screen,
    typed: Option<mpsc::Receiver<Typed>>,
    /// The hub has known the peer. No line is read before, so that a script's first one can be a call.
    is_known: bool,
    files: Files,
    media: Media,
    here: BTreeSet<String>,
    role: Role,
    /// Whom this side has called.
    called: BTreeSet<String>,
    leaving: Leaving,
    failure: Option<Failure>,
    /// The first thing that went wrong, if nobody is there to see it.
    trouble: Option<String>,
    _readers: JoinSet<()>,
}

impl Session {
    pub(super) async fn new(
        config: Config,
        link: Link,
        addresses: &[SocketAddr],
        role: Role,
        files: Files,
        media: Media,
    ) -> Result<Self, Failure> {
        let (sender, datagrams) = mpsc::channel(QUEUE);
        let mut readers = JoinSet::new();
        let mut sockets = Vec::new();
        let zero = Instant::now();
        let mut peer = Peer::new(config, zero);
        for address in addresses {
            // One that is being set up or taken away cannot be used, others can.
            let Ok(socket) = UdpSocket::bind(address).await else { continue };
            let local = socket.local_addr()?;
            let socket = Arc::new(socket);
            readers.spawn(read(socket.clone(), local, sender.clone()));
            sockets.push((local, socket));
            peer.add_socket(Time::ZERO, local);
        }
        if sockets.is_empty() {
            return Err(
                io::Error::other("no address of this machine can be used; see --bind").into()
            );
        }
        Ok(Self {
            peer,
            zero,
            link,
            sockets,
            datagrams,
            screen: Screen::Plain,
            typed: None,
            is_known: false,
            files,
            media,
            here: BTreeSet::new(),
            role,
            called: BTreeSet::new(),
            leaving: Leaving::No,
            failure: None,
            trouble: None,
            _readers: readers,
        })
    }

    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        let mut stop = pin!(stop);
        self.drain().await;
        while !self.is_over() {
            let due = self
                .peer
                .poll_timeout()
                .into_iter()
                .chain(self.files.poll_timeout())
                .min()
                .map(|due| self.zero + Duration::from_micros(due.as_micros()));
            let timer = async {
                match due {
                    Some(due) => time::sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            let parting = async {
                match self.leaving {
                    Leaving::Until(Some(at)) => time::sleep_until(at).await,
                    Leaving::Until(None) | Leaving::No => pending().await,
                }
            };
            let typed = async {
                match &mut self.typed {
                    Some(typed) => typed.recv().await.unwrap_or(Typed::End(true)),
                    None => pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => {
                    // It is ended from outside, so it is no script that has come to its end.
                    self.trouble = None;
                    break;
                }
                () = parting => {
                    self.fail("not all that was sent has arrived in time");
                    break;
                }
                () = timer => {}
                event = self.link.next() => self.handle_hub(event),
                Some(datagram) = self.datagrams.recv() => self.handle_datagram(&datagram),
                typed = typed => self.handle_typed(typed),
                coded = self.media.next() => self.handle_coded(coded),
            }
            for _ in 0..BATCH {
                let Ok(datagram) = self.datagrams.try_recv() else { break };
                self.handle_datagram(&datagram);
                self.drain().await;
            }
            let now = self.now();
            self.peer.handle_timeout(now);
            for told in self.files.handle_timeout(now, &mut self.peer) {
                self.tell(told);
            }
            self.drain().await;
        }
        self.peer.close(self.now());
        self.drain().await;
        self.link.finish().await;
        self.failure.or(self.trouble.map(Failure::Script)).map_or(Ok(()), Err)
    }

    fn now(&self) -> Time {
        let micros = self.zero.elapsed().as_micros();
        Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn is_over(&mut self) -> bool {
        let is_leaving = matches!(self.leaving, Leaving::Until(_));
        self.failure.is_some() || is_leaving && !self.files.are_going() && !self.peer.has_unsent()
    }

    fn handle_hub(&mut self, event: HubEvent) {
        let now = self.now();
        match event {
            HubEvent::Connected => self.peer.handle_hub_connected(now),
            HubEvent::Text(text) => self.peer.handle_hub_message(now, &text),
            HubEvent::Alive => self.peer.handle_hub_alive(now),
            HubEvent::Ended(code, why) => {
                if let (Some(error), false) = (why, self.is_known) {
                    // It never worked: rather tell it than try for ever.
                    self.failure = Some(Failure::NoHub { url: self.link.url(), error });
                }
                self.peer.handle_hub_disconnected(now, code);
            }
        }
    }

    fn handle_datagram(&mut self, datagram: &Datagram) {
        let Datagram { socket, from, bytes } = datagram;
        self.peer.handle_datagram(self.now(), *socket, *from, bytes);
    }

    fn handle_typed(&mut self, typed: Typed) {
        match typed {
            Typed::Line(line, answer) => {
                self.handle_line(&line);
                let _ = answer.send(self.prompt());
            }
            Typed::End(wanted) => {
                self.typed = None;
                if wanted {
                    self.leave(Some(time::Instant::now() + PARTING));
                } else if self.role != Role::Answer && self.media.kinds().is_empty() {
                    self.leave(None);
                }
            }
        }
    }

    fn handle_coded(&mut self, coded: Coded) {
        match coded {
            Coded::Frame(frame) => self.peer.send_frame(self.now(), &frame),
            Coded::Ended(kind) => {
                let kind = show::kind(kind);
                self.screen.say(&format!(
                    "there is no more {kind}: ffmpeg cannot go on; `ffmpeg -i` with the file tells why"
                ));
            }
        }
    }

    /// Says that something went wrong. A script is told by the exit status too.
    fn fail(&mut self, text: &str) {
        self.screen.say(text);
        if self.is_known && matches!(self.screen, Screen::Plain) {
            self.trouble.get_or_insert_with(|| text.into());
        }
    }

    fn tell(&mut self, told: Told) {
        match told {
            Told::News(text) => self.screen.say(&text),
            Told::Failed(text) => self.fail(&text),
        }
    }

    fn leave(&mut self, at: Option<time::Instant>) {
        self.leaving = Leaving::Until(at);
    }

    /// Says whether messages go through the hub.
    fn prompt(&self) -> String {
        if self.role == Role::Offer && self.called.is_empty() {
            return "whom to call> ".into();
        }
        let through_hub = self.peer.calls().any(|(_, stats)| stats.state == State::Hub);
        if through_hub { "(through the hub)> ".into() } else { "> ".into() }
    }

    fn handle_line(&mut self, line: &str) {
        let command = match parse(line) {
            Ok(Some(command)) => command,
            Ok(None) => return,
            Err(_) if self.is_asked(line) => Command::Offer { peer: line.trim().into() },
            Err(error) => return self.fail(&error),
        };
        let now = self.now();
        match command {
            Command::Offer { .. } if self.role == Role::Answer => {
                self.fail("this side waits to be called; with --role peer it can call");
            }
            Command::Offer { peer } => match self.peer.call(now, &peer) {
                Ok(()) => drop(self.called.insert(peer)),
                Err(error) => self.fail(&error.to_string()),
            },
            Command::HangUp { peer } => {
                if !self.peer.calls().any(|(it, _)| it == peer) {
                    return self.fail(&format!("there is no call with {}", name(&peer)));
                }
                self.peer.hang_up(now, &peer);
                self.handle_lost(&peer);
                self.screen.say(&format!("{}: the call is over", name(&peer)));
            }
            Command::Channel { label } => {
                let open = |session: &mut Self, peer: &str| {
                    session.peer.open(now, peer, &label, "").map(drop).map_err(|e| e.to_string())
                };
                self.each_call(None, open);
            }
            Command::Send { label, text } => {
                let send = |session: &mut Self, peer: &str| {
                    let message = Message::Text(text.clone());
                    session.peer.send(now, peer, &label, message).map_err(|error| error.to_string())
                };
                self.each_call(Some(&label), send);
            }
            Command::SendFile { label, path } => {
                let offer = |session: &mut Self, peer: &str| {
                    let Self { peer: p2p, files, .. } = session;
                    if p2p.calls().any(|(it, stats)| it == peer && stats.state == State::Hub) {
                        let peer = name(peer);
                        return Err(format!(
                            "there is no direct way to {peer}, and files do not go through the hub"
                        ));
                    }
                    files.offer(now, p2p, peer, &label, Path::new(&path))
                };
                self.each_call(Some(&label), offer);
            }
            Command::List => self.list(),
            Command::Peers => {
                let text = show::here(self.here.iter());
                self.screen.say(&text);
            }
            Command::Stats => {
                let lines: Vec<_> =
                    self.peer.calls().map(|(peer, it)| show::stats(peer, &it)).collect();
                self.say_all(lines);
            }
            Command::Help => HELP.lines().for_each(|line| self.screen.say(line)),
            Command::Quit => self.leave(Some(time::Instant::now() + PARTING)),
        }
    }

    /// Whether a line can be the answer to the question whom to call.
    fn is_asked(&self, line: &str) -> bool {
        self.role == Role::Offer && self.called.is_empty() && line.split_whitespace().count() == 1
    }

    /// Does something with each call that has a channel of this label, or with each.
    fn each_call(
        &mut self,
        label: Option<&str>,
        mut act: impl FnMut(&mut Self, &str) -> Result<(), String>,
    ) {
        let calls: Vec<_> =
            self.peer.calls().map(|(peer, it)| (peer.to_owned(), it.state)).collect();
        if calls.is_empty() {
            return self.fail("there is no call; `offer PEER` begins one");
        }
        let mut found = false;
        for (peer, state) in calls {
            let channels = self.peer.channels(&peer);
            let is_it = |label: &str| {
                state == State::Hub
                    || channels.iter().any(|it| it.label == label && it.protocol.is_empty())
            };
            if !label.is_none_or(is_it) {
                continue;
            }
            found = true;
            if let Err(error) = act(self, &peer) {
                self.fail(&format!("{}: {error}", name(&peer)));
            }
        }
        if let (false, Some(label)) = (found, label) {
            self.fail(&format!("no call has a channel {label}; `channel {label}` opens one"));
        }
    }

    fn list(&mut self) {
        let line = |(peer, it): (&str, smoq_p2p::Stats)| {
            show::call(peer, it.state, &self.peer.channels(peer))
        };
        let lines: Vec<_> = self.peer.calls().map(line).collect();
        self.say_all(lines);
    }

    fn say_all(&mut self, lines: Vec<String>) {
        if lines.is_empty() {
            self.screen.say("there is no call");
        }
        lines.iter().for_each(|line| self.screen.say(line));
    }

    async fn drain(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Connect => self.link.connect(),
                Output::Send(text) => self.link.send(text),
                Output::Close => self.link.close(),
                Output::Transmit { socket, to, datagram } => {
                    let from = self.sockets.iter().find(|(local, _)| *local == socket);
                    if let Some((_, socket)) = from {
                        // One that cannot be sent is one that is lost.
                        let _ = socket.send_to(&datagram, to).await;
                    }
                }
                Output::Event(event) => self.handle_event(event),
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let now = self.now();
        match &event {
            Event::Hub(event) => self.handle_hub_event(event),
            Event::State { peer, state: State::Hub } | Event::Ended { peer, .. } => {
                self.handle_lost(peer);
            }
            Event::Media { kind, .. } => {
                if let Err(error) = self.media.start(*kind) {
                    self.screen.say(&format!("cannot run ffmpeg: {error}"));
                }
            }
            Event::Opened { channel, protocol, .. } if protocol == PROTOCOL => {
                self.files.opened(now, &mut self.peer, *channel);
            }
            Event::Closed { channel, protocol, .. } if protocol == PROTOCOL => {
                if let Some(told) = self.files.closed(now, &mut self.peer, *channel) {
                    self.tell(told);
                }
            }
            Event::Message { peer, channel: Some(channel), message, protocol, .. }
                if protocol == PROTOCOL =>
            {
                let message = message.clone();
                let told = self.files.heard(now, &mut self.peer, peer, *channel, message);
                if let Some(told) = told {
                    self.tell(told);
                }
                return;
            }
            Event::Writable { channel } => {
                if let Some(told) = self.files.pump(now, &mut self.peer, *channel) {
                    self.tell(told);
                }
            }
            Event::State { .. }
            | Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Lost { .. }
            | Event::Message { .. } => {}
        }
        if let Some(text) = show::event(&event) {
            if self.is_trouble(&event) { self.fail(&text) } else { self.screen.say(&text) }
        }
        let is_registered = matches!(event, Event::Hub(ClientEvent::Registered { .. }));
        if is_registered && !self.is_known {
            self.is_known = true;
            let (screen, typed) = console::open(self.prompt());
            (self.screen, self.typed) = (screen, Some(typed));
        }
    }

    /// Whether this side wanted something that has failed.
    fn is_trouble(&self, event: &Event) -> bool {
        match event {
            Event::Ended { peer, end } => *end != End::HungUp && self.called.contains(peer),
            Event::Lost { .. } | Event::Hub(ClientEvent::Refused(_)) => true,
            Event::Hub(_)
            | Event::State { .. }
            | Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Media { .. }
            | Event::Message { .. }
            | Event::Writable { .. } => false,
        }
    }

    /// There is no way to a peer any more.
    fn handle_lost(&mut self, peer: &str) {
        for told in self.files.lost(self.now(), &mut self.peer, peer) {
            self.tell(told);
        }
        for kind in self.media.kinds() {
            if !self.peer.takes(kind) {
                self.media.stop(kind);
            }
        }
    }

    fn handle_hub_event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Joined { peers, .. } => self.here = peers.iter().cloned().collect(),
            ClientEvent::Presence { peer, state: Presence::Joined, .. } => {
                self.here.insert(peer.clone());
            }
            ClientEvent::Presence { peer, state: Presence::Left, .. } => {
                self.here.remove(peer);
            }
            ClientEvent::NotRegistered { refused, again: false } => {
                self.failure = Some(Failure::NotRegistered(refused.message.clone()));
            }
            _ => {}
        }
    }
}

async fn read(socket: Arc<UdpSocket>, local: SocketAddr, sender: mpsc::Sender<Datagram>) {
    let mut buffer = [0; MOST_DATAGRAM];
    loop {
        // An error is told of a datagram that was sent before, to where nobody is.
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes = buffer[..size].to_vec();
        if sender.send(Datagram { socket: local, from, bytes }).await.is_err() {
            return;
        }
    }
}

//! A world: nodes, the connections between them, and the time.

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
    time::Duration,
};

use bytes::Bytes;
use smoq_core::{
    Carrier, Closed, ClosedBy, Config, Dir, Event, Id, Session, SessionConfig, Side, StreamId,
    Time, Version,
    wire::{SessionCode, StreamCode},
};

use crate::{
    LinkConfig, Recorder, Rng,
    invariants::Who,
    link::{Acked, End, Signal},
    tap::Tap,
};

/// The time at which every world begins.
pub(crate) const BEGINNING: Time = Time::from_millis(1_000_000);

/// How long an end waits for a peer that has died, as QUIC's idle timeout does.
const IDLE: Duration = Duration::from_secs(3);

/// A node of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(crate) usize);

/// A connection between two nodes: where it ends, and the session there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    link: usize,
    /// The session at the end that dialed.
    pub client: Id<Session>,
    /// The session at the end that was dialed.
    pub server: Id<Session>,
}

/// One end of one link.
type EndId = (usize, usize);

enum Happening {
    Arrives(EndId, Signal),
    /// A busy link is free again, or a stream refused by chance takes bytes.
    Resumes(EndId),
    /// An end has not heard of its peer for too long.
    TimesOut(EndId),
}

struct Host {
    recorder: Recorder,
    events: Vec<Event>,
    sessions: BTreeMap<Id<Session>, EndId>,
}

struct Link {
    ends: [End; 2],
    hosts: [(NodeId, Id<Session>); 2],
}

/// Production nodes over a simulated network. The same seed and calls give the same run.
///
/// Verbs are called on the nodes, `world[node].publish(world.now(), …)`; then the world runs.
pub struct World {
    now: Time,
    seed: u64,
    hosts: Vec<Host>,
    links: Vec<Link>,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    steps: u64,
    record: bool,
    scratch: Vec<Bytes>,
    pub(crate) tap: Option<Tap>,
    /// What connections are like if nothing else is said.
    pub link: LinkConfig,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            now: BEGINNING,
            seed,
            hosts: Vec::new(),
            links: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            record: false,
            scratch: Vec::new(),
            tap: None,
            link: LinkConfig::default(),
        }
    }

    /// A world whose nodes record what goes in and out.
    pub fn recorded(seed: u64) -> Self {
        Self { record: true, ..Self::new(seed) }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many things have happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Adds a node.
    pub fn node(&mut self, config: Config) -> NodeId {
        let recorder = self.recorder(config);
        self.hosts.push(Host { recorder, events: Vec::new(), sessions: BTreeMap::new() });
        NodeId(self.hosts.len() - 1)
    }

    /// Connects two nodes by raw QUIC as far as they can tell, over the default link.
    pub fn connect(
        &mut self,
        client: NodeId,
        server: NodeId,
        version: Version,
        path: &str,
    ) -> Connection {
        let configs = [
            SessionConfig::client(version, Carrier::Raw, path),
            SessionConfig::server(version, Carrier::Raw, ""),
        ];
        let datagrams = self.link.datagrams.is_some();
        let configs = configs.map(|config| SessionConfig { datagrams, ..config });
        self.connect_with(client, server, configs, self.link.clone())
    }

    /// Connects two nodes; `configs` are the client's and the server's.
    pub fn connect_with(
        &mut self,
        client: NodeId,
        server: NodeId,
        configs: [SessionConfig; 2],
        link: LinkConfig,
    ) -> Connection {
        let at = self.links.len();
        let nodes = [client, server];
        if let Some(tap) = &mut self.tap {
            let who = |node: NodeId| {
                let hop = self.hosts[node.0].recorder.config().hop;
                Who { node, hop }
            };
            tap.connects(configs[0].version, nodes.map(who));
        }
        let mut ends = [Side::Client, Side::Server].into_iter().enumerate().map(|(index, side)| {
            End::new(link.clone(), side, Rng::new(self.seed, (at * 2 + index) as u64))
        });
        let ends = [ends.next(), ends.next()].map(|end| end.expect("a link has two ends"));
        let mut index = 0;
        let sessions = configs.map(|config| {
            let host = &mut self.hosts[nodes[index].0];
            let session = host.recorder.add_session(self.now, config);
            host.sessions.insert(session, (at, index));
            index += 1;
            session
        });
        let [client, server] = sessions;
        self.links.push(Link { ends, hosts: [(nodes[0], client), (nodes[1], server)] });
        Connection { link: at, client, server }
    }

    /// Makes an end (the client's or the server's) stop sending anything, acknowledgements included,
    /// or resume: to the other end it looks like a peer that does not read.
    pub fn stall(&mut self, connection: Connection, side: Side, stalled: bool) {
        let end = (connection.link, usize::from(side == Side::Server));
        self.end(end).stalled = stalled;
        self.transmit(end);
    }

    /// Lets both ends find that the connection is lost.
    pub fn cut(&mut self, connection: Connection) {
        for index in 0..2 {
            self.lose((connection.link, index));
        }
    }

    fn recorder(&self, config: Config) -> Recorder {
        if self.record { Recorder::recording(config, u64::MAX) } else { Recorder::silent(config) }
    }

    /// Whether the connection is over at one of its ends.
    pub fn is_over(&self, connection: Connection) -> bool {
        self.links[connection.link].ends.iter().any(|end| end.closed)
    }

    /// Makes a node die without a word, and begin anew with nothing: all its ids are stale. Its peers
    /// find out after some seconds.
    pub fn crash(&mut self, node: NodeId, config: Config) {
        for link in 0..self.links.len() {
            for side in 0..2 {
                if self.links[link].hosts[side].0 == node && !self.links[link].ends[side].closed {
                    self.end((link, side)).die();
                    self.schedule(self.now.after(IDLE), Happening::TimesOut((link, 1 - side)));
                    if let Some(tap) = &mut self.tap {
                        tap.closes(link);
                    }
                }
            }
        }
        let recorder = self.recorder(config);
        self.hosts[node.0] = Host { recorder, events: Vec::new(), sessions: BTreeMap::new() };
    }

    /// Sets how many unacknowledged bytes an end may have: a full socket has room for few.
    pub(crate) fn squeeze(&mut self, connection: Connection, side: Side, window: usize) {
        let end = (connection.link, usize::from(side == Side::Server));
        self.end(end).config.window = window;
        self.pump(end);
    }

    /// Breaks one of the streams that an end sends on: the receiver sees a reset, the sender is told to
    /// stop. `pick` says which. Only streams whose loss a session survives.
    pub(crate) fn break_stream(&mut self, connection: Connection, pick: u64, code: StreamCode) {
        let link = connection.link;
        let tap = self.tap.as_ref();
        let breakable = |stream: &StreamId| tap.is_none_or(|tap| tap.breakable(link, *stream));
        let streams: Vec<(usize, StreamId)> = (0..2)
            .flat_map(|side| {
                let end = &self.links[link].ends[side];
                end.sending().filter(move |_| !end.closed).map(move |stream| (side, stream))
            })
            .filter(|(_, stream)| breakable(stream))
            .collect();
        if streams.is_empty() {
            return;
        }
        let (side, stream) = streams[(pick % streams.len() as u64) as usize];
        if let Some(tap) = &mut self.tap {
            tap.breaks(self.now, (link, side), stream, code);
        }
        self.schedule(self.now, Happening::Arrives((link, side), Signal::Stop { stream, code }));
        self.schedule(
            self.now,
            Happening::Arrives((link, 1 - side), Signal::Reset { stream, code }),
        );
    }

    fn lose(&mut self, at: EndId) {
        let (node, session) = self.links[at.0].hosts[at.1];
        if let Some(tap) = &mut self.tap {
            tap.closes(at.0);
        }
        let end = self.end(at);
        if end.closed {
            return;
        }
        end.closed = true;
        let closed = Closed {
            by: ClosedBy::Transport,
            code: SessionCode::INTERNAL,
            reason: "timed out".into(),
        };
        self.hosts[node.0].recorder.handle_closed(self.now, session, closed);
    }

    /// What happened at a node since this was asked last.
    pub fn events(&mut self, node: NodeId) -> Vec<Event> {
        self.settle();
        std::mem::take(&mut self.hosts[node.0].events)
    }

    /// Runs until nothing is on its way. Time passes only as far as something happens.
    pub fn run_until_idle(&mut self) {
        while self.step(Time::from_micros(u64::MAX), true) {}
    }

    /// Runs for a while, and lets the time pass to its end.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.step(until, false) {}
        self.pass(until);
    }

    /// Lets the time pass in which nothing happens.
    pub(crate) fn pass(&mut self, until: Time) {
        self.now = until;
        self.settle();
    }

    /// Lets the next thing happen, if that is not after `until`. Says whether there was one.
    pub(crate) fn step(&mut self, until: Time, ignore_timers: bool) -> bool {
        self.settle();
        let next = self.queue.first_key_value().map(|((time, _), _)| *time);
        let timers = self.hosts.iter().enumerate();
        let timer = timers
            .filter_map(|(node, host)| Some((host.recorder.poll_timeout()?.max(self.now), node)))
            .min();
        self.steps += 1;
        match (next, timer) {
            (None, _) if ignore_timers => false,
            (next, Some((time, node))) if time <= until && next.is_none_or(|next| time < next) => {
                self.now = self.now.max(time);
                self.hosts[node].recorder.handle_timeout(self.now);
                true
            }
            (Some(time), _) if time <= until => {
                self.now = self.now.max(time);
                let (_, happening) = self.queue.pop_first().expect("it was there");
                match happening {
                    Happening::Arrives(end, signal) => self.arrive(end, signal),
                    Happening::Resumes(end) => self.resume(end),
                    Happening::TimesOut(end) => self.lose(end),
                }
                true
            }
            _ => false,
        }
    }

    /// Carries out everything that the nodes want now.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for node in 0..self.hosts.len() {
                while let Some(session) = self.hosts[node].recorder.poll_session() {
                    quiet = false;
                    if let Some(end) = self.hosts[node].sessions.get(&session).copied() {
                        self.pump(end);
                    }
                }
                let host = &mut self.hosts[node];
                host.events.extend(std::iter::from_fn(|| host.recorder.poll_event()));
            }
            if quiet {
                return;
            }
        }
    }

    fn pump(&mut self, end: EndId) {
        let link = &mut self.links[end.0];
        let (node, session) = link.hosts[end.1];
        let side = &mut link.ends[end.1];
        if !side.closed {
            let host = &mut self.hosts[node.0];
            host.recorder.pump(self.now, session, side, &mut self.scratch);
            if side.closed {
                // Its last word may never leave.
                self.schedule(self.now.after(IDLE), Happening::TimesOut((end.0, 1 - end.1)));
            }
        }
        self.transmit(end);
    }

    fn transmit(&mut self, end: EndId) {
        let now = self.now;
        let side = self.end(end);
        let signals = side.transmit(now);
        let busy = side.busy_until().filter(|time| *time > now);
        let refused = side.has_refused().then(|| now.after(Duration::from_millis(1)));
        let other = (end.0, 1 - end.1);
        for (time, signal) in signals {
            let signal = match &mut self.tap {
                Some(tap) => tap.departs(now, end, signal),
                None => Some(signal),
            };
            let Some(signal) = signal else { continue };
            self.schedule(time, Happening::Arrives(other, signal));
        }
        let resumes = busy.into_iter().chain(refused).min();
        let side = self.end(end);
        if let Some(time) = resumes.filter(|time| side.resumes.is_none_or(|due| *time < due)) {
            side.resumes = Some(time);
            self.schedule(time, Happening::Resumes(end));
        }
    }

    fn resume(&mut self, end: EndId) {
        let (node, session) = self.links[end.0].hosts[end.1];
        let now = self.now;
        self.end(end).resumes.take_if(|due| *due <= now);
        if self.end(end).closed {
            return;
        }
        for stream in self.end(end).writable() {
            self.hosts[node.0].recorder.handle_writable(self.now, session, stream);
        }
        self.pump(end);
    }

    fn arrive(&mut self, at: EndId, signal: Signal) {
        let now = self.now;
        let (node, session) = self.links[at.0].hosts[at.1];
        let end = &mut self.links[at.0].ends[at.1];
        let recorder = &mut self.hosts[node.0].recorder;
        if end.closed {
            return;
        }
        if let Some(tap) = &mut self.tap {
            tap.arrives(at, &signal);
        }
        if let Signal::Data { stream, .. } | Signal::Reset { stream, .. } = &signal {
            for stream in end.accept(*stream) {
                let dir = if stream.0 & 2 == 0 { Dir::Bi } else { Dir::Uni };
                recorder.handle_opened(now, session, stream, dir);
            }
        }
        match signal {
            Signal::Data { stream, data, fin, sent } => {
                let ack = Signal::Ack { stream, ack: sent };
                if end.receives(stream, fin) {
                    recorder.handle_recv(now, session, stream, data, fin);
                }
                end.acknowledge(ack);
            }
            Signal::Reset { stream, code } => {
                if end.receives(stream, true) {
                    recorder.handle_reset(now, session, stream, code);
                }
            }
            Signal::Stop { stream, code } => {
                if end.sends(stream) {
                    recorder.handle_stopped(now, session, stream, code);
                }
            }
            Signal::Ack { stream, ack } => match end.acked(stream, ack) {
                Acked::Nothing => {}
                Acked::Writable => recorder.handle_writable(now, session, stream),
                Acked::All => recorder.handle_acked(now, session, stream),
            },
            Signal::Datagram(data) => recorder.handle_datagram(now, session, data),
            Signal::Credit(dir) => end.credited(dir),
            Signal::Close { code, reason } => {
                end.closed = true;
                let closed = Closed { by: ClosedBy::Peer, code, reason };
                recorder.handle_closed(now, session, closed);
            }
        }
        self.pump(at);
    }

    fn schedule(&mut self, time: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), happening);
    }

    fn end(&mut self, end: EndId) -> &mut End {
        &mut self.links[end.0].ends[end.1]
    }
}

impl Index<NodeId> for World {
    type Output = Recorder;

    fn index(&self, node: NodeId) -> &Recorder {
        &self.hosts[node.0].recorder
    }
}

impl IndexMut<NodeId> for World {
    fn index_mut(&mut self, node: NodeId) -> &mut Recorder {
        &mut self.hosts[node.0].recorder
    }
}

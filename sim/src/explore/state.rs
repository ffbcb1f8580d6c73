//! A state of a small world, and every way on from it.

use std::{fmt, rc::Rc, time::Duration};

use bytes::Bytes;
use smoq_core::{
    Carrier, Closed, ClosedBy, Config, Id, Session, SessionConfig, Side, StreamId, Time,
    wire::{Hop, SessionCode},
};

use super::{
    Scenario,
    cable::{End, Port},
    fingerprint::fingerprint,
};
use crate::{
    Broken, Bug, Invariant, NodeId, Recorder,
    actors::{Ending, Publisher, Stage, Viewer, live},
    invariants::{Ledger, Who, empty, honest_peer, unwatched},
    link::{Ack, Signal},
    tap::Tap,
    world::BEGINNING,
};

const PUBLISHER: NodeId = NodeId(0);
const RELAY: NodeId = NodeId(1);
const VIEWER: NodeId = NodeId(2);

const NAMES: [&str; 3] = ["publisher", "relay", "viewer"];

const PATH: &str = "cam0";

/// Bytes of a frame.
const FRAME: u64 = 9;

/// What one of the two actors does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    Publish,
    /// Begins a group with one frame.
    Begin,
    /// Ends it with one more.
    End,
    CutOff,
    Finish,
    Subscribe,
    Unsubscribe,
    /// The publisher's node dies, and a new one dials at once.
    Restart,
}

/// One thing that may happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// An actor does the next thing of its list.
    Act(usize),
    /// What waits on a stream arrives: link, sending end, stream.
    Arrive(usize, usize, StreamId),
    /// A request to stop arrives.
    Stop(usize, usize, StreamId),
    /// It becomes known that a stream has arrived.
    Ack(usize, usize, StreamId),
    /// The end of the connection arrives.
    Close(usize, usize),
    /// An end finds out that its peer has died.
    Lose(usize, usize),
}

impl Step {
    /// The step in words.
    pub(super) fn tell(self, state: &State) -> String {
        let names = |link: usize, from: usize| {
            let ends = &state.cables[link].0;
            [from, 1 - from].map(|end| NAMES[ends[end].node.0])
        };
        let arrives = |what: fmt::Arguments<'_>, link, from| {
            let [from, to] = names(link, from);
            format!("{to} gets {what} from {from}")
        };
        match self {
            Self::Act(actor) => match state.deeds[actor].first() {
                Some(deed) => format!("{} acts: {deed:?}", ["publisher", "viewer"][actor]),
                None => "nothing".into(),
            },
            Self::Arrive(link, from, stream) => {
                let pipe = state.cables[link].0[from].pipes.get(&stream);
                let (bytes, end) = pipe.map_or((0, ""), |pipe| match (pipe.reset, pipe.fin) {
                    (Some(_), _) => (0, " and a reset"),
                    (None, true) => (pipe.data.len(), " and the end"),
                    (None, false) => (pipe.data.len(), ""),
                });
                let stream = stream.0;
                arrives(format_args!("{bytes} bytes{end} on stream {stream}"), link, from)
            }
            Self::Stop(link, from, stream) => {
                arrives(format_args!("a request to stop stream {}", stream.0), link, from)
            }
            Self::Ack(link, from, stream) => {
                arrives(format_args!("the acknowledgement of stream {}", stream.0), link, from)
            }
            Self::Close(link, from) => arrives(format_args!("the end of the session"), link, from),
            Self::Lose(link, end) => {
                let [this, peer] = names(link, end);
                format!("{this} finds out that {peer} has died")
            }
        }
    }
}

/// Both ends of a connection.
#[derive(Clone, Debug)]
pub(super) struct Cable(pub(super) [End; 2]);

/// A small world between two steps: nodes want nothing more than that something arrives.
#[derive(Clone)]
pub(super) struct State {
    scenario: Scenario,
    nodes: [Rc<Recorder>; 3],
    prints: [u64; 3],
    pub(super) cables: Vec<Rc<Cable>>,
    cable_prints: Vec<u64>,
    pub(super) tap: Tap,
    publisher: Publisher,
    viewer: Viewer,
    now: Time,
    deeds: [&'static [Deed]; 2],
    restarts: u64,
}

impl Stage for State {
    fn now(&self) -> Time {
        self.now
    }

    fn node(&mut self, node: NodeId) -> &mut Recorder {
        Rc::make_mut(&mut self.nodes[node.0])
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.tap.ledger
    }
}

impl State {
    /// The three nodes, connected and greeted, before anybody does anything.
    pub(super) fn first(scenario: &Scenario, bug: Option<Bug>, told: bool) -> Result<Self, Broken> {
        let mut tap = Tap::new(0, bug, scenario.version.has_timestamps(), told);
        tap.ledger.roomy = true;
        for (at, name) in NAMES.iter().enumerate() {
            tap.name(NodeId(at), (*name).into(), false);
        }
        let stamped = scenario.version.has_timestamps();
        let mut state = Self {
            scenario: *scenario,
            nodes: [0, 1, 2].map(|at| Rc::new(Recorder::silent(config(at, 0)))),
            prints: [0; 3],
            cables: Vec::new(),
            cable_prints: Vec::new(),
            tap,
            publisher: Publisher::new(PUBLISHER, PATH.into()),
            viewer: Viewer::new(VIEWER, stamped),
            now: BEGINNING,
            deeds: scenario.deeds(),
            restarts: 0,
        };
        let mut viewer = state.viewer.clone();
        viewer.watch(&mut state);
        state.viewer = viewer;
        for client in [PUBLISHER, VIEWER] {
            state.connect(client)?;
        }
        state.settle()?;
        (0..3).for_each(|node| state.print(node));
        (0..state.cables.len()).for_each(|cable| state.print_cable(cable));
        Ok(state)
    }

    fn connect(&mut self, client: NodeId) -> Result<(), Broken> {
        let version = self.scenario.version;
        let nodes = [client, RELAY];
        let who = nodes.map(|node| {
            let hop = self.nodes[node.0].config().hop;
            Who { node, hop }
        });
        self.tap.connects(version, who);
        let now = self.now;
        let configs = [
            SessionConfig::client(version, Carrier::Raw, ""),
            SessionConfig::server(version, Carrier::Raw, ""),
        ];
        let sides = [Side::Client, Side::Server];
        let mut at = 0;
        let ends = configs.map(|config| {
            let session = self.node(nodes[at]).add_session(now, config);
            at += 1;
            End::new(nodes[at - 1], session, sides[at - 1])
        });
        self.cables.push(Rc::new(Cable(ends)));
        self.cable_prints.push(0);
        nodes.into_iter().try_for_each(|node| self.pump(node))
    }

    /// Everything that may happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (actor, deeds) in self.deeds.iter().enumerate() {
            if !deeds.is_empty() {
                steps.push(Step::Act(actor));
            }
        }
        for (link, cable) in self.cables.iter().enumerate() {
            for (from, end) in cable.0.iter().enumerate() {
                let to = &cable.0[1 - from];
                if to.closed {
                    continue;
                }
                steps.extend(end.pipes.keys().map(|stream| Step::Arrive(link, from, *stream)));
                steps.extend(end.stops.keys().map(|stream| Step::Stop(link, from, *stream)));
                steps.extend(end.acks.iter().map(|stream| Step::Ack(link, from, *stream)));
                if end.close.is_some() {
                    steps.push(Step::Close(link, from));
                } else if end.closed {
                    steps.push(Step::Lose(link, 1 - from));
                }
            }
        }
        steps
    }

    /// Takes a step, and lets the nodes do what follows at once.
    pub(super) fn take(&mut self, step: Step) -> Result<(), Broken> {
        let mut also = None;
        let touched = match step {
            Step::Act(actor) => self.act(actor)?,
            Step::Arrive(link, from, stream) => {
                let ends =
                    self.cables[link].0[from].pipes.get(&stream).is_some_and(|pipe| pipe.fin);
                let node = self.arrive(link, from, stream);
                if ends && !self.scenario.late_acks {
                    also = Some(self.acked(link, from, stream));
                }
                node
            }
            Step::Stop(link, from, stream) => {
                let (node, session) = self.receiver(link, from);
                if let Some(code) = self.sender(link, from).stops.remove(&stream) {
                    let now = self.now;
                    self.node(node).handle_stopped(now, session, stream, code);
                }
                node
            }
            Step::Ack(link, from, stream) => {
                self.sender(link, from).acks.remove(&stream);
                self.acked(link, 1 - from, stream)
            }
            Step::Close(link, from) => {
                let close = self.sender(link, from).close.take();
                let (code, reason) = close.unwrap_or((SessionCode::NO_ERROR, String::new()));
                self.over(link, 1 - from, Closed { by: ClosedBy::Peer, code, reason })
            }
            Step::Lose(link, end) => {
                let (by, code) = (ClosedBy::Transport, SessionCode::INTERNAL);
                self.over(link, end, Closed { by, code, reason: "timed out".into() })
            }
        };
        for node in [Some(touched), also].into_iter().flatten() {
            self.pump(node)?;
            self.print(node.0);
        }
        // What a node hears on one cable it may tell on others.
        (0..self.cables.len()).for_each(|cable| self.print_cable(cable));
        Ok(())
    }

    fn sender(&mut self, link: usize, from: usize) -> &mut End {
        &mut Rc::make_mut(&mut self.cables[link]).0[from]
    }

    fn receiver(&self, link: usize, from: usize) -> (NodeId, Id<Session>) {
        let end = &self.cables[link].0[1 - from];
        (end.node, end.session)
    }

    fn arrive(&mut self, link: usize, from: usize, stream: StreamId) -> NodeId {
        let now = self.now;
        let (node, session) = self.receiver(link, from);
        let Some(pipe) = self.sender(link, from).pipes.remove(&stream) else { return node };
        for (opened, dir) in self.sender(link, 1 - from).accept(stream) {
            self.node(node).handle_opened(now, session, opened, dir);
        }
        let signal = match pipe.reset {
            Some(code) => {
                self.node(node).handle_reset(now, session, stream, code);
                Signal::Reset { stream, code }
            }
            None => {
                if pipe.fin && self.scenario.late_acks {
                    self.sender(link, 1 - from).acks.insert(stream);
                }
                let data = pipe.data.freeze();
                self.node(node).handle_recv(now, session, stream, data, pipe.fin);
                let sent = Ack { bytes: 0, fin: pipe.fin };
                Signal::Data { stream, data: Bytes::new(), fin: pipe.fin, sent }
            }
        };
        self.tap.arrives((link, 1 - from), &signal);
        node
    }

    /// The end that sent a stream knows that it has arrived.
    fn acked(&mut self, link: usize, sender: usize, stream: StreamId) -> NodeId {
        let (now, end) = (self.now, &self.cables[link].0[sender]);
        let (node, session, gone) = (end.node, end.session, end.closed);
        if !gone {
            self.node(node).handle_acked(now, session, stream);
        }
        node
    }

    fn over(&mut self, link: usize, end: usize, closed: Closed) -> NodeId {
        let now = self.now;
        let this = self.sender(link, end);
        this.die();
        let (node, session) = (this.node, this.session);
        self.tap.closes(link);
        self.node(node).handle_closed(now, session, closed);
        node
    }

    fn act(&mut self, actor: usize) -> Result<NodeId, Broken> {
        let Some((deed, rest)) = self.deeds[actor].split_first() else { return Ok(VIEWER) };
        self.deeds[actor] = rest;
        let (mut publisher, mut viewer) = (self.publisher.clone(), self.viewer.clone());
        match deed {
            Deed::Publish => publisher.publish(self),
            Deed::Begin => publisher.group(self, 1, FRAME, Ending::Open),
            Deed::End => publisher.group(self, 1, FRAME, Ending::Complete),
            Deed::CutOff => publisher.group(self, 0, FRAME, Ending::CutOff(7)),
            Deed::Finish => publisher.finish(self),
            Deed::Subscribe => viewer.subscribe(self, 0, PATH, live()),
            Deed::Unsubscribe => viewer.unsubscribe(self, 0),
            Deed::Restart => {
                publisher.crashed();
                self.restarts += 1;
                let fresh = Recorder::silent(config(PUBLISHER.0, self.restarts));
                self.nodes[PUBLISHER.0] = Rc::new(fresh);
                self.sender(0, 0).die();
                self.tap.closes(0);
                self.connect(PUBLISHER)?;
                self.print(RELAY.0);
            }
        }
        (self.publisher, self.viewer) = (publisher, viewer);
        Ok([PUBLISHER, VIEWER][actor])
    }

    /// Carries out all that a node wants, and judges.
    fn pump(&mut self, node: NodeId) -> Result<(), Broken> {
        let now = self.now;
        let recorder = Rc::make_mut(&mut self.nodes[node.0]);
        while let Some(session) = recorder.poll_session() {
            let of = |cable: &Rc<Cable>| {
                let at = |end: &End| end.node == node && end.session == session && !end.closed;
                cable.0.iter().position(at)
            };
            let found = self.cables.iter().enumerate().rev();
            let Some((link, side)) = found.filter_map(|(at, cable)| Some((at, of(cable)?))).next()
            else {
                continue;
            };
            let end = &mut Rc::make_mut(&mut self.cables[link]).0[side];
            let mut port = Port { end, tap: &mut self.tap, at: (link, side), now };
            recorder.pump(now, session, &mut port, &mut Vec::new());
        }
        let events: Vec<_> = std::iter::from_fn(|| recorder.poll_event()).collect();
        events.iter().try_for_each(|event| honest_peer(event, false))?;
        if node == VIEWER {
            let mut viewer = self.viewer.clone();
            let read = viewer.read(self);
            self.viewer = viewer;
            read?;
        }
        self.tap.broken().map_or(Ok(()), |broken| Err(broken.clone()))
    }

    /// Lets everything arrive, in some order, and a quarter of a minute pass.
    fn settle(&mut self) -> Result<(), Broken> {
        let until = self.now.after(Duration::from_secs(15));
        loop {
            let arrival = self.steps().into_iter().find(|step| !matches!(step, Step::Act(_)));
            if let Some(step) = arrival {
                self.take(step)?;
                continue;
            }
            let timers = self.nodes.iter().enumerate();
            let timer = timers.filter_map(|(at, node)| Some((node.poll_timeout()?, at))).min();
            let Some((time, at)) = timer.filter(|(time, _)| *time <= until) else { break };
            self.now = self.now.max(time);
            let now = self.now;
            self.node(NodeId(at)).handle_timeout(now);
            self.pump(NodeId(at))?;
        }
        self.now = until;
        Ok(())
    }

    /// Nothing more can happen: judges what has come of it.
    pub(super) fn judge_end(mut self) -> Result<(), Broken> {
        self.settle()?;
        self.tap.quiet();
        self.tap.broken().map_or(Ok(()), |broken| Err(broken.clone()))?;
        let known = self.viewer.known.len();
        Invariant::Converged
            .holds(known == 1, || format!("the viewer knows {known} broadcasts"))?;
        let (mut publisher, mut viewer) = (self.publisher.clone(), self.viewer.clone());
        if viewer.over().next().is_some_and(|(_, fine)| !fine) {
            // It was refused, or its publisher has died: now it asks again.
            viewer.subscribe(&mut self, 0, PATH, live());
            self.viewer = viewer;
            self.pump(VIEWER)?;
            self.settle()?;
            viewer = self.viewer.clone();
        }
        if !viewer.seats.is_empty() {
            let newest = self.tap.ledger.newest();
            viewer.has_all(newest)?;
        }
        viewer.leave(&mut self);
        self.viewer = viewer;
        self.pump(VIEWER)?;
        self.settle()?;
        self.nodes.iter().try_for_each(|node| unwatched(&node.stats()))?;
        publisher.unpublish(&mut self);
        self.publisher = publisher;
        self.pump(PUBLISHER)?;
        self.settle()?;
        for (at, name) in NAMES.iter().enumerate() {
            let stats = self.nodes[at].stats();
            empty(&stats, if at == RELAY.0 { 2 } else { 1 })
                .map_err(|broken| Broken { what: format!("{name}: {}", broken.what), ..broken })?;
        }
        Ok(())
    }

    fn print(&mut self, node: usize) {
        self.prints[node] = fingerprint(&**self.nodes[node], &mut String::new());
    }

    fn print_cable(&mut self, cable: usize) {
        self.cable_prints[cable] = fingerprint(&self.cables[cable], &mut String::new());
    }

    /// The same number for states that go on alike.
    pub(super) fn fingerprint(&self) -> u64 {
        let judged = (self.tap.state(), &self.viewer, &self.publisher, self.deeds);
        fingerprint(&(self.prints, &self.cable_prints, judged), &mut String::new())
    }
}

fn config(node: usize, restart: u64) -> Config {
    let hop = if node == RELAY.0 { Hop::new(100) } else { None };
    Config { hop: hop.unwrap_or_default(), seed: node as u64 + 10 * restart, ..Config::default() }
}

impl Scenario {
    /// What the publisher and the viewer do, each in its order.
    fn deeds(&self) -> [&'static [Deed]; 2] {
        use Deed::{Begin, CutOff, End, Finish, Publish, Restart, Subscribe, Unsubscribe};
        let publisher: &[Deed] = match (self.restart, self.one_group, self.cut_off) {
            (false, false, false) => &[Publish, Begin, End, Begin, End, Finish],
            (false, false, true) => &[Publish, Begin, End, Begin, CutOff, Finish],
            (false, true, false) => &[Publish, Begin, End, Finish],
            (false, true, true) => &[Publish, Begin, CutOff, Finish],
            (true, ..) => &[Publish, Begin, Restart, Publish, Begin, End, Finish],
        };
        if self.unsubscribe {
            // The track goes on, so that it is the viewer who ends the subscription.
            let goes_on = publisher.strip_suffix(&[Finish]).unwrap_or(publisher);
            [goes_on, &[Subscribe, Unsubscribe]]
        } else {
            [publisher, &[Subscribe]]
        }
    }
}

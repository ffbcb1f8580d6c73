//! A plan carried out: faults during which safety holds, then healing, then what has to come of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use smoq_core::{
    Admission, Carrier, Config, Discover, Event, Grant, Limits, SessionConfig, Time, Version,
    wire::{Hop, SessionCode},
};

use super::{
    depth::Depth,
    plan::{CHAOS, Client, Network, Plan, Room},
};
use crate::{
    Broken, Bug, Invariant, NodeId, World,
    actors::{Ending, Publisher, Viewer, live, path},
    invariants::{bounded, empty, honest_peer, unwatched},
    packets::Net,
    tap::Tap,
    world::BEGINNING,
};

/// How soon a client dials again, and how soon a viewer asks again.
const AGAIN: Duration = Duration::from_millis(700);

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Report {
    /// The same for every run of the same plan.
    pub hash: u64,
    /// Things that happened.
    pub steps: u64,
    /// Virtual time that passed.
    pub time: Duration,
    /// The first invariant that did not hold.
    pub outcome: Result<(), Broken>,
    /// A line for each thing that happened, if they were asked for.
    pub log: Vec<String>,
}

/// A connection that is kept up.
pub(super) struct Dialed<D: Depth> {
    pub(super) client: usize,
    pub(super) server: usize,
    version: Version,
    pub(super) connection: Option<D::Connection>,
    /// Whether the node at each end is still the one that had this connection.
    pub(super) knows: [bool; 2],
}

/// What is due at some time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    Act(usize),
    Dial(usize),
    Restart(usize),
    Retry(usize),
    Read(usize),
    Flows(usize, bool),
}

pub(super) struct Run<'a, D: Depth> {
    pub(super) plan: &'a Plan,
    pub(super) world: D,
    /// Relays, publishers, viewers, and the hostile one last.
    pub(super) hosts: Vec<NodeId>,
    pub(super) links: Vec<Dialed<D>>,
    pub(super) publishers: Vec<Publisher>,
    pub(super) viewers: Vec<Viewer>,
    pub(super) down: BTreeSet<usize>,
    /// Viewers that will ask again.
    pub(super) retrying: BTreeSet<usize>,
    due: BTreeMap<(Time, u64), Due>,
    sequence: u64,
    pub(super) restarts: u64,
    pub(super) healed: bool,
    limits: Limits,
}

/// Carries a plan out; with every event told, if wanted, and with a bug planted into what honest nodes
/// say, which has no effect at the depth of packets.
pub fn run(plan: &Plan, bug: Option<Bug>, told: bool) -> Report {
    match &plan.network {
        Network::Streams(link) => Run::<World>::new(plan, link.clone(), bug, told).report(),
        Network::Packets(air) => Run::<Net>::new(plan, air.clone(), bug, told).report(),
    }
}

impl<'a, D: Depth> Run<'a, D> {
    fn new(plan: &'a Plan, link: D::Link, bug: Option<Bug>, told: bool) -> Self {
        let clients = || plan.publishers.iter().chain(&plan.viewers).chain(&plan.hostile);
        let mut versions = clients().map(|client| client.version);
        let stamped = versions.all(Version::has_timestamps) && plan.between.has_timestamps();
        let mut tap = Tap::new(plan.seed, bug, stamped, told);
        tap.ledger.roomy = plan.room != Room::Starved;
        let mut run = Self {
            plan,
            world: D::new(plan.seed, link, tap),
            hosts: Vec::new(),
            links: Vec::new(),
            publishers: Vec::new(),
            viewers: Vec::new(),
            down: BTreeSet::new(),
            retrying: BTreeSet::new(),
            due: BTreeMap::new(),
            sequence: 0,
            restarts: 0,
            healed: false,
            limits: plan.room.limits(),
        };
        for relay in 0..plan.relays {
            run.host(format!("relay{relay}"), false);
            if relay > 0 {
                run.link(relay, relay - 1, plan.between);
            }
        }
        if plan.ring {
            run.link(0, plan.relays - 1, plan.between);
        }
        let mut client = |name: String, client: &Client, hostile| {
            let host = run.host(name, hostile);
            run.link(host, client.relay, client.version);
            run.hosts[host]
        };
        let publishers: Vec<_> = (plan.publishers.iter().enumerate())
            .map(|(at, publisher)| client(format!("publisher{at}"), publisher, false))
            .collect();
        let viewers: Vec<_> = (plan.viewers.iter().enumerate())
            .map(|(at, viewer)| client(format!("viewer{at}"), viewer, false))
            .collect();
        if let Some(hostile) = &plan.hostile {
            client("hostile".into(), hostile, true);
        }
        for (at, node) in publishers.into_iter().enumerate() {
            run.publishers.push(Publisher::new(node, name(at % plan.paths)));
        }
        run.viewers = viewers.into_iter().map(|node| Viewer::new(node, stamped)).collect();
        for (at, (millis, _)) in plan.acts.iter().enumerate() {
            run.at(BEGINNING.after(Duration::from_millis(*millis)), Due::Act(at));
        }
        for host in plan.relays..run.hosts.len() {
            run.begin(host);
        }
        for link in 0..run.links.len() {
            run.dial(link);
        }
        run
    }

    fn report(mut self) -> Report {
        let outcome = self.story();
        self.tap().judge(outcome);
        let (steps, time) = (self.world.steps(), self.world.now().since(BEGINNING));
        let tap = self.tap();
        tap.mix(&steps.to_le_bytes());
        let outcome = tap.broken().cloned().map_or(Ok(()), Err);
        Report { hash: tap.hash(), steps, time, outcome, log: tap.log.take().unwrap_or_default() }
    }

    fn host(&mut self, name: String, hostile: bool) -> usize {
        let at = self.hosts.len();
        let node = self.world.add(self.config(at));
        self.tap().name(node, name, hostile);
        self.hosts.push(node);
        at
    }

    pub(super) fn config(&self, host: usize) -> Config {
        let relay = host < self.plan.relays;
        let hop = if relay { Hop::new(100 + host as u64) } else { None };
        let seed = self.plan.seed ^ (host as u64) << 40 ^ self.restarts << 48;
        Config {
            hop: hop.unwrap_or_default(),
            seed,
            limits: self.plan.room.limits(),
            ..Config::default()
        }
    }

    fn link(&mut self, client: usize, server: usize, version: Version) {
        self.links.push(Dialed { client, server, version, connection: None, knows: [false; 2] });
    }

    pub(super) fn tap(&mut self) -> &mut Tap {
        self.world.tap_mut()
    }

    fn at(&mut self, time: Time, due: Due) {
        self.sequence += 1;
        self.due.insert((time, self.sequence), due);
    }

    pub(super) fn after(&mut self, delay: Duration, due: Due) {
        self.at(self.world.now().after(delay), due);
    }

    fn is_hostile(&self, host: usize) -> bool {
        self.plan.hostile.is_some() && host + 1 == self.hosts.len()
    }

    /// The publisher or the viewer that a host is.
    pub(super) fn publisher_at(&self, host: usize) -> Option<usize> {
        host.checked_sub(self.plan.relays).filter(|at| *at < self.publishers.len())
    }

    pub(super) fn viewer_at(&self, host: usize) -> Option<usize> {
        let at = host.checked_sub(self.plan.relays + self.publishers.len())?;
        Some(at).filter(|at| *at < self.viewers.len())
    }

    /// What a node does as soon as it is there.
    pub(super) fn begin(&mut self, host: usize) {
        if let Some(at) = self.publisher_at(host) {
            self.publishers[at].publish(&mut self.world);
        } else if let Some(at) = self.viewer_at(host) {
            self.viewers[at].watch(&mut self.world);
        } else if self.is_hostile(host) {
            let node = self.hosts[host];
            let now = self.world.time(node);
            // What it has to say before it is changed.
            let own = self.world.node(node).publish(now, &path("own"));
            own.expect("the node is new");
            self.world.node(node).watch(now, &path(""));
            for at in 0..self.plan.paths {
                let subscribed =
                    self.world.node(node).subscribe(now, &path(&name(at)), "video", live());
                subscribed.expect("the name is short");
            }
        }
    }

    pub(super) fn dial(&mut self, link: usize) {
        let Dialed { client, server, version, connection, .. } = self.links[link];
        let up = connection.is_some_and(|connection| !self.world.is_over(connection));
        if up || self.down.contains(&client) || self.down.contains(&server) {
            return;
        }
        let mut ours = SessionConfig::client(version, Carrier::Raw, "");
        let mut theirs = SessionConfig::server(version, Carrier::Raw, "");
        if client < self.plan.relays {
            ours.discover = Discover::Everything;
        }
        if self.is_hostile(client) {
            theirs.admission = Admission::Ask;
        }
        let nodes = [client, server].map(|host| self.hosts[host]);
        let made = self.world.connect(nodes, [ours, theirs]);
        self.links[link].connection = Some(made);
        self.links[link].knows = [true; 2];
        self.say(|names| format!("{} dials {}", names[&nodes[0]], names[&nodes[1]]));
    }

    pub(super) fn say(&mut self, text: impl FnOnce(&BTreeMap<NodeId, String>) -> String) {
        let now = self.world.now();
        self.tap().tell(now, text);
    }

    /// The whole run, in its phases.
    fn story(&mut self) -> Result<(), Broken> {
        self.until(CHAOS)?;
        self.heal();
        self.until(CHAOS + 16_000)?;
        let since = self.world.now();
        for publisher in &mut self.publishers {
            publisher.refresh(&mut self.world);
            for _ in 0..3 {
                publisher.group(&mut self.world, 2, 40, Ending::Complete);
            }
        }
        self.until(CHAOS + 24_000)?;
        if self.plan.room != Room::Starved {
            self.is_alive(since)?;
        }
        self.leave();
        self.until(CHAOS + 28_000)?;
        self.is_unwatched()?;
        for publisher in &mut self.publishers {
            publisher.unpublish(&mut self.world);
        }
        self.until(CHAOS + 32_000)?;
        self.is_empty()
    }

    /// Undoes every fault.
    fn heal(&mut self) {
        self.healed = true;
        self.say(|_| "everything heals".into());
        self.world.heal();
        let hosts: Vec<_> = self.down.iter().copied().collect();
        hosts.into_iter().for_each(|host| self.restart(host));
        for link in 0..self.links.len() {
            self.flows(link, false);
            self.flows(link, true);
            self.dial(link);
        }
        for at in 0..self.viewers.len() {
            self.viewers[at].slow = false;
            for path in 0..self.plan.paths {
                if !self.viewers[at].seats.contains_key(&path) {
                    self.viewers[at].subscribe(&mut self.world, path, &name(path), live());
                }
            }
            self.retry_later(at);
        }
    }

    /// Everybody knows what is there and gets what is new.
    fn is_alive(&mut self, since: Time) -> Result<(), Broken> {
        let there: BTreeSet<_> = self.publishers.iter().map(|one| one.path.clone()).collect();
        let ledger = &self.world.tap().ledger;
        for (at, viewer) in self.viewers.iter().enumerate() {
            let honest = |path: &&String| !path.starts_with("evil");
            let known: BTreeSet<_> = viewer.known.iter().filter(honest).cloned().collect();
            Invariant::Converged.holds(known == there, || {
                format!("viewer{at} knows {known:?}, and there is {there:?}")
            })?;
            for path in 0..self.plan.paths {
                let new = viewer.has_new(ledger, path, since);
                Invariant::NewGroups
                    .holds(new, || format!("viewer{at} got nothing new of {}", name(path)))?;
            }
        }
        self.tap().quiet();
        Ok(())
    }

    /// Every viewer leaves; the hostile one is thrown out.
    fn leave(&mut self) {
        self.say(|_| "every viewer leaves".into());
        for viewer in &mut self.viewers {
            viewer.leave(&mut self.world);
        }
        if self.plan.hostile.is_some() {
            let last = self.links.last_mut().expect("the hostile one has a link");
            if let Some(connection) = last.connection.take() {
                self.world.cut(connection);
            }
        }
        self.due.clear();
    }

    /// Nobody is served.
    fn is_unwatched(&self) -> Result<(), Broken> {
        (0..self.honest()).try_for_each(|host| {
            let stats = self.world.stats(self.hosts[host]);
            unwatched(&stats).map_err(|broken| self.at_host(host, broken))
        })
    }

    /// How many hosts are honest: the first ones.
    fn honest(&self) -> usize {
        self.hosts.len() - usize::from(self.plan.hostile.is_some())
    }

    /// Nothing is held, nothing happens, and nothing at all is left when the sessions are closed.
    fn is_empty(&mut self) -> Result<(), Broken> {
        let honest = self.honest();
        for host in 0..honest {
            let stats = self.world.stats(self.hosts[host]);
            empty(&stats, stats.sessions).map_err(|broken| self.at_host(host, broken))?;
        }
        let before = self.world.steps();
        self.until(CHAOS + 92_000)?;
        let steps = self.world.steps() - before;
        let quiet = steps <= D::idle_steps(self.links.len());
        Invariant::Quiet.holds(quiet, || format!("{steps} steps in a minute of quiet"))?;
        for link in 0..self.links.len() {
            // Without a connection it is not dialed again.
            if let Some(connection) = self.links[link].connection.take()
                && let [Some(session), _] = self.world.sessions(connection)
            {
                let node = self.hosts[self.links[link].client];
                let now = self.world.time(node);
                // It may be over already.
                _ = self.world.node(node).close(now, session, SessionCode::NO_ERROR, "bye");
            }
        }
        self.until(CHAOS + 100_000)?;
        for host in 0..honest {
            let stats = self.world.stats(self.hosts[host]);
            empty(&stats, 0).map_err(|broken| self.at_host(host, broken))?;
            let idle = self.world.is_idle(self.hosts[host]);
            let outcome = Invariant::Baseline.holds(idle, || "connections are left".into());
            outcome.map_err(|broken| self.at_host(host, broken))?;
        }
        Ok(())
    }

    fn at_host(&self, host: usize, broken: Broken) -> Broken {
        let what = format!("{}: {}", self.world.tap().name_of(self.hosts[host]), broken.what);
        Broken { what, ..broken }
    }

    /// Runs to a time in milliseconds, with everything that is due, and judges after each step.
    fn until(&mut self, millis: u64) -> Result<(), Broken> {
        let until = BEGINNING.after(Duration::from_millis(millis));
        loop {
            let next = self.due.first_key_value().map(|((time, _), _)| *time);
            let to = next.unwrap_or(until).min(until);
            if self.world.step(to) {
                // Something may be due earlier now.
                self.judge()?;
                continue;
            }
            self.world.pass(to);
            self.judge()?;
            match self.due.first_entry().filter(|due| due.key().0 <= until) {
                Some(due) => {
                    let due = due.remove();
                    self.happens(due);
                    self.judge()?;
                }
                None => return Ok(()),
            }
        }
    }

    fn judge(&mut self) -> Result<(), Broken> {
        while let Some(failed) = self.world.poll_failed() {
            let of = |dialed: &Dialed<D>| dialed.connection == Some(failed);
            if let Some(link) = self.links.iter().position(of) {
                self.after(AGAIN, Due::Dial(link));
            }
        }
        for host in 0..self.hosts.len() {
            let node = self.hosts[host];
            let events = self.world.events(node);
            let mut readable = false;
            for event in events {
                readable |= matches!(event, Event::Readable { .. } | Event::Announced { .. });
                self.event(host, &event)?;
            }
            if let Some(at) = self.viewer_at(host).filter(|_| readable) {
                let read = self.viewers[at].read(&mut self.world);
                read.map_err(|broken| self.at_host(host, broken))?;
                self.retry_later(at);
            }
            if !self.is_hostile(host) {
                let stats = self.world.stats(node);
                let own = self.plan.paths + 1;
                let sessions = self.links.len() + 2;
                bounded(&stats, &self.limits, sessions, own)
                    .map_err(|broken| self.at_host(host, broken))?;
            }
        }
        match self.tap().broken() {
            Some(broken) => Err(broken.clone()),
            None => Ok(()),
        }
    }

    fn event(&mut self, host: usize, event: &Event) -> Result<(), Broken> {
        let session = match event {
            Event::Request { session, .. }
            | Event::Closed { session, .. }
            | Event::Violation { session, .. } => *session,
            _ => return Ok(()),
        };
        let node = self.hosts[host];
        let now = self.world.time(node);
        if let Event::Request { .. } = event {
            let grant = Grant { publish: Some(path("evil")), subscribe: Some(path("")) };
            // It may have gone meanwhile.
            _ = self.world.node(node).grant(now, session, grant);
            return Ok(());
        }
        self.say(|names| format!("{}: {event:?}", names[&node]));
        let of = |dialed: &Dialed<D>| {
            let Some(made) = dialed.connection else { return false };
            let sessions = self.world.sessions(made);
            dialed.knows[0] && dialed.client == host && sessions[0] == Some(session)
                || dialed.knows[1] && dialed.server == host && sessions[1] == Some(session)
        };
        let at = self.links.iter().position(of);
        let hostile = at.is_none_or(|at| self.is_hostile(self.links[at].client));
        if let (Event::Closed { .. }, Some(at)) = (event, at)
            && self.links[at].client == host
        {
            self.after(AGAIN, Due::Dial(at));
        }
        if hostile {
            return Ok(());
        }
        let starved = self.plan.room == Room::Starved;
        honest_peer(event, starved).map_err(|broken| self.at_host(host, broken))
    }

    /// A viewer that lost something asks again in a while.
    pub(super) fn retry_later(&mut self, at: usize) {
        if self.viewers[at].over().any(|(_, fine)| !fine || self.healed) && self.retrying.insert(at)
        {
            self.after(AGAIN, Due::Retry(at));
        }
    }
}

/// The path of a broadcast.
pub(super) fn name(path: usize) -> String {
    format!("cam{path}")
}

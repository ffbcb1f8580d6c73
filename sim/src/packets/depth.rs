//! [`Net`] as what a plan is carried out on.

use std::time::Duration;

use smoq_core::{Config, Event, Id, Session, SessionConfig, Side, Stats, Time};

use super::{Air, DialId, Net};
use crate::{NodeId, Recorder, actors::Stage, invariants::Ledger, swarm::depth::Depth, tap::Tap};

/// Longer than a connection lives without a packet.
const LOST: Duration = Duration::from_secs(4);

impl Stage for Net {
    fn now(&self) -> Time {
        self.now
    }

    fn time(&self, node: NodeId) -> Time {
        let host = &self.hosts[node.0];
        host.endpoint.time(host.instant(self.now))
    }

    fn node(&mut self, node: NodeId) -> &mut Recorder {
        self.host(node).endpoint.node_mut()
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.tap.ledger
    }
}

impl Depth for Net {
    type Link = Air;
    type Connection = DialId;

    fn new(seed: u64, air: Air, tap: Tap) -> Self {
        Self::new(seed, air, tap)
    }

    fn tap(&self) -> &Tap {
        &self.tap
    }

    fn tap_mut(&mut self) -> &mut Tap {
        &mut self.tap
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    /// A ping a second each way, its answer, and the timers of both.
    fn idle_steps(connections: usize) -> u64 {
        connections as u64 * 60 * 12
    }

    fn add(&mut self, config: Config) -> NodeId {
        self.add_host(config)
    }

    fn stats(&self, node: NodeId) -> Stats {
        self.hosts[node.0].endpoint.node().stats()
    }

    fn events(&mut self, node: NodeId) -> Vec<Event> {
        self.settle();
        std::mem::take(&mut self.hosts[node.0].events)
    }

    fn crash(&mut self, node: NodeId, config: Config) {
        for dial in &mut self.dials {
            if dial.hosts[0] == node.0 {
                dial.over = true;
            }
        }
        let (now, make) = (self.now, self.make(config));
        let host = &mut self.hosts[node.0];
        host.renew(make, now);
        host.down = true;
        self.touched.insert(node.0);
    }

    fn revive(&mut self, node: NodeId) {
        self.host(node).down = false;
    }

    fn is_idle(&self, node: NodeId) -> bool {
        let endpoint = &self.hosts[node.0].endpoint;
        endpoint.is_idle() && endpoint.draining() == 0
    }

    fn connect(&mut self, nodes: [NodeId; 2], configs: [SessionConfig; 2]) -> DialId {
        self.dial(nodes.map(|node| node.0), &configs[0])
    }

    fn sessions(&self, connection: DialId) -> [Option<Id<Session>>; 2] {
        self.dials[connection.0].sessions
    }

    fn is_over(&self, connection: DialId) -> bool {
        self.dials[connection.0].over
    }

    fn poll_failed(&mut self) -> Option<DialId> {
        self.failed.pop_front()
    }

    fn cut(&mut self, connection: DialId) {
        let until = self.now.after(LOST);
        [Side::Client, Side::Server]
            .into_iter()
            .for_each(|side| self.line(connection, side).dark_until = until);
    }

    fn disturb(&mut self, connection: DialId, pick: u64) {
        self.move_client(connection, pick);
    }

    fn stall(&mut self, connection: DialId, side: Side) {
        self.line(connection, side).cut = true;
    }

    fn squeeze(&mut self, connection: DialId, side: Side) {
        let at = self.dials[connection.0].hosts[usize::from(side == Side::Server)];
        let now = self.now;
        self.host(NodeId(at)).squeezed = Some(now);
    }

    fn flow(&mut self, connection: DialId, side: Side) {
        self.line(connection, side).cut = false;
        let at = self.dials[connection.0].hosts[usize::from(side == Side::Server)];
        self.host(NodeId(at)).squeezed = None;
    }

    fn heal(&mut self) {
        self.air = self.air.healed();
        for line in self.lines.values_mut() {
            (line.cut, line.dark_until) = (false, self.now);
        }
    }

    fn step(&mut self, until: Time) -> bool {
        self.step_to(until)
    }

    fn pass(&mut self, until: Time) {
        self.now = until;
        self.settle();
    }
}

//! What a plan is carried out on: nodes whose streams are carried, or endpoints whose packets are.

use smoq_core::{Config, Event, Id, Session, SessionConfig, Side, Stats, Time, wire::StreamCode};

use crate::{Connection, LinkConfig, NodeId, World, actors::Stage, tap::Tap};

/// A network of nodes in virtual time that can be hurt.
pub(crate) trait Depth: Stage {
    /// What connections are like.
    type Link: Clone;
    /// A connection.
    type Connection: Copy + PartialEq;

    /// An empty one.
    fn new(seed: u64, link: Self::Link, tap: Tap) -> Self;
    fn tap(&self) -> &Tap;
    fn tap_mut(&mut self) -> &mut Tap;
    /// How many things have happened.
    fn steps(&self) -> u64;
    /// How many may happen in a minute of quiet over so many connections.
    fn idle_steps(connections: usize) -> u64;

    /// Adds a node.
    fn add(&mut self, config: Config) -> NodeId;
    fn stats(&self, node: NodeId) -> Stats;
    /// What happened at a node since this was asked last.
    fn events(&mut self, node: NodeId) -> Vec<Event>;
    /// A node dies without a word. It is to be begun anew, with nothing, by [`Depth::revive`].
    fn crash(&mut self, node: NodeId, config: Config);
    fn revive(&mut self, node: NodeId);
    /// Whether nothing is left of the connections of a node.
    fn is_idle(&self, node: NodeId) -> bool;

    /// The first node dials the second one.
    fn connect(&mut self, nodes: [NodeId; 2], configs: [SessionConfig; 2]) -> Self::Connection;
    /// The sessions at its ends, if they are there already.
    fn sessions(&self, connection: Self::Connection) -> [Option<Id<Session>>; 2];
    /// Whether the end that dialed knows that it is over.
    fn is_over(&self, connection: Self::Connection) -> bool;
    /// A connection that has not come about, each one once.
    fn poll_failed(&mut self) -> Option<Self::Connection>;

    /// Both ends find that a connection is lost.
    fn cut(&mut self, connection: Self::Connection);
    /// Something small goes wrong.
    fn disturb(&mut self, connection: Self::Connection, pick: u64);
    /// Nothing that an end sends arrives.
    fn stall(&mut self, connection: Self::Connection, side: Side);
    /// The socket of an end takes almost nothing.
    fn squeeze(&mut self, connection: Self::Connection, side: Side);
    /// Neither any more.
    fn flow(&mut self, connection: Self::Connection, side: Side);
    /// The network does no harm from now on.
    fn heal(&mut self);

    /// Lets the next thing happen, if that is not after `until`. Says whether there was one.
    fn step(&mut self, until: Time) -> bool;
    /// Lets the time pass in which nothing happens.
    fn pass(&mut self, until: Time);
}

impl Depth for World {
    type Link = LinkConfig;
    type Connection = Connection;

    fn new(seed: u64, link: LinkConfig, tap: Tap) -> Self {
        let mut world = Self::new(seed);
        (world.tap, world.link) = (Some(tap), link);
        world
    }

    fn tap(&self) -> &Tap {
        self.tap.as_ref().expect("a swarm has a tap")
    }

    fn tap_mut(&mut self) -> &mut Tap {
        self.tap.as_mut().expect("a swarm has a tap")
    }

    fn steps(&self) -> u64 {
        self.steps()
    }

    fn idle_steps(_: usize) -> u64 {
        2
    }

    fn add(&mut self, config: Config) -> NodeId {
        self.node(config)
    }

    fn stats(&self, node: NodeId) -> Stats {
        self[node].stats()
    }

    fn events(&mut self, node: NodeId) -> Vec<Event> {
        self.events(node)
    }

    fn crash(&mut self, node: NodeId, config: Config) {
        self.crash(node, config);
    }

    fn revive(&mut self, _: NodeId) {}

    fn is_idle(&self, _: NodeId) -> bool {
        true
    }

    fn connect(&mut self, nodes: [NodeId; 2], configs: [SessionConfig; 2]) -> Connection {
        let link = self.link.clone();
        self.connect_with(nodes[0], nodes[1], configs, link)
    }

    fn sessions(&self, connection: Connection) -> [Option<Id<Session>>; 2] {
        [connection.client, connection.server].map(Some)
    }

    fn is_over(&self, connection: Connection) -> bool {
        self.is_over(connection)
    }

    fn poll_failed(&mut self) -> Option<Connection> {
        None
    }

    fn cut(&mut self, connection: Connection) {
        self.cut(connection);
    }

    fn disturb(&mut self, connection: Connection, pick: u64) {
        self.break_stream(connection, pick, StreamCode::INTERNAL);
    }

    fn stall(&mut self, connection: Connection, side: Side) {
        self.stall(connection, side, true);
    }

    fn squeeze(&mut self, connection: Connection, side: Side) {
        self.squeeze(connection, side, 10);
    }

    fn flow(&mut self, connection: Connection, side: Side) {
        if !self.is_over(connection) {
            self.squeeze(connection, side, self.link.window);
            self.stall(connection, side, false);
        }
    }

    fn heal(&mut self) {}

    fn step(&mut self, until: Time) -> bool {
        self.step(until, false)
    }

    fn pass(&mut self, until: Time) {
        self.pass(until);
    }
}

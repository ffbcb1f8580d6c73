//! The endpoint as one of several shards.

use std::time::Instant;

use smoq_core::{Batch, Carrier, Discover, Id, Session, SessionConfig, Side, Version};

use super::Endpoint;
use crate::Misdirected;

impl Endpoint {
    /// Joins the node with that of another shard, whose endpoint makes the other end with the other
    /// side. The session has no connection and asks for all announcements. Of what happens to it only
    /// faults and its end are told ([`Event::Link`](crate::Event::Link)).
    pub fn add_link(&mut self, now: Instant, side: Side) -> Id<Session> {
        let config = SessionConfig::client(Version::Lite06, Carrier::Link, "");
        let config =
            SessionConfig { side, datagrams: true, discover: Discover::Everything, ..config };
        let session = self.node.add_session(self.time(now), config);
        self.links.add(session, side, self.node.config().limits.peer_streams);
        session
    }

    /// The other end of a link says something. Batches come in order, and none is left out.
    pub fn handle_link(&mut self, now: Instant, session: Id<Session>, batch: Batch) {
        let time = self.time(now);
        self.links.handle(&mut self.node, time, session, batch);
    }

    /// The next thing to say to the other end of a link. Asked once after many inputs it says as much
    /// as possible at a time. Idle calls are O(1).
    pub fn poll_link(&mut self, now: Instant) -> Option<(Id<Session>, Batch)> {
        self.sort_out();
        let time = self.time(now);
        self.links.poll(&mut self.node, time, &mut self.scratch)
    }

    /// Links that are not over.
    pub fn links(&self) -> usize {
        self.links.sessions().count()
    }

    /// A datagram arrived at another shard, whose [`Endpoint::poll_misdirected`] gave it. It is never
    /// handed on.
    pub fn handle_misdirected(&mut self, now: Instant, datagram: Misdirected) {
        let Misdirected { shard: _, remote, local_ip, ecn, data } = datagram;
        self.take_datagram(now, remote, local_ip, ecn, data);
    }

    /// The next datagram for another shard. At most 256 wait for each, later ones
    /// are dropped.
    pub fn poll_misdirected(&mut self) -> Option<Misdirected> {
        self.strays.pop()
    }
}

//! What the driver of a shard has to do with those of the others.
//!
//! Two shards share nothing but their mailboxes. What one has for another goes into the other's at the
//! end of a turn: one message for the link, however many frames are in it.

use std::{mem, time::Instant};

use smoq_core::{Id, Session, wire::SessionCode};
use smoq_quic::{Endpoint, Misdirected};

use crate::{
    mailbox::ToPeer,
    op::{Op, Ops},
};

/// What peers are told when one shard takes the others along.
pub(super) const FAILED: &str = "a part of the server has failed";

/// Another shard.
pub(crate) struct Peer {
    /// Its index.
    pub(crate) shard: u8,
    /// The session of the link to it, in this shard's node.
    pub(crate) session: Id<Session>,
    pub(crate) ops: ToPeer<Op>,
}

/// The other shards of a server; none for what has only one.
#[derive(Default)]
pub(crate) struct Shards {
    own: u8,
    peers: Vec<Peer>,
    /// Handles of others, which run as long as this one.
    _keep: Vec<Ops>,
    /// Everybody knows that this one ends.
    told: bool,
    /// Datagrams for each peer.
    strays: Vec<Vec<Misdirected>>,
}

impl Shards {
    pub(crate) fn new(own: u8, peers: Vec<Peer>, keep: Vec<Ops>) -> Self {
        let strays = peers.iter().map(|_| Vec::new()).collect();
        Self { own, peers, _keep: keep, told: false, strays }
    }

    /// The session of the link to a shard.
    pub(super) fn link(&self, shard: u8) -> Option<Id<Session>> {
        self.peers.iter().find(|peer| peer.shard == shard).map(|peer| peer.session)
    }

    /// The shard at the other end of a link.
    pub(super) fn peer(&self, link: Id<Session>) -> Option<u8> {
        self.peers.iter().find(|peer| peer.session == link).map(|peer| peer.shard)
    }

    /// Tells the others what the endpoint has for them.
    pub(super) fn flush(&mut self, now: Instant, endpoint: &mut Endpoint) {
        while let Some((session, batch)) = endpoint.poll_link(now) {
            if let Some(peer) = self.peers.iter().find(|peer| peer.session == session) {
                // Always taken: the link bounds what is on its way.
                peer.ops.force(Op::Link { from: self.own, batch });
            }
        }
        while let Some(datagram) = endpoint.poll_misdirected() {
            if let Some(at) = self.peers.iter().position(|peer| peer.shard == datagram.shard) {
                self.strays[at].push(datagram);
            }
        }
        for (peer, strays) in self.peers.iter().zip(&mut self.strays) {
            if !strays.is_empty() {
                let datagrams = mem::take(strays);
                let bytes = datagrams.iter().map(|datagram| datagram.data.len()).sum();
                // What a busy shard has no room for is lost, as it might have been on the network.
                let _ = peer.ops.try_push(bytes, Op::Datagrams(datagrams));
            }
        }
    }

    /// This shard closes, and with it the server.
    pub(super) fn close(&mut self, code: SessionCode, reason: &str) {
        if !mem::replace(&mut self.told, true) {
            for peer in &self.peers {
                peer.ops.force(Op::Shutdown { code, reason: reason.to_owned() });
            }
        }
    }
}

impl Drop for Shards {
    /// A driver that ends by a failure takes the others along: a server that serves some of its peers
    /// only is worse than one that is started again.
    fn drop(&mut self) {
        self.close(SessionCode::INTERNAL, FAILED);
    }
}

//! What an endpoint has to do with the other shards of its server: links between their nodes, and
//! datagrams that came to the wrong one.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use smoq_core::{Batch, Id, Link, Session, Side, Time};
use smoq_tape::Recorder;

use crate::{Shard, crypto::CID_BYTES};

/// Bytes that one end of a link may have on their way: what a gigabit per second is in 8 ms, for which
/// the other shard may be busy.
const WINDOW: usize = 1 << 20;

/// One end of a link may have open, in each direction, as many streams as the node allows so many peers
/// ([`Limits::peer_streams`](smoq_core::Limits::peer_streams)): a link stands for all the peers of a shard,
/// and a track is one stream however many of them listen. 65,536 by default.
const PEERS: usize = 8;

/// Datagrams for one other shard that may wait to be handed over. Beyond it they are dropped, as the
/// network might have done.
const MAX_MISDIRECTED: usize = 256;

/// A datagram of a connection that is on another shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misdirected {
    /// The index of the shard.
    pub shard: u8,
    /// Where it came from.
    pub remote: SocketAddr,
    /// The address that it was sent to, if known.
    pub local_ip: Option<IpAddr>,
    /// The two ECN bits of its IP header.
    pub ecn: u8,
    /// The UDP payload.
    pub data: BytesMut,
}

/// The shard that a datagram is for, if that exists and is another one than `here`. Only packets with a
/// short header have an id that we chose for sure: a handshake is where its address leads.
pub(crate) fn elsewhere(here: Shard, data: &[u8]) -> Option<u8> {
    let short = data.first()? & 0x80 == 0;
    let index = *data.get(CID_BYTES)?;
    (short && index != here.index && index < here.count).then_some(index)
}

/// Datagrams for other shards.
#[derive(Default)]
pub(crate) struct Strays {
    queue: VecDeque<Misdirected>,
    /// How many of them each shard has.
    waiting: BTreeMap<u8, usize>,
}

impl Strays {
    pub(crate) fn push(&mut self, datagram: Misdirected) {
        let waiting = self.waiting.entry(datagram.shard).or_default();
        if *waiting < MAX_MISDIRECTED {
            *waiting += 1;
            self.queue.push_back(datagram);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Misdirected> {
        let datagram = self.queue.pop_front()?;
        if let Some(waiting) = self.waiting.get_mut(&datagram.shard) {
            *waiting -= 1;
        }
        Some(datagram)
    }
}

struct Entry {
    link: Link,
    queued: bool,
}

/// Links to the nodes of other shards. They are as few as shards, so those that are over stay.
#[derive(Default)]
pub(crate) struct Links {
    links: BTreeMap<Id<Session>, Entry>,
    /// Those that may have something to say.
    queue: VecDeque<Id<Session>>,
}

impl Links {
    pub(crate) fn add(&mut self, session: Id<Session>, side: Side, peer_streams: usize) {
        let link = Link::new(side, WINDOW, peer_streams.saturating_mul(PEERS));
        self.links.insert(session, Entry { link, queued: false });
        self.wake(session);
    }

    pub(crate) fn contains(&self, session: Id<Session>) -> bool {
        self.links.contains_key(&session)
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = Id<Session>> {
        self.links.iter().filter(|(_, entry)| !entry.link.is_over()).map(|(session, _)| *session)
    }

    /// A link may have something to say.
    pub(crate) fn wake(&mut self, session: Id<Session>) {
        if let Some(entry) = self.links.get_mut(&session)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.queue.push_back(session);
        }
    }

    pub(crate) fn handle(
        &mut self,
        node: &mut Recorder,
        now: Time,
        session: Id<Session>,
        batch: Batch,
    ) {
        if let Some(entry) = self.links.get_mut(&session) {
            entry.link.hear(batch, |heard| node.hear(now, session, heard));
            self.wake(session);
        }
    }

    pub(crate) fn poll(
        &mut self,
        node: &mut Recorder,
        now: Time,
        scratch: &mut Vec<Bytes>,
    ) -> Option<(Id<Session>, Batch)> {
        while let Some(session) = self.queue.pop_front() {
            let Some(entry) = self.links.get_mut(&session) else { continue };
            entry.queued = false;
            node.pump(now, session, &mut entry.link, scratch);
            if let Some(batch) = entry.link.take() {
                return Some((session, batch));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_header_names_its_shard() {
        let here = Shard { index: 1, count: 3 };
        let packet = |first, index| [first, 9, 9, 9, 9, 9, 9, 9, index, 0, 0];
        for first in [0x40, 0x7f, 0] {
            assert_eq!(elsewhere(here, &packet(first, 2)), Some(2));
            assert_eq!(elsewhere(here, &packet(first, 1)), None, "it is here");
            assert_eq!(elsewhere(here, &packet(first, 3)), None, "there is no such shard");
        }
        assert_eq!(elsewhere(here, &packet(0xc0, 2)), None, "the id may be the client's");
        for len in 0..=CID_BYTES {
            assert_eq!(elsewhere(here, &packet(0x40, 2)[..len]), None, "too short");
        }
    }

    #[test]
    fn strays_are_bounded_and_a_flood_for_one_shard_starves_no_other() {
        let mut strays = Strays::default();
        let stray = |shard| {
            let (remote, data) = (([127, 0, 0, 1], 1).into(), BytesMut::new());
            Misdirected { shard, remote, local_ip: None, ecn: 0, data }
        };
        for _ in 0..2 {
            (0..2 * MAX_MISDIRECTED).for_each(|_| strays.push(stray(0)));
            strays.push(stray(1));
            let all: Vec<_> = std::iter::from_fn(|| strays.pop()).collect();
            assert_eq!(all.len(), MAX_MISDIRECTED + 1);
            assert_eq!(all.last().map(|datagram| datagram.shard), Some(1));
        }
    }
}

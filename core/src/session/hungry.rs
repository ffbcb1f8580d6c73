//! Which of a peer's subscriptions has a group to send next.

use alloc::collections::BTreeSet;
use core::cmp::Reverse;

use crate::{
    Id, Node, Session,
    id::Arena,
    node::Sub,
    store::{Group, Store, Track},
};

/// How a group goes to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// On a stream of its own.
    Stream,
    /// As a datagram.
    Datagram,
}

/// A subscription that may have a group to send. The most urgent one compares highest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Hungry {
    /// The subscriber's, and the publisher's.
    pub(crate) priority: [u8; 2],
    pub(crate) age: Reverse<u32>,
    pub(crate) sub: Id<Sub>,
}

/// Those of a session. Which way the next group of a subscription goes may have changed since it was put
/// here; that is looked at when its turn comes, so that each change costs once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hunger {
    stream: BTreeSet<Hungry>,
    datagram: BTreeSet<Hungry>,
}

impl Hunger {
    pub(crate) fn is_empty(&self) -> bool {
        self.stream.is_empty() && self.datagram.is_empty()
    }

    /// How many there are at most.
    pub(crate) fn len(&self) -> usize {
        self.stream.len() + self.datagram.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Hungry> {
        self.stream.iter().chain(&self.datagram).copied()
    }

    /// Says whether it was not there.
    pub(crate) fn insert(&mut self, way: Way, hungry: Hungry) -> bool {
        self.of(way).insert(hungry)
    }

    pub(crate) fn remove(&mut self, hungry: &Hungry) {
        self.stream.remove(hungry);
        self.datagram.remove(hungry);
    }

    /// The same subscription has another place.
    pub(crate) fn replace(&mut self, before: &Hungry, after: Hungry) {
        for way in [Way::Stream, Way::Datagram] {
            if self.of(way).remove(before) {
                self.of(way).insert(after);
            }
        }
    }

    fn of(&mut self, way: Way) -> &mut BTreeSet<Hungry> {
        match way {
            Way::Stream => &mut self.stream,
            Way::Datagram => &mut self.datagram,
        }
    }
}

impl Session {
    /// How a group of a track goes to this peer.
    pub(crate) fn way(&self, store: &Store, track: &Track, group: Id<Group>) -> Way {
        let may = self.config.datagrams && track.has_datagrams;
        match store.groups.get(group).filter(|_| may) {
            Some(group) if group.is_datagram => Way::Datagram,
            _ => Way::Stream,
        }
    }
}

impl Node {
    /// The most urgent subscription of this peer that has a group to send this way. Until all have gone, that is
    /// what the transport owes.
    pub(crate) fn most_hungry(&mut self, session_id: Id<Session>, wanted: Way) -> Option<Id<Sub>> {
        let session = self.sessions.get_mut(session_id)?;
        if session.hungry.is_empty() {
            session.refusal.stream = false;
            return None;
        }
        let stream = first(session, Way::Stream, &self.store, &mut self.subs);
        let datagram = first(session, Way::Datagram, &self.store, &mut self.subs);
        session.refusal.stream = stream.is_some() || datagram.is_some();
        match wanted {
            Way::Stream => stream,
            Way::Datagram => datagram,
        }
    }
}

/// The most urgent one that goes this way.
fn first(
    session: &mut Session,
    wanted: Way,
    store: &Store,
    subs: &mut Arena<Sub>,
) -> Option<Id<Sub>> {
    while let Some(hungry) = session.hungry.of(wanted).last().copied() {
        let found = subs.get_mut(hungry.sub).and_then(|sub| {
            let track = store.tracks.get(sub.track)?;
            let (_, group) = sub.selection.next(store, track)?;
            Some(session.way(store, track, group))
        });
        match found {
            Some(way) if way == wanted => return Some(hungry.sub),
            Some(way) => _ = session.hungry.insert(way, hungry),
            None => {}
        }
        session.hungry.of(wanted).pop_last();
    }
    None
}

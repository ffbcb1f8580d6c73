//! Announcements to the peer, on a stream that it opened.
//!
//! Nothing is queued but the paths that changed: each message is made when the stream has room, from
//! what holds then.

use alloc::collections::BTreeMap;

use super::{Kind, Mount};
use crate::{
    Id, Node, Path, Session, Violation,
    node::{Changes, Offence},
    route::{Route, Viewer},
    session::Stream,
    wire::{Announce, AnnounceOk, AnnounceRequest, Cost, Hop, Hops, Message},
};

/// Control bytes that may wait in one stream before more are made.
const AHEAD: usize = 16 << 10;

/// What the peer was told of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    /// Announce id (06 on).
    id: u64,
    epoch: u64,
    hops: Hops,
    cost: Cost,
}

/// What a peer wants to know, and knows.
#[derive(Clone, Debug)]
pub(crate) struct AnnounceOut {
    /// The prefix as a node path; `None` if the peer may see nothing there.
    prefix: Option<Path>,
    /// The prefix as the peer knows it.
    wire: Path,
    /// A hop that the peer wants left out (04, 05).
    exclude: Hop,
    greeted: bool,
    told: BTreeMap<Path, Told>,
    next_id: u64,
    changes: Changes,
}

impl Node {
    /// The peer asked for announcements.
    pub(crate) fn serve_announce(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        request: &AnnounceRequest,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.announce_requests;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let running = |id: &Id<Stream>| {
            let stream = session.streams.get(*id);
            stream.is_some_and(|stream| matches!(stream.kind, Kind::AnnounceOut(_)))
        };
        session.announcing.retain(running);
        if session.announcing.len() >= limit {
            return Err(Offence::Stream(Violation::TooManyAnnounceRequests));
        }
        session.announcing.push(id);
        if request.exclude_hop.is_known() && !session.hop_named {
            session.hop = request.exclude_hop;
        }
        // A prefix that the peer may not see is answered with silence, not with an error.
        let prefix = session.subscribe.as_ref().and_then(|mount| mount.requested(&request.prefix));
        let mut changes = Changes::default();
        if let Some(prefix) = &prefix {
            self.routes.below(prefix).cloned().for_each(|path| changes.add(path));
        }
        let state = AnnounceOut {
            prefix,
            wire: request.prefix.clone(),
            exclude: request.exclude_hop,
            greeted: false,
            told: BTreeMap::new(),
            next_id: 0,
            changes,
        };
        if let Some(stream) = session.streams.get_mut(id) {
            stream.kind = Kind::AnnounceOut(state);
        }
        session.wake(id);
        self.touch(session_id);
        Ok(())
    }

    /// Tells the streams whose prefix covers a path that its routes have changed.
    pub(crate) fn offer_announcement(&mut self, path: &Path) {
        for session_id in self.sessions.ids() {
            let Some(session) = self.sessions.get_mut(session_id) else { continue };
            let mut touched = false;
            for index in 0..session.announcing.len() {
                let id = session.announcing[index];
                let Some(stream) = session.streams.get_mut(id) else { continue };
                let Kind::AnnounceOut(state) = &mut stream.kind else { continue };
                if state.prefix.as_ref().is_some_and(|prefix| path.starts_with(prefix)) {
                    state.changes.add(path.clone());
                    session.wake(id);
                    touched = true;
                }
            }
            if touched {
                self.touch(session_id);
            }
        }
    }

    /// Makes messages until the stream has enough of them.
    pub(crate) fn fill_announcements(&mut self, session_id: Id<Session>, id: Id<Stream>) {
        let own = self.config.hop;
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let (version, hop, link) = (session.version(), session.hop, session.is_link());
        let Some(stream) = session.streams.get_mut(id) else { return };
        let Kind::AnnounceOut(state) = &mut stream.kind else { return };
        let viewer = Viewer { session: Some(session_id), hops: [hop, state.exclude], link };
        if !state.greeted {
            state.greeted = true;
            if version.has_announce_ok() {
                let visible = |path: &&Path| self.routes.best(path, viewer).is_some();
                let below = state.prefix.iter().flat_map(|prefix| self.routes.below(prefix));
                let active = below.filter(visible).count() as u64;
                AnnounceOk { hop: own, active }.encode(&mut stream.out, version);
            }
        }
        while stream.out.len() < AHEAD {
            let Some(path) = state.changes.next() else { break };
            let route = self.routes.best(&path, viewer);
            let told = state.told.get(&path);
            let still_there = told.is_some_and(|told| self.routes.has_epoch(&path, told.epoch));
            let message = match (told, route) {
                (None, None) => continue,
                (Some(told), Some(route)) if told.is(route) => continue,
                // Before 05 a route cannot be changed in place, and its hops are not worth an end.
                (Some(_), Some(_)) if still_there && version.sender_appends_hop() => continue,
                (Some(told), Some(route)) if still_there && version.has_announce_ids() => {
                    Announce::Update { id: told.id, hops: route.hops.clone(), cost: route.cost() }
                }
                (Some(told), route) if !(still_there && route.is_some()) => {
                    if route.is_some() {
                        state.changes.add(path.clone());
                    }
                    match state.suffix(session.subscribe.as_ref(), &path) {
                        Some(suffix) if !version.has_announce_ids() => Announce::End { suffix },
                        _ => Announce::EndId { id: told.id },
                    }
                }
                (_, Some(route)) => {
                    let mut hops = route.hops.clone();
                    // A viewer with room for no more hops sees no route.
                    if version.sender_appends_hop() && own.is_known() && hops.push(own).is_err() {
                        continue;
                    }
                    // A path that is too long for this peer does not exist for it.
                    let Some(suffix) = state.suffix(session.subscribe.as_ref(), &path) else {
                        continue;
                    };
                    Announce::Start { suffix, hops, cost: route.cost() }
                }
                (Some(_), None) => continue,
            };
            message.encode(&mut stream.out, version);
            state.remember(path, &message, route);
        }
    }
}

impl Told {
    fn is(&self, route: &Route) -> bool {
        self.epoch == route.epoch && self.hops == route.hops && self.cost == route.cost()
    }
}

impl AnnounceOut {
    /// The peer asked with its own words for the prefix, and gets the rest in the same.
    fn suffix(&self, mount: Option<&Mount>, path: &Path) -> Option<Path> {
        mount?.to_wire(path)?.strip_prefix(&self.wire)
    }

    fn remember(&mut self, path: Path, message: &Announce, route: Option<&Route>) {
        let id = match message {
            Announce::Start { .. } => {
                self.next_id += 1;
                self.next_id - 1
            }
            Announce::Update { id, .. } => *id,
            Announce::End { .. } | Announce::EndId { .. } | Announce::Other { .. } => {
                self.told.remove(&path);
                return;
            }
        };
        if let Some(route) = route {
            let (epoch, hops, cost) = (route.epoch, route.hops.clone(), route.cost());
            self.told.insert(path, Told { id, epoch, hops, cost });
        }
    }
}

//! Announcements of the peer, on a stream that we opened.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{Kind, Priority, Request};
use crate::{
    Dir, Discover, Id, Node, Path, Session, StreamId, Violation,
    node::Offence,
    route::Via,
    session::Stream,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, Cost, Hop, Hops, Message, StreamCode,
        varint,
    },
};

/// What a peer announces below one prefix.
#[derive(Clone, Debug)]
pub(crate) struct AnnounceIn {
    /// The prefix as the peer knows it.
    pub(crate) prefix: Path,
    /// What ANNOUNCE_OK said, once it came.
    ok: Option<Hop>,
    /// Active announcements, as node paths.
    active: BTreeSet<Path>,
    /// The same by announce id (06 on).
    ids: BTreeMap<u64, Path>,
    next_id: u64,
    /// Announcements that were declined, and not ended yet.
    declined: u64,
}

impl Node {
    /// Asks a session for what this node wants to know: everything, or what watchers watch.
    pub(crate) fn request_announcements(&mut self, session_id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(mount) = &session.publish else { return };
        let prefixes: BTreeSet<Path> = match session.config.discover {
            Discover::Everything => [mount.wire.clone()].into(),
            Discover::OnDemand => self
                .watchers
                .iter()
                .filter_map(|(_, watcher)| mount.request(&watcher.prefix))
                .collect(),
        };
        session.requests.extend(prefixes.into_iter().map(Request::Announce));
        self.touch(session_id);
    }

    /// Gives an announce request a stream.
    pub(crate) fn send_announce_request(
        &mut self,
        session_id: Id<Session>,
        stream: StreamId,
        prefix: Path,
    ) {
        let (now, own) = (self.now, self.config.hop);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let version = session.version();
        let kind = Kind::AnnounceIn(AnnounceIn {
            prefix: prefix.clone(),
            ok: None,
            active: BTreeSet::new(),
            ids: BTreeMap::new(),
            next_id: 0,
            declined: 0,
        });
        let id = session.open(now, stream, Dir::Bi, kind, Priority::CONTROL);
        if let Some(stream) = session.streams.get_mut(id) {
            varint::encode(BidiType::Announce.to_varint(), &mut stream.out);
            AnnounceRequest { prefix, exclude_hop: own }.encode(&mut stream.out, version);
        }
        session.wake(id);
    }

    /// Reads announcements. Anything wrong with them ends the session.
    pub(crate) fn read_announcements(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
    ) -> Result<(), Offence> {
        let limit = self.config.limits.message_bytes;
        loop {
            let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
            let version = session.version();
            let Some(stream) = session.streams.get_mut(id) else { return Ok(()) };
            let Kind::AnnounceIn(state) = &mut stream.kind else { return Ok(()) };
            if version.has_announce_ok() && state.ok.is_none() {
                let ok = session
                    .next(id, |buffer, version| AnnounceOk::take(buffer, limit, version))
                    .map_err(|error| Offence::Session(error.into()))?;
                let Some(ok) = ok else { break };
                if ok.hop.is_known() && !session.hop_named {
                    session.hop = ok.hop;
                    session.hop_named = true;
                }
                self.with_announce_in(session_id, id, |state| state.ok = Some(ok.hop));
                continue;
            }
            let announce = session
                .next(id, |buffer, version| Announce::take(buffer, limit, version))
                .map_err(|error| Offence::Session(error.into()))?;
            let Some(announce) = announce else { break };
            self.announced(session_id, id, announce).map_err(Offence::Session)?;
        }
        let Some(session) = self.sessions.get(session_id) else { return Ok(()) };
        let Some(stream) = session.streams.get(id).filter(|stream| stream.inbox_fin) else {
            return Ok(());
        };
        if !stream.inbox.is_empty() {
            return Err(Offence::Session(Violation::Truncated));
        }
        // An orderly end of the prefix: everything below it is withdrawn, and nothing more is said.
        self.end_announcements(session_id, id);
        self.set_kind(session_id, id, Kind::Over);
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        session.finish(id);
        Ok(())
    }

    fn announced(
        &mut self,
        session_id: Id<Session>,
        id: Id<Stream>,
        announce: Announce,
    ) -> Result<(), Violation> {
        let limit = self.config.limits.announcements;
        let Some(session) = self.sessions.get_mut(session_id) else { return Ok(()) };
        let (version, named, link) = (session.version(), session.hop, session.is_link());
        let Some(mount) = &session.publish else { return Ok(()) };
        let Some(stream) = session.streams.get_mut(id) else { return Ok(()) };
        let Kind::AnnounceIn(state) = &mut stream.kind else { return Ok(()) };
        let via = via(link, session_id, id);
        match announce {
            Announce::Start { suffix, hops, cost } => {
                let path = state.prefix.join(&suffix).ok();
                let path = path.and_then(|path| mount.to_local(&path));
                let known = path.as_ref().is_some_and(|path| state.active.contains(path));
                if known && (version.sender_appends_hop() || version.has_announce_ids()) {
                    return Err(Violation::DuplicateAnnouncement);
                }
                let id = state.next_id;
                state.next_id += 1;
                // What cannot be used, or is too much, is declined without a word.
                let usable = |path: &Path| path.for_announce().is_ok();
                let room = known || link || session.announcements < limit;
                let Some(path) = path.filter(usable).filter(|_| room) else {
                    state.declined += 1;
                    return Ok(());
                };
                if state.active.insert(path.clone()) {
                    session.announcements += 1;
                }
                if version.has_announce_ids() {
                    state.ids.insert(id, path.clone());
                }
                let hops = complete(&hops, state.ok.unwrap_or_default(), named, version);
                self.route_announced(&path, via, hops, cost);
            }
            Announce::End { suffix } => {
                let path = state.prefix.join(&suffix).ok();
                let path = path.and_then(|path| mount.to_local(&path));
                // Up to 05 some peers end what they never announced: nothing is lost by it.
                if let Some(path) = path.filter(|path| state.active.remove(path)) {
                    session.announcements -= 1;
                    self.route_withdrawn(&path, via);
                }
            }
            Announce::EndId { id } => match state.ids.remove(&id) {
                Some(path) => {
                    state.active.remove(&path);
                    session.announcements -= 1;
                    self.route_withdrawn(&path, via);
                }
                // It may be one that was declined. Which, is not remembered.
                None if id < state.next_id && state.declined > 0 => state.declined -= 1,
                None => return Err(Violation::UnknownAnnouncement),
            },
            Announce::Update { id, hops, cost } => match state.ids.get(&id).cloned() {
                Some(path) => {
                    let hops = complete(&hops, state.ok.unwrap_or_default(), named, version);
                    self.route_announced(&path, via, hops, cost);
                }
                None if id < state.next_id && state.declined > 0 => {}
                None => return Err(Violation::UnknownAnnouncement),
            },
            Announce::Other { .. } => {}
        }
        Ok(())
    }

    /// A broadcast is reached by a peer over these hops. Without any it cannot be used: it went in a
    /// circle, or too far.
    fn route_announced(&mut self, path: &Path, via: Via, hops: Option<Hops>, cost: Cost) {
        let own = self.config.hop;
        let session = via.session().and_then(|session| self.sessions.get(session));
        let price = session.map_or(0, Session::price);
        match hops.filter(|hops| !hops.contains(own)) {
            Some(hops) => {
                if !self.routes.update(path, via, hops.clone(), cost) {
                    self.routes.add(path.clone(), via, hops, cost, price);
                }
            }
            None => _ = self.routes.remove(path, via),
        }
        self.route_changed(path);
        if let Some(session) = via.session() {
            self.seek_at(session, path);
        }
    }

    /// The price of the way to a peer may have changed.
    pub(crate) fn reprice(&mut self, session_id: Id<Session>) {
        let Some(session) = self.sessions.get(session_id) else { return };
        for path in self.routes.reprice(session_id, session.price()) {
            self.route_changed(&path);
        }
    }

    fn route_withdrawn(&mut self, path: &Path, via: Via) {
        self.routes.remove(path, via);
        self.route_changed(path);
    }

    /// Takes back all that the peer announced on a stream.
    pub(crate) fn end_announcements(&mut self, session_id: Id<Session>, id: Id<Stream>) {
        let mut gone = BTreeSet::new();
        self.with_announce_in(session_id, id, |state| {
            gone = core::mem::take(&mut state.active);
            state.ids.clear();
        });
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        session.announcements -= gone.len();
        let via = via(session.is_link(), session_id, id);
        for path in gone {
            self.route_withdrawn(&path, via);
        }
    }

    /// Asks every session that discovers on demand for a prefix that is watched from now on.
    pub(crate) fn request_prefix(&mut self, prefix: &Path) {
        for session_id in self.sessions.ids() {
            let Some(session) = self.sessions.get_mut(session_id) else { continue };
            if session.config.discover == Discover::Everything || session.leaving {
                continue;
            }
            let Some(mount) = &session.publish else { continue };
            let Some(wire) = mount.request(prefix) else { continue };
            let request = Request::Announce(wire.clone());
            if session.requests.contains(&request) || asked(session, &wire).is_some() {
                continue;
            }
            session.requests.push_back(request);
            self.touch(session_id);
        }
    }

    /// Ends the requests for a prefix that nobody watches any more.
    pub(crate) fn end_prefix(&mut self, prefix: &Path) {
        for session_id in self.sessions.ids() {
            let Some(session) = self.sessions.get(session_id) else { continue };
            let Some(mount) = &session.publish else { continue };
            let Some(wire) = mount.request(prefix) else { continue };
            let mut others = self.watchers.iter().map(|(_, watcher)| &watcher.prefix);
            let wanted = others.any(|other| mount.request(other).as_ref() == Some(&wire));
            drop(others);
            if wanted || session.config.discover == Discover::Everything {
                continue;
            }
            let id = asked(session, &wire);
            self.withdraw_request(session_id, &Request::Announce(wire));
            if let Some(id) = id {
                self.end_announcements(session_id, id);
                self.set_kind(session_id, id, Kind::Over);
                let Some(session) = self.sessions.get_mut(session_id) else { continue };
                // FIN ends the request; some peers notice only STOP_SENDING.
                session.finish(id);
                session.stop(id, StreamCode::CANCEL);
                self.touch(session_id);
            }
        }
    }

    fn with_announce_in(
        &mut self,
        session: Id<Session>,
        id: Id<Stream>,
        change: impl FnOnce(&mut AnnounceIn),
    ) {
        let session = self.sessions.get_mut(session);
        let stream = session.and_then(|session| session.streams.get_mut(id));
        if let Some(Stream { kind: Kind::AnnounceIn(state), .. }) = stream {
            change(state);
        }
    }
}

/// The stream on which a prefix was asked for.
fn asked(session: &Session, wire: &Path) -> Option<Id<Stream>> {
    let mut streams: Vec<_> = session
        .streams
        .iter()
        .filter(
            |(_, stream)| matches!(&stream.kind, Kind::AnnounceIn(state) if state.prefix == *wire),
        )
        .map(|(id, _)| id)
        .collect();
    streams.pop()
}

/// Where what is announced on a stream leads.
fn via(link: bool, session: Id<Session>, stream: Id<Stream>) -> Via {
    if link { Via::Link(session, stream) } else { Via::Peer(session, stream) }
}

/// The hops of an announcement up to and including the peer it came from; `None` if it cannot be
/// used, because it went in a circle or too far. A peer that names no hop is known by one that we made up.
fn complete(hops: &Hops, ok: Hop, named: Hop, version: crate::Version) -> Option<Hops> {
    let mut hops = hops.clone();
    if version.sender_appends_hop() {
        if hops.is_empty() {
            hops.push(named).ok()?;
        }
    } else {
        hops.push(if ok.is_known() { ok } else { named }).ok()?;
    }
    Some(hops)
}

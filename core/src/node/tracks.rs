//! Where tracks come from: finding a source, one subscription upstream for all who listen here, and
//! what happens when the source fails.

use alloc::{sync::Arc, vec::Vec};

use super::{Node, Sub, Track};
use crate::{
    Id, Path, Side, Start, SubscribeOptions, Version,
    route::Viewer,
    session::{Kind, Request, Session, State, Stream, params},
    store::{Ended, Feed, GroupEnd, Source, Supplier, TrackName},
    wire::{GroupOrder, Hop, StreamCode, SubscribeParams, TrackInfo},
};

/// Feeds of one track from one session. Behind a relay a publisher may follow another, while somebody
/// still listens to the one before.
const FEEDS: usize = 4;

/// Where a broadcast comes from.
pub(super) struct Way {
    /// The session to ask.
    pub(super) session: Id<Session>,
    /// Who has published it, if that is known.
    pub(super) origin: Hop,
    /// There is a relay on the way.
    pub(super) relayed: bool,
}

impl Node {
    /// The track of this name, found or asked for. `from` is the session that wants it: it is not
    /// asked itself.
    ///
    /// It comes from where the best route leads. Who listens to what came from elsewhere stays there.
    pub(crate) fn demand(
        &mut self,
        path: &Path,
        name: &str,
        from: Option<Id<Session>>,
    ) -> Result<Id<Track>, StreamCode> {
        let name: Arc<str> = Arc::from(name);
        let key = |supplier| (path.clone(), name.clone(), supplier);
        if let Some(id) = self.named_by_application(&key(Supplier::Application)) {
            return Ok(id);
        }
        if let Some(requests) = self.serving(path, from) {
            return self.request_track(requests, key(Supplier::Application), from);
        }
        let Way { session, origin, relayed } = self.source_of(path, from)?;
        if self.is_peer(session, from) {
            return Err(StreamCode::UNROUTABLE);
        }
        if let Some(id) = self.feed_from(session, origin, key) {
            return Ok(id);
        }
        if self.is_leaving(session) {
            return Err(StreamCode::GOING_AWAY);
        }
        let known = self.sessions.get(session);
        let reached = known.filter(|session| session.source_path(path).is_some());
        let version = reached.ok_or(StreamCode::UNROUTABLE)?.version();
        let key = key(Supplier::Peer(session, origin));
        let feed = Feed { relayed, ..Feed::new(session, self.now) };
        let mut track = Track::new(key.clone(), Source::Peer(feed));
        track.says_start = version.has_end();
        if !version.has_track() {
            // Nobody can be asked: frames are stamped here, in the default scale.
            track.info = Some(TrackInfo::default());
        }
        let id = self.store.tracks.insert(track);
        self.names.insert(key, id);
        if version.has_track() {
            self.request(session, Request::Track(id));
            self.arm();
        }
        Ok(id)
    }

    /// A track of the application, unless it has been given up.
    pub(super) fn named_by_application(&self, name: &TrackName) -> Option<Id<Track>> {
        let id = self.names.get(name).copied()?;
        let track = self.store.tracks.get(id)?;
        if let Ended::Failed(_) = track.ended { None } else { Some(id) }
    }

    /// The feed that a session is asked for already. While there are as many as there may be, the
    /// newest has to do for all.
    pub(super) fn feed_from(
        &self,
        session: Id<Session>,
        origin: Hop,
        key: impl Fn(Supplier) -> TrackName,
    ) -> Option<Id<Track>> {
        // One whose origin nobody has named may be any.
        let known = [origin, Hop::UNKNOWN].map(|origin| key(Supplier::Peer(session, origin)));
        if let Some(id) = known.iter().find_map(|key| self.names.get(key)) {
            return Some(*id);
        }
        let [first, last] =
            [Hop::UNKNOWN, Hop::LAST].map(|origin| key(Supplier::Peer(session, origin)));
        let feeds = self.names.range(first..=last).map(|(_, id)| *id);
        let since = |id: &Id<Track>| self.store.tracks.get(*id)?.feed().map(|feed| feed.since);
        if feeds.clone().count() < FEEDS { None } else { feeds.max_by_key(since) }
    }

    /// Who looks for a route on behalf of a session, or of the application.
    pub(super) fn viewer(&self, from: Option<Id<Session>>) -> Viewer {
        let session = from.and_then(|id| self.sessions.get(id));
        let hop = session.map_or(Hop::UNKNOWN, |session| session.hop);
        Viewer {
            session: from,
            hops: [hop, Hop::UNKNOWN],
            link: session.is_some_and(Session::is_link),
        }
    }

    /// Whether two sessions are with the same peer.
    pub(super) fn is_peer(&self, one: Id<Session>, other: Option<Id<Session>>) -> bool {
        let hop = |id| self.sessions.get(id).filter(|session| session.hop_named).map(|s| s.hop);
        other.is_some_and(|other| one == other || hop(one).is_some() && hop(one) == hop(other))
    }

    /// Nobody else finds a track under its name any more: the next one asks anew.
    pub(crate) fn forget_name(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get(track_id) else { return };
        if self.names.get(&track.name) == Some(&track_id) {
            self.names.remove(&track.name);
        }
    }

    /// The session to ask for a broadcast, and who published that, if it is known: the best that announces it,
    /// else, for the application, a server that this node dialed, one that is about to go last. A peer is not
    /// asked on behalf of another without a route: two nodes would ask each other for ever.
    pub(super) fn source_of(
        &self,
        path: &Path,
        from: Option<Id<Session>>,
    ) -> Result<Way, StreamCode> {
        if let Some(route) = self.routes.covering(path, self.viewer(from)) {
            let session = route.session().ok_or(StreamCode::NOT_FOUND)?;
            let (origin, relayed) = (route.hops.origin(), route.hops.len() > 1);
            return Ok(Way { session, origin, relayed });
        }
        let dialed = self.sessions.iter().filter(|(_, session)| {
            session.config.side == Side::Client
                && session.state == State::Up
                && from.is_none()
                && session.source_path(path).is_some()
        });
        let dialed = dialed.min_by_key(|(_, session)| session.leaving);
        let way = |(session, _)| Way { session, origin: Hop::UNKNOWN, relayed: true };
        dialed.map(way).ok_or(StreamCode::UNROUTABLE)
    }

    pub(super) fn request(&mut self, session_id: Id<Session>, request: Request) {
        if let Some(session) = self.sessions.get_mut(session_id) {
            // What is live does not wait for what is past.
            let past = |waiting: &Request| matches!(waiting, Request::Fetch(_));
            let before = session.requests.iter().position(past).filter(|_| !past(&request));
            let at = before.unwrap_or(session.requests.len());
            session.requests.insert(at, request);
        }
        self.touch(session_id);
    }

    /// What all subscriptions of a track together want of its publisher: the highest priority, the
    /// largest age, the earliest start, the latest end.
    pub(crate) fn wanted(&self, track_id: Id<Track>, version: Version) -> SubscribeParams {
        let mut wanted: Option<SubscribeOptions> = None;
        let track = self.store.tracks.get(track_id);
        let subs = track.map(|track| track.subs.as_slice()).unwrap_or_default();
        let live = subs.iter().filter_map(|id| self.subs.get(*id)).filter(|sub| sub.live);
        for options in live.map(|sub| &sub.options) {
            wanted = Some(match wanted {
                None => options.clone(),
                Some(all) => SubscribeOptions {
                    priority: all.priority.max(options.priority),
                    max_age: all.max_age.max(options.max_age),
                    order: match (all.order, options.order) {
                        (GroupOrder::OldestFirst, GroupOrder::OldestFirst) => {
                            GroupOrder::OldestFirst
                        }
                        _ => GroupOrder::NewestFirst,
                    },
                    start: earlier(all.start, options.start),
                    end: all.end.zip(options.end).map(|(a, b)| a.max(b)),
                },
            });
        }
        let mut wanted = wanted.unwrap_or_default();
        if let Some(feed) = track.and_then(Track::feed)
            && let Some(group) = feed.resumes
        {
            // Another publisher may count anew. A relay there that has asked it for later groups only would have
            // nothing for others.
            wanted.start = Start::From(if feed.same { group } else { 0 });
        }
        params(&wanted, version)
    }

    /// Whether all that is left of those who listen are fetches to which the source has nothing to add.
    pub(crate) fn has_served(&self, track: &Track) -> bool {
        let served = |sub: &Sub| {
            let Some(group) = sub.options.end.filter(|_| !sub.live) else { return false };
            let held = track.from(group).next().filter(|(sequence, _)| *sequence == group);
            match held.and_then(|(_, id)| self.store.groups.get(id)) {
                Some(group) => group.end.is_some(),
                None => track.has_passed(group),
            }
        };
        let live = track.feed().is_some_and(|feed| feed.requested && feed.fetches.is_none());
        (live && track.ended == Ended::No && track.info.is_some() && !track.subs.is_empty())
            && track.subs.iter().all(|id| self.subs.get(*id).is_some_and(served))
    }

    /// Who listens to a track has changed: subscribes, updates, unsubscribes or forgets accordingly.
    pub(crate) fn refresh_track(&mut self, track_id: Id<Track>) {
        self.tell_demand(track_id);
        let Some(track) = self.store.tracks.get(track_id) else { return };
        let (heard, asked) = (!track.subs.is_empty(), !track.askers.is_empty());
        let named = self.names.get(&track.name) == Some(&track_id);
        let running = track.ended == Ended::No;
        if self.has_served(track) {
            return self.lose_feed(track_id, StreamCode::CANCEL);
        }
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        match &mut track.source {
            Source::Local { on_demand, unread, .. } if !heard && !asked => {
                let over = track.info.is_none() || !running;
                if !named || *on_demand && over {
                    self.remove_track(track_id);
                } else if *on_demand {
                    unread.get_or_insert(self.now);
                    self.arm();
                }
            }
            Source::Local { unread, .. } => *unread = None,
            Source::Peer(_) if !heard && !asked => {
                self.detach_feed(track_id);
                self.remove_track(track_id);
            }
            Source::Peer(feed) if heard && running => {
                let (session_id, feed_fetches) = (feed.session, feed.fetches);
                if !feed.requested {
                    feed.requested = true;
                    if self.is_leaving(session_id) {
                        return self.lose_feed(track_id, StreamCode::GOING_AWAY);
                    }
                    let request = match feed_fetches {
                        Some(_) => Request::Fetch(track_id),
                        None => Request::Subscribe(track_id),
                    };
                    return self.request(session_id, request);
                }
                if let (Some(stream), Some(session)) =
                    (feed.stream, self.sessions.get_mut(session_id))
                {
                    session.wake(stream);
                    self.touch(session_id);
                }
            }
            Source::Peer(feed) if running && feed.subscribe.is_none() => {
                // Only asked about by now. Who subscribes next may want something else.
                let session_id = feed.session;
                feed.requested = false;
                self.withdraw_request(session_id, &Request::Subscribe(track_id));
            }
            Source::Peer(_) => {}
        }
    }

    /// Ends what was asked of a publisher, without a word about the track itself.
    pub(crate) fn detach_feed(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let Some(feed) = track.feed_mut() else { return };
        let session_id = feed.session;
        let (stream, asking, subscribe) =
            (feed.stream.take(), feed.asking.take(), feed.subscribe.take());
        (feed.requested, feed.tail) = (true, None);
        self.withdraw_request(session_id, &Request::Track(track_id));
        self.withdraw_request(session_id, &Request::Subscribe(track_id));
        self.withdraw_request(session_id, &Request::Fetch(track_id));
        for id in [stream, asking].into_iter().flatten() {
            self.close_group_in(session_id, id, GroupEnd::Reset(StreamCode::CANCEL));
            self.set_kind(session_id, id, Kind::Over);
            let Some(session) = self.sessions.get_mut(session_id) else { continue };
            // FIN unsubscribes; some peers notice only STOP_SENDING.
            session.finish(id);
            session.stop(id, StreamCode::CANCEL);
            session.reap(id);
        }
        self.touch(session_id);
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        let Some(subscribe) = subscribe else { return };
        session.feeds.remove(&subscribe);
        for id in session.groups_of(track_id) {
            self.close_group_in(session_id, id, GroupEnd::Reset(StreamCode::CANCEL));
            self.refuse(session_id, id, StreamCode::CANCEL);
        }
    }

    /// The publisher failed, left, or gave the track back: its subscribers are told, and may ask again.
    pub(crate) fn lose_feed(&mut self, track_id: Id<Track>, code: StreamCode) {
        let feed = self.store.tracks.get(track_id).and_then(Track::feed);
        // Where there is no END, the end of the subscription says that everything was sent.
        let over = feed.is_some_and(|feed| feed.tail.is_some());
        self.detach_feed(track_id);
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        if track.ended != Ended::No {
            return;
        }
        if over {
            track.end.get_or_insert(track.next_sequence());
        }
        // Without its description nobody can read it.
        let complete = track.info.is_some()
            && track.end.is_some_and(|end| track.next_sequence() >= end)
            && track.from(0).all(|(_, id)| {
                self.store.groups.get(id).is_some_and(|group| group.end == Some(GroupEnd::Complete))
            });
        if complete {
            // A publisher that leaves after it has said everything takes nothing away.
            self.close_track(track_id, Ended::Finished, code);
        } else if over || !self.outlives(track_id, code) {
            self.fail_track(track_id, code);
        }
    }

    /// Nothing more comes of a track.
    pub(super) fn fail_track(&mut self, track_id: Id<Track>, code: StreamCode) {
        self.close_track(track_id, Ended::Failed(code), code);
    }

    fn close_track(&mut self, track_id: Id<Track>, ended: Ended, code: StreamCode) {
        self.found(track_id);
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        track.ended = ended;
        self.forget_name(track_id);
        self.refuse_askers(track_id, code);
        self.advance_track(track_id);
        self.refresh_track(track_id);
    }

    /// [`Self::lose_feed`] because of one of its streams, which is left to the caller to be ended.
    pub(crate) fn lose_feed_by(&mut self, track_id: Id<Track>, id: Id<Stream>, code: StreamCode) {
        if let Some(feed) = self.store.tracks.get_mut(track_id).and_then(Track::feed_mut) {
            feed.stream.take_if(|stream| *stream == id);
            feed.asking.take_if(|stream| *stream == id);
        }
        self.lose_feed(track_id, code);
    }

    /// Loses every feed from a session that is over.
    pub(crate) fn lose_feeds_of(&mut self, session: Id<Session>) {
        for track_id in self.store.tracks.ids() {
            let track = self.store.tracks.get(track_id);
            if track.and_then(Track::feed).is_some_and(|feed| feed.session == session) {
                self.lose_feed(track_id, StreamCode::SESSION_CLOSED);
            }
        }
    }

    /// Forgets a track and its groups.
    pub(crate) fn remove_track(&mut self, track_id: Id<Track>) {
        self.found(track_id);
        self.forget_name(track_id);
        let Some(track) = self.store.tracks.get(track_id) else { return };
        let groups: Vec<_> = track.from(0).map(|(_, id)| id).collect();
        for group in groups {
            self.wake_followers(group);
            self.store.remove_group(group);
        }
        self.leave_broadcast(track_id);
        let Some(track) = self.store.tracks.remove(track_id) else { return };
        if track.is_fetched() {
            self.store.fetched_tracks -= 1;
        }
        if track.is_on_demand() {
            self.forget_request(track_id);
        }
    }
}

impl Session {
    /// The streams on which groups of a track come in.
    fn groups_of(&self, track: Id<Track>) -> Vec<Id<Stream>> {
        let of = |kind: &Kind| matches!(kind, Kind::GroupIn(group) if group.track == track);
        self.streams.iter().filter(|(_, stream)| of(&stream.kind)).map(|(id, _)| id).collect()
    }
}

/// The start that covers both.
fn earlier(a: Start, b: Start) -> Start {
    match (a, b) {
        (Start::From(a), Start::From(b)) => Start::From(a.min(b)),
        (Start::From(group), _) | (_, Start::From(group)) => Start::From(group),
        (Start::Aged { floor: a }, Start::Aged { floor: b }) => Start::Aged { floor: a.min(b) },
        (Start::Aged { floor }, Start::Latest) | (Start::Latest, Start::Aged { floor }) => {
            Start::Aged { floor }
        }
        (Start::Latest, Start::Latest) => Start::Latest,
    }
}

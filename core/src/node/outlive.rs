//! A track outlives its source: it goes on from another one, if a relay on the way was lost and somebody
//! still listens.
//!
//! What is held stays, and the groups behind it are asked of the next source. Whoever has the last one, or a
//! later one, counts with the same numbers.

use alloc::{sync::Arc, vec::Vec};

use super::{Node, Sub, Target, Track};
use crate::{
    Id, Path, Time,
    route::Route,
    session::{Request, Session, State},
    store::{Feed, Source, Supplier},
    wire::{Hop, StreamCode, TrackInfo},
};

/// A track whose source is lost, and that has got nothing since.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// Since when.
    since: Time,
    /// What its subscribers are told if nothing comes of it.
    code: StreamCode,
    /// Our own session was lost: what was behind it may come back, or be somewhere else. Otherwise the relay
    /// there has lost its own source, and only another way to the same publisher is of use.
    waits: bool,
    /// Who was asked since, and has not announced it again.
    asked: Vec<Id<Session>>,
    /// Somebody is asked at present.
    asks: bool,
}

impl Node {
    /// Whether a track that has lost its feed is not over: it has another one, or waits for one.
    pub(super) fn outlives(&mut self, track_id: Id<Track>, code: StreamCode) -> bool {
        let (now, patient) = (self.now, !self.config.rejoin.is_zero());
        let Some(track) = self.store.tracks.get_mut(track_id) else { return false };
        let Some(feed) = track.feed() else { return false };
        let (from, relayed) = (feed.session, feed.relayed);
        let live = |id: &Id<Sub>| self.subs.get(*id).is_some_and(|sub| sub.live);
        // Who waits already goes on doing so, whatever the one that was asked says.
        let passes = of_connection(code) || track.lost.as_ref().is_some_and(|lost| lost.waits);
        if !patient || !relayed || !passes || !track.subs.iter().any(live) {
            return false;
        }
        let left = |session: &Session| session.leaving || session.state == State::Closed;
        let gone = self.sessions.get(from).is_none_or(left);
        let asked = Vec::new();
        let lost =
            track.lost.get_or_insert(Lost { since: now, code, waits: gone, asked, asks: false });
        lost.waits |= gone;
        lost.asks = false;
        if !lost.asked.contains(&from) {
            lost.asked.push(from);
        }
        let waits = lost.waits;
        self.forget_name(track_id);
        self.lost.insert(track_id);
        self.arm_at(now.after(self.config.rejoin));
        self.seek(track_id) || waits
    }

    /// A track has got something from its source, or needs none any more.
    pub(crate) fn found(&mut self, track_id: Id<Track>) {
        if let Some(track) = self.store.tracks.get_mut(track_id)
            && track.lost.take().is_some()
        {
            self.lost.remove(&track_id);
            // It counts on, so it is the one that whoever comes now wants, unless there is one already.
            self.names.entry(track.name.clone()).or_insert(track_id);
        }
    }

    /// The source has accepted, and says where it begins if that is known. Who has got nothing before has a source
    /// again; for others it has to go on where the one before stopped.
    pub(crate) fn found_from(&mut self, track_id: Id<Track>, start: Option<u64>) {
        let feed = self.store.tracks.get(track_id).and_then(Track::feed);
        if feed.is_some_and(|feed| feed.resumes.is_none() || feed.resumes < start) {
            self.found(track_id);
        }
    }

    /// The source contradicts the one before: it has another track of this name. Says whether there was one before;
    /// if not, the source contradicts itself.
    pub(crate) fn is_another(&mut self, track_id: Id<Track>) -> bool {
        let feed = self.store.tracks.get(track_id).and_then(Track::feed);
        let another = feed.is_some_and(|feed| feed.resumes.is_some());
        if another {
            self.lose_feed(track_id, StreamCode::CANCEL);
        }
        another
    }

    /// A session announces something: who waits for that asks it.
    pub(crate) fn seek_at(&mut self, session: Id<Session>, path: &Path) {
        for track_id in Vec::from_iter(self.lost.iter().copied()) {
            let Some(track) = self.store.tracks.get_mut(track_id) else {
                self.lost.remove(&track_id);
                continue;
            };
            let Some(lost) = track.lost.as_mut().filter(|_| track.name.0.starts_with(path)) else {
                continue;
            };
            lost.asked.retain(|asked| *asked != session);
            if !lost.asks {
                self.seek(track_id);
            }
        }
    }

    /// A track that waits for a source may do so for a while only.
    pub(super) fn check_lost(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get(track_id) else { return };
        let Some(lost) = track.lost.as_ref() else { return };
        let (code, until) = (lost.code, lost.since.after(self.config.rejoin));
        if self.now < until {
            return self.arm_at(until);
        }
        self.detach_feed(track_id);
        self.fail_track(track_id, code);
    }

    /// Asks the best source that is left: a way to the same publisher first. Says whether there is one.
    fn seek(&mut self, track_id: Id<Track>) -> bool {
        let Some(track) = self.store.tracks.get(track_id) else { return false };
        let (path, name, supplier) = track.name.clone();
        let Supplier::Peer(_, origin) = supplier else { return false };
        let Some(lost) = &track.lost else { return false };
        let same = |route: &Route| origin.is_known() && route.hops.origin() == origin;
        let usable = |route: &Route| {
            let Some(id) = route.session() else { return false };
            let up = |session: &Session| session.state == State::Up && !session.leaving;
            self.sessions.get(id).is_some_and(up)
                && !lost.asked.contains(&id)
                && (lost.waits || same(route))
        };
        let Some(route) = self.routes.other(&path, usable, same).cloned() else { return false };
        let Some(session) = route.session() else { return false };
        self.leave_out(track_id, &route);
        let origin = route.hops.origin();
        let key = |supplier| (path.clone(), Arc::clone(&name), supplier);
        match self.feed_from(session, origin, key) {
            Some(other) => self.join(track_id, other),
            None => self.feed_anew(track_id, session, origin),
        }
        true
    }

    /// Nobody is fed by what comes from itself: who is on the way to the new source finds a better one.
    fn leave_out(&mut self, track_id: Id<Track>, route: &Route) {
        let subs = self.store.tracks.get(track_id).map(|track| track.subs.clone());
        for sub_id in subs.unwrap_or_default() {
            let Some(sub) = self.subs.get(sub_id) else { continue };
            let Target::Peer { session, .. } = sub.target else { continue };
            let to = route.session().is_some_and(|to| self.is_peer(to, Some(session)));
            if to || !self.viewer(Some(session)).sees(route) {
                self.drop_sub(sub_id, StreamCode::UNROUTABLE);
            }
        }
    }

    /// The same track, from another session, behind what it has.
    fn feed_anew(&mut self, track_id: Id<Track>, session_id: Id<Session>, origin: Hop) {
        let now = self.now;
        let Some(session) = self.sessions.get(session_id) else { return };
        let version = session.version();
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        if !version.has_track() {
            let info = *track.info.get_or_insert_default();
            if !same_scale(info, TrackInfo::default()) {
                return self.fail_track(track_id, StreamCode::TIMESTAMP_MISMATCH);
            }
        }
        let before = core::mem::replace(&mut track.name.2, Supplier::Peer(session_id, origin));
        let same = same_origin(before, track.name.2);
        track.says_start = version.has_end();
        let resumes = track.latest;
        let feed = Feed::new(session_id, now);
        track.source = Source::Peer(Feed { relayed: true, resumes, same, ..feed });
        if let Some(lost) = &mut track.lost {
            lost.asks = true;
        }
        // Another publisher may count anew: who comes for that one gets a track of its own.
        if resumes.is_none() || same {
            self.names.insert(track.name.clone(), track_id);
        }
        if version.has_track() {
            self.request(session_id, Request::Track(track_id));
        } else {
            self.answer_askers(track_id);
        }
        self.refresh_track(track_id);
    }

    /// Others listen to what comes from there already: those who listen do so together. Not if that has not come as
    /// far and may be of another publisher: it would be silent until it has.
    fn join(&mut self, old: Id<Track>, new: Id<Track>) {
        let tracks = [old, new].map(|id| self.store.tracks.get(id));
        let [Some(before), Some(after)] = tracks else { return };
        if !before.info.zip(after.info).is_none_or(|(before, after)| same_scale(before, after)) {
            return self.fail_track(old, StreamCode::TIMESTAMP_MISMATCH);
        }
        if after.latest < before.latest && !same_origin(before.name.2, after.name.2) {
            let code = before.lost.as_ref().map_or(StreamCode::SESSION_CLOSED, |lost| lost.code);
            return self.fail_track(old, code);
        }
        let Some(track) = self.store.tracks.get_mut(old) else { return };
        let subs = core::mem::take(&mut track.subs);
        let askers = core::mem::take(&mut track.askers);
        for sub in &subs {
            if let Some(sub) = self.subs.get_mut(*sub) {
                sub.track = new;
            }
        }
        if let Some(track) = self.store.tracks.get_mut(new) {
            track.subs.extend(subs);
            track.askers.extend(askers);
        }
        self.refresh_track(old);
        self.refresh_track(new);
        if self.store.tracks.get(new).is_some_and(|track| track.info.is_some()) {
            self.answer_askers(new);
        }
        self.advance_track(new);
    }
}

/// Whether two suppliers are known to have it of the same publisher.
fn same_origin(one: Supplier, other: Supplier) -> bool {
    match (one, other) {
        (Supplier::Peer(_, one), Supplier::Peer(_, other)) => one == other && one.is_known(),
        _ => false,
    }
}

/// Whether timestamps mean the same.
pub(crate) fn same_scale(one: TrackInfo, other: TrackInfo) -> bool {
    one.timescale == other.timescale
}

/// Whether a feed has failed with the connection, or for want of a way, and not by itself.
fn of_connection(code: StreamCode) -> bool {
    [StreamCode::SESSION_CLOSED, StreamCode::GOING_AWAY, StreamCode::UNROUTABLE].contains(&code)
}

//! Tracks that the application makes when somebody asks for them.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use super::{Broadcast, Node, Session, Track};
use crate::{
    Event, Id, Misuse, Path, Time,
    store::{Ended, Source, TrackName},
    wire::{StreamCode, TrackInfo},
};

/// Peers that are taken to wait at once behind a link to another node of the process.
const BEHIND_A_LINK: usize = 64;

/// Which tracks the application makes when somebody asks for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Serve {
    /// Those that this broadcast does not have.
    Broadcast(Id<Broadcast>),
    /// All that are at this path and below it, of broadcasts that no peer has announced. Of several such
    /// paths the longest one counts.
    Below(Path),
}

/// A track that somebody asks for and that nobody has made yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// What it will be: for [`Node::accept`] or [`Node::decline`]. Stale for both when nobody waits for
    /// it any more.
    pub track: Id<Track>,
    /// The full path of its broadcast.
    pub broadcast: Path,
    /// Its name. The peer chose it: at most [`MAX_TRACK_NAME`](crate::wire::MAX_TRACK_NAME) bytes.
    pub name: String,
}

/// Somebody who makes tracks on demand. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Requests {
    place: Serve,
    waiting: BTreeMap<Id<Track>, Waiting>,
    /// Those that the application does not know of, in the order in which they were asked for.
    untold: BTreeMap<u64, Id<Track>>,
    next_turn: u64,
    signalled: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    since: Time,
    /// Who asked first.
    from: Option<Id<Session>>,
    /// Its place in the order.
    turn: u64,
}

impl Node {
    /// Makes tracks on demand from now on: what is asked for (SUBSCRIBE, TRACK and FETCH of peers, and
    /// [`subscribe`](Self::subscribe) and [`fetch`](Self::fetch) of this application) and is not there
    /// waits, and comes out of [`poll_wanted`](Self::poll_wanted). Who asks for it meanwhile waits too.
    ///
    /// A peer finds nothing below a path by itself: it, or the relay that it asks, has to be told of that path
    /// or of one above it by [`announce`](Self::announce). Only the peers of a server can ask it for what
    /// it has not announced.
    ///
    /// A track that was made on demand is there until nobody reads it any more and it has ended, which it does by
    /// itself after [`Limits::wanted_timeout`](crate::Limits::wanted_timeout) without a reader; then it is asked
    /// for anew.
    ///
    /// Fails with [`Misuse::Stale`] without such a broadcast, and with [`Misuse::DuplicateRequests`] if
    /// somebody serves that place already.
    pub fn serve(&mut self, now: Time, place: Serve) -> Result<Id<Requests>, Misuse> {
        self.advance(now);
        if let Serve::Broadcast(broadcast) = place {
            self.broadcasts.get(broadcast).ok_or(Misuse::Stale)?;
        }
        if self.requests_at(&place).is_some() {
            return Err(Misuse::DuplicateRequests);
        }
        let (waiting, untold) = (BTreeMap::new(), BTreeMap::new());
        Ok(self.requests.insert(Requests {
            place,
            waiting,
            untold,
            next_turn: 0,
            signalled: false,
        }))
    }

    /// Makes no more tracks on demand, and declines those that wait. Those that were made stay. Fails with
    /// [`Misuse::Stale`].
    pub fn unserve(&mut self, now: Time, requests: Id<Requests>) -> Result<(), Misuse> {
        self.advance(now);
        let Requests { waiting, .. } = self.requests.remove(requests).ok_or(Misuse::Stale)?;
        for (track, waiting) in waiting {
            self.count_answer(waiting.from);
            self.end_track(track, Ended::Failed(StreamCode::NOT_FOUND));
        }
        Ok(())
    }

    /// The next track that is wanted; `None` until the next [`Event::Wanted`]. It waits for
    /// [`accept`](Self::accept), for [`create_track`](Self::create_track) with its names, or for
    /// [`decline`](Self::decline), for [`Limits::wanted_timeout`](crate::Limits::wanted_timeout); then it is
    /// declined with [`StreamCode::NOT_FOUND`].
    ///
    /// Fails with [`Misuse::Stale`], also when the broadcast is withdrawn.
    pub fn poll_wanted(&mut self, requests: Id<Requests>) -> Result<Option<Wanted>, Misuse> {
        let state = self.requests.get_mut(requests).ok_or(Misuse::Stale)?;
        state.signalled = false;
        let Some((_, id)) = state.untold.pop_first() else { return Ok(None) };
        let track = self.store.tracks.get(id).ok_or(Misuse::Stale)?;
        let (broadcast, name) = (track.name.0.clone(), track.name.1.to_string());
        Ok(Some(Wanted { track: id, broadcast, name }))
    }

    /// Makes a track that is wanted. It is like any other one from then on; who asked for it learns `info`. Who
    /// fetches a group of it waits until the track has that, or a higher one, or has ended.
    ///
    /// One that nobody reads for [`Limits::wanted_timeout`](crate::Limits::wanted_timeout) is ended with
    /// [`StreamCode::CANCEL`]; [`Event::Unread`] says so.
    ///
    /// Fails with [`Misuse::Timescale`], and with [`Misuse::Stale`] if nobody waits for it any more.
    pub fn accept(&mut self, now: Time, track: Id<Track>, info: TrackInfo) -> Result<(), Misuse> {
        self.advance(now);
        if info.timescale == 0 {
            return Err(Misuse::Timescale);
        }
        if !self.is_wanted(track) {
            return Err(Misuse::Stale);
        }
        self.forget_request(track);
        self.track_informed(track, info);
        Ok(())
    }

    /// Declines a track that is wanted: who asked for it gets `code`. Fails with [`Misuse::Stale`] if nobody waits
    /// for it any more, or if it is made by now: that one goes on.
    pub fn decline(&mut self, now: Time, track: Id<Track>, code: StreamCode) -> Result<(), Misuse> {
        self.advance(now);
        if !self.is_wanted(track) {
            return Err(Misuse::Stale);
        }
        self.end_track(track, Ended::Failed(code));
        Ok(())
    }

    /// Whether a track waits for the application to make it.
    pub(super) fn is_wanted(&self, track: Id<Track>) -> bool {
        let track = self.store.tracks.get(track);
        track.is_some_and(|track| {
            track.is_local() && track.info.is_none() && track.ended == Ended::No
        })
    }

    /// Who makes the tracks of this path for a session, or for the application.
    pub(super) fn serving(&self, path: &Path, from: Option<Id<Session>>) -> Option<Id<Requests>> {
        if self.requests.len() == 0 {
            return None;
        }
        let own = self.broadcasts.iter().find(|(_, broadcast)| broadcast.path == *path);
        let own = own.and_then(|(id, _)| self.requests_at(&Serve::Broadcast(id)));
        own.or_else(|| {
            let route = self.routes.covering(path, self.viewer(from));
            if route.is_some_and(|route| route.session().is_some()) {
                return None;
            }
            let mut above = Some(path.clone());
            while let Some(path) = above {
                above = path.parent();
                if let Some(requests) = self.requests_at(&Serve::Below(path)) {
                    return Some(requests);
                }
            }
            None
        })
    }

    fn requests_at(&self, place: &Serve) -> Option<Id<Requests>> {
        self.requests.iter().find(|(_, requests)| requests.place == *place).map(|(id, _)| id)
    }

    fn waiting(&self) -> impl Iterator<Item = (&Id<Track>, &Waiting)> {
        self.requests.iter().flat_map(|(_, requests)| &requests.waiting)
    }

    /// Lets the application know that somebody wants a track, and who asked wait for it.
    pub(super) fn request_track(
        &mut self,
        requests: Id<Requests>,
        name: TrackName,
        from: Option<Id<Session>>,
    ) -> Result<Id<Track>, StreamCode> {
        let limit = |from: &Session| {
            let peers = if from.is_link() { BEHIND_A_LINK } else { 1 };
            self.config.limits.wanted.saturating_mul(peers)
        };
        let session = from.and_then(|id| self.sessions.get(id));
        if session.is_some_and(|from| from.wanted >= limit(from)) {
            return Err(StreamCode::NO_CAPACITY);
        }
        let state = self.requests.get_mut(requests).ok_or(StreamCode::NOT_FOUND)?;
        let source = Source::Local { wanted: false, on_demand: true, unread: None };
        let track = self.store.tracks.insert(Track::new(name.clone(), source));
        let turn = state.next_turn;
        state.next_turn += 1;
        state.untold.insert(turn, track);
        state.waiting.insert(track, Waiting { since: self.now, from, turn });
        if let Some(session) = from.and_then(|id| self.sessions.get_mut(id)) {
            session.wanted += 1;
        }
        if !core::mem::replace(&mut state.signalled, true) {
            self.events.push_back(Event::Wanted { requests });
        }
        if let Serve::Broadcast(broadcast) = state.place
            && let Some(broadcast) = self.broadcasts.get_mut(broadcast)
        {
            broadcast.tracks.insert(name.1.clone(), track);
        }
        // One of that name may have failed.
        if let Some(before) = self.names.insert(name, track) {
            self.refresh_track(before);
        }
        self.arm();
        Ok(track)
    }

    /// A track is not waited for any more.
    pub(super) fn forget_request(&mut self, track: Id<Track>) {
        for id in self.requests.ids() {
            let Some(requests) = self.requests.get_mut(id) else { continue };
            let Some(waiting) = requests.waiting.remove(&track) else { continue };
            requests.untold.remove(&waiting.turn);
            self.count_answer(waiting.from);
        }
    }

    /// One track less waits for the application on behalf of a peer.
    fn count_answer(&mut self, from: Option<Id<Session>>) {
        if let Some(session) = from.and_then(|id| self.sessions.get_mut(id)) {
            session.wanted -= 1;
        }
    }

    /// A broadcast is withdrawn: nobody asks for its tracks any more.
    pub(super) fn end_requests(&mut self, broadcast: Id<Broadcast>) {
        if let Some(id) = self.requests_at(&Serve::Broadcast(broadcast))
            && let Some(requests) = self.requests.remove(id)
        {
            requests.waiting.values().for_each(|waiting| self.count_answer(waiting.from));
            self.events.push_back(Event::Wanted { requests: id });
        }
    }

    /// The application has to say in time whether it makes a track.
    pub(super) fn check_requests(&mut self) {
        let (now, limit) = (self.now, self.config.limits.wanted_timeout);
        let late = self.waiting().filter(|(_, waiting)| now.since(waiting.since) >= limit);
        let late: Vec<_> = late.map(|(track, _)| *track).collect();
        if self.waiting().count() > late.len() {
            self.arm();
        }
        for track in late {
            self.end_track(track, Ended::Failed(StreamCode::NOT_FOUND));
        }
    }

    /// A track that was made on demand has to be read: a peer may ask for any number of names.
    pub(super) fn check_unread(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get(track_id) else { return };
        let Source::Local { on_demand: true, unread: Some(since), .. } = track.source else {
            return;
        };
        if self.now.since(since) < self.config.limits.wanted_timeout {
            return self.arm();
        }
        self.events.push_back(Event::Unread { track: track_id });
        self.end_track(track_id, Ended::Failed(StreamCode::CANCEL));
    }
}

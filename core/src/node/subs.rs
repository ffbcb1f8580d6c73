//! Subscriptions to tracks: of peers and of the application alike.

use core::cmp::Reverse;

use super::{Node, Reader, Track};
use crate::{
    Event, Id, Start, SubscribeOptions,
    session::{Hungry, Session, Stream},
    store::{Patience, Selection, Source},
    wire::{Fetch, SubscribeParams},
};

/// Who subscribed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A peer, by a stream.
    Peer { session: Id<Session>, stream: Id<Stream>, subscribe: u64 },
    /// A peer that wants one group on this stream.
    Fetch { session: Id<Session>, stream: Id<Stream> },
    /// The application.
    Local(Id<Reader>),
}

/// One subscription: what it wants of its track, and what it has got.
#[derive(Clone, Debug)]
pub(crate) struct Sub {
    pub(crate) track: Id<Track>,
    pub(crate) options: SubscribeOptions,
    pub(crate) selection: Selection,
    pub(crate) target: Target,
    /// The track goes on for it. Not for a fetch, which wants one group.
    pub(crate) live: bool,
    /// The publisher's priority, known with the first group.
    publisher: Option<u8>,
    /// Counts the subscriptions of a session; older ones go first.
    pub(crate) age: u32,
    /// Group streams that are not acknowledged.
    pub(crate) open: usize,
    /// First frame of a group, and last frame of a group (06 on).
    first: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
}

impl Sub {
    pub(crate) fn new(
        track: Id<Track>,
        options: SubscribeOptions,
        age: u32,
        target: Target,
    ) -> Self {
        let selection = Selection::new(options.start, options.max_age, options.end);
        Self {
            track,
            options,
            selection,
            target,
            live: true,
            publisher: None,
            age,
            open: 0,
            first: None,
            last: None,
        }
    }

    /// One that wants one group by itself.
    pub(crate) fn fetch(
        track: Id<Track>,
        group: u64,
        priority: u8,
        age: u32,
        target: Target,
    ) -> Self {
        let (start, end) = (Start::From(group), Some(group));
        let options = SubscribeOptions { priority, start, end, ..SubscribeOptions::default() };
        Self { live: false, ..Self::new(track, options, age, target) }
    }

    /// What it bears of age.
    pub(crate) fn patience(&self) -> Patience {
        Patience { max_age: self.options.max_age, end: self.options.end }
    }

    /// Takes the publisher's priority, which stays the same for as long as the subscription lives.
    pub(crate) fn learn_priority(&mut self, track: &Track) {
        if let Some(info) = &track.info {
            self.publisher.get_or_insert(info.priority);
        }
    }

    /// Its priority: the subscriber's, and among equal ones the publisher's.
    pub(crate) fn priority(&self) -> [u8; 2] {
        [self.options.priority, self.publisher.unwrap_or_default()]
    }

    /// Its place among those of its session that have a group to open.
    pub(crate) fn hungry(&self, id: Id<Sub>) -> Hungry {
        Hungry { priority: self.priority(), age: Reverse(self.age), sub: id }
    }

    /// Notes the frames that bound the first and the last group.
    pub(crate) fn bound_frames(&mut self, params: &SubscribeParams) {
        self.first = params.start.map(|group| (group, params.frame_start));
        self.last = params.end.zip(params.frame_end);
    }

    /// Notes the frames that bound the group of a fetch.
    pub(crate) fn bound_fetch(&mut self, fetch: &Fetch) {
        self.first = Some((fetch.group, fetch.frame_start));
        self.last = fetch.frame_end.map(|frame| (fetch.group, frame));
    }

    /// The first and last frame wanted of a group.
    pub(crate) fn frames_of(&self, sequence: u64) -> (u64, Option<u64>) {
        let of = |(group, frame): (u64, u64)| Some(frame).filter(|_| group == sequence);
        (self.first.and_then(of).unwrap_or(0), self.last.and_then(of))
    }
}

impl Node {
    /// A subscription begins.
    pub(crate) fn add_sub(&mut self, sub_id: Id<Sub>) {
        let Some(sub) = self.subs.get(sub_id) else { return };
        let track_id = sub.track;
        if let Some(track) = self.store.tracks.get_mut(track_id) {
            track.subs.push(sub_id);
        }
        self.refresh_track(track_id);
        self.advance_sub(sub_id);
    }

    /// A subscription wants something else.
    pub(crate) fn change_sub(&mut self, sub_id: Id<Sub>, options: SubscribeOptions) {
        let Some(sub) = self.subs.get_mut(sub_id) else { return };
        let moved = (sub.options.priority, sub.options.order) != (options.priority, options.order);
        let before = sub.hungry(sub_id);
        sub.selection.end = options.end;
        // Where it begins is settled; the publisher is told what it was told first.
        sub.options = SubscribeOptions { start: sub.options.start, ..options };
        let (track, after) = (sub.track, sub.hungry(sub_id));
        if let Target::Peer { session: session_id, .. } = sub.target
            && let Some(session) = self.sessions.get_mut(session_id)
        {
            if moved {
                session.hungry.replace(&before, after);
                // However often it changes its mind, the transport is told once.
                session.moved.insert(sub_id);
            }
            // What waits may be too old now.
            self.touch(session_id);
        }
        self.refresh_track(track);
        self.advance_sub(sub_id);
    }

    /// A subscription ends. Its streams are the caller's to end.
    pub(crate) fn forget_sub(&mut self, sub_id: Id<Sub>) -> Option<Sub> {
        let sub = self.subs.remove(sub_id)?;
        if let Target::Peer { session, subscribe, .. } = sub.target
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.served.remove(&subscribe);
            session.hungry.remove(&sub.hungry(sub_id));
            session.moved.remove(&sub_id);
        }
        if let Some(track) = self.store.tracks.get_mut(sub.track) {
            track.subs.retain(|other| *other != sub_id);
        }
        self.refresh_track(sub.track);
        Some(sub)
    }

    /// Something about a track has changed: lets each subscription see what it means for it.
    pub(crate) fn advance_track(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get(track_id) else { return };
        for index in (0..track.subs.len()).rev() {
            // Going backwards, a subscription that ends meanwhile moves no one that is to come.
            let track = self.store.tracks.get(track_id);
            if let Some(sub) = track.and_then(|track| track.subs.get(index).copied()) {
                self.advance_sub(sub);
            }
        }
    }

    /// Lets a subscription have the next group, or its end, if there is one.
    pub(crate) fn advance_sub(&mut self, sub_id: Id<Sub>) {
        self.reroute_fetch(sub_id);
        let Some(sub) = self.subs.get_mut(sub_id) else { return };
        match sub.target {
            Target::Local(reader) => {
                if let Some(reader) = self.readers.get_mut(reader) {
                    reader.signal(&mut self.events);
                }
            }
            Target::Fetch { .. } => self.advance_fetch(sub_id),
            Target::Peer { session: session_id, .. } => {
                let next = self.store.tracks.get(sub.track).and_then(|track| {
                    let (_, group) = sub.selection.next(&self.store, track)?;
                    Some((track, group))
                });
                let session = self.sessions.get_mut(session_id);
                if let (Some((track, group)), Some(session)) = (next, session) {
                    sub.learn_priority(track);
                    session.has_datagrams |= session.config.datagrams && track.has_datagrams;
                    let way = session.way(&self.store, track, group);
                    if session.hungry.insert(way, sub.hungry(sub_id)) {
                        self.touch(session_id);
                    }
                }
                self.answer_sub(sub_id);
            }
        }
    }

    /// Tells the application when a track of its own gets its first subscriber or loses its last.
    pub(crate) fn tell_demand(&mut self, track_id: Id<Track>) {
        let Some(track) = self.store.tracks.get_mut(track_id) else { return };
        let live = |id: &Id<Sub>| self.subs.get(*id).is_some_and(|sub| sub.live);
        let now = track.subs.iter().any(live);
        if let Source::Local { wanted, .. } = &mut track.source
            && *wanted != now
            && track.info.is_some()
        {
            *wanted = now;
            self.events.push_back(Event::Demand { track: track_id, wanted: now });
        }
    }
}

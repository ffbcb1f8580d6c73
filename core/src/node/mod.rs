//! [`Node`]: one owner of store, routes and sessions.

mod changes;
mod discover;
mod fetch;
mod outlive;
mod probe;
mod publish;
mod requests;
mod subs;
mod subscribe;
mod timers;
mod tracks;
mod transport;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::ToString,
};

pub(crate) use self::{
    changes::Changes,
    outlive::{Lost, same_scale},
    subs::{Sub, Target},
    timers::TAIL,
};
pub use self::{
    discover::Watcher,
    publish::Broadcast,
    requests::{Requests, Serve, Wanted},
    subscribe::{GroupReader, Reader},
};
pub use crate::{
    session::Session,
    store::{Group, Track},
};

use smallvec::SmallVec;

use crate::{
    Closed, ClosedBy, Command, Config, Event, Grant, Id, Misuse, Path, SessionConfig, Time,
    Violation,
    id::Arena,
    route::Routes,
    session::{Kind, State, Stream},
    store::{GroupEnd, Store, TrackName},
    wire::{Hop, SessionCode, StreamCode},
};

/// What a broken rule costs the peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Offence {
    /// The stream it happened on.
    Stream(Violation),
    /// The session.
    Session(Violation),
}

/// How much a node holds and has done. Reading it costs nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Sessions that are not over.
    pub sessions: usize,
    /// Tracks known: published here, or subscribed to.
    pub tracks: usize,
    /// Groups in the store.
    pub groups: usize,
    /// What the groups cost in bytes, overhead included.
    pub store_bytes: usize,
    /// Groups given up for lack of room or for their age, since the start.
    pub groups_evicted: u64,
    /// Announced ways to broadcasts, local ones included.
    pub routes: usize,
    /// Subscriptions and fetches served to peers, and readers of the application.
    pub subscriptions: usize,
    /// Rules broken by peers, since the start.
    pub violations: u64,
}

/// MoQ as a value: a client is a node with one session, a relay a node with many.
///
/// # How to drive it
///
/// 1. Tell it what happened: the `handle_*` methods, with the time.
/// 2. Say what the application wants: verbs such as [`publish`](Self::publish) and
///    [`subscribe`](Self::subscribe).
/// 3. Carry out what it wants: for each session that [`poll_session`](Self::poll_session) names, run
///    [`binding::pump`](crate::binding::pump).
/// 4. Drain [`poll_event`](Self::poll_event), and call [`handle_timeout`](Self::handle_timeout) when
///    [`poll_timeout`](Self::poll_timeout) says so.
///
/// Any input may be followed by any other, and outputs may be drained whenever it suits: being late
/// costs latency, never correctness. Nothing that a peer sends makes it panic. A node holds no locks
/// and no references: it can be cloned, moved and dropped at any time. Its debug output is all of its
/// state: two nodes with the same one behave alike.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) config: Config,
    /// The newest time seen.
    pub(crate) now: Time,
    pub(crate) store: Store,
    /// Tracks that new subscribers find.
    pub(crate) names: BTreeMap<TrackName, Id<Track>>,
    pub(crate) routes: Routes,
    pub(crate) sessions: Arena<Session>,
    pub(crate) subs: Arena<Sub>,
    pub(crate) broadcasts: Arena<Broadcast>,
    pub(crate) requests: Arena<Requests>,
    pub(crate) readers: Arena<Reader>,
    pub(crate) group_readers: Arena<GroupReader>,
    pub(crate) watchers: Arena<Watcher>,
    pub(crate) events: VecDeque<Event>,
    /// Sessions that may have output.
    pub(crate) dirty: VecDeque<Id<Session>>,
    /// When limits of time are looked at next.
    pub(crate) sweep: Option<Time>,
    /// Tracks that have lost their source and go on.
    pub(crate) lost: BTreeSet<Id<Track>>,
    /// Sessions whose peers want to know how fast they are, and perhaps some of which they did.
    pub(crate) probed: BTreeSet<Id<Session>>,
    /// When their transports are asked next; `None` while nobody wants to know.
    pub(crate) sample_at: Option<Time>,
    violations: u64,
    closed_sessions: usize,
    random: u64,
}

impl Node {
    /// A node without sessions.
    pub fn new(config: Config) -> Self {
        Self {
            random: config.seed,
            config,
            now: Time::ZERO,
            store: Store::new(),
            names: BTreeMap::new(),
            routes: Routes::default(),
            sessions: Arena::new(),
            subs: Arena::new(),
            broadcasts: Arena::new(),
            requests: Arena::new(),
            readers: Arena::new(),
            group_readers: Arena::new(),
            watchers: Arena::new(),
            events: VecDeque::new(),
            dirty: VecDeque::new(),
            sweep: None,
            lost: BTreeSet::new(),
            probed: BTreeSet::new(),
            sample_at: None,
            violations: 0,
            closed_sessions: 0,
        }
    }

    /// What the node was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How much it holds and has done.
    pub fn stats(&self) -> Stats {
        Stats {
            sessions: self.sessions.len() - self.closed_sessions,
            tracks: self.store.tracks.len(),
            groups: self.store.groups.len(),
            store_bytes: self.store.bytes,
            groups_evicted: self.store.evicted,
            routes: self.routes.len(),
            subscriptions: self.subs.len(),
            violations: self.violations,
        }
    }

    /// Adds a session for a connection that is up. What it has to say first is ready at once.
    pub fn add_session(&mut self, now: Time, config: SessionConfig) -> Id<Session> {
        self.advance(now);
        let hop = self.invent_hop();
        let id = self.sessions.insert(Session::new(self.now, config, hop));
        self.begin(id);
        id
    }

    /// Lets a peer in that asked by [`Event::Request`].
    ///
    /// Fails with [`Misuse::Stale`] if the session is over or was let in before.
    pub fn grant(&mut self, now: Time, session: Id<Session>, grant: Grant) -> Result<(), Misuse> {
        self.advance(now);
        let asking = self.sessions.get(session).filter(|session| session.state == State::Asking);
        asking.ok_or(Misuse::Stale)?;
        self.admit(session, grant, Path::root());
        Ok(())
    }

    /// Ends a session. Its [`Event::Closed`] follows.
    ///
    /// Fails with [`Misuse::Stale`] if it is over already.
    pub fn close(
        &mut self,
        now: Time,
        session: Id<Session>,
        code: SessionCode,
        reason: &str,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let open = self.sessions.get(session).filter(|session| session.state != State::Closed);
        open.ok_or(Misuse::Stale)?;
        self.end_session(session, Closed { by: ClosedBy::Local, code, reason: reason.into() });
        Ok(())
    }

    /// The next thing that the application should know. O(1).
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Puts a session into the queue of those that may have output.
    pub(crate) fn touch(&mut self, id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.dirty {
            session.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Makes a peer bear the consequences of a broken rule.
    pub(crate) fn offend(
        &mut self,
        session_id: Id<Session>,
        id: Option<Id<Stream>>,
        offence: Offence,
    ) {
        let Some(session) = self.sessions.get_mut(session_id) else { return };
        if session.state == State::Closed {
            return;
        }
        self.violations += 1;
        session.violations += 1;
        let too_many = session.violations > self.config.limits.violations;
        let stream = id.and_then(|id| Some(session.streams.get(id)?.id));
        match (offence, id) {
            (Offence::Stream(error), Some(id)) if !too_many => {
                let code = error.stream_code();
                self.events.push_back(Event::Violation { session: session_id, stream, error });
                self.abandon(session_id, id, code);
                self.refuse(session_id, id, code);
            }
            (offence, _) => {
                let error = match offence {
                    Offence::Stream(_) if too_many => Violation::TooManyViolations,
                    Offence::Stream(error) | Offence::Session(error) => error,
                };
                let (code, reason) = (error.session_code(), error.to_string());
                self.events.push_back(Event::Violation {
                    session: session_id,
                    stream: None,
                    error,
                });
                self.end_session(session_id, Closed { by: ClosedBy::Local, code, reason });
            }
        }
    }

    /// Undoes what a stream stood for, because it ends before its time.
    pub(crate) fn abandon(&mut self, session_id: Id<Session>, id: Id<Stream>, code: StreamCode) {
        let Some(session) = self.sessions.get(session_id) else { return };
        let Some(stream) = session.streams.get(id) else { return };
        match &stream.kind {
            Kind::Opening | Kind::SetupIn | Kind::SetupOut | Kind::Over | Kind::AnnounceOut(_) => {}
            Kind::AnnounceIn(_) => self.end_announcements(session_id, id),
            Kind::SubscribeIn(state) => {
                let sub = state.sub;
                self.drop_sub(sub, code);
            }
            Kind::SubscribeOut(state) => {
                let track = state.track;
                self.lose_feed_by(track, id, code);
            }
            Kind::TrackIn(track) => {
                let track = *track;
                self.forget_asker(session_id, id, track);
            }
            Kind::TrackOut(track) | Kind::FetchOut(track) => {
                let track = *track;
                self.lose_feed_by(track, id, code);
            }
            Kind::FetchIn(sub) => {
                let sub = *sub;
                self.forget_sub(sub);
            }
            Kind::ProbeIn => {
                if let Some(session) = self.sessions.get_mut(session_id) {
                    session.probe_in = None;
                }
            }
            Kind::ProbeOut => self.end_probe_out(session_id),
            Kind::GroupIn(_) => self.close_group_in(session_id, id, GroupEnd::Reset(code)),
            Kind::GroupOut(_) => {
                if let Some(session) = self.sessions.get_mut(session_id) {
                    session.reset(id, code);
                }
                self.close_group_out(session_id, id);
            }
        }
        self.set_kind(session_id, id, Kind::Over);
    }

    /// Takes back all that a session stood for. Its id stays until the transport was told.
    pub(crate) fn end_session(&mut self, id: Id<Session>, closed: Closed) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.state == State::Closed {
            return;
        }
        session.state = State::Closed;
        self.closed_sessions += 1;
        // Nobody reads any more what the peer says of its speed.
        session.probe_out = None;
        // The cause before its consequences: who sees a subscription fail can be told why.
        self.events.push_back(Event::Closed { session: id, closed: closed.clone() });
        // What was decided before is still told, however late it is asked for.
        let commands = core::mem::take(&mut session.commands);
        for stream in session.in_order() {
            self.abandon(id, stream, StreamCode::SESSION_CLOSED);
        }
        self.lose_feeds_of(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut last = Session::new(session.since, session.config.clone(), session.hop);
        last.state = State::Closed;
        last.setup_sent = true;
        last.dirty = session.dirty;
        if closed.by == ClosedBy::Local {
            let close = Command::Close { code: closed.code, reason: closed.reason };
            last.commands = commands;
            last.commands.push_back(close);
        }
        *session = last;
        self.touch(id);
        if closed.by != ClosedBy::Local {
            self.forget_session(id);
        }
    }

    pub(crate) fn forget_session(&mut self, id: Id<Session>) {
        if self.sessions.remove(id).is_some() {
            self.closed_sessions -= 1;
        }
    }

    /// Makes way for a group that grew, and wakes those who follow it.
    pub(crate) fn group_grew(&mut self, group_id: Id<Group>, track: Id<Track>) {
        self.store.charge(group_id);
        // Who takes none of it is found by the clock.
        self.arm();
        while self.store.bytes > self.config.limits.store_bytes {
            let Some(victim) = self.store.victim(track) else { break };
            self.evict(victim);
        }
        self.wake_followers(group_id);
    }

    /// Ends a group, and lets those who follow it know.
    pub(crate) fn end_group(&mut self, group_id: Id<Group>, end: GroupEnd) {
        let now = self.now;
        let Some(group) = self.store.groups.get_mut(group_id) else { return };
        group.finish(now, end);
        self.wake_followers(group_id);
        if let Some(group) = self.store.groups.get_mut(group_id) {
            group.followers = SmallVec::new();
        }
        self.arm();
    }

    /// Gives a group up. Those who have not read it all are told so when they come to it.
    pub(crate) fn evict(&mut self, group_id: Id<Group>) {
        self.wake_followers(group_id);
        if let Some(group) = self.store.remove_group(group_id) {
            self.store.evicted += 1;
            self.tell_drop(group.track, group.sequence, group.sequence, StreamCode::EVICTED);
            self.complete_track(group.track);
        }
    }

    fn wake_followers(&mut self, group_id: Id<Group>) {
        use crate::store::Follower;
        let Some(group) = self.store.groups.get(group_id) else { return };
        for follower in &group.followers {
            match *follower {
                Follower::Stream(session_id, stream) => {
                    let Some(session) = self.sessions.get_mut(session_id) else { continue };
                    session.wake(stream);
                    if !session.dirty {
                        session.dirty = true;
                        self.dirty.push_back(session_id);
                    }
                }
                Follower::Reader(reader) => {
                    if let Some(reader) = self.readers.get_mut(reader) {
                        reader.signal(&mut self.events);
                    }
                }
            }
        }
    }

    /// An identity for a peer that names none: random, non-zero, below 2^53 for old JavaScript.
    fn invent_hop(&mut self) -> Hop {
        // SplitMix64: any seed gives a sequence without short cycles.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Hop::new((mixed ^ (mixed >> 31)) >> 11 | 1).unwrap_or_default()
    }
}

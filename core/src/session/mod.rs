//! One peer: its streams, what is said on each of them, and what waits to be sent.
//!
//! Each kind of stream is a small state machine in a file of its own. This file holds what they
//! share: the table of streams, the queue of commands and the order of sending.

mod announce_in;
mod announce_out;
mod datagram;
mod expiry;
mod fetch_in;
mod fetch_out;
mod goaway;
mod group_in;
mod group_out;
mod hungry;
mod mount;
mod opening;
mod priority;
mod probe_in;
mod probe_out;
mod setup;
mod subscribe_in;
mod subscribe_out;
mod track_in;
mod track_out;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};

use bytes::{Buf, BytesMut};

pub(crate) use announce_in::AnnounceIn;
pub(crate) use announce_out::AnnounceOut;

use expiry::Refusal;
pub(crate) use group_in::GroupIn;
pub(crate) use group_out::GroupOut;
pub(crate) use hungry::{Hunger, Hungry, Way};
pub(crate) use mount::{Mount, request_path};
pub(crate) use priority::Priority;
pub(crate) use probe_in::ProbeIn;
pub(crate) use probe_out::{Asking, ProbeOut};
pub(crate) use subscribe_in::{SubscribeIn, params};
pub(crate) use subscribe_out::SubscribeOut;

use crate::{
    Carrier, Command, Dir, Id, Path, SessionConfig, StreamId, Time, Version,
    id::Arena,
    node::Sub,
    store::{Group, Track},
    wire::{DecodeError, Hop, ProbeLevel, StreamCode, varint},
};

/// The largest age that is said to a peer: those in JavaScript refuse numbers beyond 53 bits.
pub(crate) const LONGEST_MS: u64 = (1 << 53) - 1;

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The peer has not said where it wants to go (SETUP).
    Opening,
    /// The embedder has not said whether the peer may come in.
    Asking,
    /// Requests are answered.
    Up,
    /// Over, but for the command to close.
    Closed,
}

/// What a stream is, and what is known about it.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The peer's, and it has not said what it is.
    Opening,
    /// SETUP of the peer.
    SetupIn,
    /// Our SETUP.
    SetupOut,
    /// We asked for announcements.
    AnnounceIn(AnnounceIn),
    /// The peer asked for announcements.
    AnnounceOut(AnnounceOut),
    /// The peer subscribed.
    SubscribeIn(SubscribeIn),
    /// We subscribed.
    SubscribeOut(SubscribeOut),
    /// The peer asked what a track is like, and waits.
    TrackIn(Id<Track>),
    /// We asked what a track is like.
    TrackOut(Id<Track>),
    /// The peer asked for one group, and waits.
    FetchIn(Id<Sub>),
    /// We asked for one group.
    FetchOut(Id<Track>),
    /// The peer wants to know how fast we are.
    ProbeIn,
    /// We want to know how fast the peer is.
    ProbeOut,
    /// A group comes.
    GroupIn(GroupIn),
    /// A group goes.
    GroupOut(GroupOut),
    /// Nothing more is expected; what comes is thrown away.
    Over,
}

/// One direction of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    /// In use.
    Open,
    /// FIN was handed to the transport and not acknowledged yet. Only for sending.
    Finished,
    /// Ended, reset, stopped, or never there.
    Done,
}

/// A stream of a session.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) dir: Dir,
    pub(crate) kind: Kind,
    pub(crate) send: Half,
    pub(crate) recv: Half,
    pub(crate) priority: Priority,
    pub(crate) opened: Time,
    /// Opened by the peer.
    pub(crate) theirs: bool,
    /// Control bytes received and not understood yet.
    pub(crate) inbox: BytesMut,
    /// The peer's FIN came behind what is in `inbox`.
    pub(crate) inbox_fin: bool,
    /// Control bytes to send.
    pub(crate) out: BytesMut,
    /// FIN follows `out`.
    pub(crate) fin: bool,
    /// In the set of streams to be asked for bytes.
    ready: bool,
    /// The transport took fewer bytes than offered.
    blocked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Ready {
    priority: Priority,
    stream: Id<Stream>,
}

/// A bidirectional stream that we want opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// Ask for announcements below this wire prefix.
    Announce(Path),
    /// Ask what a track is like.
    Track(Id<Track>),
    /// Subscribe to a track.
    Subscribe(Id<Track>),
    /// Fetch the one group of a track.
    Fetch(Id<Track>),
    /// Ask how fast the peer is.
    Probe,
    /// Ask the peer to go to this URI.
    Goaway(String),
}

/// What was offered to the transport last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) stream: Id<Stream>,
    pub(crate) bytes: usize,
    pub(crate) fin: bool,
}

/// A session inside a node. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) config: SessionConfig,
    pub(crate) state: State,
    pub(crate) since: Time,
    /// Where the broadcasts of the peer lie; `None` while it may not publish.
    pub(crate) publish: Option<Mount>,
    /// Where the broadcasts lie that the peer is told of; `None` while it may not subscribe.
    pub(crate) subscribe: Option<Mount>,
    /// The peer's identity: what it named, else one that we made up for it.
    pub(crate) hop: Hop,
    pub(crate) hop_named: bool,
    /// The peer's SETUP has come.
    pub(crate) setup_received: bool,
    /// Our SETUP has a stream, or none is needed.
    pub(crate) setup_sent: bool,
    /// The peer was told to go.
    pub(crate) goaway_sent: bool,
    /// The peer wants to be asked for nothing more.
    pub(crate) leaving: bool,
    /// What the peer's SETUP says that it costs to pull from it.
    pub(crate) cost: Option<u64>,
    /// What the peer does with PROBE, as its SETUP says.
    pub(crate) probe_level: ProbeLevel,
    /// The peer wants to know how fast we are.
    pub(crate) probe_in: Option<Box<ProbeIn>>,
    /// We want to know how fast the peer is.
    pub(crate) probe_out: Option<Box<ProbeOut>>,
    pub(crate) streams: Arena<Stream>,
    pub(crate) requests: VecDeque<Request>,
    /// Subscriptions of the peer that may have a group to send.
    pub(crate) hungry: Hunger,
    /// Those whose priority has changed since the streams on their way were told.
    pub(crate) moved: BTreeSet<Id<Sub>>,
    /// Streams on which the peer is told of announcements.
    pub(crate) announcing: Vec<Id<Stream>>,
    /// Our subscriptions, by subscribe id.
    pub(crate) feeds: BTreeMap<u64, Id<Track>>,
    pub(crate) next_subscribe: u64,
    /// The peer's subscriptions, by subscribe id.
    pub(crate) served: BTreeMap<u64, Id<Sub>>,
    pub(crate) subs_made: u32,
    /// Broadcasts that the peer announces at the moment, over all prefixes.
    pub(crate) announcements: usize,
    pub(crate) violations: usize,
    /// Tracks that the application has been asked to make for the peer, and has not answered.
    pub(crate) wanted: usize,
    /// Streams that the peer opened and that are still there.
    pub(crate) peer_streams: usize,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) offer: Option<Offer>,
    /// Since when the transport has taken nothing although something waits, as far as that was looked
    /// at.
    pub(crate) stalled: Option<Time>,
    /// What the transport has left behind.
    refusal: Refusal,
    /// A group may wait that is to go as a datagram.
    pub(crate) has_datagrams: bool,
    /// Nothing that the peer sends is read.
    pub(crate) paused: bool,
    /// In the node's queue of sessions with output.
    pub(crate) dirty: bool,
    by_id: BTreeMap<StreamId, Id<Stream>>,
    ready: BTreeSet<Ready>,
    buffered: usize,
    /// Where headers of groups are made, with room for more.
    pub(crate) headers: BytesMut,
}

impl Session {
    pub(crate) fn new(now: Time, mut config: SessionConfig, hop: Hop) -> Self {
        config.datagrams &= config.version.has_datagrams();
        Self {
            setup_sent: !config.version.has_setup(),
            config,
            state: State::Opening,
            since: now,
            publish: None,
            subscribe: None,
            hop,
            hop_named: false,
            setup_received: false,
            goaway_sent: false,
            leaving: false,
            cost: None,
            probe_level: ProbeLevel::None,
            probe_in: None,
            probe_out: None,
            streams: Arena::new(),
            requests: VecDeque::new(),
            hungry: Hunger::default(),
            moved: BTreeSet::new(),
            announcing: Vec::new(),
            feeds: BTreeMap::new(),
            next_subscribe: 0,
            served: BTreeMap::new(),
            subs_made: 0,
            announcements: 0,
            violations: 0,
            wanted: 0,
            peer_streams: 0,
            commands: VecDeque::new(),
            offer: None,
            stalled: None,
            refusal: Refusal::default(),
            has_datagrams: false,
            paused: false,
            dirty: false,
            by_id: BTreeMap::new(),
            ready: BTreeSet::new(),
            buffered: 0,
            headers: BytesMut::new(),
        }
    }

    pub(crate) fn version(&self) -> Version {
        self.config.version
    }

    /// What the way to the peer costs. One that is about to go is the last choice.
    pub(crate) fn price(&self) -> u64 {
        match self.config.cost.or(self.cost) {
            _ if self.leaving => varint::MAX,
            _ if self.is_link() => 0,
            cost => cost.unwrap_or(1),
        }
    }

    /// Whether the peer is another node of the same process.
    pub(crate) fn is_link(&self) -> bool {
        self.config.carrier == Carrier::Link
    }

    /// What the peer calls a broadcast that it publishes; `None` if it cannot publish this one.
    pub(crate) fn source_path(&self, path: &Path) -> Option<Path> {
        self.publish.as_ref()?.to_wire(path)
    }

    /// The broadcast that the peer subscribes to by this name; `None` if it may not, or if there is
    /// no such path.
    pub(crate) fn wanted_path(&self, path: &Path) -> Option<Path> {
        self.subscribe.as_ref()?.to_local(path)
    }

    pub(crate) fn find(&self, stream: StreamId) -> Option<Id<Stream>> {
        self.by_id.get(&stream).copied()
    }

    /// Streams in the order of their transport ids.
    pub(crate) fn in_order(&self) -> Vec<Id<Stream>> {
        self.by_id.values().copied().collect()
    }

    /// Those of them that have not said all of what they are. As a rule there are none, and nothing is
    /// allocated.
    pub(crate) fn opening(&self) -> Vec<Id<Stream>> {
        let opening = |id: &Id<Stream>| {
            let stream = self.streams.get(*id);
            stream.is_some_and(|stream| matches!(stream.kind, Kind::Opening | Kind::SetupIn))
        };
        self.by_id.values().copied().filter(opening).collect()
    }

    /// Adds a stream that the peer opened.
    pub(crate) fn accept(&mut self, now: Time, id: StreamId, dir: Dir) -> Id<Stream> {
        let send = if dir == Dir::Bi { Half::Open } else { Half::Done };
        self.peer_streams += 1;
        self.add(now, id, dir, Kind::Opening, send, Half::Open, Priority::CONTROL, true)
    }

    /// Adds a stream that the transport opened for us.
    pub(crate) fn open(
        &mut self,
        now: Time,
        id: StreamId,
        dir: Dir,
        kind: Kind,
        priority: Priority,
    ) -> Id<Stream> {
        let recv = if dir == Dir::Bi { Half::Open } else { Half::Done };
        self.add(now, id, dir, kind, Half::Open, recv, priority, false)
    }

    #[expect(clippy::too_many_arguments, reason = "the one place that fills in a stream")]
    fn add(
        &mut self,
        now: Time,
        id: StreamId,
        dir: Dir,
        kind: Kind,
        send: Half,
        recv: Half,
        priority: Priority,
        theirs: bool,
    ) -> Id<Stream> {
        if send == Half::Open {
            self.commands
                .push_back(Command::Priority { stream: id, priority: priority.to_transport() });
        }
        let stream = self.streams.insert(Stream {
            id,
            dir,
            kind,
            send,
            recv,
            priority,
            opened: now,
            theirs,
            inbox: BytesMut::new(),
            inbox_fin: false,
            out: BytesMut::new(),
            fin: false,
            ready: false,
            blocked: false,
        });
        self.by_id.insert(id, stream);
        stream
    }

    /// Lets the stream be asked for bytes.
    pub(crate) fn wake(&mut self, id: Id<Stream>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.send == Half::Open && !stream.ready && !stream.blocked {
            stream.ready = true;
            self.ready.insert(Ready { priority: stream.priority, stream: id });
        }
    }

    /// The transport takes bytes for this stream again.
    pub(crate) fn unblock(&mut self, id: Id<Stream>) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.blocked = false;
        }
        self.wake(id);
    }

    /// The transport takes no more bytes for this stream now.
    pub(crate) fn block(&mut self, id: Id<Stream>) {
        self.rest(id);
        if let Some(stream) = self.streams.get_mut(id) {
            stream.blocked = true;
            self.refusal.bytes |= matches!(stream.kind, Kind::GroupOut(_));
        }
    }

    /// The most urgent stream that may have something to send.
    pub(crate) fn most_urgent(&self) -> Option<Id<Stream>> {
        self.ready.last().map(|ready| ready.stream)
    }

    /// Whether groups wait for a peer that takes nothing of them: bytes on a stream, or a group for a
    /// stream. While a stream waits for frames itself, the peer may have no other to give. Requests
    /// that a publisher does not read, and the like, are no sign of how it takes groups.
    pub(crate) fn has_waiting(&self) -> bool {
        let open =
            |stream: &Stream| matches!(stream.kind, Kind::GroupOut(_)) && stream.send == Half::Open;
        let mut open = self.streams.iter().map(|(_, stream)| stream).filter(|stream| open(stream));
        match open.next() {
            None => !self.hungry.is_empty(),
            Some(first) => open.chain([first]).any(|stream| stream.ready || stream.blocked),
        }
    }

    /// The group streams that the transport takes no bytes for, each with its group.
    pub(crate) fn blocked_groups(&self) -> impl Iterator<Item = (Id<Stream>, Id<Group>)> {
        self.streams.iter().filter_map(|(id, stream)| match &stream.kind {
            Kind::GroupOut(out) if stream.blocked => Some((id, out.group)),
            _ => None,
        })
    }

    /// The group streams of which something waits for the transport, as far as is known.
    fn waiting_groups(&self) -> impl Iterator<Item = (Id<Stream>, &GroupOut)> {
        self.streams.iter().filter_map(|(id, stream)| match &stream.kind {
            Kind::GroupOut(out) if stream.ready || stream.blocked => Some((id, out)),
            _ => None,
        })
    }

    /// The stream has nothing to send for now.
    pub(crate) fn rest(&mut self, id: Id<Stream>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if core::mem::take(&mut stream.ready) {
            self.ready.remove(&Ready { priority: stream.priority, stream: id });
        }
    }

    /// Changes how urgent a stream is.
    pub(crate) fn set_priority(&mut self, id: Id<Stream>, priority: Priority) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.priority == priority || stream.send != Half::Open {
            return;
        }
        let ready = stream.ready;
        self.rest(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.priority = priority;
        let priority = priority.to_transport();
        self.commands.push_back(Command::Priority { stream: stream.id, priority });
        if ready {
            self.wake(id);
        }
    }

    /// Ends our sending with FIN, after what is in `out`.
    pub(crate) fn finish(&mut self, id: Id<Stream>) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.fin = true;
        }
        self.wake(id);
    }

    /// Abandons our sending.
    pub(crate) fn reset(&mut self, id: Id<Stream>, code: StreamCode) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.send != Half::Done {
            stream.send = Half::Done;
            stream.out.clear();
            self.commands.push_back(Command::Reset { stream: stream.id, code });
            self.rest(id);
        }
    }

    /// Asks the peer to send no more, and forgets what is unread.
    pub(crate) fn stop(&mut self, id: Id<Stream>, code: StreamCode) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.recv == Half::Open {
            stream.recv = Half::Done;
            if !stream.inbox_fin {
                self.commands.push_back(Command::Stop { stream: stream.id, code });
            }
        }
        self.forget_inbox(id);
    }

    /// Adds received control bytes, and says whether the session's bound still holds.
    pub(crate) fn buffer(&mut self, id: Id<Stream>, data: &[u8], limit: usize) -> bool {
        let Some(stream) = self.streams.get_mut(id) else { return true };
        stream.inbox.extend_from_slice(data);
        self.buffered += data.len();
        self.buffered <= limit
    }

    /// Takes one message out of the inbox of a stream. `take` says how many bytes it used.
    pub(crate) fn next<T>(
        &mut self,
        id: Id<Stream>,
        take: impl FnOnce(&[u8], Version) -> Result<Option<(T, usize)>, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let version = self.version();
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        let Some((message, used)) = take(&stream.inbox, version)? else { return Ok(None) };
        stream.inbox.advance(used);
        self.buffered -= used;
        if stream.inbox.is_empty() {
            // An idle stream should not keep the buffer of its largest message.
            stream.inbox = BytesMut::new();
        }
        Ok(Some(message))
    }

    /// Takes everything out of the inbox of a stream.
    pub(crate) fn take_inbox(&mut self, id: Id<Stream>) -> BytesMut {
        let Some(stream) = self.streams.get_mut(id) else { return BytesMut::new() };
        let inbox = core::mem::take(&mut stream.inbox);
        self.buffered -= inbox.len();
        inbox
    }

    pub(crate) fn forget_inbox(&mut self, id: Id<Stream>) {
        self.take_inbox(id);
    }

    /// Forgets the stream if both its directions are done.
    pub(crate) fn reap(&mut self, id: Id<Stream>) {
        let Some(stream) = self.streams.get(id) else { return };
        if stream.send == Half::Done && stream.recv == Half::Done {
            self.by_id.remove(&stream.id);
            self.peer_streams -= usize::from(stream.theirs);
            self.forget_inbox(id);
            self.rest(id);
            self.streams.remove(id);
        }
    }
}

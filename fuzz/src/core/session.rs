//! A node whose application and whose peers do anything in any order.

use std::time::Duration;

use bytes::Bytes;
use smoq_core::{
    Broadcast, Carrier, Config, Dir, Event, Group, GroupReader, Id, Limits, Misuse, NextGroup,
    Path, Read, Reader, Requests, Serve, SessionConfig, Start, StreamId, SubscribeOptions, Track,
    Watcher,
    wire::{Hop, SessionCode, StreamCode, TrackInfo},
};
use smoq_sim::{Bench, PeerId};

use crate::Input;

macro_rules! ops {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// What happens next. To whom and with what is in the bytes behind it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Op {
            $($(#[doc = $doc])+ $name,)*
        }

        const OPS: &[Op] = &[$(Op::$name,)*];
    };
}

ops! {
    /// A peer opens a stream: peer, even for both ways and odd for one, bytes with their number in front.
    Open,
    /// Bytes come: peer, stream, bytes with their number in front.
    Say,
    /// Bytes and FIN come: as [`Op::Say`].
    Finish,
    /// A peer abandons a stream: peer, stream.
    Reset,
    /// A peer wants no more of a stream: peer, stream.
    Stop,
    /// A peer has got all that was finished: peer.
    Ack,
    /// A stream has room: peer, stream.
    Writable,
    /// A connection has room: peer, tens of bytes.
    Room,
    /// A peer allows more streams: peer, how many of each kind.
    Credit,
    /// A peer is not read any more: peer.
    Pause,
    /// It is read again: peer.
    Resume,
    /// A connection is lost: peer.
    Lose,
    /// Time passes: tenths of a second.
    Pass,
    /// Name.
    Publish,
    /// Broadcast.
    Unpublish,
    /// Broadcast, name.
    CreateTrack,
    /// Track, 0 for the next group or one more than its number.
    CreateGroup,
    /// Group, timestamp, tens of bytes.
    WriteFrame,
    /// Group, timestamp, bytes.
    StartFrame,
    /// Group, bytes.
    WriteChunk,
    /// Group.
    FinishGroup,
    /// Group.
    AbortGroup,
    /// Track.
    FinishTrack,
    /// Track.
    AbortTrack,
    /// Name, priority, 0 for the latest group or one more than the first.
    Subscribe,
    /// Reader, priority, 0 for no end or one more than the last group.
    Update,
    /// Reader.
    NextGroup,
    /// Group on its way, bytes.
    Read,
    /// Group on its way.
    Skip,
    /// Reader.
    Unsubscribe,
    /// Name.
    Watch,
    /// Watcher.
    PollAnnounced,
    /// Watcher.
    Unwatch,
    /// Peer.
    Goaway,
    /// Peer.
    Close,
    /// A datagram comes: peer, bytes with their number in front.
    Datagram,
    /// Track, 0 for the next group or one more than its number, timestamp, tens of bytes.
    WriteDatagram,
    /// Even for a broadcast and odd for a path, broadcast or name.
    Serve,
    /// Requests.
    Unserve,
    /// Requests.
    PollWanted,
    /// Track that is wanted.
    Accept,
    /// Track that is wanted.
    Decline,
}

/// The names of broadcasts, and of tracks.
const NAMES: [&str; 4] = ["cam", "evil", "room/a", ""];

const PEERS: usize = 2;

/// The versions of two peers, then what happens.
pub fn core_session(data: &[u8]) {
    let mut input = Input(data);
    let (Some(one), Some(other)) = (input.version(), input.version()) else { return };
    let (hop, rejoin) = (Hop::new(100).unwrap(), Duration::from_secs(3));
    let config = Config { hop, seed: 1, limits: small(), rejoin };
    let mut bench = Bench::new(config);
    let peers = [one, other].map(|version| {
        let config = SessionConfig::server(version, Carrier::Raw, "");
        bench.peer(SessionConfig { datagrams: true, ..config })
    });
    for peer in peers {
        bench.greet(peer);
        bench.grant(peer, |peer| {
            (peer.room, peer.credit, peer.datagram_room) = (3000, [6; 2], 100);
        });
    }
    let mut play = Play {
        bench,
        peers,
        closed: [false; PEERS],
        input,
        broadcasts: Ids::default(),
        tracks: Ids::default(),
        groups: Ids::default(),
        readers: Ids::default(),
        reading: Ids::default(),
        reads: Vec::new(),
        watchers: Ids::default(),
        requests: Ids::default(),
        wanted: Ids::default(),
    };
    while let Some(op) = play.input.one_of(OPS) {
        play.happens(op);
        play.bench.run();
        play.hears();
        play.is_bounded();
    }
    play.ends();
}

/// Limits that a few bytes reach.
pub(super) fn small() -> Limits {
    Limits {
        store_bytes: 8000,
        store_age: Duration::from_secs(6),
        group_bytes: 3000,
        group_frames: 5,
        message_bytes: 200,
        session_buffer: 600,
        peer_streams: 12,
        announcements: 3,
        announce_requests: 2,
        reorder: 2,
        violations: 12,
        opening_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        wanted: 2,
        wanted_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(20),
    }
}

/// Ids of one kind. Those that were ended by the application are known to be stale.
struct Ids<T> {
    live: Vec<Id<T>>,
    stale: Vec<Id<T>>,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Self { live: Vec::new(), stale: Vec::new() }
    }
}

impl<T> Ids<T> {
    /// An id and whether it is stale; those are behind the others.
    fn pick(&self, at: u8) -> Option<(Id<T>, bool)> {
        let all = self.live.len() + self.stale.len();
        let at = usize::from(at).checked_rem(all)?;
        let stale = at.checked_sub(self.live.len());
        Some(stale.map_or_else(|| (self.live[at], false), |at| (self.stale[at], true)))
    }

    fn end(&mut self, id: Id<T>) {
        if let Some(at) = self.live.iter().position(|live| *live == id) {
            self.stale.push(self.live.swap_remove(at));
        }
    }
}

/// A stale id is refused, and one that nobody has ended is not.
fn refused<T>(result: &Result<T, Misuse>, stale: bool) {
    assert_eq!(matches!(result, Err(Misuse::Stale)), stale);
}

struct Play<'a> {
    bench: Bench,
    peers: [PeerId; PEERS],
    /// Which sessions are over.
    closed: [bool; PEERS],
    input: Input<'a>,
    broadcasts: Ids<Broadcast>,
    /// Tracks and groups end by themselves too, so none of them is known to be stale.
    tracks: Ids<Track>,
    groups: Ids<Group>,
    readers: Ids<Reader>,
    reading: Ids<GroupReader>,
    /// Which groups were given to which reader.
    reads: Vec<(Id<Reader>, Id<GroupReader>)>,
    watchers: Ids<Watcher>,
    /// They end with their broadcast too.
    requests: Ids<Requests>,
    wanted: Ids<Track>,
}

impl Play<'_> {
    fn byte(&mut self) -> u8 {
        self.input.byte().unwrap_or_default()
    }

    fn name(&mut self) -> &'static str {
        self.input.one_of(&NAMES).unwrap_or(NAMES[0])
    }

    fn peer(&mut self) -> usize {
        usize::from(self.byte()) % PEERS
    }

    fn stream(&mut self) -> (usize, StreamId) {
        (self.peer(), StreamId(self.byte().into()))
    }

    fn payload(&mut self, unit: usize) -> Bytes {
        Bytes::from(vec![7; usize::from(self.byte()) * unit])
    }

    /// Does it, if there is whom to do it to.
    fn happens(&mut self, op: Op) -> Option<()> {
        let now = self.bench.now();
        let session = |play: &Self, peer: usize| play.bench[play.peers[peer]].session;
        match op {
            Op::Open => {
                let peer = self.peer();
                let dir = if self.byte() & 1 == 0 { Dir::Bi } else { Dir::Uni };
                let bytes = self.input.counted().unwrap_or_default();
                self.bench.open_with(self.peers[peer], dir, bytes);
            }
            Op::Say | Op::Finish => {
                let (peer, stream) = self.stream();
                let bytes = self.input.counted().unwrap_or_default();
                if op == Op::Finish {
                    self.bench.finish(self.peers[peer], stream, bytes);
                } else {
                    self.bench.send(self.peers[peer], stream, bytes);
                }
            }
            Op::Datagram => {
                let peer = self.peer();
                let bytes = self.input.counted().unwrap_or_default();
                self.bench.datagram(self.peers[peer], bytes);
            }
            Op::WriteDatagram => {
                let (id, _) = self.tracks.pick(self.input.byte()?)?;
                let sequence = self.byte().checked_sub(1).map(u64::from);
                let (timestamp, payload) = (self.byte().into(), self.payload(10));
                let _ = self.bench.node.write_datagram(now, id, sequence, timestamp, payload);
            }
            Op::Serve => {
                let place = if self.byte() & 1 == 0 {
                    Serve::Broadcast(self.broadcasts.pick(self.input.byte()?)?.0)
                } else {
                    Serve::Below(path(self.name()))
                };
                self.requests.live.extend(self.bench.node.serve(now, place));
            }
            Op::Unserve => {
                let (id, _) = self.requests.pick(self.input.byte()?)?;
                let _ = self.bench.node.unserve(now, id);
                self.requests.end(id);
            }
            Op::PollWanted => {
                let (id, _) = self.requests.pick(self.input.byte()?)?;
                let wanted = self.bench.node.poll_wanted(id).ok().flatten();
                self.wanted.live.extend(wanted.map(|wanted| wanted.track));
            }
            Op::Accept => {
                let (id, answered) = self.wanted.pick(self.input.byte()?)?;
                let made = self.bench.node.accept(now, id, TrackInfo::default());
                assert!(!(answered && made.is_ok()), "a request is answered once");
                self.tracks.live.extend(made.map(|()| id));
                self.wanted.end(id);
            }
            Op::Decline => {
                let (id, answered) = self.wanted.pick(self.input.byte()?)?;
                let declined = self.bench.node.decline(now, id, StreamCode::NOT_FOUND);
                assert!(!(answered && declined.is_ok()), "a request is answered once");
                self.wanted.end(id);
            }
            Op::Reset => {
                let (peer, stream) = self.stream();
                self.bench.reset(self.peers[peer], stream, StreamCode::CANCEL);
            }
            Op::Stop => {
                let (peer, stream) = self.stream();
                self.bench.stop(self.peers[peer], stream, StreamCode::CANCEL);
            }
            Op::Ack => {
                let peer = self.peer();
                self.bench.acknowledge(self.peers[peer]);
            }
            Op::Writable => {
                let (peer, stream) = self.stream();
                let session = session(self, peer);
                self.bench.node.handle_writable(now, session, stream);
            }
            Op::Room => {
                let (peer, room) = (self.peer(), 10 * usize::from(self.byte()));
                self.bench.grant(self.peers[peer], |peer| peer.room += room);
            }
            Op::Credit => {
                let (peer, more) = (self.peer(), u64::from(self.byte()));
                self.bench.grant(self.peers[peer], |peer| {
                    peer.credit = peer.credit.map(|credit| credit + more);
                });
            }
            Op::Pause => {
                let peer = self.peer();
                let session = session(self, peer);
                self.bench.node.handle_paused(now, session);
            }
            Op::Resume => {
                let peer = self.peer();
                let session = session(self, peer);
                self.bench.node.handle_resumed(now, session);
            }
            Op::Lose => {
                let peer = self.peer();
                self.bench.lose(self.peers[peer]);
            }
            Op::Pass => {
                let tenths = self.byte();
                self.bench.pass(Duration::from_millis(100 * u64::from(tenths)));
            }
            Op::Publish => {
                let name = path(self.name());
                self.broadcasts.live.extend(self.bench.node.publish(now, &name));
            }
            Op::Unpublish => {
                let (id, stale) = self.broadcasts.pick(self.input.byte()?)?;
                refused(&self.bench.node.unpublish(now, id), stale);
                self.broadcasts.end(id);
            }
            Op::CreateTrack => {
                let (id, stale) = self.broadcasts.pick(self.input.byte()?)?;
                let name = self.name();
                let made = self.bench.node.create_track(now, id, name, TrackInfo::default());
                refused(&made, stale);
                self.tracks.live.extend(made);
            }
            Op::CreateGroup => {
                let (id, _) = self.tracks.pick(self.input.byte()?)?;
                let sequence = self.byte().checked_sub(1).map(u64::from);
                let made = self.bench.node.create_group(now, id, sequence);
                self.groups.live.extend(made.map(|(group, _)| group));
            }
            Op::WriteFrame => {
                let (id, _) = self.groups.pick(self.input.byte()?)?;
                let (timestamp, payload) = (self.byte().into(), self.payload(10));
                let _ = self.bench.node.write_frame(now, id, timestamp, payload);
            }
            Op::StartFrame => {
                let (id, _) = self.groups.pick(self.input.byte()?)?;
                let (timestamp, size) = (self.byte().into(), self.byte().into());
                let _ = self.bench.node.start_frame(now, id, timestamp, size);
            }
            Op::WriteChunk => {
                let (id, _) = self.groups.pick(self.input.byte()?)?;
                let payload = self.payload(1);
                let _ = self.bench.node.write_chunk(now, id, payload);
            }
            Op::FinishGroup => {
                let (id, _) = self.groups.pick(self.input.byte()?)?;
                let _ = self.bench.node.finish_group(now, id);
            }
            Op::AbortGroup => {
                let (id, _) = self.groups.pick(self.input.byte()?)?;
                let _ = self.bench.node.abort_group(now, id, StreamCode::OLD);
            }
            Op::FinishTrack => {
                let (id, _) = self.tracks.pick(self.input.byte()?)?;
                let _ = self.bench.node.finish_track(now, id);
                let _ = self.bench.node.backlog(id);
            }
            Op::AbortTrack => {
                let (id, _) = self.tracks.pick(self.input.byte()?)?;
                let _ = self.bench.node.abort_track(now, id, StreamCode::CANCEL);
            }
            Op::Subscribe => {
                let name = path(self.name());
                let priority = self.byte();
                let start = self.byte().checked_sub(1).map(u64::from);
                let start = start.map_or(Start::Latest, Start::From);
                let options = SubscribeOptions { priority, start, ..options() };
                let made = self.bench.node.subscribe(now, &name, NAMES[0], options);
                self.readers.live.push(made.expect("the name is short"));
            }
            Op::Update => {
                let (id, stale) = self.readers.pick(self.input.byte()?)?;
                let (priority, end) = (self.byte(), self.byte().checked_sub(1).map(u64::from));
                let options = SubscribeOptions { priority, end, ..options() };
                refused(&self.bench.node.update_subscription(now, id, options), stale);
            }
            Op::NextGroup => {
                let (id, stale) = self.readers.pick(self.input.byte()?)?;
                let next = self.bench.node.next_group(now, id);
                refused(&next, stale);
                if let Ok(NextGroup::Group { id: group, .. }) = next {
                    self.reading.live.push(group);
                    self.reads.push((id, group));
                }
            }
            Op::Read => {
                let (id, stale) = self.reading.pick(self.input.byte()?)?;
                let max = self.byte().into();
                let read = self.bench.node.read(id, max);
                refused(&read, stale);
                if let Ok(Read::End | Read::Reset(_)) = read {
                    self.reading.end(id);
                }
            }
            Op::Skip => {
                let (id, stale) = self.reading.pick(self.input.byte()?)?;
                refused(&self.bench.node.skip_group(now, id), stale);
                self.reading.end(id);
            }
            Op::Unsubscribe => {
                let (id, stale) = self.readers.pick(self.input.byte()?)?;
                refused(&self.bench.node.unsubscribe(now, id), stale);
                self.readers.end(id);
                let of = self.reads.iter().filter(|(reader, _)| *reader == id);
                of.for_each(|(_, group)| self.reading.end(*group));
            }
            Op::Watch => {
                let prefix = path(self.name());
                self.watchers.live.push(self.bench.node.watch(now, &prefix));
            }
            Op::PollAnnounced => {
                let (id, stale) = self.watchers.pick(self.input.byte()?)?;
                refused(&self.bench.node.poll_announced(id), stale);
            }
            Op::Unwatch => {
                let (id, stale) = self.watchers.pick(self.input.byte()?)?;
                refused(&self.bench.node.unwatch(now, id), stale);
                self.watchers.end(id);
            }
            Op::Goaway => {
                let peer = self.peer();
                let session = session(self, peer);
                let told = self.bench.node.goaway(now, session, "https://b/");
                refused(&told, self.closed[peer]);
            }
            Op::Close => {
                let peer = self.peer();
                let session = session(self, peer);
                let closed = self.bench.node.close(now, session, SessionCode::NO_ERROR, "bye");
                refused(&closed, self.closed[peer]);
            }
        }
        Some(())
    }

    /// Notes which sessions are over.
    fn hears(&mut self) {
        for event in self.bench.events() {
            if let Event::Closed { session, .. } = event {
                let is = |peer: &PeerId| self.bench[*peer].session == session;
                let at = self.peers.iter().position(is).expect("a session of ours");
                assert!(!self.closed[at], "a session ends once");
                self.closed[at] = true;
            }
        }
    }

    fn is_bounded(&self) {
        let (stats, limits) = (self.bench.node.stats(), small());
        let (own, readers) = (self.broadcasts.live.len(), self.readers.live.len());
        let streams = PEERS * limits.peer_streams + readers;
        let open = self.closed.iter().filter(|closed| !**closed).count();
        assert!(stats.sessions == open, "{stats:?}");
        assert!(stats.store_bytes <= limits.store_bytes, "{stats:?}");
        assert!(stats.routes <= PEERS * limits.announcements + own, "{stats:?}");
        assert!(stats.subscriptions <= streams, "{stats:?}");
        assert!(stats.tracks <= streams + self.tracks.live.len(), "{stats:?}");
        assert!(stats.violations <= (PEERS * (limits.violations + 1)) as u64, "{stats:?}");
    }

    /// Everybody goes, and nothing is left.
    fn ends(mut self) {
        let now = self.bench.now();
        self.peers.into_iter().for_each(|peer| self.bench.lose(peer));
        let node = &mut self.bench.node;
        let ended = |result: Result<(), Misuse>| result.expect("it is there");
        self.readers.live.into_iter().for_each(|id| ended(node.unsubscribe(now, id)));
        self.watchers.live.into_iter().for_each(|id| ended(node.unwatch(now, id)));
        self.broadcasts.live.into_iter().for_each(|id| ended(node.unpublish(now, id)));
        self.requests.live.into_iter().for_each(|id| _ = node.unserve(now, id));
        // Those that were made on demand are there for a while though nobody reads them.
        self.tracks
            .live
            .into_iter()
            .for_each(|id| _ = node.abort_track(now, id, StreamCode::CANCEL));
        let stats = node.stats();
        let held = [stats.sessions, stats.tracks, stats.groups, stats.store_bytes];
        assert_eq!((held, stats.routes, stats.subscriptions), ([0; 4], 0, 0));
        self.bench.pass(Duration::from_secs(5));
        assert_eq!(self.bench.node.poll_timeout(), None, "an empty node wants no timer");
    }
}

fn options() -> SubscribeOptions {
    SubscribeOptions { max_age: Duration::MAX, ..SubscribeOptions::default() }
}

fn path(text: &str) -> Path {
    Path::new(text).expect("names are short")
}

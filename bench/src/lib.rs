//! What the benchmarks and the allocation test share: one publisher and many subscribers in one node,
//! with a transport that takes everything at once.

use core::{hint::black_box, time::Duration};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Broadcast, Carrier, Config, Dir, Id, Limits, Node, Path, Session, SessionConfig, StreamId,
    Time, Track, Version,
    binding::{Transport, pump},
    wire::{
        BidiType, Message, SessionCode, Setup, StreamCode, Subscribe, SubscribeParams, TrackInfo,
        UniType, varint,
    },
};

/// The shape of a group.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Frames in each group.
    pub frames: u64,
    /// Bytes in each frame.
    pub size: usize,
}

/// Four small frames: chat, audio, data.
pub const SMALL: Shape = Shape { frames: 4, size: 64 };

/// Two seconds of video at 30 frames per second, 1 Mbit/s.
pub const VIDEO: Shape = Shape { frames: 60, size: 4096 };

/// When a group is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// Each frame as soon as it is written.
    Live,
    /// All frames when the last one is written.
    Whole,
}

/// How many subscribers are measured.
pub const SUBSCRIBERS: [usize; 4] = [1, 16, 64, 256];

/// Time between two groups.
const INTERVAL: Duration = Duration::from_millis(33);

/// How long groups are held: as long as moq-net holds them, so that both give up as many.
const HELD: Duration = Duration::from_secs(5);

/// Groups after which as many leave the store as come.
pub const WARM_UP: usize = 200;

/// A transport that takes everything and counts it.
#[derive(Default)]
struct Sink {
    opened: u64,
    bytes: u64,
    finished: Vec<StreamId>,
}

impl Transport for Sink {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        self.opened += 1;
        let kind = match dir {
            Dir::Bi => 0,
            Dir::Uni => 2,
        };
        Some(StreamId(self.opened << 2 | kind))
    }

    fn room(&self) -> usize {
        64 << 10
    }

    fn write(&mut self, _: StreamId, chunks: &mut [Bytes]) -> usize {
        let bytes = chunks.iter().map(Bytes::len).sum();
        self.bytes += bytes as u64;
        bytes
    }

    fn finish(&mut self, stream: StreamId) {
        self.finished.push(stream);
    }

    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        panic!("{stream:?} was reset: {code}");
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        panic!("{stream:?} was stopped: {code}");
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        panic!("closed: {code}, {reason}");
    }
}

/// One local track and its subscribers.
pub struct FanOut {
    node: Node,
    track: Id<Track>,
    broadcast: Id<Broadcast>,
    peers: Vec<(Id<Session>, Sink)>,
    scratch: Vec<Bytes>,
    payload: Bytes,
    now: Time,
    timestamp: u64,
}

impl FanOut {
    /// A node that publishes one track to `subscribers` peers, who have subscribed.
    pub fn new(subscribers: usize, version: Version) -> Self {
        let limits = Limits { store_age: HELD, ..Limits::default() };
        let mut node = Node::new(Config { limits, ..Config::default() });
        let now = Time::ZERO;
        let path = Path::new("live").expect("a valid path");
        let broadcast = node.publish(now, &path).expect("a new path");
        let track = node.create_track(now, broadcast, "video", TrackInfo::default());
        let track = track.expect("a new track");
        let peers = (0..subscribers)
            .map(|_| {
                let config = SessionConfig::server(version, Carrier::Raw, "");
                let session = node.add_session(now, config);
                greet(&mut node, session, version, &path);
                (session, Sink::default())
            })
            .collect();
        let payload = Bytes::from(vec![0x5a; VIDEO.size]);
        let scratch = Vec::new();
        let mut fan_out =
            Self { node, track, broadcast, peers, scratch, payload, now, timestamp: 0 };
        fan_out.drain();
        fan_out
    }

    /// Publishes one group and sends it to every subscriber; then the peers acknowledge it.
    pub fn group(&mut self, shape: Shape, delivery: Delivery) {
        self.now = self.now.after(INTERVAL);
        if self.node.poll_timeout().is_some_and(|timeout| timeout <= self.now) {
            self.node.handle_timeout(self.now);
        }
        let (group, _) =
            self.node.create_group(self.now, self.track, None).expect("a running track");
        for _ in 0..shape.frames {
            self.timestamp += 33;
            let payload = self.payload.slice(..shape.size);
            self.node.write_frame(self.now, group, self.timestamp, payload).expect("an open group");
            if delivery == Delivery::Live {
                self.drain();
            }
        }
        self.node.finish_group(self.now, group).expect("an open group");
        self.drain();
        for (session, sink) in &mut self.peers {
            for stream in sink.finished.drain(..) {
                self.node.handle_acked(self.now, *session, stream);
            }
        }
        self.drain();
    }

    /// Bytes given to the transports so far.
    pub fn bytes(&self) -> u64 {
        self.peers.iter().map(|(_, sink)| sink.bytes).sum()
    }

    /// Ends the broadcast, so that a benchmark can count what is left.
    pub fn end(mut self) -> Node {
        self.node.unpublish(self.now, self.broadcast).expect("a running broadcast");
        self.node
    }

    /// Asks the node for everything that a driver asks for in a turn.
    pub fn poll(&mut self) {
        black_box(self.node.poll_timeout());
        self.drain();
    }

    fn drain(&mut self) {
        // Ids are handed out in order, so a session's index is its place among the peers.
        while let Some(session) = self.node.poll_session() {
            let peer = self.peers.binary_search_by_key(&session, |(id, _)| *id);
            if let Ok(index) = peer {
                let sink = &mut self.peers[index].1;
                pump(&mut self.node, self.now, session, sink, &mut self.scratch);
            }
        }
        while self.node.poll_event().is_some() {}
    }
}

/// Lets a peer say SETUP and SUBSCRIBE.
fn greet(node: &mut Node, session: Id<Session>, version: Version, path: &Path) {
    let now = Time::ZERO;
    if version.has_setup() {
        let mut setup = BytesMut::new();
        varint::encode(UniType::Setup.to_varint(), &mut setup);
        Setup::default().encode(&mut setup, version);
        node.handle_opened(now, session, StreamId(3), Dir::Uni);
        node.handle_recv(now, session, StreamId(3), setup.freeze(), true);
    }
    let mut subscribe = BytesMut::new();
    varint::encode(BidiType::Subscribe.to_varint(), &mut subscribe);
    let params = SubscribeParams { priority: 127, ..SubscribeParams::default() };
    let message = Subscribe { id: 0, broadcast: path.clone(), track: "video".into(), params };
    message.encode(&mut subscribe, version);
    node.handle_opened(now, session, StreamId(1), Dir::Bi);
    node.handle_recv(now, session, StreamId(1), subscribe.freeze(), false);
}

//! What holds for whatever a peer says. `PROPTEST_CASES` asks for more cases.

mod common;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use common::{script::*, *};
use proptest::prelude::*;
use smoq_core::{
    Command, Config, Dir, Event, Id, Limits, NextGroup, Path, Read, Reader, StreamId, Time,
    Version,
    wire::{
        Announce, Cost, GroupHeader, Hops, Probe, StreamCode, SubscribeOk, SubscribeParams,
        SubscribeResponse, TrackInfo,
    },
};
use smoq_sim::{Bench, Peer, PeerId, Recorder, Sent};

/// What a peer says on one stream.
#[derive(Clone, Debug)]
enum Say {
    /// A group, with deltas and sizes of its frames, cut short by so many bytes.
    Group { subscribe: u64, sequence: u64, frames: Vec<(i64, usize)>, cut: usize },
    /// A request with a number of updates.
    Subscribe { id: u64, name: usize, params: SubscribeParams, updates: usize },
    /// A request for announcements, with something after it or not.
    Watch { prefix: usize, more: bool },
    /// A request for what a track is like.
    Ask(usize),
    /// On the stream that the node opened for announcements.
    Announce(Vec<(u8, usize)>),
    /// On the streams that the node opened for subscriptions.
    Respond(Vec<(u8, u64)>),
    /// On the streams that the node opened to ask for tracks.
    Answer(bool),
    /// A probe, with targets.
    Probe(Vec<u64>),
    /// Anything.
    Raw(bool, Vec<u8>),
}

const NAMES: [&str; 4] = ["cam", "evil", "room/a", ""];

fn say() -> impl Strategy<Value = Say> {
    let frames = prop::collection::vec((-3..2000_i64, 0..400_usize), 0..6);
    let cut = prop_oneof![4 => Just(0), 1 => 1..40_usize];
    let group = (0..3_u64, 0..8_u64, frames, cut).prop_map(|(subscribe, sequence, frames, cut)| {
        Say::Group { subscribe, sequence, frames, cut }
    });
    let params = (any::<u8>(), 0..5000_u64, prop::option::of(0..6_u64), prop::option::of(0..9_u64))
        .prop_map(|(priority, max_age_ms, start, end)| SubscribeParams {
            priority,
            max_age_ms,
            start,
            end,
            ..SubscribeParams::default()
        });
    let subscribe = (0..3_u64, 0..4_usize, params, 0..3_usize)
        .prop_map(|(id, name, params, updates)| Say::Subscribe { id, name, params, updates });
    prop_oneof![
        6 => group,
        2 => subscribe,
        1 => (0..4_usize, any::<bool>()).prop_map(|(prefix, more)| Say::Watch { prefix, more }),
        1 => (0..4_usize).prop_map(Say::Ask),
        2 => prop::collection::vec((0..3_u8, 0..4_usize), 0..5).prop_map(Say::Announce),
        2 => prop::collection::vec((0..4_u8, 0..9_u64), 0..4).prop_map(Say::Respond),
        1 => any::<bool>().prop_map(Say::Answer),
        1 => prop::collection::vec(0..1_000_000_u64, 0..3).prop_map(Say::Probe),
        1 => (any::<bool>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(uni, bytes)| Say::Raw(uni, bytes)),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

/// The bytes, and where they go: a new stream, or those that the node opened with a type.
enum Place {
    New(Dir),
    Theirs(u8),
}

impl Say {
    fn bytes(&self, version: Version) -> (Place, Vec<u8>) {
        match self {
            Self::Group { subscribe, sequence, frames, cut } => {
                let header =
                    GroupHeader { subscribe: *subscribe, sequence: *sequence, first_frame: 0 };
                let mut bytes = typed(0, &header, version);
                for (index, (delta, size)) in frames.iter().enumerate() {
                    bytes.extend(frame(*delta, &vec![index as u8; *size], version));
                }
                bytes.truncate(bytes.len().saturating_sub(*cut));
                (Place::New(Dir::Uni), bytes)
            }
            Self::Subscribe { id, name, params, updates } => {
                let request = smoq_core::wire::Subscribe {
                    id: *id,
                    broadcast: path(NAMES[*name]),
                    track: "video".into(),
                    params: params.clone(),
                };
                let mut bytes = typed(2, &request, version);
                for _ in 0..*updates {
                    bytes.extend(message(params, version));
                }
                (Place::New(Dir::Bi), bytes)
            }
            Self::Watch { prefix, more } => {
                let request = smoq_core::wire::AnnounceRequest {
                    prefix: path(NAMES[*prefix]),
                    exclude_hop: hop(9),
                };
                let mut bytes = typed(1, &request, version);
                bytes.extend(more.then_some(0));
                (Place::New(Dir::Bi), bytes)
            }
            Self::Ask(name) => {
                let request =
                    smoq_core::wire::Track { broadcast: path(NAMES[*name]), track: "video".into() };
                (Place::New(Dir::Bi), typed(6, &request, version))
            }
            Self::Probe(targets) => {
                let mut bytes = vec![4];
                for target in targets {
                    let target = Probe { bitrate: Some(*target), rtt_ms: None };
                    bytes.extend(message(&target, version));
                }
                (Place::New(Dir::Bi), bytes)
            }
            Self::Announce(changes) => {
                let mut out = bytes::BytesMut::new();
                for (kind, name) in changes {
                    let suffix = path(NAMES[*name]);
                    let announce = match (kind, version.has_announce_ids()) {
                        (0, _) => start(NAMES[*name], version),
                        (1, true) => Announce::EndId { id: *name as u64 },
                        (_, true) => {
                            let (hops, cost) = (Hops::new(), Cost::ZERO);
                            Announce::Update { id: *name as u64, hops, cost }
                        }
                        (_, false) => Announce::End { suffix },
                    };
                    announce.encode(&mut out, version);
                }
                (Place::Theirs(1), out.to_vec())
            }
            Self::Respond(responses) => {
                let mut out = bytes::BytesMut::new();
                for (kind, group) in responses {
                    let response = match (kind, version.has_end()) {
                        (0, true) => SubscribeResponse::Start { group: *group },
                        (1, true) => SubscribeResponse::End { group: *group },
                        (0, false) => SubscribeResponse::Ok(SubscribeOk::default()),
                        _ => SubscribeResponse::Drop { first: *group, last: group + 1, code: 1 },
                    };
                    response.encode(&mut out, version);
                }
                (Place::Theirs(2), out.to_vec())
            }
            Self::Answer(good) => {
                let info = message(&TrackInfo::default(), version);
                (Place::Theirs(6), if *good { info } else { vec![2, 0, 0] })
            }
            Self::Raw(uni, bytes) => {
                (Place::New(if *uni { Dir::Uni } else { Dir::Bi }), bytes.clone())
            }
        }
    }
}

/// How fast the connection is, all the time.
const BITRATE: u64 = 123_456_789;

/// A relay with two subscriptions of its own to what the peer may announce.
fn scene(version: Version, limits: Limits) -> (Bench, PeerId, [Id<Reader>; 2]) {
    let mut bench = Bench::new(Config { limits, ..relay_config(100) });
    let peer = bench.client(version);
    // Else a peer that probes is refused, be that before or after what else it says there.
    bench.grant(peer, |peer| peer.estimate.bitrate = Some(BITRATE));
    announce(&mut bench, peer, "cam");
    let now = bench.now();
    let readers = ["cam", "evil"]
        .map(|name| bench.node.subscribe(now, &path(name), "video", from(0)).unwrap());
    bench.run();
    (bench, peer, readers)
}

/// Says something in pieces of the sizes given, over and over; FIN comes with the last or alone.
fn perform(bench: &mut Bench, peer: PeerId, say: &Say, pieces: &[usize], fin: bool) {
    let (place, bytes) = say.bytes(bench[peer].version);
    let streams = match place {
        Place::New(dir) => vec![bench.open(peer, dir)],
        Place::Theirs(kind) => bench.requests(peer, kind),
    };
    for stream in streams {
        let mut rest = &bytes[..];
        let mut sizes = pieces.iter().cycle();
        while let Some(size) = sizes.next().filter(|size| **size < rest.len()) {
            bench.send(peer, stream, &rest[..*size]);
            rest = &rest[*size..];
        }
        if fin && !matches!(say, Say::Announce(_) | Say::Respond(_)) {
            bench.finish(peer, stream, rest);
        } else {
            bench.send(peer, stream, rest);
        }
    }
}

type Delivered = BTreeMap<u64, (Vec<(u64, Vec<u8>)>, Option<Option<StreamCode>>)>;

/// All that a reader gets, with the pieces of each frame joined.
fn joined(node: &mut Recorder, now: Time, reader: Id<Reader>) -> (Delivered, NextGroup) {
    let mut groups = Delivered::new();
    loop {
        let (id, sequence) = match node.next_group(now, reader).unwrap() {
            NextGroup::Group { id, sequence } => (id, sequence),
            end => return (groups, end),
        };
        let (frames, end) = groups.entry(sequence).or_default();
        loop {
            match node.read(id, usize::MAX).unwrap() {
                Read::Chunk(chunk) => {
                    if chunk.offset == 0 {
                        frames.push((chunk.timestamp, Vec::new()));
                    }
                    frames.last_mut().unwrap().1.extend_from_slice(&chunk.data);
                }
                Read::Pending => break,
                Read::End => {
                    *end = Some(None);
                    break;
                }
                Read::Reset(code) => {
                    *end = Some(Some(code));
                    break;
                }
            }
        }
    }
}

fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(default),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What the node said. How much of what a reset cut off had gone, whether there was still something to
/// stop, and whether the transport said how fast it is before a probe was over, are a matter of time.
fn said(peer: &Peer) -> BTreeMap<StreamId, Sent> {
    let report = message(&Probe { bitrate: Some(BITRATE), rtt_ms: None }, peer.version);
    let mut sent = peer.sent.clone();
    for sent in sent.values_mut() {
        sent.stopped = None;
        if sent.reset.is_some() || sent.bytes == report {
            sent.bytes.clear();
        }
    }
    sent.retain(|_, sent| *sent != Sent::default());
    sent
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn chunking_is_invisible(
        version in version(),
        says in prop::collection::vec((say(), any::<bool>()), 1..12),
        pieces in prop::collection::vec(1..30_usize, 1..6),
    ) {
        let run = |pieces: &[usize]| {
            let (mut bench, peer, readers) = scene(version, Limits::default());
            for (say, fin) in &says {
                perform(&mut bench, peer, say, pieces, *fin);
            }
            let now = bench.now();
            let got = readers.map(|reader| joined(&mut bench.node, now, reader));
            let events: Vec<_> = bench
                .events()
                .into_iter()
                .filter(|event| !matches!(event, Event::Readable { .. }))
                .collect();
            (got, events, said(&bench[peer]), bench[peer].closed.clone(), bench.node.stats().groups)
        };
        prop_assert_eq!(run(&[usize::MAX]), run(&pieces));
    }

    #[test]
    fn outputs_keep_their_sequence_however_late_they_are_drained(
        version in version(),
        says in prop::collection::vec((say(), any::<bool>()), 1..12),
        patience in 1..20_usize,
    ) {
        let run = |patience: usize| {
            let mut node = Recorder::silent(relay_config(100));
            let now = Time::from_millis(5000);
            let config =
                smoq_core::SessionConfig::server(version, smoq_core::Carrier::WebTransport, "/");
            let session = node.add_session(now, config);
            let reader = node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
            let (mut events, mut commands) = (Vec::<Event>::new(), Vec::<Command>::new());
            let mut inputs = 0;
            let mut drain = |node: &mut Recorder| {
                inputs += 1;
                if inputs % patience == 0 {
                    events.extend(std::iter::from_fn(|| node.poll_event()));
                    commands.extend(std::iter::from_fn(|| node.poll_command(session)));
                }
            };
            for (index, (say, fin)) in says.iter().enumerate() {
                let (place, bytes) = say.bytes(version);
                let dir = if let Place::New(dir) = place { dir } else { Dir::Bi };
                let stream = StreamId((index as u64) << 2 | u64::from(dir == Dir::Uni) << 1);
                node.handle_opened(now, session, stream, dir);
                drain(&mut node);
                node.handle_recv(now, session, stream, Bytes::from(bytes), *fin);
                drain(&mut node);
                if index % 3 == 0 {
                    node.handle_stopped(now, session, stream, StreamCode::CANCEL);
                    drain(&mut node);
                }
            }
            node.unsubscribe(now, reader).unwrap();
            events.extend(std::iter::from_fn(|| node.poll_event()));
            commands.extend(std::iter::from_fn(|| node.poll_command(session)));
            (events, commands)
        };
        let (events, commands) = run(1);
        prop_assert_eq!((events, commands), run(patience));
    }
}

/// Something that a transport may tell, or an application may do, in any order.
#[derive(Clone, Debug)]
enum Do {
    Say(Say, bool),
    More(u64, Vec<u8>, bool),
    Reset(u64),
    Stop(u64),
    Ack(u64),
    Writable(u64),
    Room(usize),
    Credit(u64),
    Pass(u64),
    Publish(usize),
    Unsubscribe(usize),
    Watch(usize),
}

fn act() -> impl Strategy<Value = Do> {
    let stream = || 0..40_u64;
    let bytes = prop::collection::vec(any::<u8>(), 0..30);
    prop_oneof![
        8 => (say(), any::<bool>()).prop_map(|(say, fin)| Do::Say(say, fin)),
        2 => (stream(), bytes, any::<bool>()).prop_map(|(id, bytes, fin)| Do::More(id, bytes, fin)),
        2 => stream().prop_map(Do::Reset),
        2 => stream().prop_map(Do::Stop),
        2 => stream().prop_map(Do::Ack),
        1 => stream().prop_map(Do::Writable),
        2 => (0..2000_usize).prop_map(Do::Room),
        2 => (0..5_u64).prop_map(Do::Credit),
        1 => (0..15_000_u64).prop_map(Do::Pass),
        2 => (0..4_usize).prop_map(Do::Publish),
        1 => (0..4_usize).prop_map(Do::Unsubscribe),
        1 => (0..4_usize).prop_map(Do::Watch),
    ]
}

fn small() -> Limits {
    Limits {
        store_bytes: 8000,
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
        store_age: Duration::from_secs(6),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_hostile_peer_neither_breaks_nor_fills_a_node(
        versions in [version(), version()],
        acts in prop::collection::vec((0..2_usize, act()), 1..60),
    ) {
        let limits = small();
        let mut bench = Bench::new(Config { limits: limits.clone(), ..relay_config(100) });
        let peers = versions.map(|version| bench.client(version));
        for peer in peers {
            bench.grant(peer, |peer| (peer.room, peer.credit) = (3000, [6; 2]));
        }
        let mut readers = Vec::new();
        let mut watchers = Vec::new();
        let mut broadcasts = Vec::new();
        for (at, act) in &acts {
            let peer = peers[*at];
            let stream = |id: &u64| StreamId(*id);
            let known = |bench: &Bench, id: &u64| bench[peer].sent.contains_key(&StreamId(*id));
            match act {
                Do::Say(say, fin) => perform(&mut bench, peer, say, &[7, 90], *fin),
                Do::More(id, bytes, true) => bench.finish(peer, stream(id), bytes),
                Do::More(id, bytes, false) => bench.send(peer, stream(id), bytes),
                Do::Reset(id) => bench.reset(peer, stream(id), StreamCode(*id)),
                Do::Stop(id) => bench.stop(peer, stream(id), StreamCode(*id)),
                Do::Ack(id) if known(&bench, id) => bench.acknowledge(peer),
                Do::Ack(id) | Do::Writable(id) => {
                    let (now, session) = (bench.now(), bench[peer].session);
                    bench.node.handle_writable(now, session, stream(id));
                    bench.run();
                }
                Do::Room(room) => bench.grant(peer, |peer| peer.room += room),
                Do::Credit(credit) => bench.grant(peer, |peer| {
                    peer.credit = peer.credit.map(|old| old + credit);
                }),
                Do::Pass(millis) => bench.pass(Duration::from_millis(*millis)),
                Do::Publish(name) => {
                    let now = bench.now();
                    if let Ok(id) = bench.node.publish(now, &path(NAMES[*name])) {
                        let info = TrackInfo::default();
                        let track = bench.node.create_track(now, id, "video", info).unwrap();
                        let (group, _) = bench.node.create_group(now, track, None).unwrap();
                        let payload = Bytes::from(vec![1; 500 * *name]);
                        bench.node.write_frame(now, group, 5, payload).unwrap();
                        broadcasts.push(id);
                    }
                    bench.run();
                }
                Do::Unsubscribe(name) => {
                    let now = bench.now();
                    if let Some(reader) = readers.pop() {
                        joined(&mut bench.node, now, reader);
                        bench.node.unsubscribe(now, reader).unwrap();
                    } else {
                        let name = path(NAMES[*name]);
                        readers.push(bench.node.subscribe(now, &name, "video", live()).unwrap());
                    }
                    bench.run();
                }
                Do::Watch(name) => {
                    let prefix = Path::new(NAMES[*name]).unwrap();
                    watchers.push(bench.node.watch(bench.now(), &prefix));
                    bench.run();
                }
            }
            let stats = bench.node.stats();
            prop_assert!(stats.store_bytes <= limits.store_bytes, "{:?}", stats);
            prop_assert!(stats.routes <= 2 * limits.announcements + NAMES.len(), "{:?}", stats);
            let streams = 2 * limits.peer_streams + readers.len();
            prop_assert!(stats.subscriptions <= streams, "{:?}", stats);
            prop_assert!(stats.tracks <= streams + NAMES.len(), "{:?}", stats);
            prop_assert!(stats.violations <= 2 * (limits.violations as u64 + 1), "{:?}", stats);
        }
        for peer in peers {
            bench.lose(peer);
        }
        let now = bench.now();
        readers.into_iter().for_each(|reader| bench.node.unsubscribe(now, reader).unwrap());
        watchers.into_iter().for_each(|watcher| bench.node.unwatch(now, watcher).unwrap());
        broadcasts.into_iter().for_each(|id| bench.node.unpublish(now, id).unwrap());
        let stats = bench.node.stats();
        prop_assert_eq!([stats.sessions, stats.tracks, stats.groups, stats.store_bytes], [0; 4]);
        prop_assert_eq!((stats.routes, stats.subscriptions), (0, 0));
        bench.pass(Duration::from_secs(5));
        prop_assert_eq!(bench.node.poll_timeout(), None, "an empty node wants no timer");
    }
}

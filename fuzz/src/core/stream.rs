//! Streams of one session: however they are cut, the same comes of them.

use std::{collections::BTreeMap, time::Duration};

use smoq_core::{
    Config, Dir, Event, Id, NextGroup, Path, Read, Reader, Start, StreamId, SubscribeOptions,
    Version,
    wire::{BidiType, Hop, SessionCode, StreamCode, TrackInfo, varint},
};
use smoq_sim::{Bench, PeerId, Sent};

use crate::Input;

/// What is said on one stream: a new one, or those that the node has opened with a type.
#[derive(Clone, Copy)]
enum Place {
    New(Dir),
    Theirs(BidiType),
}

const PLACES: [Place; 5] = [
    Place::New(Dir::Uni),
    Place::New(Dir::Bi),
    Place::Theirs(BidiType::Announce),
    Place::Theirs(BidiType::Subscribe),
    Place::Theirs(BidiType::Track),
];

/// The size of the pieces, a version, then for each stream its place (FIN from 0x80 on) and its bytes with
/// their number in front.
pub fn core_stream(data: &[u8]) {
    let mut input = Input(data);
    let piece = input.piece();
    let whole = outcome(input, usize::MAX);
    assert_eq!(outcome(input, piece), whole, "pieces of {piece}");
}

#[derive(PartialEq, Debug)]
struct Outcome {
    read: [Groups; 2],
    events: Vec<Event>,
    said: BTreeMap<StreamId, Sent>,
    closed: Option<(SessionCode, String)>,
    groups: usize,
}

fn outcome(mut input: Input<'_>, piece: usize) -> Outcome {
    let version = input.version().unwrap_or(Version::Lite06);
    let hop = Hop::new(100).unwrap();
    let mut bench = Bench::new(Config { hop, seed: 1, ..Config::default() });
    let peer = bench.client(version);
    // Else a peer that probes is refused, be that before or after what else it says there.
    bench.grant(peer, |peer| peer.estimate.bitrate = Some(1000));
    let now = bench.now();
    // Something to ask for, and two readers of what the peer may announce. There is no group to be sent: how
    // much goes before the next message changes it is a matter of time.
    let own = bench.node.publish(now, &path("own")).unwrap();
    bench.node.create_track(now, own, "video", TrackInfo::default()).unwrap();
    let options = || SubscribeOptions {
        start: Start::From(0),
        max_age: Duration::MAX,
        ..SubscribeOptions::default()
    };
    let readers = ["cam", "evil"]
        .map(|name| bench.node.subscribe(now, &path(name), "video", options()).unwrap());
    bench.run();
    let mut probes = Vec::new();
    while let Some(place) = input.byte() {
        let fin = place >= 0x80;
        let (place, bytes) = (PLACES[usize::from(place) % PLACES.len()], input.counted());
        let streams = match place {
            Place::New(dir) => vec![bench.open(peer, dir)],
            Place::Theirs(kind) => bench.requests(peer, kind as u8),
        };
        let bytes = bytes.unwrap_or_default();
        for stream in streams {
            say(&mut bench, peer, stream, bytes, piece, fin);
            let kind = varint::decode(bytes).map(|(kind, _)| kind);
            if matches!(place, Place::New(Dir::Bi)) && kind == Some(BidiType::Probe as u64) {
                probes.push(stream);
            }
        }
    }
    let read = readers.map(|reader| read(&mut bench, reader));
    // How often there is something to read is a matter of pieces.
    let events = bench.events().into_iter();
    let events = events.filter(|event| !matches!(event, Event::Readable { .. })).collect();
    Outcome {
        read,
        events,
        said: said(&bench, peer, &probes),
        closed: bench[peer].closed.clone(),
        groups: bench.node.stats().groups,
    }
}

fn say(bench: &mut Bench, peer: PeerId, stream: StreamId, bytes: &[u8], piece: usize, fin: bool) {
    let cut = bytes.len().saturating_sub(1) / piece * piece;
    let (before, last) = bytes.split_at(cut);
    before.chunks(piece).for_each(|piece| bench.send(peer, stream, piece));
    if fin {
        bench.finish(peer, stream, last);
    } else {
        bench.send(peer, stream, last);
    }
}

/// What the node said. How much of what a reset cut off had gone, and whether there was still something to
/// stop, is a matter of pieces too; and whether a peer that probes was told something before it had enough.
fn said(bench: &Bench, peer: PeerId, probes: &[StreamId]) -> BTreeMap<StreamId, Sent> {
    let mut sent = bench[peer].sent.clone();
    for (stream, sent) in &mut sent {
        sent.stopped = None;
        if sent.reset.is_some() || probes.contains(stream) {
            sent.bytes.clear();
        }
    }
    sent.retain(|_, sent| *sent != Sent::default());
    sent
}

/// Timestamps and payloads of the frames of each group, and how it ended if it did.
type Groups = BTreeMap<u64, (Vec<(u64, Vec<u8>)>, Option<Option<StreamCode>>)>;

fn read(bench: &mut Bench, reader: Id<Reader>) -> Groups {
    let now = bench.now();
    let mut groups = Groups::new();
    while let NextGroup::Group { id, sequence } = bench.node.next_group(now, reader).unwrap() {
        let (frames, end) = groups.entry(sequence).or_default();
        *end = loop {
            match bench.node.read(id, usize::MAX).unwrap() {
                Read::Chunk(chunk) => {
                    if chunk.offset == 0 {
                        frames.push((chunk.timestamp, Vec::new()));
                    }
                    let (_, payload) = frames.last_mut().unwrap();
                    payload.extend_from_slice(&chunk.data);
                }
                Read::Pending => break None,
                Read::End => break Some(None),
                Read::Reset(code) => break Some(Some(code)),
            }
        };
    }
    groups
}

fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

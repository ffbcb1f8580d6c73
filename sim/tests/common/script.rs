//! What a scripted peer says and hears.

use bytes::BytesMut;
use smoq_core::{
    Dir, Event, StreamId, Version, Violation,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, Cost, FrameHeader, GroupHeader, Hops,
        Message, Subscribe, SubscribeOk, SubscribeParams, SubscribeResponse, Track, TrackInfo,
        UniType, varint,
    },
};
use smoq_sim::{Bench, PeerId, Sent};

use super::{hop, path};

pub const LIMIT: usize = 1 << 20;

/// A message after its stream type.
pub fn typed(kind: u64, message: &impl Message, version: Version) -> Vec<u8> {
    let mut out = BytesMut::new();
    varint::encode(kind, &mut out);
    message.encode(&mut out, version);
    out.to_vec()
}

pub fn message(message: &impl Message, version: Version) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version);
    out.to_vec()
}

pub fn subscribe(
    bench: &mut Bench,
    peer: PeerId,
    id: u64,
    name: &str,
    params: SubscribeParams,
) -> StreamId {
    let (broadcast, track) = (path(name), "video".into());
    let request = Subscribe { id, broadcast, track, params };
    let bytes = typed(BidiType::Subscribe.to_varint(), &request, bench[peer].version);
    bench.open_with(peer, Dir::Bi, &bytes)
}

pub fn ask_announcements(bench: &mut Bench, peer: PeerId, prefix: &str) -> StreamId {
    let request = AnnounceRequest { prefix: path(prefix), exclude_hop: Default::default() };
    let bytes = typed(BidiType::Announce.to_varint(), &request, bench[peer].version);
    bench.open_with(peer, Dir::Bi, &bytes)
}

pub fn start(suffix: &str, version: Version) -> Announce {
    let mut hops = Hops::new();
    if version.sender_appends_hop() {
        hops.push(if version.has_hop_ids() { hop(55) } else { Default::default() }).unwrap();
    }
    let cost = if version.has_announce_ids() { Cost::ZERO } else { Cost::UNKNOWN };
    Announce::Start { suffix: path(suffix), hops, cost }
}

pub fn say(bench: &mut Bench, peer: PeerId, stream: StreamId, announce: &Announce) {
    let mut out = BytesMut::new();
    announce.encode(&mut out, bench[peer].version);
    bench.send(peer, stream, &out);
}

/// The stream on which the node asked this peer for announcements, greeted.
pub fn announcing(bench: &mut Bench, peer: PeerId) -> StreamId {
    let version = bench[peer].version;
    let stream = bench.requests(peer, 1)[0];
    if version.has_announce_ok() {
        bench.send(peer, stream, &message(&AnnounceOk { hop: hop(55), active: 0 }, version));
    }
    stream
}

pub fn announce(bench: &mut Bench, peer: PeerId, suffix: &str) -> StreamId {
    let stream = announcing(bench, peer);
    say(bench, peer, stream, &start(suffix, bench[peer].version));
    stream
}

/// Answers every TRACK request of the node.
pub fn answer_tracks(bench: &mut Bench, peer: PeerId) {
    let version = bench[peer].version;
    for stream in bench.requests(peer, 6) {
        bench.finish(peer, stream, &message(&TrackInfo::default(), version));
    }
}

pub fn group_header(subscribe: u64, sequence: u64, version: Version) -> Vec<u8> {
    let header = GroupHeader { subscribe, sequence, first_frame: 0 };
    typed(UniType::Group.to_varint(), &header, version)
}

pub fn frame(delta: i64, payload: &[u8], version: Version) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameHeader { delta, size: payload.len() as u64 }.encode(&mut out, version);
    out.extend_from_slice(payload);
    out.to_vec()
}

/// Sends a complete group of one frame.
pub fn send_group(
    bench: &mut Bench,
    peer: PeerId,
    subscribe: u64,
    sequence: u64,
    payload: &[u8],
) -> StreamId {
    let version = bench[peer].version;
    let mut bytes = group_header(subscribe, sequence, version);
    bytes.extend(frame(sequence as i64 * 1000, payload, version));
    let stream = bench.open(peer, Dir::Uni);
    bench.finish(peer, stream, &bytes);
    stream
}

pub fn respond(bench: &mut Bench, peer: PeerId, stream: StreamId, response: &SubscribeResponse) {
    let mut out = BytesMut::new();
    response.encode(&mut out, bench[peer].version);
    bench.send(peer, stream, &out);
}

/// Answers the subscriptions of the node as a publisher does before its first group.
pub fn accept(bench: &mut Bench, peer: PeerId, group: u64) {
    let version = bench[peer].version;
    answer_tracks(bench, peer);
    for stream in bench.requests(peer, 2) {
        let response = if version.has_subscribe_ok() {
            SubscribeResponse::Ok(SubscribeOk::default())
        } else {
            SubscribeResponse::Start { group }
        };
        respond(bench, peer, stream, &response);
    }
}

/// The SUBSCRIBE on a stream of the node, and the updates after it.
pub fn heard_subscribe(sent: &Sent, version: Version) -> (Subscribe, Vec<SubscribeParams>) {
    let mut rest = &sent.bytes[1..];
    let (subscribe, used) = Subscribe::take(rest, LIMIT, version).unwrap().unwrap();
    rest = &rest[used..];
    let mut updates = Vec::new();
    while let Some((update, used)) = SubscribeParams::take(rest, LIMIT, version).unwrap() {
        updates.push(update);
        rest = &rest[used..];
    }
    assert_eq!(rest, []);
    (subscribe, updates)
}

/// What the node answered to a SUBSCRIBE.
pub fn heard_responses(sent: &Sent, version: Version) -> Vec<SubscribeResponse> {
    let mut rest = &sent.bytes[..];
    let mut responses = Vec::new();
    while let Some((response, used)) = SubscribeResponse::take(rest, LIMIT, version).unwrap() {
        responses.push(response);
        rest = &rest[used..];
    }
    assert_eq!(rest, []);
    responses
}

/// A group as the node sent it: its header, and its frames with their deltas.
pub fn heard_group(sent: &Sent, version: Version) -> (GroupHeader, Vec<(i64, Vec<u8>)>) {
    let mut rest = &sent.bytes[1..];
    let (header, used) = GroupHeader::take(rest, LIMIT, version).unwrap().unwrap();
    rest = &rest[used..];
    let mut frames = Vec::new();
    while let Some((header, used)) = FrameHeader::take(rest, version) {
        let end = used + header.size as usize;
        frames.push((header.delta, rest[used..end].to_vec()));
        rest = &rest[end..];
    }
    assert_eq!(rest, []);
    (header, frames)
}

pub fn ask_track(bench: &mut Bench, peer: PeerId, name: &str) -> StreamId {
    let request = Track { broadcast: path(name), track: "video".into() };
    let bytes = typed(BidiType::Track.to_varint(), &request, bench[peer].version);
    bench.open_with(peer, Dir::Bi, &bytes)
}

/// The rules broken since this was asked last, with the stream if it cost only that.
pub fn violations(bench: &mut Bench) -> Vec<(Option<StreamId>, Violation)> {
    let broken = |event| match event {
        Event::Violation { stream, error, .. } => Some((stream, error)),
        _ => None,
    };
    bench.events().into_iter().filter_map(broken).collect()
}

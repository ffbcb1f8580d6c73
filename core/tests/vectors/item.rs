//! Any message of the wire, so that one test can go through all of them.

use bytes::{BufMut, BytesMut};
use smoq_core::{Version, wire::*};

/// The limit for every length in these tests.
pub(crate) const LIMIT: usize = 1 << 20;

/// One thing that can stand on the wire.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "a test does not mind")]
pub(crate) enum Item {
    /// The type of a bidirectional stream.
    Bidi(BidiType),
    /// The type of a unidirectional stream.
    Uni(UniType),
    /// SETUP.
    Setup(Setup),
    /// ANNOUNCE_REQUEST.
    AnnounceRequest(AnnounceRequest),
    /// ANNOUNCE_OK.
    AnnounceOk(AnnounceOk),
    /// An announcement.
    Announce(Announce),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// SUBSCRIBE_UPDATE.
    Update(SubscribeParams),
    /// An answer to SUBSCRIBE.
    Response(SubscribeResponse),
    /// TRACK.
    Track(Track),
    /// TRACK_INFO.
    TrackInfo(TrackInfo),
    /// GROUP.
    Group(GroupHeader),
    /// The header of a frame.
    FrameHeader(FrameHeader),
    /// A frame with its payload.
    Frame(FrameHeader, Vec<u8>),
    /// FETCH.
    Fetch(Fetch),
    /// PROBE.
    Probe(Probe),
    /// GOAWAY.
    Goaway(Goaway),
    /// A datagram with its payload.
    Datagram(DatagramHeader, Vec<u8>),
}

/// The kinds of items, as the vectors call them.
pub(crate) const KINDS: [&str; 18] = [
    "bidi",
    "uni",
    "setup",
    "announce_request",
    "announce_ok",
    "announce",
    "subscribe",
    "update",
    "response",
    "track",
    "track_info",
    "group",
    "frame_header",
    "frame",
    "fetch",
    "probe",
    "goaway",
    "datagram",
];

type Taken = Result<Option<(Item, usize)>, DecodeError>;

fn message<M: Message>(buffer: &[u8], version: Version, item: fn(M) -> Item) -> Taken {
    Ok(M::take(buffer, LIMIT, version)?.map(|(message, used)| (item(message), used)))
}

/// Reads an item of `kind` from the start of `buffer`. A stream type that is not known counts as
/// missing bytes, because its stream is given up.
pub(crate) fn take(kind: &str, buffer: &[u8], version: Version) -> Taken {
    let stream = |item: fn(u64, Version) -> Option<Item>| {
        Ok(varint::decode(buffer)
            .and_then(|(number, used)| item(number, version).map(|item| (item, used))))
    };
    match kind {
        "bidi" => stream(|number, version| BidiType::from_varint(number, version).map(Item::Bidi)),
        "uni" => stream(|number, version| UniType::from_varint(number, version).map(Item::Uni)),
        "setup" => message(buffer, version, Item::Setup),
        "announce_request" => message(buffer, version, Item::AnnounceRequest),
        "announce_ok" => message(buffer, version, Item::AnnounceOk),
        "announce" => {
            let taken = Announce::take(buffer, LIMIT, version)?;
            Ok(taken.map(|(announce, used)| (Item::Announce(announce), used)))
        }
        "subscribe" => message(buffer, version, Item::Subscribe),
        "update" => message(buffer, version, Item::Update),
        "response" => {
            let taken = SubscribeResponse::take(buffer, LIMIT, version)?;
            Ok(taken.map(|(response, used)| (Item::Response(response), used)))
        }
        "track" => message(buffer, version, Item::Track),
        "track_info" => message(buffer, version, Item::TrackInfo),
        "group" => message(buffer, version, Item::Group),
        "frame_header" => Ok(FrameHeader::take(buffer, version)
            .map(|(header, used)| (Item::FrameHeader(header), used))),
        "frame" => {
            let Some((header, start)) = FrameHeader::take(buffer, version) else {
                return Ok(None);
            };
            let size = usize::try_from(header.size).unwrap();
            let payload = buffer[start..].get(..size);
            Ok(payload.map(|payload| (Item::Frame(header, payload.to_vec()), start + size)))
        }
        "fetch" => message(buffer, version, Item::Fetch),
        "probe" => message(buffer, version, Item::Probe),
        "goaway" => message(buffer, version, Item::Goaway),
        "datagram" => {
            let (header, start) = DatagramHeader::take(buffer)?;
            Ok(Some((Item::Datagram(header, buffer[start..].to_vec()), buffer.len())))
        }
        kind => panic!("unknown kind {kind}"),
    }
}

impl Item {
    /// The name of the item in [`KINDS`].
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Bidi(_) => "bidi",
            Self::Uni(_) => "uni",
            Self::Setup(_) => "setup",
            Self::AnnounceRequest(_) => "announce_request",
            Self::AnnounceOk(_) => "announce_ok",
            Self::Announce(_) => "announce",
            Self::Subscribe(_) => "subscribe",
            Self::Update(_) => "update",
            Self::Response(_) => "response",
            Self::Track(_) => "track",
            Self::TrackInfo(_) => "track_info",
            Self::Group(_) => "group",
            Self::FrameHeader(_) => "frame_header",
            Self::Frame(..) => "frame",
            Self::Fetch(_) => "fetch",
            Self::Probe(_) => "probe",
            Self::Goaway(_) => "goaway",
            Self::Datagram(..) => "datagram",
        }
    }

    /// Writes the item.
    pub(crate) fn encode(&self, out: &mut BytesMut, version: Version) {
        match self {
            Self::Bidi(kind) => varint::encode(kind.to_varint(), out),
            Self::Uni(kind) => varint::encode(kind.to_varint(), out),
            Self::Setup(setup) => setup.encode(out, version),
            Self::AnnounceRequest(request) => request.encode(out, version),
            Self::AnnounceOk(ok) => ok.encode(out, version),
            Self::Announce(announce) => announce.encode(out, version),
            Self::Subscribe(subscribe) => subscribe.encode(out, version),
            Self::Update(params) => params.encode(out, version),
            Self::Response(response) => response.encode(out, version),
            Self::Track(track) => track.encode(out, version),
            Self::TrackInfo(info) => info.encode(out, version),
            Self::Group(group) => group.encode(out, version),
            Self::FrameHeader(header) => header.encode(out, version),
            Self::Frame(header, payload) => {
                header.encode(out, version);
                out.put_slice(payload);
            }
            Self::Fetch(fetch) => fetch.encode(out, version),
            Self::Probe(probe) => probe.encode(out, version),
            Self::Goaway(goaway) => goaway.encode(out, version),
            Self::Datagram(header, payload) => {
                header.encode(out);
                out.put_slice(payload);
            }
        }
    }
}

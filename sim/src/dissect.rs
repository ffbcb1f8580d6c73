//! The bytes of a stream as messages, and back.

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Dir, Version,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, DecodeError, FrameHeader, GroupHeader,
        Message, Setup, Subscribe, SubscribeParams, SubscribeResponse, Track, TrackInfo, UniType,
        varint,
    },
};

/// Longer messages are errors.
const LIMIT: usize = 1 << 20;

/// A part of what is said on a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// The number that a stream begins with.
    Opens(u64),
    /// SETUP.
    Setup(Setup),
    /// ANNOUNCE_REQUEST.
    Ask(AnnounceRequest),
    /// ANNOUNCE_OK.
    Greeting(AnnounceOk),
    /// An announcement.
    Announce(Announce),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// SUBSCRIBE_UPDATE.
    Update(SubscribeParams),
    /// An answer to SUBSCRIBE.
    Answer(SubscribeResponse),
    /// TRACK.
    Track(Track),
    /// TRACK_INFO.
    TrackInfo(TrackInfo),
    /// The header of a group.
    Group(GroupHeader),
    /// The header of a frame.
    Frame(FrameHeader),
    /// Bytes of a frame, as many as came at a time.
    Payload(Bytes),
    /// What nobody understands.
    Raw(Bytes),
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Type(Dir),
    Setup,
    Ask,
    Greeting,
    Announce,
    Subscribe,
    Update,
    Answer,
    Track,
    TrackInfo,
    Group,
    Frame,
    Payload(u64),
    Anything,
}

/// One direction of a stream, read as it goes.
#[derive(Clone, Debug)]
pub struct Half {
    expect: Expect,
    buffer: BytesMut,
}

impl Half {
    /// What its opener says.
    pub fn opener(dir: Dir) -> Self {
        Self { expect: Expect::Type(dir), buffer: BytesMut::new() }
    }

    /// What is answered on a stream that began with this number.
    pub fn answer(kind: u64, version: Version) -> Self {
        let expect = match BidiType::from_varint(kind, version) {
            Some(BidiType::Announce) if version.has_announce_ok() => Expect::Greeting,
            Some(BidiType::Announce) => Expect::Announce,
            Some(BidiType::Subscribe) => Expect::Answer,
            Some(BidiType::Track) => Expect::TrackInfo,
            Some(BidiType::Fetch | BidiType::Probe | BidiType::Goaway) | None => Expect::Anything,
        };
        Self { expect, buffer: BytesMut::new() }
    }

    /// Takes what has come, for [`next`](Self::next).
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next item, and the bytes that it was; `None` while some are missing. After an error there is only
    /// the [`rest`](Self::rest).
    pub fn next(&mut self, version: Version) -> Result<Option<(Item, Bytes)>, DecodeError> {
        let Some((item, used, next)) = self.take(version)? else { return Ok(None) };
        self.expect = next;
        Ok(Some((item, self.buffer.split_to(used).freeze())))
    }

    /// What has come and is not understood yet.
    pub fn rest(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    fn take(&self, version: Version) -> Result<Option<(Item, usize, Expect)>, DecodeError> {
        let bytes = &self.buffer[..];
        let message =
            |found: Option<(Item, usize)>, next| found.map(|(item, used)| (item, used, next));
        Ok(match self.expect {
            _ if bytes.is_empty() => None,
            Expect::Type(dir) => varint::decode(bytes)
                .map(|(kind, used)| (Item::Opens(kind), used, first(kind, dir, version))),
            Expect::Setup => message(one(bytes, version, Item::Setup)?, Expect::Anything),
            Expect::Ask => message(one(bytes, version, Item::Ask)?, Expect::Anything),
            Expect::Greeting => message(one(bytes, version, Item::Greeting)?, Expect::Announce),
            Expect::Announce => {
                let found = Announce::take(bytes, LIMIT, version)?;
                found.map(|(announce, used)| (Item::Announce(announce), used, Expect::Announce))
            }
            Expect::Subscribe => message(one(bytes, version, Item::Subscribe)?, Expect::Update),
            Expect::Update => message(one(bytes, version, Item::Update)?, Expect::Update),
            Expect::Answer => {
                let found = SubscribeResponse::take(bytes, LIMIT, version)?;
                found.map(|(answer, used)| (Item::Answer(answer), used, Expect::Answer))
            }
            Expect::Track => message(one(bytes, version, Item::Track)?, Expect::Anything),
            Expect::TrackInfo => message(one(bytes, version, Item::TrackInfo)?, Expect::Anything),
            Expect::Group => message(one(bytes, version, Item::Group)?, Expect::Frame),
            Expect::Frame => FrameHeader::take(bytes, version).map(|(frame, used)| {
                let next =
                    if frame.size == 0 { Expect::Frame } else { Expect::Payload(frame.size) };
                (Item::Frame(frame), used, next)
            }),
            Expect::Payload(missing) => {
                let some = bytes.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
                let left = missing - some as u64;
                let next = if left == 0 { Expect::Frame } else { Expect::Payload(left) };
                Some((Item::Payload(Bytes::copy_from_slice(&bytes[..some])), some, next))
            }
            Expect::Anything => {
                Some((Item::Raw(Bytes::copy_from_slice(bytes)), bytes.len(), Expect::Anything))
            }
        })
    }
}

/// What follows the number that a stream begins with.
fn first(kind: u64, dir: Dir, version: Version) -> Expect {
    match dir {
        Dir::Uni => match UniType::from_varint(kind, version) {
            Some(UniType::Group) => Expect::Group,
            Some(UniType::Setup) => Expect::Setup,
            None => Expect::Anything,
        },
        Dir::Bi => match BidiType::from_varint(kind, version) {
            Some(BidiType::Announce) => Expect::Ask,
            Some(BidiType::Subscribe) => Expect::Subscribe,
            Some(BidiType::Track) => Expect::Track,
            Some(BidiType::Fetch | BidiType::Probe | BidiType::Goaway) | None => Expect::Anything,
        },
    }
}

fn one<M: Message>(
    bytes: &[u8],
    version: Version,
    item: impl Fn(M) -> Item,
) -> Result<Option<(Item, usize)>, DecodeError> {
    Ok(M::take(bytes, LIMIT, version)?.map(|(message, used)| (item(message), used)))
}

impl Item {
    /// Writes it as it was read.
    pub fn encode(&self, out: &mut BytesMut, version: Version) {
        match self {
            Self::Opens(kind) => varint::encode(*kind, out),
            Self::Setup(message) => message.encode(out, version),
            Self::Ask(message) => message.encode(out, version),
            Self::Greeting(message) => message.encode(out, version),
            Self::Announce(message) => message.encode(out, version),
            Self::Subscribe(message) => message.encode(out, version),
            Self::Update(message) => message.encode(out, version),
            Self::Answer(message) => message.encode(out, version),
            Self::Track(message) => message.encode(out, version),
            Self::TrackInfo(message) => message.encode(out, version),
            Self::Group(message) => message.encode(out, version),
            Self::Frame(message) => message.encode(out, version),
            Self::Payload(bytes) | Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

//! The messages that both codecs know.

use bytes::BytesMut;
use smoq_core::{
    Version,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, DatagramHeader, DecodeError, Fetch, Goaway,
        GroupHeader, Message, Probe, Setup, Subscribe, SubscribeParams, SubscribeResponse, Track,
        TrackInfo,
    },
};

use crate::LIMIT;

/// A message, or a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// SETUP.
    Setup,
    /// ANNOUNCE_REQUEST.
    AnnounceRequest,
    /// ANNOUNCE_OK.
    AnnounceOk,
    /// An announcement.
    Announce,
    /// SUBSCRIBE.
    Subscribe,
    /// SUBSCRIBE_UPDATE.
    SubscribeUpdate,
    /// An answer to SUBSCRIBE.
    SubscribeResponse,
    /// FETCH.
    Fetch,
    /// GROUP.
    Group,
    /// GOAWAY.
    Goaway,
    /// TRACK.
    Track,
    /// TRACK_INFO.
    TrackInfo,
    /// PROBE.
    Probe,
    /// The header of a datagram.
    Datagram,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Setup,
        Self::AnnounceOk,
        Self::Track,
        Self::TrackInfo,
        Self::Datagram,
        Self::Goaway,
        Self::AnnounceRequest,
        Self::Announce,
        Self::Subscribe,
        Self::SubscribeUpdate,
        Self::SubscribeResponse,
        Self::Fetch,
        Self::Group,
        Self::Probe,
    ];

    /// What exists in `version`: GOAWAY since 04, the five before it since 05.
    pub fn of(version: Version) -> &'static [Self] {
        match version {
            Version::Lite03 => &Self::ALL[6..],
            Version::Lite04 => &Self::ALL[5..],
            Version::Lite05 | Version::Lite06 => &Self::ALL,
        }
    }

    /// How moq-net's oracle numbers it.
    pub fn oracle(self) -> u8 {
        match self {
            Self::Setup => 0,
            Self::AnnounceRequest => 3,
            Self::AnnounceOk => 4,
            Self::Announce => 5,
            Self::Subscribe => 6,
            Self::SubscribeUpdate => 10,
            Self::SubscribeResponse => 12,
            Self::Fetch => 13,
            Self::Group => 14,
            Self::Goaway => 15,
            Self::Track => 16,
            Self::TrackInfo => 17,
            Self::Probe => 18,
            Self::Datagram => 19,
        }
    }

    /// What smoq makes of `bytes`; `None` while some are missing.
    pub fn take(self, version: Version, bytes: &[u8]) -> Result<Option<Taken>, DecodeError> {
        match self {
            Self::Setup => message::<Setup>(bytes, version),
            Self::AnnounceRequest => message::<AnnounceRequest>(bytes, version),
            Self::AnnounceOk => message::<AnnounceOk>(bytes, version),
            Self::Subscribe => message::<Subscribe>(bytes, version),
            Self::SubscribeUpdate => message::<SubscribeParams>(bytes, version),
            Self::Fetch => message::<Fetch>(bytes, version),
            Self::Group => message::<GroupHeader>(bytes, version),
            Self::Goaway => message::<Goaway>(bytes, version),
            Self::Track => message::<Track>(bytes, version),
            Self::TrackInfo => message::<TrackInfo>(bytes, version),
            Self::Probe => message::<Probe>(bytes, version),
            Self::Announce => {
                let taken = Announce::take(bytes, LIMIT, version)?;
                Ok(taken.map(|(announce, used)| match announce {
                    Announce::Other { .. } => Taken::new(used, |_| {}),
                    announce => Taken::new(used, |out| announce.encode(out, version)),
                }))
            }
            Self::SubscribeResponse => {
                let taken = SubscribeResponse::take(bytes, LIMIT, version)?;
                Ok(taken
                    .map(|(response, used)| Taken::new(used, |out| response.encode(out, version))))
            }
            Self::Datagram => {
                let (header, payload) = DatagramHeader::take(bytes)?;
                Ok(Some(Taken::new(payload, |out| header.encode(out))))
            }
        }
    }
}

/// A message that smoq accepted.
pub struct Taken {
    /// How many bytes it took.
    pub used: usize,
    /// The message as smoq writes it; nothing if it never does.
    pub rewritten: Vec<u8>,
}

impl Taken {
    fn new(used: usize, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut out = BytesMut::new();
        write(&mut out);
        Self { used, rewritten: out.to_vec() }
    }
}

fn message<M: Message>(bytes: &[u8], version: Version) -> Result<Option<Taken>, DecodeError> {
    let taken = M::take(bytes, LIMIT, version)?;
    Ok(taken.map(|(message, used)| Taken::new(used, |out| message.encode(out, version))))
}

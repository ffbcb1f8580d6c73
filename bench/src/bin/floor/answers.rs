//! What a publisher of one broadcast says, whoever asks.

use bytes::BytesMut;
use smoq_core::{
    Path, Version,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, Cost, Hop, Hops, Message, Setup,
        Subscribe, SubscribeResponse, Track, TrackInfo, UniType, varint,
    },
};

/// All that is spoken.
pub(crate) const VERSION: Version = Version::Lite06;

/// The broadcast that there is.
const BROADCAST: &str = "bench";

/// Bytes of a request, at most.
const LIMIT: usize = 4096;

/// A request that was understood.
pub(crate) struct Answer {
    pub(crate) bytes: BytesMut,
    pub(crate) fin: bool,
    /// The id of the subscription that was asked for.
    pub(crate) subscribe: Option<u64>,
}

/// What begins a session.
pub(crate) fn setup() -> BytesMut {
    let mut out = BytesMut::new();
    varint::encode(UniType::Setup.to_varint(), &mut out);
    Setup::default().encode(&mut out, VERSION);
    out
}

/// Answers what has come on a stream, once it is whole. The next group has the number `sequence`.
pub(crate) fn answer(request: &[u8], sequence: u64) -> Option<Answer> {
    let (kind, start) = varint::decode(request)?;
    let body = &request[start..];
    let mut bytes = BytesMut::new();
    let (mut fin, mut subscribe) = (false, None);
    match BidiType::from_varint(kind, VERSION)? {
        BidiType::Announce => {
            let (request, _) = AnnounceRequest::take(body, LIMIT, VERSION).ok()??;
            AnnounceOk { hop: Hop::new(1)?, active: 1 }.encode(&mut bytes, VERSION);
            let suffix = Path::new(BROADCAST).ok()?.strip_prefix(&request.prefix)?;
            let hops = Hops::default();
            Announce::Start { suffix, hops, cost: Cost::UNKNOWN }.encode(&mut bytes, VERSION);
        }
        BidiType::Track => {
            Track::take(body, LIMIT, VERSION).ok()??;
            let info = TrackInfo { timescale: 1_000_000, ..TrackInfo::default() };
            info.encode(&mut bytes, VERSION);
            fin = true;
        }
        BidiType::Subscribe => {
            let (request, _) = Subscribe::take(body, LIMIT, VERSION).ok()??;
            SubscribeResponse::Start { group: sequence }.encode(&mut bytes, VERSION);
            subscribe = Some(request.id);
        }
        BidiType::Fetch | BidiType::Probe | BidiType::Goaway => return None,
    }
    Some(Answer { bytes, fin, subscribe })
}

//! The track stream: what a track is like (05 and later).

use alloc::string::String;

use bytes::{BufMut, BytesMut};

use super::{Body, DecodeError, GroupOrder, Message, varint, writer};
use crate::{Path, Version};

/// TRACK: the subscriber asks about a track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Track {
    /// Which broadcast.
    pub broadcast: Path,
    /// Which track of it.
    pub track: String,
}

impl Message for Track {
    fn decode_body(body: &mut Body<'_>, _: Version) -> Result<Self, DecodeError> {
        Ok(Self { broadcast: body.path()?, track: body.track_name()? })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        writer::path(&self.broadcast, out, version);
        writer::bytes(self.track.as_bytes(), out);
    }
}

/// TRACK_INFO: the answer, which holds for the life of the track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrackInfo {
    /// Higher goes first, among subscriptions of one priority.
    pub priority: u8,
    /// On 05 only. From 06 it is always [`GroupOrder::NewestFirst`].
    pub order: GroupOrder,
    /// How far behind the newest frame a group may reach and still be worth sending, in milliseconds.
    /// Bounds what each subscriber asks for.
    pub max_age_ms: u64,
    /// Units of a timestamp per second, above 0 (a 0 is written as 1).
    pub timescale: u64,
}

impl Default for TrackInfo {
    fn default() -> Self {
        Self { priority: 127, order: GroupOrder::NewestFirst, max_age_ms: 5000, timescale: 1000 }
    }
}

impl Message for TrackInfo {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        let priority = body.byte()?;
        let order = if version.track_info_has_order() {
            GroupOrder::decode(body)?
        } else {
            GroupOrder::default()
        };
        let max_age_ms = body.varint()?;
        let timescale = body.varint()?;
        if timescale == 0 {
            return Err(DecodeError::ZeroTimescale);
        }
        Ok(Self { priority, order, max_age_ms, timescale })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        out.put_u8(self.priority);
        if version.track_info_has_order() {
            self.order.encode(out);
        }
        varint::encode(self.max_age_ms, out);
        varint::encode(self.timescale.max(1), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timescale_is_never_written_as_0() {
        let mut out = BytesMut::new();
        TrackInfo { timescale: 0, ..Default::default() }.encode_body(&mut out, Version::Lite06);
        assert_eq!(TrackInfo::decode(&out, Version::Lite06).unwrap().timescale, 1);
    }
}

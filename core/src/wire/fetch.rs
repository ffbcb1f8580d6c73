//! The fetch stream: one group of the past.

use alloc::string::String;

use bytes::{BufMut, BytesMut};

use super::{Body, DecodeError, Message, varint, writer};
use crate::{Path, Version};

/// FETCH: asks for one group. Its frames follow without a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Which broadcast.
    pub broadcast: Path,
    /// Which track of it.
    pub track: String,
    /// Higher goes first.
    pub priority: u8,
    /// The sequence number of the group.
    pub group: u64,
    /// From 06: the first frame.
    pub frame_start: u64,
    /// From 06: the last frame, inclusive, not before `frame_start`.
    pub frame_end: Option<u64>,
}

impl Message for Fetch {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        let broadcast = body.path()?;
        let track = body.string()?;
        let priority = body.byte()?;
        let group = body.varint()?;
        let (frame_start, frame_end) =
            if version.has_frame_bounds() { (body.varint()?, body.option()?) } else { (0, None) };
        if frame_end.is_some_and(|end| end < frame_start) {
            return Err(DecodeError::EmptyFrameRange);
        }
        Ok(Self { broadcast, track, priority, group, frame_start, frame_end })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        writer::path(&self.broadcast, out, version);
        writer::bytes(self.track.as_bytes(), out);
        out.put_u8(self.priority);
        varint::encode(self.group, out);
        if version.has_frame_bounds() {
            varint::encode(self.frame_start, out);
            writer::option(self.frame_end, out);
        }
    }
}

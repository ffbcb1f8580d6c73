//! The group stream: the frames of one group.

use bytes::BytesMut;

use super::{Body, DecodeError, Message, varint};
use crate::Version;

/// The largest timestamp whose difference to any other one can be written: 2^61-1.
pub const MAX_TIMESTAMP: u64 = varint::MAX >> 1;

/// GROUP: the header of a group stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupHeader {
    /// The subscription that asked for it.
    pub subscribe: u64,
    /// The sequence number of the group.
    pub sequence: u64,
    /// From 06: the index of the first frame on this stream, normally 0.
    pub first_frame: u64,
}

impl Message for GroupHeader {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        Ok(Self {
            subscribe: body.varint()?,
            sequence: body.varint()?,
            first_frame: if version.has_frame_bounds() { body.varint()? } else { 0 },
        })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        varint::encode(self.subscribe, out);
        varint::encode(self.sequence, out);
        if version.has_frame_bounds() {
            varint::encode(self.first_frame, out);
        }
    }
}

/// What stands in front of the payload of a frame, on group and fetch streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// From 05: the timestamp minus that of the frame before, the first one on a stream minus 0.
    /// Always 0 before 05.
    pub delta: i64,
    /// The length of the payload in bytes.
    pub size: u64,
}

impl FrameHeader {
    /// Reads the header at the start of `buffer` and says how many bytes it takes; `None` while some
    /// are missing. Any header is valid.
    pub fn take(buffer: &[u8], version: Version) -> Option<(Self, usize)> {
        let (delta, used) = if version.has_timestamps() { varint::decode(buffer)? } else { (0, 0) };
        let (size, more) = varint::decode(&buffer[used..])?;
        Some((Self { delta: varint::unzigzag(delta), size }, used + more))
    }

    /// Writes the header. Keep timestamps up to [`MAX_TIMESTAMP`]: then every difference fits.
    pub fn encode(&self, out: &mut BytesMut, version: Version) {
        if version.has_timestamps() {
            varint::encode(varint::zigzag(self.delta), out);
        }
        varint::encode(self.size, out);
    }
}

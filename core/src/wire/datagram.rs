//! Datagrams: groups of one frame (05 and later).

use bytes::BytesMut;

use super::{Body, DecodeError, varint};

/// Bytes of a datagram's payload, at most: with the longest header they are the 1200 that the draft
/// allows (section Datagrams).
pub const MAX_DATAGRAM: usize = 1200 - 3 * 8;

/// What stands in front of the payload, which goes on to the end of the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatagramHeader {
    /// The subscription that asked for it.
    pub subscribe: u64,
    /// The sequence number of the group.
    pub sequence: u64,
    /// The timestamp of the frame, in units of the track's timescale.
    pub timestamp: u64,
}

impl DatagramHeader {
    /// Reads the header of a whole datagram and says where the payload starts.
    pub fn take(datagram: &[u8]) -> Result<(Self, usize), DecodeError> {
        let mut body = Body::new(datagram);
        let header =
            Self { subscribe: body.varint()?, sequence: body.varint()?, timestamp: body.varint()? };
        Ok((header, datagram.len() - body.remaining()))
    }

    /// Writes the header; the payload follows.
    pub fn encode(&self, out: &mut BytesMut) {
        varint::encode(self.subscribe, out);
        varint::encode(self.sequence, out);
        varint::encode(self.timestamp, out);
    }
}

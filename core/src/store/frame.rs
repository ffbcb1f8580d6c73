//! One frame of a group: its header, and where it lies.

use bytes::Bytes;

use crate::wire::varint;

/// Where one frame lies in the wire form of its group.
///
/// A header is `delta, size` (05 on); the earlier form is the same without `delta`, so one encoding
/// serves both: readers of the earlier form skip the first `delta` bytes of each frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) start: u32,
    pub(super) size: u32,
    /// Where its header begins in the gathered text.
    pub(super) text: u32,
    pub(super) header: u8,
    pub(super) delta: u8,
    pub(super) timestamp: u64,
    /// The payload, if it was kept as it came. Else it follows its header in the text.
    pub(super) kept: Bytes,
}

impl Frame {
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    pub(super) fn payload(&self) -> usize {
        self.start() + usize::from(self.header)
    }

    pub(super) fn end(&self) -> usize {
        self.payload() + self.size as usize
    }

    pub(super) fn is_kept(&self) -> bool {
        !self.kept.is_empty()
    }
}

/// A frame header in the form with timestamps.
pub(super) struct Header {
    bytes: [u8; Self::MAX],
    pub(super) delta: u8,
    pub(super) len: u8,
}

impl Header {
    pub(super) const MAX: usize = 16;

    pub(super) fn new(delta: i64, size: u64) -> Self {
        let delta = varint::zigzag(delta);
        let mut bytes = [0; Self::MAX];
        let mut out = &mut bytes[..];
        varint::encode(delta, &mut out);
        varint::encode(size, &mut out);
        let (delta, size) = (varint::len(delta), varint::len(size));
        Self { bytes, delta: delta as u8, len: (delta + size) as u8 }
    }

    /// Delta and size.
    pub(super) fn timed(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The size alone.
    pub(super) fn plain(&self) -> &[u8] {
        &self.bytes[usize::from(self.delta)..usize::from(self.len)]
    }
}

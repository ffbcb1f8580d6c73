//! One group: its frames in wire form, written once.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use thiserror::Error;

use super::Track;
use crate::{
    Id, Limits, Time, Version,
    node::{Reader, Session},
    session::Stream,
    wire::{MAX_TIMESTAMP, StreamCode, varint},
};

/// How a group ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GroupEnd {
    /// All frames are here.
    Complete,
    /// Its source cut it off.
    Reset(StreamCode),
}

/// Who wants to know when a group grows or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Follower {
    /// A group stream to a peer.
    Stream(Id<Session>, Id<Stream>),
    /// A subscription of the application.
    Reader(Id<Reader>),
}

/// Why a frame or its bytes cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum GroupError {
    #[error("the group is finished")]
    Finished,
    #[error("the frame before is not complete")]
    Unfinished,
    #[error("more bytes than the frame has")]
    Overflow,
    #[error("the timestamp is out of range")]
    Timestamp,
    #[error("the group is too large")]
    TooLarge,
}

/// A contiguous run of the group's wire form.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) start: usize,
    pub(super) bytes: Bytes,
}

/// Where one frame lies in the wire form.
///
/// A header is `delta, size` (05 on); the earlier form is the same without `delta`, so one encoding
/// serves both: readers of the earlier form skip the first `delta` bytes of each frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameMark {
    pub(super) start: u32,
    pub(super) size: u32,
    pub(super) timestamp: u64,
    pub(super) header: u8,
    pub(super) delta: u8,
}

impl FrameMark {
    pub(super) fn payload(&self) -> usize {
        self.start as usize + usize::from(self.header)
    }

    pub(super) fn end(&self) -> usize {
        self.payload() + self.size as usize
    }
}

/// First and largest size of the buffers that small pieces are gathered in. Growing from small keeps
/// a chat message cheap; 16 KiB is where a reader's slices stop getting cheaper.
const SEGMENT: core::ops::RangeInclusive<usize> = 256..=16 << 10;

/// Payload pieces of the application from this size on are kept as they are instead of copied.
const KEEP: usize = 2 << 10;

/// A frame header in the form with timestamps.
pub(super) struct Header {
    bytes: [u8; Self::MAX],
    delta: u8,
    len: u8,
}

impl Header {
    const MAX: usize = 16;

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

/// A group in the store. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) track: Id<Track>,
    pub(crate) sequence: u64,
    /// Index in the group of the first frame held here; above 0 if the source resumed inside it.
    pub(crate) first_frame: u64,
    pub(crate) end: Option<GroupEnd>,
    /// When it was last written to.
    pub(crate) touched: Time,
    pub(crate) followers: SmallVec<[Follower; 1]>,
    pub(super) chunks: SmallVec<[Chunk; 1]>,
    pub(super) frames: Vec<FrameMark>,
    /// Wire bytes so far, `tail` included.
    pub(super) len: usize,
    tail: BytesMut,
    segment: usize,
    /// Payload bytes of the last frame that are still to come.
    missing: u64,
    /// Buffer bytes allocated for this group.
    allocated: usize,
    charged: usize,
}

impl Group {
    pub(super) fn new(track: Id<Track>, sequence: u64, first_frame: u64) -> Self {
        let mut group = Self {
            track,
            sequence,
            first_frame,
            end: None,
            touched: Time::ZERO,
            followers: SmallVec::new(),
            chunks: SmallVec::new(),
            frames: Vec::new(),
            len: 0,
            tail: BytesMut::new(),
            segment: *SEGMENT.start(),
            missing: 0,
            allocated: 0,
            charged: 0,
        };
        group.charged = group.cost();
        group
    }

    /// Starts a frame of `size` payload bytes. `timestamp` is absolute, in the track's units.
    pub(crate) fn start_frame(
        &mut self,
        now: Time,
        timestamp: u64,
        size: u64,
        limits: &Limits,
    ) -> Result<(), GroupError> {
        let header = self.mark_frame(timestamp, size, limits)?;
        self.missing = size;
        self.copy(header.timed());
        self.touched = now;
        Ok(())
    }

    /// Adds a whole frame; keeps a large payload as it is.
    pub(crate) fn write_frame(
        &mut self,
        now: Time,
        timestamp: u64,
        payload: Bytes,
        limits: &Limits,
    ) -> Result<(), GroupError> {
        let size = payload.len() as u64;
        if payload.len() < KEEP {
            self.start_frame(now, timestamp, size, limits)?;
            return self.append(now, &payload);
        }
        let header = self.mark_frame(timestamp, size, limits)?;
        // The payload is not missing yet: nothing is to be reserved for it behind its header.
        self.copy(header.timed());
        self.missing = size;
        self.append_owned(now, payload)
    }

    fn mark_frame(
        &mut self,
        timestamp: u64,
        size: u64,
        limits: &Limits,
    ) -> Result<Header, GroupError> {
        if self.end.is_some() {
            return Err(GroupError::Finished);
        }
        if self.missing > 0 {
            return Err(GroupError::Unfinished);
        }
        if timestamp > MAX_TIMESTAMP {
            return Err(GroupError::Timestamp);
        }
        let room = limits.group_bytes.min(u32::MAX as usize).saturating_sub(self.len);
        if size.saturating_add(Header::MAX as u64) > room as u64
            || self.frames.len() >= limits.group_frames
        {
            return Err(GroupError::TooLarge);
        }
        let before = self.frames.last().map_or(0, |frame| frame.timestamp);
        let header = Header::new(timestamp as i64 - before as i64, size);
        self.frames.push(FrameMark {
            start: self.len as u32,
            size: size as u32,
            timestamp,
            header: header.len,
            delta: header.delta,
        });
        Ok(header)
    }

    /// Adds payload of the frame started last, by copying it.
    pub(crate) fn append(&mut self, now: Time, data: &[u8]) -> Result<(), GroupError> {
        self.expect(data.len())?;
        self.copy(data);
        self.touched = now;
        Ok(())
    }

    /// Adds payload of the frame started last; keeps a large piece as it is.
    pub(crate) fn append_owned(&mut self, now: Time, data: Bytes) -> Result<(), GroupError> {
        if data.len() < KEEP {
            return self.append(now, &data);
        }
        self.expect(data.len())?;
        self.freeze();
        let start = self.len;
        self.len += data.len();
        self.allocated += data.len();
        self.chunks.push(Chunk { start, bytes: data });
        self.touched = now;
        Ok(())
    }

    /// Whether the frame started last still lacks bytes.
    pub(crate) fn is_inside_frame(&self) -> bool {
        self.missing > 0
    }

    /// Payload bytes that the frame started last still lacks.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// The timestamp of the newest frame.
    pub(crate) fn last_timestamp(&self) -> Option<u64> {
        self.frames.last().map(|frame| frame.timestamp)
    }

    /// The timestamp of the oldest frame held.
    pub(crate) fn first_timestamp(&self) -> Option<u64> {
        self.frames.first().map(|frame| frame.timestamp)
    }

    /// Ends the group. Whether it is inside a frame is for the caller to know.
    pub(crate) fn finish(&mut self, now: Time, end: GroupEnd) {
        if self.end.is_none() {
            self.end = Some(end);
            self.touched = now;
        }
    }

    /// Wire bytes in the form with timestamps.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes everything written so far readable as chunks.
    pub(super) fn freeze(&mut self) {
        if !self.tail.is_empty() {
            let start = self.len - self.tail.len();
            let bytes = self.tail.split().freeze();
            self.chunks.push(Chunk { start, bytes });
        }
    }

    fn expect(&mut self, bytes: usize) -> Result<(), GroupError> {
        if self.end.is_some() {
            return Err(GroupError::Finished);
        }
        self.missing = self.missing.checked_sub(bytes as u64).ok_or(GroupError::Overflow)?;
        Ok(())
    }

    fn copy(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let spare = self.tail.capacity() - self.tail.len();
            if spare == 0 {
                self.freeze();
                let size = self.segment.max(data.len().min(*SEGMENT.end()));
                self.tail = BytesMut::with_capacity(size);
                self.segment = (self.segment * 2).min(*SEGMENT.end());
                self.allocated += size;
                continue;
            }
            let (now, later) = data.split_at(spare.min(data.len()));
            self.tail.extend_from_slice(now);
            self.len += now.len();
            data = later;
        }
    }

    /// What the group costs, overhead included.
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>()
            + self.allocated
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.frames.capacity() * size_of::<FrameMark>()
    }

    pub(super) fn charged(&self) -> usize {
        self.charged
    }

    pub(super) fn newly_charged(&mut self) -> usize {
        let before = self.charged;
        self.charged = self.cost().max(before);
        self.charged - before
    }
}

/// The wire form that a version reads.
impl From<Version> for super::Form {
    fn from(version: Version) -> Self {
        if version.has_timestamps() { Self::Timed } else { Self::Plain }
    }
}

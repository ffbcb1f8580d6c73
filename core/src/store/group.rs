//! One group: its frames in wire form, written once.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;
use thiserror::Error;

use super::{
    Track,
    frame::{Frame, Header},
    text::Text,
};
use crate::{
    Id, Limits, Time, Version,
    node::{Reader, Session},
    session::Stream,
    wire::{MAX_TIMESTAMP, StreamCode},
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

/// Payloads that the application hands over whole are kept from this size on instead of copied.
const KEEP: usize = 2 << 10;

/// How much of what the group before needed is reserved for the next one, in frames and runs: two
/// seconds of video.
const EXPECTED: usize = 128;

/// Where a reader stands: indices that only grow. Each may lag behind, it is searched from there.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Place {
    pub(super) frame: usize,
    run: usize,
}

/// A group in the store. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) track: Id<Track>,
    pub(crate) sequence: u64,
    /// Index in the group of the first frame held here; above 0 if the source resumed inside it.
    pub(crate) first_frame: u64,
    pub(crate) end: Option<GroupEnd>,
    /// It came as a datagram, and goes as one to whoever takes them.
    pub(crate) is_datagram: bool,
    /// When it was last written to.
    pub(crate) touched: Time,
    pub(crate) followers: SmallVec<[Follower; 1]>,
    pub(super) frames: Vec<Frame>,
    /// Wire bytes so far.
    pub(super) len: usize,
    text: Text,
    /// Payload bytes of the last frame that are still to come.
    missing: u64,
    charged: usize,
}

impl Group {
    /// An empty group, expected to be like the one before.
    pub(super) fn new(
        track: Id<Track>,
        sequence: u64,
        first_frame: u64,
        before: Option<&Self>,
    ) -> Self {
        let (frames, runs, text) = before.map_or((0, 0, 0), |before| {
            (before.frames.len(), before.text.runs.len(), before.text.len())
        });
        let mut group = Self {
            track,
            sequence,
            first_frame,
            end: None,
            is_datagram: false,
            touched: Time::ZERO,
            followers: SmallVec::new(),
            frames: Vec::with_capacity(frames.min(EXPECTED)),
            len: 0,
            text: Text::expecting(runs.min(EXPECTED), text),
            missing: 0,
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
        self.push_frame(now, timestamp, size, Bytes::new(), limits)?;
        self.missing = size;
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
        self.push_frame(now, timestamp, size, payload, limits)
    }

    fn push_frame(
        &mut self,
        now: Time,
        timestamp: u64,
        size: u64,
        kept: Bytes,
        limits: &Limits,
    ) -> Result<(), GroupError> {
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
        let (start, text) = (self.len as u32, self.text.len() as u32);
        self.text.push(header.timed());
        self.len += usize::from(header.len) + kept.len();
        let Header { delta, len: header, .. } = header;
        self.frames.push(Frame { start, size: size as u32, text, header, delta, timestamp, kept });
        self.touched = now;
        Ok(())
    }

    /// Adds payload of the frame started last.
    pub(crate) fn append(&mut self, now: Time, data: &[u8]) -> Result<(), GroupError> {
        if self.end.is_some() {
            return Err(GroupError::Finished);
        }
        self.missing = self.missing.checked_sub(data.len() as u64).ok_or(GroupError::Overflow)?;
        self.text.push(data);
        self.len += data.len();
        self.touched = now;
        Ok(())
    }

    /// The first frame of a group that was filled at once: its timestamp, and the pieces of its payload. `None` if
    /// the group was cut off.
    pub(crate) fn only_frame(&mut self) -> Option<(u64, impl Iterator<Item = &[u8]> + Clone)> {
        self.settle();
        let frame = self.frames.first().filter(|_| self.end == Some(GroupEnd::Complete))?;
        let kept = core::iter::once(&frame.kept[..]);
        Some((frame.timestamp, self.text.pieces(frame.header.into()).chain(kept)))
    }

    /// Whether the frame started last still lacks bytes.
    pub(crate) fn is_inside_frame(&self) -> bool {
        self.missing > 0
    }

    /// Whether its source cut it off.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.end, Some(GroupEnd::Reset(_)))
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

    /// Makes everything written so far readable.
    pub(super) fn settle(&mut self) {
        self.text.settle();
    }

    /// Moves `place` to an offset in the wire form. Returns the same offset in the text; inside a
    /// payload that was kept, where the text goes on behind it.
    pub(super) fn seek(&self, offset: usize, place: &mut Place) -> usize {
        while self.frames.get(place.frame + 1).is_some_and(|next| next.start() <= offset) {
            place.frame += 1;
        }
        let Some(frame) = self.frames.get(place.frame) else { return 0 };
        let inside = offset - frame.start();
        let inside = if frame.is_kept() { inside.min(frame.header.into()) } else { inside };
        self.text.seek(frame.text as usize + inside, &mut place.run);
        frame.text as usize + inside
    }

    /// Appends a part of the wire form to `out`, from `place` on. It is settled.
    pub(super) fn slices(&self, part: Range<usize>, place: Place, out: &mut Vec<Bytes>) {
        let (mut offset, mut place) = (part.start, place);
        let mut text = self.seek(offset, &mut place);
        let frames = self.frames[place.frame..].iter();
        let inside = frames.take_while(|frame| frame.start() < part.end);
        for frame in inside.filter(|frame| frame.is_kept()) {
            let payload = frame.payload();
            if offset < payload {
                let before = payload.min(part.end) - offset;
                self.text.slices(text..text + before, &mut place.run, out);
                (text, offset) = (text + before, offset + before);
            }
            let end = frame.end().min(part.end);
            if offset < end {
                out.push(frame.kept.slice(offset - payload..end - payload));
                offset = end;
            }
        }
        self.text.slices(text..text + part.end - offset, &mut place.run, out);
    }

    /// The first of those slices of a payload, which is not empty.
    pub(super) fn slice(&self, part: Range<usize>, place: &mut Place) -> Bytes {
        let text = self.seek(part.start, place);
        match &self.frames[place.frame] {
            frame if frame.is_kept() => {
                frame.kept.slice(part.start - frame.payload()..part.end - frame.payload())
            }
            _ => self.text.slice(text..text + part.len(), place.run),
        }
    }

    /// What the group costs, overhead included.
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>()
            + self.text.cost()
            + (self.len - self.text.len())
            + self.frames.capacity() * size_of::<Frame>()
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

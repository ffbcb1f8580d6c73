//! A reader's place in a group.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Buf, Bytes};

use super::{
    Group, GroupEnd,
    frame::{Frame, Header},
    group::Place,
};
use crate::{FrameChunk, wire::StreamCode};

/// Which wire form a cursor reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Frames without timestamps: up to moq-lite-04.
    Plain,
    /// Frames with timestamps: from moq-lite-05 on.
    Timed,
}

/// Where a reader stands in one group.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    form: Form,
    /// Frame to begin with, as an index in the group.
    first: u64,
    /// Last frame wanted, as an index in the group.
    last: Option<u64>,
    /// Place in the wire form. Meaningful once `begun`.
    offset: usize,
    /// The same in frames and runs.
    place: Place,
    begun: bool,
    /// A header made for this reader alone: the first one, when it begins inside the group.
    lead: Bytes,
}

/// What lies ahead of a cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ahead {
    /// Bytes were offered, or none are there yet.
    More,
    /// The bytes offered, maybe none, are the last.
    End,
    /// The group was cut off.
    Reset(StreamCode),
}

impl Cursor {
    /// A cursor for the frames `first` to `last` (inclusive) of a group.
    pub(crate) fn new(form: Form, first: u64, last: Option<u64>) -> Self {
        let place = Place::default();
        Self { form, first, last, offset: 0, place, begun: false, lead: Bytes::new() }
    }

    /// The first frame that this cursor gives, as an index in the group.
    pub(crate) fn first_frame(&self, group: &Group) -> u64 {
        self.first.max(group.first_frame)
    }

    /// Appends at most `max` bytes to `out`, and says how many and what follows. Moves nothing.
    pub(crate) fn peek(
        &mut self,
        group: &mut Group,
        max: usize,
        out: &mut Vec<Bytes>,
    ) -> (usize, Ahead) {
        if let Some(GroupEnd::Reset(code)) = group.end {
            return (0, Ahead::Reset(code));
        }
        if !self.begin(group) {
            return (0, if group.end.is_some() { Ahead::End } else { Ahead::More });
        }
        group.settle();
        group.seek(self.offset, &mut self.place);
        let mut taken = self.lead.len().min(max);
        if taken > 0 {
            out.push(self.lead.slice(..taken));
        }
        let (mut offset, mut place) = (self.offset, self.place);
        while taken < max {
            let span = self.span(group, offset, &mut place.frame);
            if span.is_empty() {
                return (taken, self.after(group, span.start));
            }
            let end = span.end.min(span.start.saturating_add(max - taken));
            group.slices(span.start..end, place, out);
            taken += end - span.start;
            offset = end;
        }
        let rest = self.span(group, offset, &mut place.frame);
        let ahead = if rest.is_empty() { self.after(group, rest.start) } else { Ahead::More };
        (taken, ahead)
    }

    /// Moves over `bytes` that were taken of those offered by [`Self::peek`].
    pub(crate) fn advance(&mut self, group: &Group, mut bytes: usize) {
        let lead = self.lead.len().min(bytes);
        self.lead.advance(lead);
        bytes -= lead;
        while bytes > 0 {
            let mut frame = self.place.frame;
            let span = self.span(group, self.offset, &mut frame);
            if span.is_empty() {
                return;
            }
            self.place.frame = frame;
            let step = bytes.min(span.len());
            self.offset = span.start + step;
            bytes -= step;
        }
    }

    /// The next piece of payload, moving over it. `None` when nothing is there yet or any more.
    pub(crate) fn read(&mut self, group: &mut Group, max: usize) -> Option<FrameChunk> {
        if !self.begin(group) {
            return None;
        }
        group.settle();
        let mut mark = group.frames.get(self.place.frame)?;
        // A frame of no bytes is given when its header is passed, any other with its bytes.
        if self.offset >= mark.end() && self.offset > mark.start() {
            mark = group.frames.get(self.place.frame + 1)?;
            self.place.frame += 1;
        }
        if self.passed(group, self.place.frame) {
            return None;
        }
        let begin = self.offset.max(mark.payload());
        let end = mark.end().min(group.len).min(begin.saturating_add(max));
        if begin == end && mark.size > 0 {
            return None;
        }
        let mut data = Bytes::new();
        if begin < end {
            data = group.slice(begin..end, &mut self.place);
        }
        self.offset = begin + data.len();
        Some(FrameChunk {
            frame: group.first_frame + self.place.frame as u64,
            timestamp: mark.timestamp,
            size: u64::from(mark.size),
            offset: (begin - mark.payload()) as u64,
            data,
        })
    }

    /// Whether nothing follows what was read: the group is complete up to the last frame wanted.
    pub(crate) fn is_done(&self, group: &Group) -> bool {
        if !self.begun {
            return group.end.is_some();
        }
        if group.end.is_some() && self.offset >= group.len {
            return true;
        }
        let Some(mark) = group.frames.get(self.place.frame) else { return false };
        self.offset >= mark.end()
            && self.offset > mark.start()
            && self.passed(group, self.place.frame + 1)
    }

    /// Bytes of the group, as far as it has come, that this cursor has not passed.
    pub(crate) fn remaining(&self, group: &Group) -> usize {
        group.len.saturating_sub(self.offset)
    }

    /// Finds the first frame; says whether it is there.
    fn begin(&mut self, group: &Group) -> bool {
        if self.begun {
            return true;
        }
        let skip = self.first.saturating_sub(group.first_frame);
        if skip == 0 {
            self.begun = true;
            return true;
        }
        let index = usize::try_from(skip).unwrap_or(usize::MAX);
        let Some(mark) = group.frames.get(index) else { return false };
        self.place.frame = index;
        self.offset = mark.payload();
        // Its delta counts from a frame that this reader does not get: say it from zero.
        let header = Header::new(mark.timestamp as i64, u64::from(mark.size));
        self.lead = Bytes::copy_from_slice(match self.form {
            Form::Timed => header.timed(),
            Form::Plain => header.plain(),
        });
        self.begun = true;
        true
    }

    /// The bytes that this reader gets next at or after `offset`, as far as they are contiguous in
    /// the wire form. Moves `frame` to the one they belong to.
    fn span(&self, group: &Group, offset: usize, frame: &mut usize) -> Range<usize> {
        if self.form == Form::Timed && self.last.is_none() {
            return offset..group.len;
        }
        let holds = |mark: &Frame| mark.end() > offset || mark.start() >= offset;
        while group.frames.get(*frame).is_some_and(|mark| !holds(mark)) {
            *frame += 1;
        }
        let Some(mark) = group.frames.get(*frame).filter(|_| !self.passed(group, *frame)) else {
            return offset..offset;
        };
        let begin = match self.form {
            Form::Timed => offset,
            Form::Plain => offset.max(mark.start() + usize::from(mark.delta)),
        };
        begin..mark.end().min(group.len).max(begin)
    }

    fn passed(&self, group: &Group, frame: usize) -> bool {
        self.last.is_some_and(|last| group.first_frame + frame as u64 > last)
    }

    fn after(&self, group: &Group, offset: usize) -> Ahead {
        if group.end.is_some() && offset >= group.len {
            return Ahead::End;
        }
        let last = self.last.and_then(|last| last.checked_sub(group.first_frame));
        let mark = last.and_then(|last| group.frames.get(usize::try_from(last).ok()?));
        if mark.is_some_and(|mark| offset >= mark.end()) { Ahead::End } else { Ahead::More }
    }
}

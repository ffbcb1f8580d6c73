//! What of a group is gathered: the headers of its frames, and payload in small pieces.

use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Smallest and largest size of a buffer. Starting small keeps a chat message cheap; 16 KiB is where
/// a reader's slices stop getting cheaper.
const BUFFER: RangeInclusive<usize> = 256..=16 << 10;

/// Bytes that were written one after the other, and read for the first time together.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Where it begins in the text.
    pub(super) start: usize,
    pub(super) bytes: Bytes,
}

impl Run {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

/// A text that grows at its end while others read what is there.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) runs: SmallVec<[Run; 1]>,
    /// What is not in a run yet, and room for more.
    tail: BytesMut,
    /// `tail` included.
    len: usize,
    /// Size of the next buffer.
    buffer: usize,
    allocated: usize,
}

impl Text {
    /// An empty text that is expected to need `runs` runs and `len` bytes.
    pub(super) fn expecting(runs: usize, len: usize) -> Self {
        Self {
            runs: SmallVec::with_capacity(runs),
            tail: BytesMut::new(),
            len: 0,
            buffer: len.next_power_of_two().clamp(*BUFFER.start(), *BUFFER.end()),
            allocated: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, mut data: &[u8]) {
        self.len += data.len();
        while !data.is_empty() {
            let spare = self.tail.capacity() - self.tail.len();
            if spare == 0 {
                self.freeze(self.len - data.len());
                let size = self.buffer.max(data.len().min(*BUFFER.end()));
                self.tail = BytesMut::with_capacity(size);
                self.buffer = (self.buffer * 2).min(*BUFFER.end());
                self.allocated += size;
                continue;
            }
            let (now, later) = data.split_at(spare.min(data.len()));
            self.tail.extend_from_slice(now);
            data = later;
        }
    }

    /// Makes everything pushed so far readable as runs.
    pub(super) fn settle(&mut self) {
        self.freeze(self.len);
    }

    fn freeze(&mut self, end: usize) {
        if !self.tail.is_empty() {
            let start = end - self.tail.len();
            self.runs.push(Run { start, bytes: self.tail.split().freeze() });
        }
    }

    /// All that is readable from an offset on.
    pub(super) fn pieces(&self, from: usize) -> impl Iterator<Item = &[u8]> + Clone {
        self.runs.iter().map(move |run| {
            let skipped = from.saturating_sub(run.start).min(run.bytes.len());
            &run.bytes[skipped..]
        })
    }

    /// Moves `run` to the one that holds an offset, or past them all.
    pub(super) fn seek(&self, offset: usize, run: &mut usize) {
        while self.runs.get(*run).is_some_and(|run| run.end() <= offset) {
            *run += 1;
        }
    }

    /// Appends a part of the text to `out`, from `run` on.
    #[inline]
    pub(super) fn slices(&self, part: Range<usize>, run: &mut usize, out: &mut Vec<Bytes>) {
        let (mut offset, runs) = (part.start, self.runs.as_slice());
        while offset < part.end {
            let Run { start, bytes } = &runs[*run];
            let upto = part.end.min(start + bytes.len());
            if offset < upto {
                out.push(bytes.slice(offset - start..upto - start));
                offset = upto;
            } else {
                *run += 1;
            }
        }
    }

    /// As much of a part of the text as lies in the run where it begins.
    pub(super) fn slice(&self, part: Range<usize>, run: usize) -> Bytes {
        let run = &self.runs[run];
        run.bytes.slice(part.start - run.start..part.end.min(run.end()) - run.start)
    }

    /// Bytes allocated.
    pub(super) fn cost(&self) -> usize {
        self.allocated + self.runs.capacity() * size_of::<Run>()
    }
}

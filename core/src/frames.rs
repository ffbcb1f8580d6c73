//! A track read frame by frame, for those who have no use for pieces.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::{GroupReader, Id, Misuse, NextGroup, Node, Read, Reader, Time, wire::StreamCode};

/// Pieces are taken as large as they lie in the store.
const WHOLE: usize = usize::MAX;

/// Reads a subscription in whole frames.
///
/// Frames of a group come in order. Groups come as they arrive, lowest first: where several are on their
/// way, a later one does not wait for an earlier one, so frames of both may alternate.
///
/// # How to drive it
///
/// Call [`next`](Self::next) until it says [`NextFrame::Pending`], after
/// [`Node::subscribe`] and again at each [`Event::Readable`](crate::Event::Readable) of its reader. Who
/// uses it leaves [`Node::next_group`] and [`Node::read`] of that reader alone.
///
/// It keeps the part that has come of one frame for each group on its way, and forgets it when the store
/// gives the group up: [`Limits::store_bytes`](crate::Limits::store_bytes) bounds it too.
#[derive(Debug)]
pub struct Frames {
    reader: Id<Reader>,
    groups: Vec<OpenGroup>,
}

/// A frame, and where it belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Sequence of its group in the track.
    pub group: u64,
    /// Its index in the group.
    pub index: u64,
    /// Presentation time, in units of the track's timescale.
    pub timestamp: u64,
    /// What was written.
    pub payload: Bytes,
}

/// What a subscription has next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NextFrame {
    /// A frame.
    Frame(Frame),
    /// No more frames of this group.
    GroupEnd {
        /// Its sequence in the track.
        group: u64,
        /// Why it was cut off; `None` if it is complete.
        cut: Option<StreamCode>,
    },
    /// Nothing yet; an [`Event::Readable`](crate::Event::Readable) follows.
    Pending,
    /// The track ended and everything was given.
    End,
    /// The subscription failed, and everything was given that had come.
    Failed(StreamCode),
}

/// Where [`Frames`] takes groups from: a [`Node`], or what stands in for one.
pub trait Groups {
    /// [`Node::next_group`].
    fn next_group(&mut self, now: Time, reader: Id<Reader>) -> Result<NextGroup, Misuse>;

    /// [`Node::read`].
    fn read(&mut self, group: Id<GroupReader>, max: usize) -> Result<Read, Misuse>;
}

impl Groups for Node {
    fn next_group(&mut self, now: Time, reader: Id<Reader>) -> Result<NextGroup, Misuse> {
        self.next_group(now, reader)
    }

    fn read(&mut self, group: Id<GroupReader>, max: usize) -> Result<Read, Misuse> {
        self.read(group, max)
    }
}

#[derive(Debug)]
struct OpenGroup {
    id: Id<GroupReader>,
    sequence: u64,
    /// What has come of its next frame.
    begun: BytesMut,
}

impl Frames {
    /// Reads what [`Node::subscribe`] has asked for.
    pub fn new(reader: Id<Reader>) -> Self {
        Self { reader, groups: Vec::new() }
    }

    /// The subscription that it reads.
    pub fn reader(&self) -> Id<Reader> {
        self.reader
    }

    /// What comes next. Fails with [`Misuse::Stale`] after [`Node::unsubscribe`].
    pub fn next(&mut self, node: &mut impl Groups, now: Time) -> Result<NextFrame, Misuse> {
        loop {
            for index in 0..self.groups.len() {
                let Some(next) = self.groups[index].next(node)? else { continue };
                if let NextFrame::GroupEnd { .. } = next {
                    self.groups.remove(index);
                }
                return Ok(next);
            }
            let end = match node.next_group(now, self.reader)? {
                NextGroup::Group { id, sequence } => {
                    self.groups.push(OpenGroup { id, sequence, begun: BytesMut::new() });
                    continue;
                }
                NextGroup::Pending => NextFrame::Pending,
                NextGroup::End => NextFrame::End,
                NextGroup::Failed(code) => NextFrame::Failed(code),
            };
            // Groups on their way end by themselves.
            return Ok(if self.groups.is_empty() { end } else { NextFrame::Pending });
        }
    }
}

impl OpenGroup {
    /// The next frame, or the end of the group; `None` if there is nothing yet.
    fn next(&mut self, node: &mut impl Groups) -> Result<Option<NextFrame>, Misuse> {
        let group = self.sequence;
        loop {
            let chunk = match node.read(self.id, WHOLE)? {
                Read::Chunk(chunk) => chunk,
                Read::Pending => return Ok(None),
                Read::End => return Ok(Some(NextFrame::GroupEnd { group, cut: None })),
                Read::Reset(code) => {
                    return Ok(Some(NextFrame::GroupEnd { group, cut: Some(code) }));
                }
            };
            let (last, index, timestamp) = (chunk.is_last(), chunk.frame, chunk.timestamp);
            let payload = if last && self.begun.is_empty() {
                chunk.data
            } else {
                self.begun.extend_from_slice(&chunk.data);
                if !last {
                    continue;
                }
                self.begun.split().freeze()
            };
            return Ok(Some(NextFrame::Frame(Frame { group, index, timestamp, payload })));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Event, Group, Path, SubscribeOptions, Track, wire::TrackInfo};

    const NOW: Time = Time::ZERO;

    /// A node that reads what it publishes itself.
    fn own() -> (Node, Id<Track>, Frames) {
        let mut node = Node::new(Config::default());
        let path = Path::new("a").unwrap();
        let broadcast = node.create_broadcast(NOW, &path).unwrap();
        let track = node.create_track(NOW, broadcast, "t", TrackInfo::default()).unwrap();
        node.announce(NOW, broadcast).unwrap();
        let reader = node.subscribe(NOW, &path, "t", SubscribeOptions::default()).unwrap();
        (node, track, Frames::new(reader))
    }

    fn group(node: &mut Node, track: Id<Track>) -> Id<Group> {
        node.create_group(NOW, track, None).unwrap().0
    }

    #[track_caller]
    fn expect(frames: &mut Frames, node: &mut Node, group: u64, index: u64, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let frame = NextFrame::Frame(Frame { group, index, timestamp: index * 10, payload });
        assert_eq!(frames.next(node, NOW), Ok(frame));
    }

    #[test]
    fn pieces_are_put_together() {
        let (mut node, track, mut frames) = own();
        assert_eq!(frames.next(&mut node, NOW), Ok(NextFrame::Pending));
        let first = group(&mut node, track);
        node.write_frame(NOW, first, 0, Bytes::from_static(b"whole")).unwrap();
        node.start_frame(NOW, first, 10, 6).unwrap();
        node.write_chunk(NOW, first, Bytes::from_static(b"abc")).unwrap();
        expect(&mut frames, &mut node, 0, 0, b"whole");
        assert_eq!(frames.next(&mut node, NOW), Ok(NextFrame::Pending));
        while node.poll_event().is_some() {}

        node.write_chunk(NOW, first, Bytes::from_static(b"def")).unwrap();
        assert_eq!(node.poll_event(), Some(Event::Readable { reader: frames.reader() }));
        node.write_frame(NOW, first, 20, Bytes::new()).unwrap();
        node.finish_group(NOW, first).unwrap();
        node.finish_track(NOW, track).unwrap();
        expect(&mut frames, &mut node, 0, 1, b"abcdef");
        expect(&mut frames, &mut node, 0, 2, b"");
        let end = NextFrame::GroupEnd { group: 0, cut: None };
        assert_eq!(frames.next(&mut node, NOW), Ok(end));
        assert_eq!(frames.next(&mut node, NOW), Ok(NextFrame::End));
    }

    #[test]
    fn a_group_waits_for_no_other_and_what_was_cut_off_is_told() {
        let (mut node, track, mut frames) = own();
        let first = group(&mut node, track);
        node.start_frame(NOW, first, 0, 4).unwrap();
        node.write_chunk(NOW, first, Bytes::from_static(b"ab")).unwrap();
        assert_eq!(frames.next(&mut node, NOW), Ok(NextFrame::Pending));
        let second = group(&mut node, track);
        node.write_frame(NOW, second, 0, Bytes::from_static(b"new")).unwrap();
        expect(&mut frames, &mut node, 1, 0, b"new");
        node.finish_group(NOW, second).unwrap();
        let end = NextFrame::GroupEnd { group: 1, cut: None };
        assert_eq!(frames.next(&mut node, NOW), Ok(end));
        node.finish_track(NOW, track).unwrap();
        assert_eq!(frames.next(&mut node, NOW), Ok(NextFrame::Pending), "the first is on its way");
        node.abort_group(NOW, first, StreamCode::OLD).unwrap();
        let cut = NextFrame::GroupEnd { group: 0, cut: Some(StreamCode::OLD) };
        assert_eq!(frames.next(&mut node, NOW), Ok(cut));
        assert_eq!(frames.next(&mut node, NOW), Ok(NextFrame::End));
    }

    #[test]
    fn a_subscription_that_fails_says_so() {
        let mut node = Node::new(Config::default());
        let nowhere = Path::new("nowhere").unwrap();
        let reader = node.subscribe(NOW, &nowhere, "t", SubscribeOptions::default()).unwrap();
        let mut frames = Frames::new(reader);
        let failed = NextFrame::Failed(StreamCode::UNROUTABLE);
        assert_eq!(frames.next(&mut node, NOW), Ok(failed));
        node.unsubscribe(NOW, reader).unwrap();
        assert_eq!(frames.next(&mut node, NOW), Err(Misuse::Stale));
    }
}

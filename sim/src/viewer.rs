//! A reader that keeps what it gets.

use std::collections::BTreeMap;

use smoq_core::{
    GroupReader, Id, NextGroup, Path, Read, Reader, SubscribeOptions, wire::StreamCode,
};

use crate::{NodeId, World};

/// What came of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLog {
    /// Timestamp and payload of each frame begun; only the last can be incomplete.
    pub frames: Vec<(u64, Vec<u8>)>,
    /// Payload bytes that the last frame lacks.
    pub missing: u64,
    /// Index in the group of the first frame that came.
    pub first_frame: u64,
    /// How it ended: complete, or cut off.
    pub end: Option<Result<(), StreamCode>>,
}

impl GroupLog {
    /// Payloads of all frames in a row.
    pub fn bytes(&self) -> Vec<u8> {
        self.frames.iter().flat_map(|(_, payload)| payload.iter().copied()).collect()
    }
}

/// A subscription whose groups are all read and kept.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Where it is.
    pub node: NodeId,
    /// The subscription.
    pub reader: Id<Reader>,
    /// What came, by group sequence.
    pub groups: BTreeMap<u64, GroupLog>,
    /// The sequences in the order in which they came.
    pub order: Vec<u64>,
    /// How the subscription ended.
    pub end: Option<Result<(), StreamCode>>,
    open: BTreeMap<u64, Id<GroupReader>>,
}

impl Viewer {
    /// Subscribes.
    pub fn new(
        world: &mut World,
        node: NodeId,
        path: &str,
        track: &str,
        options: SubscribeOptions,
    ) -> Self {
        let (now, path) = (world.now(), Path::new(path).expect("tests use good paths"));
        let reader = world[node].subscribe(now, &path, track, options).expect("it never fails");
        Self {
            node,
            reader,
            groups: BTreeMap::new(),
            order: Vec::new(),
            end: None,
            open: BTreeMap::new(),
        }
    }

    /// Reads all there is, in pieces of at most `max` bytes.
    pub fn read_pieces(&mut self, world: &mut World, max: usize) {
        let now = world.now();
        while self.end.is_none() {
            match world[self.node].next_group(now, self.reader).expect("the reader is there") {
                NextGroup::Group { id, sequence } => {
                    let twice = self.groups.insert(sequence, GroupLog::default());
                    assert_eq!(twice, None, "group {sequence} came twice");
                    self.order.push(sequence);
                    self.open.insert(sequence, id);
                }
                NextGroup::Pending => break,
                NextGroup::End => self.end = Some(Ok(())),
                NextGroup::Failed(code) => self.end = Some(Err(code)),
            }
        }
        self.open.retain(|sequence, id| {
            let log = self.groups.get_mut(sequence).expect("open groups have a log");
            loop {
                match world[self.node].read(*id, max).expect("the group is there") {
                    Read::Chunk(chunk) => {
                        if chunk.offset == 0 {
                            assert_eq!(log.missing, 0, "a frame began inside another");
                            if log.frames.is_empty() {
                                log.first_frame = chunk.frame;
                            }
                            let index = log.first_frame + log.frames.len() as u64;
                            assert_eq!(chunk.frame, index, "a frame was left out");
                            log.frames.push((chunk.timestamp, Vec::new()));
                            log.missing = chunk.size;
                        }
                        let (timestamp, payload) = log.frames.last_mut().expect("a frame began");
                        assert_eq!(*timestamp, chunk.timestamp);
                        assert_eq!(payload.len() as u64, chunk.offset, "bytes were left out");
                        payload.extend_from_slice(&chunk.data);
                        log.missing -= chunk.data.len() as u64;
                    }
                    Read::Pending => return true,
                    Read::End => {
                        assert_eq!(log.missing, 0, "a complete group has whole frames");
                        log.end = Some(Ok(()));
                        return false;
                    }
                    Read::Reset(code) => {
                        log.end = Some(Err(code));
                        return false;
                    }
                }
            }
        });
    }

    /// Reads all there is.
    pub fn read(&mut self, world: &mut World) {
        self.read_pieces(world, usize::MAX);
    }

    /// The payloads of all complete groups, by sequence.
    pub fn complete(&self) -> BTreeMap<u64, Vec<u8>> {
        let complete = self.groups.iter().filter(|(_, log)| log.end == Some(Ok(())));
        complete.map(|(sequence, log)| (*sequence, log.bytes())).collect()
    }
}

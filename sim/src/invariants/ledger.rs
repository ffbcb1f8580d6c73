//! What was published: the truth that deliveries are compared with.

use std::collections::BTreeMap;

use smoq_core::{Time, wire::StreamCode};

use crate::NodeId;

/// One broadcast from publish to unpublish. Another one of the same path is another instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) node: NodeId,
    pub(crate) path: String,
    pub(crate) groups: BTreeMap<u64, Written>,
}

/// One published group.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Bytes of each frame.
    pub(crate) sizes: Vec<u64>,
    pub(crate) end: Option<Result<(), StreamCode>>,
    pub(crate) begun: Time,
}

/// All broadcasts there have been. Payloads are not kept: each byte follows from where it belongs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Nodes have room for the newest group of each track.
    pub(crate) roomy: bool,
    instances: Vec<Instance>,
}

impl Ledger {
    /// A broadcast begins; returns its number.
    pub(crate) fn publish(&mut self, node: NodeId, path: &str) -> usize {
        self.instances.push(Instance { node, path: path.into(), groups: BTreeMap::new() });
        self.instances.len() - 1
    }

    pub(crate) fn open(&mut self, instance: usize, group: u64, now: Time) {
        let written = Written { sizes: Vec::new(), end: None, begun: now };
        self.instances[instance].groups.insert(group, written);
    }

    /// Timestamp and payload of the next frame of a group.
    pub(crate) fn next(&self, instance: usize, group: u64, size: u64) -> (u64, Vec<u8>) {
        let frame = self.group(instance, group).map_or(0, |written| written.sizes.len() as u64);
        let payload = (0..size).map(|at| byte(instance, group, frame, at)).collect();
        (timestamp(group, frame), payload)
    }

    /// The next frame was written.
    pub(crate) fn wrote(&mut self, instance: usize, group: u64, size: u64) {
        self.written(instance, group).sizes.push(size);
    }

    pub(crate) fn close(&mut self, instance: usize, group: u64, end: Result<(), StreamCode>) {
        self.written(instance, group).end.get_or_insert(end);
    }

    fn written(&mut self, instance: usize, group: u64) -> &mut Written {
        self.instances[instance].groups.get_mut(&group).expect("it was opened")
    }

    /// The broadcast that began last.
    pub(crate) fn newest(&self) -> &Instance {
        self.instances.last().expect("there was a broadcast")
    }

    pub(crate) fn instance(&self, instance: usize) -> &Instance {
        &self.instances[instance]
    }

    pub(crate) fn group(&self, instance: usize, group: u64) -> Option<&Written> {
        self.instances[instance].groups.get(&group)
    }

    /// The instances of a path.
    pub(crate) fn of(&self, path: &str) -> Vec<usize> {
        let of = |at: &usize| self.instances[*at].path == path;
        (0..self.instances.len()).filter(of).collect()
    }
}

/// The timestamp of a frame.
pub(crate) fn timestamp(group: u64, frame: u64) -> u64 {
    group * 1000 + frame * 33
}

/// A byte of a payload: any eight in a row tell where they belong.
pub(crate) fn byte(instance: usize, group: u64, frame: u64, at: u64) -> u8 {
    let place = (instance as u64) << 40 | group << 16 | frame;
    let mut mixed = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> (8 * (at % 8))) as u8 ^ (at / 8) as u8
}

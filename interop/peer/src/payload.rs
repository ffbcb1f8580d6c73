//! What is published, and what arrived.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The frames of each group, by sequence number.
pub type Groups = BTreeMap<u64, Vec<Bytes>>;

/// A payload that is the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many groups, numbered from 0.
    pub groups: u64,
    /// Frames per group.
    pub frames: usize,
    /// Bytes per frame.
    pub frame_size: usize,
}

impl Shape {
    /// The payload: each frame depends on its group and position, so that swapped frames are noticed.
    pub fn groups(&self) -> Groups {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let frames =
            |noise: &mut Noise| (0..self.frames).map(|_| noise.frame(self.frame_size)).collect();
        (0..self.groups).map(|sequence| (sequence, frames(&mut noise))).collect()
    }
}

/// xorshift64: not random enough for anything but telling frames apart.
struct Noise(u64);

impl Noise {
    fn frame(&mut self, size: usize) -> Bytes {
        (0..size).map(|_| self.byte()).collect()
    }

    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[7]
    }
}

/// All frames in order, as a program writes them to its standard output.
pub fn concat(groups: &Groups) -> Vec<u8> {
    groups.values().flatten().flatten().copied().collect()
}

/// Cuts `bytes` into frames of `frame_size` bytes and groups of `frames` frames; the last ones may be short.
pub fn split(bytes: &[u8], frame_size: usize, frames: usize) -> Groups {
    bytes
        .chunks(frame_size * frames)
        .map(|group| group.chunks(frame_size).map(Bytes::copy_from_slice).collect())
        .zip(0..)
        .map(|(frames, sequence)| (sequence, frames))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_undoes_concat() {
        let shape = Shape { groups: 3, frames: 4, frame_size: 5 };
        let groups = shape.groups();
        assert_eq!(split(&concat(&groups), 5, 4), groups);
        let frames: std::collections::BTreeSet<_> = groups.values().flatten().collect();
        assert_eq!(frames.len(), 12, "every frame is different");
    }

    #[test]
    fn the_last_group_may_be_short() {
        let groups = split(&[1, 2, 3, 4, 5], 2, 2);
        assert_eq!(groups[&0], [&[1, 2][..], &[3, 4]]);
        assert_eq!(groups[&1], [&[5][..]]);
    }
}

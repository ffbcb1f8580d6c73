//! The bytes of a recording while it is made.

use alloc::{string::String, vec::Vec};
use core::fmt::{Debug, Write};

use smoq_core::Config;

use crate::value::{Value, put_bytes};

/// What every recording begins with; the number is that of the format.
pub(crate) const MAGIC: &[u8] = b"smoq tape 3\n";

/// The record that says how the node was made.
pub(crate) const BEGIN: u8 = 0;
/// The record of an end: nothing is missing before it, and nothing follows.
pub(crate) const END: u8 = 0xff;

/// Bytes of a check.
pub(crate) const WORD: usize = 4;
/// Bytes before the body of a record: its length, and the same inverted, so that a damaged one is not taken
/// for the end of the recording.
pub(crate) const HEAD: usize = 2 * WORD;

#[derive(Clone)]
pub(crate) struct Tape {
    bytes: Vec<u8>,
    /// Where the last record begins.
    start: usize,
    /// What came of its input.
    text: String,
    check: u32,
    /// How many bytes there may be yet, those of the end aside.
    left: u64,
}

impl Tape {
    pub(crate) fn new(config: &Config, limit: u64) -> Self {
        let bytes = MAGIC.to_vec();
        let mut tape = Self { bytes, start: 0, text: String::new(), check: 0, left: limit };
        tape.record(BEGIN, |out| {
            put_bytes(env!("CARGO_PKG_VERSION").as_bytes(), out);
            config.put(out);
        });
        tape
    }

    /// Begins a record. What is pushed onto the bytes belongs to it until [`seal`](Self::seal).
    pub(crate) fn begin(&mut self, code: u8) {
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD]);
        self.bytes.push(code);
        self.text.clear();
    }

    /// Where the record that was begun goes on.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The input is complete. From here on it can be replayed, even if the node panics on it.
    pub(crate) fn seal(&mut self) {
        let body = self.start + HEAD;
        let length = (self.bytes.len() - body) as u32;
        let head = u64::from(length) | u64::from(!length) << 32;
        self.bytes[self.start..body].copy_from_slice(&head.to_le_bytes());
    }

    /// Adds to what comes of the input.
    pub(crate) fn say(&mut self, output: core::fmt::Arguments<'_>) {
        self.text.write_fmt(output).expect("strings take everything");
    }

    /// The node is done with the input. Says whether there is room for more.
    pub(crate) fn close(&mut self) -> bool {
        let body = self.start + HEAD;
        let digest = Digest::default().update(&self.bytes[body..]).update(self.text.as_bytes());
        self.check = digest.short();
        self.bytes.extend_from_slice(&self.check.to_le_bytes());
        let length = self.bytes.len() - self.start;
        self.left = self.left.saturating_sub(length as u64);
        self.left > 0
    }

    /// [`close`](Self::close) for an output that there is only one of.
    pub(crate) fn close_with(&mut self, output: &impl Debug) -> bool {
        self.say(format_args!("{output:?}"));
        self.close()
    }

    /// Takes the last record back: nothing has happened.
    pub(crate) fn drop_last(&mut self) {
        self.left += (self.bytes.len() - self.start) as u64;
        self.bytes.truncate(self.start);
    }

    /// The recording ends here.
    pub(crate) fn end(&mut self) {
        self.record(END, |_| {});
    }

    fn record(&mut self, code: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        self.begin(code);
        fill(&mut self.bytes);
        self.seal();
        self.close();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.start = 0;
        core::mem::take(&mut self.bytes)
    }

    /// What came of the last input, and its check.
    pub(crate) fn last(&self) -> (&str, u32) {
        (&self.text, self.check)
    }
}

/// Notices differences. Whoever wants to can make two inputs with the same one.
#[derive(Clone, Copy)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Digest {
    /// Takes in bytes and their number.
    pub(crate) fn update(self, bytes: &[u8]) -> Self {
        let mut chunks = bytes.chunks_exact(8);
        let mut digest = self;
        for word in &mut chunks {
            digest = digest.mix(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        let tail =
            chunks.remainder().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        digest.mix(tail).mix(bytes.len() as u64)
    }

    fn mix(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self(mixed ^ mixed >> 32)
    }

    pub(crate) fn short(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let digest = |bytes: &[u8]| Digest::default().update(bytes).short();
        let bytes: [u8; 19] = core::array::from_fn(|at| at as u8);
        for at in 0..bytes.len() {
            let mut other = bytes;
            other[at] ^= 0x10;
            assert_ne!(digest(&bytes), digest(&other), "byte {at}");
        }
        assert_ne!(digest(&[0; 8]), digest(&[0; 9]));
    }
}

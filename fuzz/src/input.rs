//! Decisions taken from bytes.

use smoq_core::Version;

/// What is left of a fuzzer's bytes. Every sequence of bytes means something, so nothing is thrown away
/// for its form.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte, or nothing behind the last.
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Bytes with their number in front, in one byte. Fewer if there are not so many.
    pub fn counted(&mut self) -> Option<&'a [u8]> {
        let wanted = usize::from(self.byte()?);
        let (bytes, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }

    /// How many bytes a piece has, when bytes are cut into pieces: 1 to 16.
    pub fn piece(&mut self) -> usize {
        1 + usize::from(self.byte().unwrap_or_default() % 16)
    }

    /// One of several things.
    pub fn one_of<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        self.byte().map(|byte| things[usize::from(byte) % things.len()])
    }

    /// A version of moq-lite.
    pub fn version(&mut self) -> Option<Version> {
        self.one_of(&Version::ALL)
    }
}

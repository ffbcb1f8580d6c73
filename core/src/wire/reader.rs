//! Finding one message in a buffer, and reading its fields.

use alloc::{borrow::ToOwned, string::String};
use core::ops::Range;

use bytes::BytesMut;

use super::{DecodeError, varint, writer};
use crate::{Path, Version};

/// How many bytes the name of a track may have: a relay makes messages of its own of it.
pub const MAX_TRACK_NAME: usize = 1024;

/// The unread rest of one complete message body.
#[derive(Clone, Debug)]
pub struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    /// Starts reading `bytes`, which is one whole body.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next number, at most 2^62-1.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let (value, used) = varint::decode(self.0).ok_or(DecodeError::Truncated)?;
        self.0 = &self.0[used..];
        Ok(value)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// The next bytes, whose number stands in front of them.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next string.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// All that is left, as a string.
    pub(super) fn rest_as_str(&mut self) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(core::mem::take(&mut self.0)).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// The next string, owned.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        self.str().map(ToOwned::to_owned)
    }

    /// The next name of a track, of at most [`MAX_TRACK_NAME`] bytes.
    pub fn track_name(&mut self) -> Result<String, DecodeError> {
        match self.str()? {
            name if name.len() > MAX_TRACK_NAME => Err(DecodeError::NameTooLong(name.len())),
            name => Ok(name.to_owned()),
        }
    }

    /// The next path, normalised.
    pub fn path(&mut self) -> Result<Path, DecodeError> {
        Ok(Path::new(self.str()?)?)
    }

    /// The next optional number: 0 is none, n + 1 is n.
    pub fn option(&mut self) -> Result<Option<u64>, DecodeError> {
        Ok(self.varint()?.checked_sub(1))
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Ends reading. Fails with [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }
}

/// A message that its stream tells apart: on the wire, its length and then its body.
pub trait Message: Sized {
    /// Reads the fields, not the end of the body.
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError>;

    /// Writes the fields.
    fn encode_body(&self, out: &mut BytesMut, version: Version);

    /// Writes the length and the fields.
    fn encode(&self, out: &mut BytesMut, version: Version) {
        writer::framed(out, |out| self.encode_body(out, version));
    }

    /// Reads `bytes`, which is one whole body without its length.
    fn decode(bytes: &[u8], version: Version) -> Result<Self, DecodeError> {
        let mut body = Body::new(bytes);
        let message = Self::decode_body(&mut body, version)?;
        body.finish()?;
        Ok(message)
    }

    /// Reads the message at the start of `buffer` and says how many bytes it takes; `None` while
    /// some are missing.
    fn take(
        buffer: &[u8],
        limit: usize,
        version: Version,
    ) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some(Framed { body, end }) = take_message(buffer, limit)? else {
            return Ok(None);
        };
        Ok(Some((Self::decode(&buffer[body], version)?, end)))
    }
}

/// Where a complete message lies in a buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Framed {
    /// The body.
    pub body: Range<usize>,
    /// Where the next message starts.
    pub end: usize,
}

/// Where a complete message with a type lies in a buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypedFramed {
    /// The type, which stands in front of the length.
    pub kind: u64,
    /// The body.
    pub body: Range<usize>,
    /// Where the next message starts.
    pub end: usize,
}

/// Finds the message at the start of `buffer`; `None` while bytes are missing.
///
/// A declared length above `limit` bytes fails at once with [`DecodeError::TooLong`], before the
/// body is there.
pub fn take_message(buffer: &[u8], limit: usize) -> Result<Option<Framed>, DecodeError> {
    let Some((length, start)) = varint::decode(buffer) else {
        return Ok(None);
    };
    let Some(size) = usize::try_from(length).ok().filter(|size| *size <= limit) else {
        return Err(DecodeError::TooLong { length, limit });
    };
    if buffer.len() - start < size {
        return Ok(None);
    }
    let end = start + size;
    Ok(Some(Framed { body: start..end, end }))
}

/// [`take_message`] for a message that has a type in front of its length.
pub fn take_typed_message(buffer: &[u8], limit: usize) -> Result<Option<TypedFramed>, DecodeError> {
    let Some((kind, used)) = varint::decode(buffer) else {
        return Ok(None);
    };
    let framed = take_message(&buffer[used..], limit)?;
    Ok(framed.map(|Framed { body, end }| TypedFramed {
        kind,
        body: used + body.start..used + body.end,
        end: used + end,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_above_the_limit_fails_before_the_body() {
        let error = DecodeError::TooLong { length: 0x3fff, limit: 100 };
        assert_eq!(take_message(&[0x7f, 0xff], 100), Err(error));
        assert_eq!(take_typed_message(&[0x05, 0x7f, 0xff], 100), Err(error));
        assert_eq!(take_message(&[0x7f], 100), Ok(None));
        assert_eq!(take_message(&[0xff; 8], usize::MAX), Ok(None));
    }

    #[test]
    fn the_next_message_is_left_alone() {
        let buffer = [9, 2, 7, 8, 1, 1];
        assert_eq!(
            take_typed_message(&buffer, 2),
            Ok(Some(TypedFramed { kind: 9, body: 2..4, end: 4 }))
        );
        assert_eq!(take_message(&buffer[4..], 1), Ok(Some(Framed { body: 1..2, end: 2 })));
    }

    #[test]
    fn fields_end_with_the_body() {
        let mut body = Body::new(&[3, b'a', b'b']);
        assert_eq!(body.str(), Err(DecodeError::Truncated));
        assert_eq!(Body::new(&[2, 0xc3, 0x28]).str(), Err(DecodeError::InvalidUtf8));
        assert_eq!(Body::new(&[1]).finish(), Err(DecodeError::TrailingBytes(1)));
    }
}

//! Frames of HTTP/3 (RFC 9114, section 7), in whatever pieces they come.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Error, varint};

/// DATA.
pub const DATA: u64 = 0x0;
/// HEADERS.
pub const HEADERS: u64 = 0x1;
/// CANCEL_PUSH.
pub const CANCEL_PUSH: u64 = 0x3;
/// SETTINGS.
pub const SETTINGS: u64 = 0x4;
/// PUSH_PROMISE.
pub const PUSH_PROMISE: u64 = 0x5;
/// GOAWAY.
pub const GOAWAY: u64 = 0x7;
/// MAX_PUSH_ID.
pub const MAX_PUSH_ID: u64 = 0xd;
/// WT_STREAM: no frame, but what a bidirectional stream of WebTransport begins with instead of one.
pub const WT_STREAM: u64 = 0x41;

/// Whether a type has a meaning here, or one in HTTP/2 that it must not have here (RFC 9114, section
/// 7.2.8). All others are passed over wherever they come, those of GREASE among them.
pub fn is_known(ty: u64) -> bool {
    matches!(
        ty,
        DATA | HEADERS
            | 0x2
            | CANCEL_PUSH
            | SETTINGS
            | PUSH_PROMISE
            | 0x6
            | GOAWAY
            | 0x8
            | 0x9
            | MAX_PUSH_ID
            | WT_STREAM
    )
}

/// Appends a whole frame.
pub fn encode(ty: u64, payload: &[u8], out: &mut BytesMut) {
    varint::encode(ty, out);
    varint::encode(payload.len() as u64, out);
    out.put_slice(payload);
}

/// A type and a value behind it, both integers: how frames, capsules and streams begin. Put together
/// from pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pair {
    bytes: [u8; 2 * varint::MAX_LEN],
    len: usize,
}

impl Pair {
    /// Takes from `data` until the first of the two is there, and no more.
    pub(crate) fn first(&mut self, data: &mut Bytes) -> Option<u64> {
        loop {
            if let Some(first) = varint::decode(&mut &self.bytes[..self.len]) {
                return Some(first);
            }
            self.take_byte(data)?;
        }
    }

    /// Takes from `data` until both are there, and begins anew.
    pub(crate) fn both(&mut self, data: &mut Bytes) -> Option<(u64, u64)> {
        loop {
            let mut bytes = &self.bytes[..self.len];
            if let Some(first) = varint::decode(&mut bytes)
                && let Some(second) = varint::decode(&mut bytes)
            {
                self.len = 0;
                return Some((first, second));
            }
            self.take_byte(data)?;
        }
    }

    /// Two integers never have more bytes than there is room for.
    fn take_byte(&mut self, data: &mut Bytes) -> Option<()> {
        if !data.has_remaining() {
            return None;
        }
        self.bytes[self.len] = data.get_u8();
        self.len += 1;
        Some(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A piece of a stream of frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// A frame begins.
    Start { ty: u64, len: u64 },
    /// Payload of it. Pieces are not empty.
    Payload(Bytes),
    /// It ends.
    End,
}

/// Cuts a stream into type-length-value units: frames, or capsules, which have the same form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    pair: Pair,
    /// Payload bytes to come, inside a unit.
    left: Option<u64>,
}

impl Units {
    /// Goes on in a unit that has begun.
    pub(crate) fn inside(len: u64) -> Self {
        Self { left: Some(len), ..Self::default() }
    }

    /// The next piece in `data`, which loses its bytes. `None` when there is nothing more.
    pub(crate) fn next(&mut self, data: &mut Bytes) -> Option<Piece> {
        match self.left {
            None => {
                let (ty, len) = self.pair.both(data)?;
                self.left = Some(len);
                Some(Piece::Start { ty, len })
            }
            Some(0) => {
                self.left = None;
                Some(Piece::End)
            }
            Some(left) => {
                if data.is_empty() {
                    return None;
                }
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                self.left = Some(left - len as u64);
                Some(Piece::Payload(data.split_to(len)))
            }
        }
    }

    /// The stream ends: it may not be inside a unit.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.left.is_none() && self.pair.is_empty() { Ok(()) } else { Err(Error::Frame) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn pieces(mut pieces: impl Iterator<Item = Bytes>) -> (Vec<Piece>, Units) {
        let mut units = Units::default();
        let mut found = Vec::new();
        let mut data = pieces.next().unwrap_or_default();
        loop {
            match units.next(&mut data) {
                Some(Piece::Payload(bytes)) => match found.last_mut() {
                    Some(Piece::Payload(last)) => *last = [&last[..], &bytes].concat().into(),
                    _ => found.push(Piece::Payload(bytes)),
                },
                Some(piece) => found.push(piece),
                None => match pieces.next() {
                    Some(next) => data = next,
                    None => return (found, units),
                },
            }
        }
    }

    #[test]
    fn frames_are_cut_the_same_however_they_come() {
        let mut stream = BytesMut::new();
        encode(DATA, b"hello", &mut stream);
        encode(0x21, b"", &mut stream);
        encode(HEADERS, &[7; 100], &mut stream);
        let stream = stream.freeze();
        let whole = pieces([stream.clone()].into_iter());
        let expected = vec![
            Piece::Start { ty: DATA, len: 5 },
            Piece::Payload(Bytes::from_static(b"hello")),
            Piece::End,
            Piece::Start { ty: 0x21, len: 0 },
            Piece::End,
            Piece::Start { ty: HEADERS, len: 100 },
            Piece::Payload(Bytes::from(vec![7; 100])),
            Piece::End,
        ];
        assert_eq!(whole.0, expected);
        assert_eq!(whole.1.finish(), Ok(()));
        for size in 1..10 {
            let cut = pieces(stream.chunks(size).map(Bytes::copy_from_slice));
            assert_eq!(cut.0, expected);
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_noticed() {
        let mut stream = BytesMut::new();
        encode(DATA, b"hello", &mut stream);
        let stream = stream.freeze();
        for cut in 1..stream.len() {
            let (_, units) = pieces([stream.slice(..cut)].into_iter());
            assert_eq!(units.finish(), Err(Error::Frame), "{cut}");
        }
    }
}

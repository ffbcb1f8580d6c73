//! Integers of QUIC (RFC 9000, section 16).

use bytes::{Buf, BufMut};

/// The largest value there is: 2^62 - 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Bytes of the longest form.
pub const MAX_LEN: usize = 8;

/// Takes one integer off the front, or nothing if it is not all there.
pub fn decode(data: &mut impl Buf) -> Option<u64> {
    let first = *data.chunk().first()?;
    let len = 1 << (first >> 6);
    if data.remaining() < len {
        return None;
    }
    let value = data.get_uint(len);
    Some(value & (u64::MAX >> (66 - 8 * len)))
}

/// Appends an integer in its shortest form. What is larger than [`MAX`] becomes [`MAX`].
pub fn encode(value: u64, out: &mut impl BufMut) {
    let value = value.min(MAX);
    match value {
        0..=0x3f => out.put_u8(value as u8),
        0x40..=0x3fff => out.put_u16(value as u16 | 0x4000),
        0x4000..=0x3fff_ffff => out.put_u32(value as u32 | 0x8000_0000),
        _ => out.put_u64(value | 0xc000_0000_0000_0000),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_length_goes_both_ways() {
        for (value, len) in
            [(0, 1), (63, 1), (64, 2), (16383, 2), (16384, 4), (1 << 30, 8), (MAX, 8)]
        {
            let mut bytes = Vec::new();
            encode(value, &mut bytes);
            assert_eq!(bytes.len(), len);
            for cut in 0..len {
                assert_eq!(decode(&mut &bytes[..cut]), None);
            }
            let mut rest = &bytes[..];
            assert_eq!((decode(&mut rest), rest.len()), (Some(value), 0));
        }
    }

    #[test]
    fn longer_forms_are_taken() {
        assert_eq!(decode(&mut &[0x40, 5][..]), Some(5));
        assert_eq!(decode(&mut &[0xc0, 0, 0, 0, 0, 0, 0, 5][..]), Some(5));
    }

    #[test]
    fn what_is_too_large_is_cut() {
        let mut bytes = Vec::new();
        encode(u64::MAX, &mut bytes);
        assert_eq!(decode(&mut &bytes[..]), Some(MAX));
    }
}

//! Variable-length integers (RFC 9000, section 16) and signed numbers on top of them.

use bytes::BufMut;

/// The largest number that fits.
pub const MAX: u64 = (1 << 62) - 1;

/// The number at the start of `bytes` and how many bytes it takes; `None` while some are missing.
///
/// Any of the four lengths is accepted, not only the shortest one.
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = 1 << (first >> 6);
    let rest = bytes.get(1..len)?;
    let value =
        rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, len))
}

/// Writes `value` in its shortest form; a value above [`MAX`] is written as [`MAX`].
pub fn encode(value: u64, out: &mut impl BufMut) {
    let value = value.min(MAX);
    match len(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(1 << 14 | value as u16),
        4 => out.put_u32(2 << 30 | value as u32),
        _ => out.put_u64(3 << 62 | value),
    }
}

/// How many bytes [`encode`] writes: 1, 2, 4 or 8.
pub const fn len(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Maps 0, -1, 1, -2 … to 0, 1, 2, 3 …: small differences become small numbers.
pub const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn examples_of_rfc_9000() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(decode(bytes), Some((value, bytes.len())));
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
        }
        assert_eq!(decode(&[0x40, 0x25, 0xff]), Some((37, 2)));
    }

    #[test]
    fn every_cut_asks_for_more() {
        for value in [0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, MAX] {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out.len(), len(value));
            assert_eq!(decode(&out), Some((value, out.len())));
            assert!((0..out.len()).all(|cut| decode(&out[..cut]).is_none()));
        }
    }

    #[test]
    fn too_large_is_written_as_the_largest() {
        let mut out = Vec::new();
        encode(u64::MAX, &mut out);
        assert_eq!(decode(&out), Some((MAX, 8)));
    }

    #[test]
    fn zigzag_goes_both_ways() {
        for (value, mapped) in
            [(0, 0), (-1, 1), (1, 2), (-2, 3), (i64::MIN, u64::MAX), (i64::MAX, u64::MAX - 1)]
        {
            assert_eq!(zigzag(value), mapped);
            assert_eq!(unzigzag(mapped), value);
        }
    }
}

//! FNV-1a, for digests that only have to notice differences.

/// Of nothing.
pub(crate) const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// Of what `hash` is of, and a byte more.
pub(crate) fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

//! Writing the fields that several messages share.

use bytes::{BufMut, BytesMut};

use super::varint;
use crate::{Path, Version};

/// Writes what `body` writes, with its length in front.
pub(super) fn framed(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    body(out);
    let end = out.len();
    varint::encode((end - start) as u64, out);
    let prefix = out.len() - end;
    out[start..].rotate_right(prefix);
}

pub(super) fn bytes(value: &[u8], out: &mut BytesMut) {
    varint::encode(value.len() as u64, out);
    out.put_slice(value);
}

/// 0 is none, n + 1 is n.
pub(super) fn option(value: Option<u64>, out: &mut BytesMut) {
    varint::encode(value.map_or(0, |value| value.saturating_add(1)), out);
}

/// The path of a broadcast: `/a/b` where slashes are wanted, else `a/b`.
pub(super) fn path(path: &Path, out: &mut BytesMut, version: Version) {
    if version.slashed_paths() {
        slashed(path, "", out);
    } else {
        bytes(path.as_str().as_bytes(), out);
    }
}

/// A prefix of paths: `/` or `/a/` where slashes are wanted, else nothing or `a`.
pub(super) fn prefix(prefix: &Path, out: &mut BytesMut, version: Version) {
    if version.slashed_paths() && !prefix.is_root() {
        slashed(prefix, "/", out);
    } else {
        path(prefix, out, version);
    }
}

fn slashed(path: &Path, after: &str, out: &mut BytesMut) {
    varint::encode((1 + path.as_str().len() + after.len()) as u64, out);
    out.put_u8(b'/');
    out.put_slice(path.as_str().as_bytes());
    out.put_slice(after.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_any_size_goes_in_front() {
        for size in [0, 1, 63, 64, 16383, 16384] {
            let mut out = BytesMut::from(&b"before"[..]);
            framed(&mut out, |out| out.put_bytes(b'x', size));
            let (length, used) = varint::decode(&out[6..]).unwrap();
            assert_eq!((length, out.len()), (size as u64, 6 + used + size));
            assert!(out.starts_with(b"before") && out[6 + used..].iter().all(|byte| *byte == b'x'));
        }
    }
}

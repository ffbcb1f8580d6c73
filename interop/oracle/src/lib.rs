//! Two codecs, one wire: what smoq-core accepts, moq-net accepts, and the other way round.
#![forbid(unsafe_code)]

mod kind;

pub use kind::{Kind, Taken};
use moq_net::fuzz::lite_wire;
use smoq_core::{PathError, Version, wire::DecodeError};

/// The largest body that moq-net reads.
pub const LIMIT: usize = 64 * 1024 * 1024;

/// How moq-net's oracle numbers the versions.
pub fn index(version: Version) -> u8 {
    match version {
        Version::Lite03 => 2,
        Version::Lite04 => 3,
        Version::Lite05 => 4,
        Version::Lite06 => 5,
    }
}

/// Whether moq-net reads a message of this kind from the start of `bytes`.
pub fn theirs(kind: Kind, version: Version, bytes: &[u8]) -> bool {
    let mut input = vec![index(version), kind.oracle()];
    input.extend_from_slice(bytes);
    lite_wire(&input)
}

/// What smoq reads from the start of `bytes`. Panics unless moq-net reads the same, and reads what smoq
/// writes of it.
///
/// One difference is known: smoq bounds the bytes of paths and of names of tracks, since a relay makes
/// messages of its own of them, and moq-net does not.
///
/// # Errors
/// Why smoq reads nothing; `None` if bytes are missing.
pub fn agree(kind: Kind, version: Version, bytes: &[u8]) -> Result<Taken, Option<DecodeError>> {
    let context = || format!("{kind:?} on {version}: {bytes:02x?}");
    let theirs = |bytes| theirs(kind, version, bytes);
    let taken = match kind.take(version, bytes) {
        Ok(Some(taken)) => taken,
        Ok(None) => {
            assert!(!theirs(bytes), "smoq misses bytes: {}", context());
            return Err(None);
        }
        Err(error) => {
            let ours_alone = matches!(
                error,
                DecodeError::NameTooLong(_) | DecodeError::Path(PathError::TooLong)
            );
            assert!(ours_alone || !theirs(bytes), "smoq says: {error}: {}", context());
            return Err(Some(error));
        }
    };
    assert!(theirs(bytes), "only smoq reads it: {}", context());
    let (whole, short) = (&bytes[..taken.used], &bytes[..taken.used - 1]);
    assert!(theirs(whole) && !theirs(short), "smoq reads {} bytes: {}", taken.used, context());
    let again = &taken.rewritten[..];
    // Some messages smoq never writes.
    if !again.is_empty() {
        assert!(theirs(again), "moq-net refuses what smoq writes: {again:02x?}: {}", context());
        let read = kind.take(version, again);
        let same = read.is_ok_and(|read| read.is_some_and(|read| read.rewritten == again));
        assert!(same, "smoq reads back something else: {again:02x?}: {}", context());
    }
    Ok(taken)
}

/// The fuzz body: a version, a kind, and bytes.
pub fn core_oracle(data: &[u8]) {
    let [version, kind, bytes @ ..] = data else { return };
    let version = Version::ALL[usize::from(*version) % Version::ALL.len()];
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    if Kind::of(version).contains(&kind) {
        let _ = agree(kind, version, bytes);
    }
}

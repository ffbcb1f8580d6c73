//! Types of streams: the number that each stream starts with.

use crate::Version;

/// What a bidirectional stream is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BidiType {
    /// ANNOUNCE_REQUEST and announcements.
    Announce = 1,
    /// SUBSCRIBE and its answers.
    Subscribe = 2,
    /// FETCH and frames.
    Fetch = 3,
    /// PROBE.
    Probe = 4,
    /// GOAWAY (04 and later).
    Goaway = 5,
    /// TRACK and TRACK_INFO (05 and later).
    Track = 6,
}

impl BidiType {
    /// The type with this number, if `version` has it.
    pub fn from_varint(kind: u64, version: Version) -> Option<Self> {
        match kind {
            1 => Some(Self::Announce),
            2 => Some(Self::Subscribe),
            3 => Some(Self::Fetch),
            4 => Some(Self::Probe),
            5 if version.has_goaway() => Some(Self::Goaway),
            6 if version.has_track() => Some(Self::Track),
            _ => None,
        }
    }

    /// The number of this type.
    pub const fn to_varint(self) -> u64 {
        self as u64
    }
}

/// What a unidirectional stream is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UniType {
    /// GROUP and frames.
    Group = 0,
    /// SETUP (05 and later).
    Setup = 1,
}

impl UniType {
    /// The type with this number, if `version` has it.
    pub fn from_varint(kind: u64, version: Version) -> Option<Self> {
        match kind {
            0 => Some(Self::Group),
            1 if version.has_setup() => Some(Self::Setup),
            _ => None,
        }
    }

    /// The number of this type.
    pub const fn to_varint(self) -> u64 {
        self as u64
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_version_has_only_its_own_types() {
        for (version, bidi, uni) in [
            (Version::Lite03, 1..5, 0..1),
            (Version::Lite04, 1..6, 0..1),
            (Version::Lite05, 1..7, 0..2),
            (Version::Lite06, 1..7, 0..2),
        ] {
            let known = |kind: &u64| {
                BidiType::from_varint(*kind, version).map(BidiType::to_varint) == Some(*kind)
            };
            assert_eq!((0..100).filter(known).collect::<Vec<_>>(), bidi.collect::<Vec<_>>());
            let known = |kind: &u64| {
                UniType::from_varint(*kind, version).map(UniType::to_varint) == Some(*kind)
            };
            assert_eq!((0..100).filter(known).collect::<Vec<_>>(), uni.collect::<Vec<_>>());
        }
    }
}

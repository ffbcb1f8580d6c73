//! The moq-lite versions and what each of them can do.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

use thiserror::Error;

/// A moq-lite version, ordered from old to new. It is agreed by ALPN alone.
///
/// Every `has_` predicate is a comparison, so that a later version inherits what the newest one
/// does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// moq-lite-03.
    Lite03,
    /// moq-lite-04.
    Lite04,
    /// moq-lite-05.
    Lite05,
    /// moq-lite-06 as released by moq-net 0.3, which is not the text of the August 2026 draft.
    Lite06,
}

/// The text names no version that this crate speaks.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "unknown version {0:?}, use one of {a}, {b}, {c}, {d}",
    a = Version::ALL[0],
    b = Version::ALL[1],
    c = Version::ALL[2],
    d = Version::ALL[3]
)]
pub struct UnknownVersion(pub String);

impl Version {
    /// Every version, newest first: the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Lite06, Self::Lite05, Self::Lite04, Self::Lite03];

    /// The token that stands for this version in ALPN and in WebTransport protocol lists.
    pub const fn alpn(self) -> &'static str {
        match self {
            Self::Lite03 => "moq-lite-03",
            Self::Lite04 => "moq-lite-04",
            Self::Lite05 => "moq-lite-05",
            Self::Lite06 => "moq-lite-06",
        }
    }

    /// The version that `token` stands for.
    pub fn from_alpn(token: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.alpn().as_bytes() == token)
    }

    /// Each side sends SETUP on a unidirectional stream.
    pub fn has_setup(self) -> bool {
        self >= Self::Lite05
    }

    /// The publisher answers ANNOUNCE_REQUEST with ANNOUNCE_OK.
    pub fn has_announce_ok(self) -> bool {
        self >= Self::Lite05
    }

    /// ANNOUNCE_REQUEST carries the hop to exclude. Later versions carry it in SETUP.
    pub fn has_exclude_hop(self) -> bool {
        matches!(self, Self::Lite04 | Self::Lite05)
    }

    /// Announcements have a type, an id and two costs.
    pub fn has_announce_ids(self) -> bool {
        self >= Self::Lite06
    }

    /// An announcement lists the ids of its hops, not only their number.
    pub fn has_hop_ids(self) -> bool {
        self >= Self::Lite04
    }

    /// The sender of an announcement adds its own hop. Later, the receiver adds it.
    pub fn sender_appends_hop(self) -> bool {
        self <= Self::Lite04
    }

    /// TRACK is answered with TRACK_INFO.
    pub fn has_track(self) -> bool {
        self >= Self::Lite05
    }

    /// Every frame carries a timestamp.
    pub fn has_timestamps(self) -> bool {
        self >= Self::Lite05
    }

    /// Groups of one frame may travel as datagrams.
    pub fn has_datagrams(self) -> bool {
        self >= Self::Lite05
    }

    /// Publishers serve FETCH. Older ones know the message and refuse it.
    pub fn serves_fetch(self) -> bool {
        self >= Self::Lite05
    }

    /// Either side may send GOAWAY.
    pub fn has_goaway(self) -> bool {
        self >= Self::Lite04
    }

    /// PROBE carries a round trip time.
    pub fn has_probe_rtt(self) -> bool {
        self >= Self::Lite04
    }

    /// SUBSCRIBE, its answers and TRACK_INFO carry the `ordered` byte.
    pub fn has_group_order(self) -> bool {
        self <= Self::Lite05
    }

    /// TRACK_INFO carries the `ordered` byte.
    pub fn track_info_has_order(self) -> bool {
        self.has_track() && self.has_group_order()
    }

    /// The start of a subscription is a floor. Before, it is the group to start with, or the
    /// latest one.
    pub fn start_is_floor(self) -> bool {
        self >= Self::Lite06
    }

    /// SUBSCRIBE and FETCH can name the first and the last frame, GROUP the first one.
    pub fn has_frame_bounds(self) -> bool {
        self >= Self::Lite06
    }

    /// SUBSCRIBE is answered with SUBSCRIBE_OK.
    pub fn has_subscribe_ok(self) -> bool {
        self <= Self::Lite04
    }

    /// The publisher says where a subscription starts and ends.
    pub fn has_end(self) -> bool {
        self >= Self::Lite05
    }

    /// Some peers send the END of a track inclusively.
    pub fn tolerates_inclusive_end(self) -> bool {
        self == Self::Lite05
    }

    /// Paths are sent with slashes around them: the Go peers of this version refuse others.
    pub fn slashed_paths(self) -> bool {
        self == Self::Lite04
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.alpn())
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::from_alpn(text.as_bytes()).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn names_go_both_ways() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert!(Version::ALL.is_sorted_by(|newer, older| newer > older));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "moq-lite-07".parse::<Version>().unwrap_err().to_string();
        for version in Version::ALL {
            assert!(message.contains(version.alpn()), "{message}");
        }
    }
}

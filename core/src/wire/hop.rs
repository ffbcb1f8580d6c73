//! Hops: who an announcement passed through.

use core::fmt;

use smallvec::SmallVec;
use thiserror::Error;

use super::{Body, DecodeError, varint};

/// The most hops that an announcement may have.
pub const MAX_HOPS: usize = 32;

/// The identity of a publisher or relay, below 2^62.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hop(u64);

impl Hop {
    /// A hop without identity: it proves no loop and excludes nothing.
    pub const UNKNOWN: Self = Self(0);

    /// The hop that sorts last.
    pub(crate) const LAST: Self = Self(varint::MAX);

    /// The hop with this id, 0 being [`UNKNOWN`](Self::UNKNOWN); `None` from 2^62.
    pub const fn new(id: u64) -> Option<Self> {
        if id > varint::MAX { None } else { Some(Self(id)) }
    }

    /// The id, below 2^62.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the hop has an identity.
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }

    pub(super) fn decode(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        body.varint().map(Self)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The hops of an announcement: the original publisher first, the neighbour last.
///
/// At most [`MAX_HOPS`], and no known hop twice.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Hops(SmallVec<[Hop; 4]>);

/// A rule for lists of hops that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HopsError {
    /// The list would be longer than [`MAX_HOPS`].
    #[error("more than {MAX_HOPS} hops, look for a loop between relays")]
    TooMany,
    /// The hop is in the list already.
    #[error("hop {0} is there twice: a loop, or two relays with the same id")]
    Duplicate(Hop),
}

impl Hops {
    /// No hops: a broadcast of the sender itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next hop at the end.
    pub fn push(&mut self, hop: Hop) -> Result<(), HopsError> {
        if self.0.len() == MAX_HOPS {
            return Err(HopsError::TooMany);
        }
        if self.contains(hop) {
            return Err(HopsError::Duplicate(hop));
        }
        self.0.push(hop);
        Ok(())
    }

    /// Whether the announcement passed through `hop`; never for [`Hop::UNKNOWN`].
    pub fn contains(&self, hop: Hop) -> bool {
        hop.is_known() && self.0.contains(&hop)
    }

    /// Who published first; [`Hop::UNKNOWN`] if it has not said who it is.
    pub fn origin(&self) -> Hop {
        self.0.first().copied().unwrap_or_default()
    }

    /// The hops in order.
    pub fn as_slice(&self) -> &[Hop] {
        &self.0
    }

    /// The hops in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Hop> {
        self.0.iter().copied()
    }

    /// How many hops there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_hops_are_unique() {
        let seven = Hop::new(7).unwrap();
        let mut hops = Hops::new();
        hops.push(seven).unwrap();
        assert_eq!(hops.push(seven), Err(HopsError::Duplicate(seven)));
        for _ in 1..MAX_HOPS {
            hops.push(Hop::UNKNOWN).unwrap();
        }
        assert_eq!(hops.push(Hop::UNKNOWN), Err(HopsError::TooMany));
        assert!(hops.contains(seven) && !hops.contains(Hop::UNKNOWN));
        assert_eq!(Hop::new(varint::MAX).map(Hop::get), Some(varint::MAX));
        assert_eq!(Hop::new(varint::MAX + 1), None);
    }
}

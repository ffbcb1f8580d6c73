//! What a route costs.

use super::varint;

/// The price of a route, in units that the operators agree on; at most 2^62-1 on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cost {
    /// What it costs now, given who carries the content already.
    pub warm: u64,
    /// What it would cost to pull the content afresh.
    pub cold: u64,
}

impl Cost {
    /// A broadcast of this node itself.
    pub const ZERO: Self = Self { warm: 0, cold: 0 };

    /// What a version without costs (up to 05) counts as.
    pub const UNKNOWN: Self = Self { warm: 0, cold: varint::MAX };

    /// What leads through a peer that is about to go.
    pub const DRAIN: Self = Self { warm: varint::MAX, cold: varint::MAX };

    /// The cost behind a link of price `link`, saturating at 2^62-1.
    pub fn plus(self, link: u64) -> Self {
        let add = |cost: u64| cost.saturating_add(link).min(varint::MAX);
        Self { warm: add(self.warm), cold: add(self.cold) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_saturate() {
        assert_eq!(Cost::UNKNOWN.plus(3), Cost { warm: 3, cold: varint::MAX });
        assert_eq!(Cost::ZERO.plus(u64::MAX), Cost { warm: varint::MAX, cold: varint::MAX });
    }
}

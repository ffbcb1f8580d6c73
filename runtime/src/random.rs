//! Numbers that differ from run to run and from node to node.

use std::hash::{BuildHasher, RandomState};

use smoq_core::wire::Hop;

/// The keys of std's hashers come from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// An identity for a node. JavaScript peers of old keep ids in a double, hence the 53 bits.
pub(crate) fn random_hop() -> Hop {
    Hop::new((random() >> (64 - 53)).max(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        assert_ne!(super::random(), super::random());
    }
}

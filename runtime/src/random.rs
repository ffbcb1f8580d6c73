//! Numbers that differ from run to run and from node to node.

use std::hash::{BuildHasher, RandomState};

/// The keys of std's hashers come from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        assert_ne!(super::random(), super::random());
    }
}

//! Randomness from a seed.

use std::vec::IntoIter;

/// SplitMix64: small, fast, and any seed gives a long sequence. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    /// What comes first.
    chosen: IntoIter<u8>,
}

impl Rng {
    /// A generator for one concern of a world: draws of one concern leave the others as they were.
    pub fn new(seed: u64, concern: u64) -> Self {
        let state = seed ^ concern.wrapping_mul(0xa076_1d64_78bd_642f);
        let mut rng = Self { state, chosen: Vec::new().into_iter() };
        rng.next();
        rng
    }

    /// A generator that draws each two of these bytes first: so a fuzzer decides.
    pub fn chosen(bytes: &[u8]) -> Self {
        Self { chosen: Vec::from(bytes).into_iter(), ..Self::new(0, 0) }
    }

    /// The next 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "an endless sequence needs no Option")]
    pub fn next(&mut self) -> u64 {
        if let (Some(high), Some(low)) = (self.chosen.next(), self.chosen.next()) {
            return u16::from_be_bytes([high, low]).into();
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a plain remainder is 2^-32 for any bound used here.
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_for_each_concern() {
        let draw = |seed, concern| {
            let mut rng = Rng::new(seed, concern);
            [rng.next(), rng.next()]
        };
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_eq!(Rng::new(1, 1).below(0), 0);
    }

    #[test]
    fn what_was_chosen_comes_first() {
        let mut rng = Rng::chosen(&[1, 2, 0, 3, 9]);
        assert_eq!([rng.next(), rng.next()], [0x102, 3]);
        assert_eq!(rng.next(), Rng::chosen(&[]).next());
    }
}

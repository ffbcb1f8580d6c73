//! The transactions of STUN requests, which must differ from peer to peer and not be guessed: whoever guesses
//! one, and the server's address, can tell a peer a wrong address of its own. They are as good as the entropy
//! they are made of; all other secrets are str0m's.

use smoq_signal::Entropy;

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        let fold = |seed: u64, byte: &u8| seed.rotate_left(5).wrapping_mul(31) ^ u64::from(*byte);
        Self(entropy.iter().rev().fold(0, fold) | 1)
    }

    pub(crate) fn bytes(&mut self) -> [u8; 12] {
        let mut bytes = [0; 12];
        for byte in &mut bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 24) as u8;
        }
        bytes
    }
}

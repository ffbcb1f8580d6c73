//! Somebody on the way who sends what he has heard, as it was or changed.

use std::{net::SocketAddr, time::Duration};

use bytes::BytesMut;

use super::address;
use crate::Rng;

pub(super) struct Stranger {
    rng: Rng,
}

impl Stranger {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng }
    }

    /// What he sends to the receiver of a datagram, after how long, and as whom. It may come before what
    /// it is a copy of.
    pub(super) fn hears(
        &mut self,
        from: SocketAddr,
        data: &[u8],
    ) -> Option<(Duration, SocketAddr, BytesMut)> {
        if !self.rng.chance(3) {
            return None;
        }
        let mut data = BytesMut::from(data);
        match self.rng.below(4) {
            0 => {}
            1 => data.truncate(1 + self.rng.below(data.len() as u64) as usize),
            2 => {
                // Always another value than before. A value from the seed alone would now and then be
                // the one that is there, by the random keys of TLS, and the packet a valid copy.
                let at = self.rng.below(data.len() as u64) as usize;
                data[at] ^= 1 + self.rng.below(255) as u8;
            }
            // The form of a packet, and nothing else.
            _ => data[1..].iter_mut().for_each(|byte| *byte = self.rng.next() as u8),
        }
        let forged = if self.rng.chance(50) { from } else { address(60_000, 0) };
        let delay = Duration::from_micros(self.rng.below(20_000));
        Some((delay, forged, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is encrypted differs from run to run, and a run must not: whether a packet is still what it
    /// was, and so accepted, follows from the seed alone.
    #[test]
    fn what_is_spoiled_does_not_depend_on_the_content() {
        let copies = |content: u8| {
            let mut stranger = Stranger::new(Rng::new(1, 1));
            let heard = [content; 40];
            let copies = (0..50_000).map(|_| {
                let (.., said) = stranger.hears(address(0, 0), &heard)?;
                Some(said == heard[..])
            });
            copies.collect::<Vec<_>>()
        };
        let some = copies(0);
        assert!(some.contains(&Some(true)) && some.contains(&Some(false)));
        for content in [1, 77, 200, 255] {
            assert_eq!(copies(content), some, "{content}");
        }
    }
}

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
                let at = self.rng.below(data.len() as u64) as usize;
                data[at] = self.rng.next() as u8;
            }
            // The form of a packet, and nothing else.
            _ => data[1..].iter_mut().for_each(|byte| *byte = self.rng.next() as u8),
        }
        let forged = if self.rng.chance(50) { from } else { address(60_000, 0) };
        let delay = Duration::from_micros(self.rng.below(20_000));
        Some((delay, forged, data))
    }
}

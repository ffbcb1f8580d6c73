//! Where connections come from: how many each address has, and how often it may connect.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

use smoq_core::Time;

use super::ConnectRefused;
use crate::{bucket::Bucket, limits::Limits};

#[derive(Clone)]
struct Address {
    connections: usize,
    connects: Bucket,
}

#[derive(Clone, Default)]
pub(super) struct Addresses {
    all: BTreeMap<IpAddr, Address>,
    /// Those without a connection, with the time at which they are as good as new.
    gone: BTreeSet<(Time, IpAddr)>,
}

impl Addresses {
    /// Takes one more connection of a counted address, if it may have it.
    pub(super) fn enter(
        &mut self,
        now: Time,
        address: IpAddr,
        limits: &Limits,
    ) -> Result<(), ConnectRefused> {
        let known = self.all.get(&address);
        let mut next = known.cloned().unwrap_or_else(|| Address {
            connections: 0,
            connects: Bucket::new(limits.connects, now),
        });
        if next.connections >= limits.connections_per_address {
            return Err(ConnectRefused::AddressFull);
        }
        if !next.connects.take(now, 1) {
            return Err(ConnectRefused::TooOften);
        }
        if let Some(known) = known {
            self.gone.remove(&(known.connects.full_at(), address));
        }
        next.connections += 1;
        self.all.insert(address, next);
        Ok(())
    }

    /// A connection of the address is over. Remembers as many that have none as there may be connections.
    pub(super) fn leave(&mut self, now: Time, address: IpAddr, limits: &Limits) {
        let Some(known) = self.all.get_mut(&address) else { return };
        known.connections -= 1;
        if known.connections == 0 {
            self.gone.insert((known.connects.full_at(), address));
        }
        while let Some((new_at, address)) = self.gone.first().copied() {
            if new_at > now && self.gone.len() <= limits.connections {
                break;
            }
            self.gone.pop_first();
            self.all.remove(&address);
        }
    }
}

/// What connections are counted by: whoever has an IPv6 address has 2^64 of them.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rate;

    #[test]
    fn addresses_are_forgotten_when_they_are_as_good_as_new_and_when_there_are_too_many() {
        let limits = Limits {
            connections: 3,
            connects: Rate { per_second: 1, burst: 5 },
            ..Limits::default()
        };
        let mut addresses = Addresses::default();
        let mut visit = |millis, last, times| {
            let (now, address) = (Time::from_millis(millis), [192, 0, 2, last].into());
            for _ in 0..times {
                addresses.enter(now, address, &limits).unwrap();
                addresses.leave(now, address, &limits);
            }
            (addresses.all.len(), addresses.gone.len())
        };
        assert_eq!(visit(0, 1, 5), (1, 1));
        assert_eq!(visit(0, 2, 1), (2, 2));
        assert_eq!(visit(1000, 3, 1), (2, 2), "the second is as good as new");
        for last in 4..100 {
            assert!(visit(1000, last, 1).0 <= 3);
        }
        assert_eq!(visit(1000, 1, 1), (3, 3), "one came back");
        let now = Time::from_millis(1000);
        let first = addresses.enter(now, [192, 0, 2, 1].into(), &limits);
        assert_eq!(first, Err(ConnectRefused::TooOften), "who came most is kept longest");
    }
}

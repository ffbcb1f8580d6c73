//! How many connections are open, with or without a request, and from where.

use std::{collections::HashMap, net::IpAddr};

use tokio::task::Id;

use super::{SPARE, SPARE_PER_ADDRESS};
use crate::{Limits, hub::counted};

/// Counts the tasks of connections.
pub(super) struct Doors {
    most: usize,
    most_per_address: usize,
    open: HashMap<Id, IpAddr>,
    addresses: HashMap<IpAddr, usize>,
}

impl Doors {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            most: limits.connections.saturating_add(SPARE),
            most_per_address: limits.connections_per_address.saturating_add(SPARE_PER_ADDRESS),
            open: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Whether one more may come from there.
    pub(super) fn have_room(&self, address: IpAddr) -> bool {
        let same = self.addresses.get(&counted(address)).copied().unwrap_or(0);
        self.open.len() < self.most && same < self.most_per_address
    }

    pub(super) fn open(&mut self, task: Id, address: IpAddr) {
        let address = counted(address);
        self.open.insert(task, address);
        *self.addresses.entry(address).or_default() += 1;
    }

    pub(super) fn close(&mut self, task: Id) {
        let Some(address) = self.open.remove(&task) else { return };
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

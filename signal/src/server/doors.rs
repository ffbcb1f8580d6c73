//! How many connections are open, with or without a request, and from where.

use std::{collections::HashMap, net::IpAddr};

use tokio::sync::mpsc;

use super::{SPARE, SPARE_PER_ADDRESS};
use crate::{Limits, hub::counted};

/// Counts the tasks of connections, and ends them when it is dropped.
pub(super) struct Doors<T> {
    most: usize,
    most_per_address: usize,
    /// The next connection's.
    number: u64,
    open: HashMap<u64, (IpAddr, T)>,
    addresses: HashMap<IpAddr, usize>,
    ended: mpsc::Receiver<u64>,
    /// As long as there are connections, so never full.
    ending: mpsc::Sender<u64>,
}

/// A connection has it as long as it is open. If it fails, too, it lets go of it.
pub(super) struct Door {
    number: u64,
    ending: mpsc::Sender<u64>,
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.ending.try_send(self.number);
    }
}

impl<T> Doors<T> {
    pub(super) fn new(limits: &Limits) -> Self {
        let most = limits.connections.saturating_add(SPARE);
        let (ending, ended) = mpsc::channel(most.min(tokio::sync::Semaphore::MAX_PERMITS));
        Self {
            most,
            most_per_address: limits.connections_per_address.saturating_add(SPARE_PER_ADDRESS),
            number: 0,
            open: HashMap::new(),
            addresses: HashMap::new(),
            ended,
            ending,
        }
    }

    /// Whether one more may come from there.
    pub(super) fn have_room(&self, address: IpAddr) -> bool {
        let same = self.addresses.get(&counted(address)).copied().unwrap_or(0);
        self.open.len() < self.most && same < self.most_per_address
    }

    /// Lets one in: its task is made with its door.
    pub(super) fn open(&mut self, address: IpAddr, spawn: impl FnOnce(Door) -> T) {
        let address = counted(address);
        self.number += 1;
        let task = spawn(Door { number: self.number, ending: self.ending.clone() });
        self.open.insert(self.number, (address, task));
        *self.addresses.entry(address).or_default() += 1;
    }

    /// Waits until one has gone. Cancel-safe.
    pub(super) async fn close(&mut self) {
        let Some(number) = self.ended.recv().await else { return };
        let Some((address, _)) = self.open.remove(&number) else { return };
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// Waits until all have gone.
    pub(super) async fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close().await;
        }
    }
}

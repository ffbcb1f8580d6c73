//! One connection of a hub: what waits for it, and how long it may take.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::net::IpAddr;

use smoq_core::Time;

use super::CloseReason;
use crate::{
    bucket::Bucket,
    id::{Entropy, PeerId},
    limits::Limits,
    wire::Dialect,
};

/// Whose a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The hub's own: answers and presence.
    Hub,
    /// Another client's.
    Peer,
}

/// What one connection may not have more of.
pub(super) struct QueueFull;

#[derive(Clone)]
pub(super) struct Conn {
    /// What its limit is counted by.
    pub(super) address: IpAddr,
    pub(super) entropy: Entropy,
    /// Known from its first message on.
    pub(super) dialect: Option<Dialect>,
    pub(super) ids: Vec<PeerId>,
    pub(super) messages: Bucket,
    pub(super) bytes: Bucket,
    pub(super) refusals: Bucket,
    pub(super) heard: Time,
    /// Since when it has no id.
    pub(super) nameless: Time,
    pub(super) next_ping: Time,
    /// Where the hub has its deadline.
    pub(super) armed: Time,
    /// Whether the hub has it among those that have something to send.
    pub(super) listed: bool,
    queue: VecDeque<(Origin, String)>,
    /// Sizes of what the embedder holds.
    in_flight: VecDeque<(Origin, usize)>,
    /// When it last took something, or began to have something to take.
    progress: Time,
    own: usize,
    foreign: usize,
    foreign_bytes: usize,
    queued_bytes: usize,
}

impl Conn {
    pub(super) fn new(now: Time, address: IpAddr, entropy: Entropy, limits: &Limits) -> Self {
        Self {
            address,
            entropy,
            dialect: None,
            ids: Vec::new(),
            messages: Bucket::new(limits.messages, now),
            bytes: Bucket::new(limits.bytes, now),
            refusals: Bucket::new(limits.refusals, now),
            heard: now,
            nameless: now,
            next_ping: now.after(limits.ping_interval),
            armed: now,
            listed: false,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            progress: now,
            own: 0,
            foreign: 0,
            foreign_bytes: 0,
            queued_bytes: 0,
        }
    }

    /// What it is spoken to in.
    pub(super) fn form(&self) -> Dialect {
        self.dialect.unwrap_or(Dialect::Envelope)
    }

    /// Bytes that wait for it.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether this much more of others may wait for it.
    pub(super) fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        self.foreign < limits.queue_messages && self.foreign_bytes + bytes <= limits.queue_bytes
    }

    /// Puts a message behind the others. What others may put in is asked of `has_room` before.
    pub(super) fn push(
        &mut self,
        origin: Origin,
        text: String,
        limits: &Limits,
    ) -> Result<(), QueueFull> {
        match origin {
            Origin::Hub if self.own == limits.own_messages => return Err(QueueFull),
            Origin::Hub => self.own += 1,
            Origin::Peer => {
                self.foreign += 1;
                self.foreign_bytes += text.len();
            }
        }
        self.queued_bytes += text.len();
        self.queue.push_back((origin, text));
        Ok(())
    }

    /// Whether the embedder may have the next message.
    pub(super) fn can_send(&self, limits: &Limits) -> bool {
        !self.queue.is_empty() && self.in_flight.len() < limits.in_flight
    }

    /// The next message, for the embedder to send.
    pub(super) fn send(&mut self, now: Time) -> Option<String> {
        let (origin, text) = self.queue.pop_front()?;
        if self.in_flight.is_empty() {
            self.progress = now;
        }
        self.in_flight.push_back((origin, text.len()));
        Some(text)
    }

    /// The embedder has sent the oldest of what it holds. Gives its size.
    pub(super) fn sent(&mut self, now: Time) -> usize {
        let Some((origin, bytes)) = self.in_flight.pop_front() else { return 0 };
        self.progress = now;
        self.queued_bytes -= bytes;
        match origin {
            Origin::Hub => self.own -= 1,
            Origin::Peer => {
                self.foreign -= 1;
                self.foreign_bytes -= bytes;
            }
        }
        bytes
    }

    /// When it must end for what reason, if nothing happens before.
    fn ends(&self, limits: &Limits) -> [(Option<Time>, CloseReason); 3] {
        let write = self.progress.after(limits.write_timeout);
        let register = self.nameless.after(limits.register_timeout);
        [
            ((!self.in_flight.is_empty()).then_some(write), CloseReason::SlowReader),
            (self.ids.is_empty().then_some(register), CloseReason::NotRegistered),
            (Some(self.heard.after(limits.idle_timeout)), CloseReason::Idle),
        ]
    }

    /// Why it must end now, if it must.
    pub(super) fn expired(&self, now: Time, limits: &Limits) -> Option<CloseReason> {
        let late = |(at, _): &(Option<Time>, _)| at.is_some_and(|at| at <= now);
        self.ends(limits).into_iter().find(late).map(|(_, reason)| reason)
    }

    /// When it must be looked at next.
    pub(super) fn deadline(&self, limits: &Limits) -> Time {
        let ends = self.ends(limits).into_iter().filter_map(|(at, _)| at);
        ends.fold(self.next_ping, Time::min)
    }
}

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

/// Why a message is sent. Each has bounds of its own, so that nobody is cut off from the one by the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client has asked.
    Answer,
    /// Others come into its rooms and leave them.
    Presence,
    /// Another client has sent it.
    Peer,
}

/// What one connection may not have more of.
pub(super) struct QueueFull;

/// What waits for a connection, of one origin.
#[derive(Clone, Copy, Default)]
struct Load {
    messages: usize,
    bytes: usize,
}

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
    answers: Load,
    presence: Load,
    forwards: Load,
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
            answers: Load::default(),
            presence: Load::default(),
            forwards: Load::default(),
        }
    }

    /// What it is spoken to in.
    pub(super) fn form(&self) -> Dialect {
        self.dialect.unwrap_or(Dialect::Envelope)
    }

    /// Bytes that wait for it.
    pub(super) fn queued_bytes(&self) -> usize {
        self.answers.bytes + self.presence.bytes + self.forwards.bytes
    }

    /// Whether it has been told all that it was to be told of its rooms.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.presence.messages == 0
    }

    /// Puts a message behind the others.
    pub(super) fn push(
        &mut self,
        origin: Origin,
        text: String,
        limits: &Limits,
    ) -> Result<(), QueueFull> {
        let (most, most_bytes) = match origin {
            Origin::Answer | Origin::Presence => (limits.own_messages, limits.own_bytes),
            Origin::Peer => (limits.queue_messages, limits.queue_bytes),
        };
        let load = self.load(origin);
        if load.messages >= most || load.bytes + text.len() > most_bytes {
            return Err(QueueFull);
        }
        load.messages += 1;
        load.bytes += text.len();
        self.queue.push_back((origin, text));
        Ok(())
    }

    fn load(&mut self, origin: Origin) -> &mut Load {
        match origin {
            Origin::Answer => &mut self.answers,
            Origin::Presence => &mut self.presence,
            Origin::Peer => &mut self.forwards,
        }
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
        let load = self.load(origin);
        load.messages -= 1;
        load.bytes -= bytes;
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

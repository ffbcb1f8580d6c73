//! The channels of one call, and the messages that wait for them.

use std::collections::VecDeque;

use str0m::channel::ChannelId as SctpId;

use crate::output::{Channel, ChannelId, Message, SendError};

/// Channels of one call.
pub(crate) const MOST_CHANNELS: usize = 64;
/// Bytes of a message at most: what browsers and Go programs take at least.
pub const MOST_MESSAGE: usize = 64 << 10;
/// Bytes of a label at most, and of the name of a protocol.
pub const MOST_LABEL: usize = 256;
/// Messages that wait in one call.
const MOST_WAITING: usize = 256;
/// Bytes of them.
const MOST_WAITING_BYTES: usize = 1 << 20;

pub(crate) struct Entry {
    pub(crate) id: ChannelId,
    /// Its name at str0m, which does not know it before there is a session.
    pub(crate) sctp: Option<SctpId>,
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) open: bool,
    /// A write found no room.
    pub(crate) blocked: bool,
    /// Bytes of messages that were said since the other side last had everything.
    pub(crate) unsure: usize,
}

/// In the order in which they were opened, so that one label always leads to the same channel.
#[derive(Default)]
pub(crate) struct Channels {
    pub(crate) entries: Vec<Entry>,
    waiting: VecDeque<(String, Message)>,
    waiting_bytes: usize,
}

impl Channels {
    /// One that is open or will be, for messages.
    pub(crate) fn has_label(&self, label: &str) -> bool {
        self.entries.iter().any(|entry| entry.label == label && entry.protocol.is_empty())
    }

    pub(crate) fn by_id(&mut self, id: ChannelId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    pub(crate) fn has(&self, id: ChannelId) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    /// Bytes of a message were said.
    pub(crate) fn count_said(&mut self, sctp: SctpId, bytes: usize) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.sctp == Some(sctp)) {
            entry.unsure += bytes;
        }
    }

    pub(crate) fn by_sctp(&self, sctp: SctpId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.sctp == Some(sctp))
    }

    /// Marks it as open, and puts it behind those that are.
    pub(crate) fn open(&mut self, sctp: SctpId) -> Option<&Entry> {
        let place = self.entries.iter().position(|entry| entry.sctp == Some(sctp))?;
        let mut entry = self.entries.remove(place);
        entry.open = true;
        let behind = self.entries.iter().filter(|entry| entry.open).count();
        self.entries.insert(behind, entry);
        self.entries.get(behind)
    }

    pub(crate) fn remove(&mut self, id: ChannelId) -> Option<Entry> {
        let place = self.entries.iter().position(|entry| entry.id == id)?;
        Some(self.entries.remove(place))
    }

    /// Lets a message wait.
    pub(crate) fn wait(&mut self, label: &str, message: Message) -> Result<(), SendError> {
        check_length(label.len(), MOST_LABEL)?;
        let size = check_message(&message)?;
        if self.waiting.len() >= MOST_WAITING || self.waiting_bytes + size > MOST_WAITING_BYTES {
            return Err(SendError::Full);
        }
        self.waiting_bytes += size;
        self.waiting.push_back((label.into(), message));
        Ok(())
    }

    /// The next message that waits for an open channel which is not `full`: the channel, and the message's
    /// place.
    pub(crate) fn ready(&self, full: &[SctpId]) -> Option<(SctpId, usize)> {
        self.waiting.iter().enumerate().find_map(|(place, (label, _))| {
            let is_it =
                |entry: &&Entry| entry.open && entry.label == *label && entry.protocol.is_empty();
            let sctp = self.entries.iter().find(is_it)?.sctp?;
            (!full.contains(&sctp)).then_some((sctp, place))
        })
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The message that waits at a place.
    pub(crate) fn waiting(&self, place: usize) -> Option<&Message> {
        self.waiting.get(place).map(|(_, message)| message)
    }

    /// It waits no more.
    pub(crate) fn forget(&mut self, place: usize) {
        if let Some((_, message)) = self.waiting.remove(place) {
            self.waiting_bytes -= message.bytes().len();
        }
    }

    /// Lets go of what waits for a channel if there is none of its label any more. Gives how many bytes.
    pub(crate) fn forget_closed(&mut self, label: &str) -> usize {
        if self.has_label(label) {
            return 0;
        }
        let before = self.waiting_bytes;
        self.waiting.retain(|(it, _)| it != label);
        self.waiting_bytes = self.waiting.iter().map(|(_, it)| it.bytes().len()).sum();
        before - self.waiting_bytes
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Takes all that waits.
    pub(crate) fn take_waiting(&mut self) -> VecDeque<(String, Message)> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// What goes over to another session with the same peer: everything, as if it were not open yet.
    pub(crate) fn unopened(mut self) -> Self {
        for entry in &mut self.entries {
            (entry.sctp, entry.open, entry.blocked, entry.unsure) = (None, false, false, 0);
        }
        self
    }

    pub(crate) fn list(&self) -> Vec<Channel> {
        let channel = |entry: &Entry| Channel {
            id: entry.id,
            label: entry.label.clone(),
            protocol: entry.protocol.clone(),
            open: entry.open,
        };
        self.entries.iter().map(channel).collect()
    }
}

/// Its length, if it can be sent.
pub(crate) fn check_message(message: &Message) -> Result<usize, SendError> {
    match message.bytes().len() {
        0 => Err(SendError::Empty),
        bytes => check_length(bytes, MOST_MESSAGE).map(|()| bytes),
    }
}

pub(crate) fn check_length(bytes: usize, most: usize) -> Result<(), SendError> {
    if bytes > most { Err(SendError::TooLong { bytes, most }) } else { Ok(()) }
}

//! What comes out of str0m.

use std::time::Duration;

use str0m::{
    Event as RtcEvent, IceConnectionState, Output as RtcOutput, channel::ChannelId as SctpId,
    media::Mid,
};

use super::{Call, DIRECT_PATIENCE, Do};
use crate::{
    channels::{Entry, MOST_CHANNELS, MOST_LABEL},
    media::Kind,
    output::{End, Event, Message, State},
};

impl Call {
    /// Takes what str0m has, until it has nothing any more.
    pub(super) fn drain(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(RtcOutput::Timeout(due)) => {
                    // Whatever is due at once was done just now.
                    let soon = self.now.after(Duration::from_millis(1));
                    self.rtc_due = Some(self.clock.time(due).max(soon));
                    return;
                }
                Ok(RtcOutput::Transmit(transmit)) => self.todo.push(Do::Transmit {
                    socket: transmit.source,
                    to: transmit.destination,
                    datagram: transmit.contents.to_vec(),
                }),
                Ok(RtcOutput::Event(event)) => self.handle_event(event),
                Err(error) => return self.broken(&error),
            }
        }
    }

    fn handle_event(&mut self, event: RtcEvent) {
        match event {
            RtcEvent::Connected => self.enter(State::Direct, None),
            RtcEvent::IceConnectionStateChange(state) => self.handle_ice(state),
            RtcEvent::ChannelOpen(sctp, label) => self.handle_open(sctp, label),
            RtcEvent::ChannelData(data) => {
                let Some(entry) = self.channels.by_sctp(data.id) else { return };
                let message =
                    if data.binary { Message::Binary(data.data) } else { Message::from(data.data) };
                self.stats.messages_received += 1;
                self.todo.push(Do::Event(Event::Message {
                    peer: self.peer.clone(),
                    channel: Some(entry.id),
                    label: entry.label.clone(),
                    protocol: entry.protocol.clone(),
                    message,
                }));
            }
            RtcEvent::ChannelClose(sctp) => {
                let Some(id) = self.channels.by_sctp(sctp).map(|entry| entry.id) else { return };
                let Some(entry) = self.channels.remove(id) else { return };
                self.handle_closed(&entry);
                let Entry { label, protocol, .. } = entry;
                let peer = self.peer.clone();
                self.todo.push(Do::Event(Event::Closed { peer, channel: id, label, protocol }));
            }
            RtcEvent::PeerStats(stats) => {
                self.stats.bytes_sent = stats.peer_bytes_tx;
                self.stats.bytes_received = stats.peer_bytes_rx;
                let pair = stats.selected_candidate_pair;
                self.stats.path = pair.as_ref().map(|pair| (pair.local.addr, pair.remote.addr));
                self.stats.round_trip = pair.and_then(|pair| pair.current_round_trip_time);
            }
            RtcEvent::MediaAdded(media) => self.take_media(Kind::of(media.kind), media.mid),
            RtcEvent::MediaData(_) => self.stats.frames_received += 1,
            RtcEvent::Closed => self.finish(End::HungUp),
            // The rest is wishes about media, which encoders are not told: they make a whole picture often.
            _ => {}
        }
    }

    /// The other side may take media of a kind.
    pub(super) fn take_media(&mut self, kind: Kind, mid: Mid) {
        let media = self.rtc.media(mid);
        let wanted = media.is_some_and(|it| !it.disabled() && it.direction().is_sending());
        if wanted && self.media.take(kind, mid) {
            self.todo.push(Do::Event(Event::Media { peer: self.peer.clone(), kind }));
        }
    }

    fn handle_ice(&mut self, state: IceConnectionState) {
        match (state, self.state) {
            // Not lost yet: packets may only be late. What is lost in between is sent again.
            (IceConnectionState::Disconnected, State::Direct) => {
                self.deadline = Some(self.now.after(DIRECT_PATIENCE));
            }
            (IceConnectionState::Connected | IceConnectionState::Completed, State::Direct) => {
                self.deadline = None;
            }
            (IceConnectionState::Connected | IceConnectionState::Completed, State::Hub)
                if self.rtc.is_connected() =>
            {
                self.enter(State::Direct, None);
            }
            _ => {}
        }
    }

    fn handle_open(&mut self, sctp: SctpId, label: String) {
        if self.channels.by_sctp(sctp).is_none() {
            let channel = self.rtc.channel(sctp);
            let protocol = channel.and_then(|it| it.config().map(|it| it.protocol.clone()));
            let protocol = protocol.unwrap_or_default();
            let is_long = label.len().max(protocol.len()) > MOST_LABEL;
            if is_long || self.channels.entries.len() >= MOST_CHANNELS {
                return self.unwanted.push(sctp);
            }
            let entry = self.entry(Some(sctp), &label, &protocol);
            self.channels.entries.push(entry);
        }
        let Some(entry) = self.channels.open(sctp) else { return };
        self.todo.push(Do::Event(Event::Opened {
            peer: self.peer.clone(),
            channel: entry.id,
            label: entry.label.clone(),
            protocol: entry.protocol.clone(),
        }));
    }
}

//! One call: a session of str0m, its channels, and how far it is.

mod events;

use std::{mem, net::SocketAddr, sync::Arc, time::Duration};

use smoq_signal::{
    Time,
    wire::{self, Description, Payload, SdpType},
};
use str0m::{
    Candidate, Input, Rtc, RtcError,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    channel::{Channel as SctpChannel, ChannelConfig, ChannelId as SctpId},
    config::CryptoProvider,
};

use crate::{
    channels::{Channels, Entry, MOST_CHANNELS, MOST_LABEL, check_length, check_message},
    clock::Clock,
    media::{Frame, Kind, Media},
    output::{Channel, ChannelId, End, Event, Loss, Message, SendError, State, Stats},
};

/// Places for media and channels in a description. Each may take memory.
const MOST_PLACES: usize = 8;
/// How long an offer may be without an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a direct way is looked for, at the beginning and after it is lost, before the hub takes over.
const DIRECT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a peer may be away from the hub: it may only have to connect anew.
const ABSENCE: Duration = Duration::from_secs(30);
/// How often str0m counts what it has sent.
const STATS_PAUSE: Duration = Duration::from_secs(1);
/// Candidates of the peer that are looked at.
const MOST_CANDIDATES: usize = 64;
/// Bytes of a description: many times what programs make.
const MOST_DESCRIPTION: usize = 64 << 10;

/// What a call wants its peer to do.
pub(crate) enum Do {
    Transmit { socket: SocketAddr, to: SocketAddr, datagram: Vec<u8> },
    Signal(Payload),
    ThroughHub { label: String, message: Message },
    Event(Event),
}

pub(crate) struct Call {
    peer: String,
    clock: Clock,
    /// Of the input that is handled. Set by the owner before each.
    pub(crate) now: Time,
    rtc: Rtc,
    /// The offer that has no answer yet.
    pending: Option<SdpPendingOffer>,
    /// The fingerprint lines of the other side's description: whether a later one is of the same session.
    fingerprints: Vec<String>,
    state: State,
    /// When the state is not waited for any more.
    deadline: Option<Time>,
    /// Until when the peer, which has left the hub, may come back. Without meaning while there is a direct way.
    absent: Option<Time>,
    /// When this side has said something last.
    spoken: Option<Time>,
    rtc_due: Option<Time>,
    channels: Channels,
    media: Media,
    /// The next channel's id.
    next_channel: u64,
    /// Channels of the peer that are too many, to be closed.
    unwanted: Vec<SctpId>,
    candidates: usize,
    stats: Stats,
    todo: Vec<Do>,
    end: Option<End>,
}

impl Call {
    /// The `number` is of no other call.
    pub(crate) fn new(
        now: Time,
        number: u32,
        peer: &str,
        clock: Clock,
        crypto: &Arc<CryptoProvider>,
        locals: &[Candidate],
        kinds: &[Kind],
    ) -> Self {
        let mut rtc = Rtc::builder()
            .set_crypto_provider(crypto.clone())
            .clear_codecs()
            // Whatever this end has: an answer of str0m that takes no codec of a kind cannot be read.
            .enable_opus(true, false)
            .enable_vp8(true)
            .set_stats_interval(Some(STATS_PAUSE))
            .build(clock.instant(now));
        for local in locals {
            rtc.add_local_candidate(local.clone());
        }
        Self {
            peer: peer.into(),
            clock,
            now,
            rtc,
            pending: None,
            fingerprints: Vec::new(),
            state: State::Connecting,
            deadline: None,
            absent: None,
            spoken: None,
            rtc_due: None,
            channels: Channels::default(),
            media: Media::new(kinds),
            next_channel: u64::from(number) << 32,
            unwanted: Vec::new(),
            candidates: 0,
            stats: Stats {
                state: State::Connecting,
                messages_sent: 0,
                messages_received: 0,
                bytes_sent: 0,
                bytes_received: 0,
                frames_sent: 0,
                frames_received: 0,
                round_trip: None,
                path: None,
            },
            todo: Vec::new(),
            end: None,
        }
    }

    /// Calls. The session needs a first channel for that.
    pub(crate) fn offer(&mut self, label: &str) {
        let mut changes = self.rtc.sdp_api();
        let sctp = changes.add_channel(label.into());
        self.media.offer(|kind, way| changes.add_media(kind, way, None, None, None));
        let Some((offer, pending)) = changes.apply() else {
            return self.finish(End::BadDescription);
        };
        let entry = self.entry(Some(sctp), label, "");
        self.channels.entries.push(entry);
        self.pending = Some(pending);
        self.describe(SdpType::Offer, serde_json::to_string(&offer));
        self.enter(State::Calling, Some(ANSWER_PATIENCE));
        self.run();
    }

    /// Whether an offer begins another session than this one.
    pub(crate) fn is_other(&self, offer: &Description) -> bool {
        self.pending.is_some() || fingerprints(&offer.json) != self.fingerprints
    }

    /// Takes over what an earlier session with the same peer had not done.
    pub(crate) fn inherit(&mut self, earlier: Self) {
        self.channels = earlier.channels.unopened();
    }

    /// Lets a message wait that the hub could not be given.
    pub(crate) fn wait(&mut self, label: &str, message: Message) -> Result<(), SendError> {
        self.channels.wait(label, message)
    }

    /// A message has gone through the hub.
    pub(crate) fn count_sent(&mut self) {
        self.stats.messages_sent += 1;
    }

    /// The peer calls, or asks for a change.
    pub(crate) fn handle_offer(&mut self, offer: &Description) {
        let fresh = self.fingerprints.is_empty();
        let accepted = read::<SdpOffer>(offer)
            .filter(|sdp| {
                let text = sdp.to_sdp_string();
                text.matches("\nm=").count() <= MOST_PLACES && self.count_candidates(&text)
            })
            .and_then(|sdp| self.rtc.sdp_api().accept_offer(sdp).ok());
        let Some(answer) = accepted else { return self.finish(End::BadDescription) };
        self.describe(SdpType::Answer, serde_json::to_string(&answer));
        if fresh {
            self.agreed(offer);
        }
        self.run();
    }

    /// The peer answers.
    pub(crate) fn handle_answer(&mut self, answer: &Description) {
        let Some(pending) = self.pending.take() else { return };
        let accepted = read::<SdpAnswer>(answer)
            .filter(|sdp| self.count_candidates(&sdp.to_sdp_string()))
            .map(|sdp| self.rtc.sdp_api().accept_answer(pending, sdp));
        match accepted {
            Some(Ok(())) => {
                self.agreed(answer);
                for (kind, mid) in mem::take(&mut self.media.offered) {
                    self.take_media(kind, mid);
                }
                self.run();
            }
            Some(Err(_)) | None => self.finish(End::BadDescription),
        }
    }

    /// A candidate of the peer. Those that cannot be used are passed over: names of the local network, the
    /// empty one at the end.
    pub(crate) fn handle_candidate(&mut self, candidate: &wire::Candidate) {
        let Ok(candidate) = Candidate::from_sdp_string(&candidate.candidate) else { return };
        self.candidates += 1;
        if self.candidates <= MOST_CANDIDATES {
            self.rtc.add_remote_candidate(candidate);
            self.run();
        }
    }

    /// Counts the candidates in a description, which str0m takes all. Whether they are not too many.
    fn count_candidates(&mut self, sdp: &str) -> bool {
        self.candidates += sdp.matches("\na=candidate:").count();
        self.candidates <= MOST_CANDIDATES
    }

    /// A candidate of this end that was found after the call began.
    pub(crate) fn add_local(&mut self, candidate: &Candidate) {
        let Some(added) = self.rtc.add_local_candidate(candidate.clone()) else { return };
        let candidate = wire::Candidate {
            candidate: added.to_sdp_string(),
            sdp_m_line_index: Some(0),
            ..Default::default()
        };
        self.todo.push(Do::Signal(Payload::Candidate(Some(candidate))));
        self.run();
    }

    /// Whether a datagram is for this call.
    pub(crate) fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.accepts(input)
    }

    pub(crate) fn handle_datagram(&mut self, input: Input<'_>) {
        self.feed(input);
        // It may have been an acknowledgement, which makes room.
        for entry in &mut self.channels.entries {
            if entry.unsure > 0 && buffered(&mut self.rtc, entry) == 0 {
                entry.unsure = 0;
            }
            if mem::take(&mut entry.blocked) {
                self.todo.push(Do::Event(Event::Writable { channel: entry.id }));
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self) {
        if self.rtc_due.is_some_and(|due| due <= self.now) {
            self.feed(Input::Timeout(self.clock.instant(self.now)));
        }
        if self.deadline.is_some_and(|deadline| deadline <= self.now) {
            match self.state {
                State::Calling => self.finish(End::NoAnswer),
                State::Connecting | State::Direct => self.fall_back(),
                State::Hub => self.deadline = None,
            }
        }
        if self.missed().is_some_and(|until| until <= self.now) {
            self.finish(End::Gone);
        }
    }

    /// There is no direct way: the hub takes over.
    fn fall_back(&mut self) {
        let bytes = self.unsure();
        self.enter(State::Hub, None);
        self.lose(bytes, Loss::Way);
        // To a peer that is not at the hub there is no way at all.
        if self.missed().is_none_or(|until| until > self.now) {
            self.send_waiting();
        }
    }

    /// The peer has left the hub, or the hub does not know it. It may come back.
    pub(crate) fn handle_absence(&mut self) {
        self.absent.get_or_insert(self.now.after(ABSENCE));
    }

    /// The peer is at the hub.
    pub(crate) fn handle_presence(&mut self) {
        self.absent = None;
    }

    /// When the call ends if the peer does not come back.
    fn missed(&self) -> Option<Time> {
        self.absent.filter(|_| self.state != State::Direct)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        [self.rtc_due, self.deadline, self.missed()].into_iter().flatten().min()
    }

    /// What is to be done, in order.
    pub(crate) fn take_todo(&mut self) -> Vec<Do> {
        mem::take(&mut self.todo)
    }

    /// Why it is over, if it is.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// When this side has said something last. What the peer says does not count: it may be anybody.
    pub(crate) fn spoken(&self) -> Option<Time> {
        self.spoken
    }

    /// Opens a channel; at once, or when the session is there.
    pub(crate) fn open(&mut self, label: &str, protocol: &str) -> Result<ChannelId, SendError> {
        check_length(label.len().max(protocol.len()), MOST_LABEL)?;
        if self.channels.entries.len() >= MOST_CHANNELS {
            return Err(SendError::TooManyChannels { most: MOST_CHANNELS });
        }
        let entry = self.entry(None, label, protocol);
        let id = entry.id;
        self.channels.entries.push(entry);
        self.run();
        Ok(id)
    }

    /// Closes a channel.
    pub(crate) fn close_channel(&mut self, id: ChannelId) -> Result<(), SendError> {
        let entry = self.channels.remove(id).ok_or(SendError::NoChannel)?;
        if let Some(sctp) = entry.sctp {
            self.rtc.direct_api().close_data_channel(sctp);
            self.run();
        }
        self.handle_closed(&entry);
        Ok(())
    }

    /// Sends a message by whatever way there is, or keeps it until there is one.
    pub(crate) fn send(&mut self, label: &str, message: Message) -> Result<(), SendError> {
        if self.state != State::Hub && !self.channels.has_label(label) {
            return Err(SendError::NoChannel);
        }
        self.channels.wait(label, message)?;
        self.spoken = Some(self.now);
        self.send_waiting();
        Ok(())
    }

    /// Writes on an open channel, if it has room.
    pub(crate) fn write(&mut self, id: ChannelId, message: &Message) -> Result<bool, SendError> {
        check_message(message)?;
        let entry =
            self.channels.by_id(id).filter(|entry| entry.open).ok_or(SendError::NoChannel)?;
        let taken = match entry.sctp.and_then(|sctp| self.rtc.channel(sctp)) {
            Some(mut channel) => say(&mut channel, message)?,
            None => return Err(SendError::NoChannel),
        };
        entry.blocked = !taken;
        self.stats.messages_sent += u64::from(taken);
        self.spoken = Some(self.now);
        self.run();
        Ok(taken)
    }

    /// Sends a frame, if the other side takes its kind and there is a direct way. What finds no way is lost.
    pub(crate) fn send_frame(&mut self, frame: &Frame) {
        let Some(mid) = self.media.mid(frame.kind).filter(|_| self.state == State::Direct) else {
            return;
        };
        let Some(writer) = self.rtc.writer(mid) else { return };
        let Some(payload) = frame.payload(writer.payload_params()) else { return };
        let now = self.clock.instant(self.now);
        let written = writer.write(payload, now, frame.time(), frame.bytes.clone());
        self.stats.frames_sent += u64::from(written.is_ok());
        self.run();
    }

    /// Whether the other side takes a kind of frames, and there is a way for them or may soon be one.
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        self.state != State::Hub && self.media.mid(kind).is_some()
    }

    /// A message of the peer came through the hub.
    pub(crate) fn count_received(&mut self) {
        self.stats.messages_received += 1;
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { state: self.state, ..self.stats.clone() }
    }

    pub(crate) fn channels(&self) -> Vec<Channel> {
        self.channels.list()
    }

    pub(crate) fn has(&self, channel: ChannelId) -> bool {
        self.channels.has(channel)
    }

    /// Whether messages wait, or the other side has not acknowledged some.
    pub(crate) fn has_unsent(&mut self) -> bool {
        let rtc = &mut self.rtc;
        let mut entries = self.channels.entries.iter();
        self.state != State::Hub && entries.any(|entry| buffered(rtc, entry) > 0)
            || self.channels.has_waiting()
    }

    /// Bytes of messages that the other side may not have, at most. Without the direct way they are gone.
    fn unsure(&mut self) -> usize {
        if self.state == State::Hub {
            return 0;
        }
        let rtc = &mut self.rtc;
        // What is behind a gap is acknowledged, but of no use to the other side.
        let is_unsure = |entry: &&Entry| buffered(rtc, entry) > 0;
        self.channels.entries.iter().filter(is_unsure).map(|entry| entry.unsure).sum()
    }

    /// Tells of bytes that may never arrive.
    fn lose(&mut self, bytes: usize, loss: Loss) {
        if bytes > 0 {
            self.todo.push(Do::Event(Event::Lost { peer: self.peer.clone(), bytes, loss }));
        }
    }

    /// A channel is closed. What waits for it has no way if it was the last one of its label.
    fn handle_closed(&mut self, entry: &Entry) {
        if self.state != State::Hub && entry.protocol.is_empty() {
            let bytes = self.channels.forget_closed(&entry.label);
            self.lose(bytes, Loss::Closed);
        }
    }

    /// Says goodbye as far as there is a way to. Nothing but [`Self::take_todo`] may follow.
    pub(crate) fn hang_up(&mut self) {
        if self.rtc.close().is_ok() {
            self.drain();
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        match self.rtc.handle_input(input) {
            Ok(()) => self.run(),
            Err(error) => self.broken(&error),
        }
    }

    /// Lets str0m do what it has to, which it must after each change, and after each change that follows
    /// from it.
    fn run(&mut self) {
        self.drain();
        while let Some(sctp) = self.unwanted.pop() {
            self.rtc.direct_api().close_data_channel(sctp);
            self.drain();
        }
        while self.pending.is_none() && self.end.is_none() {
            let new = self.channels.entries.iter_mut().find(|entry| entry.sctp.is_none());
            let Some(entry) = new else { break };
            let mut changes = self.rtc.sdp_api();
            entry.sctp = Some(changes.add_channel_with_config(ChannelConfig {
                label: entry.label.clone(),
                protocol: entry.protocol.clone(),
                ..Default::default()
            }));
            // A session without data channels, which would have to be agreed on anew.
            if changes.apply().is_some() {
                return self.finish(End::BadDescription);
            }
            self.drain();
        }
        self.send_waiting();
    }

    /// Sends what waits, as far as there is a way.
    pub(crate) fn send_waiting(&mut self) {
        if self.state == State::Hub {
            let waiting = self.channels.take_waiting();
            return self.todo.extend(
                waiting.into_iter().map(|(label, message)| Do::ThroughHub { label, message }),
            );
        }
        let mut full = Vec::new();
        while let Some((sctp, place)) = self.channels.ready(&full) {
            let Some(message) = self.channels.waiting(place) else { break };
            let bytes = message.bytes().len();
            match self.rtc.channel(sctp).map(|mut it| say(&mut it, message)) {
                Some(Ok(true)) => {
                    self.channels.forget(place);
                    self.channels.count_said(sctp, bytes);
                    self.stats.messages_sent += 1;
                    self.drain();
                }
                Some(Ok(false)) | None => full.push(sctp),
                Some(Err(_)) => {
                    self.channels.forget(place);
                    self.lose(bytes, Loss::Refused);
                }
            }
        }
    }

    fn entry(&mut self, sctp: Option<SctpId>, label: &str, protocol: &str) -> Entry {
        let id = ChannelId(self.next_channel);
        self.next_channel += 1;
        let (label, protocol) = (label.into(), protocol.into());
        Entry { id, sctp, label, protocol, open: false, blocked: false, unsure: 0 }
    }

    fn agreed(&mut self, remote: &Description) {
        self.fingerprints = fingerprints(&remote.json);
        self.enter(State::Connecting, Some(DIRECT_PATIENCE));
    }

    fn describe(&mut self, kind: SdpType, json: Result<String, serde_json::Error>) {
        let Ok(json) = json else { return self.finish(End::BadDescription) };
        let description = Description { kind: Some(kind), json };
        self.todo.push(Do::Signal(Payload::Sdp(Some(description))));
    }

    fn enter(&mut self, state: State, patience: Option<Duration>) {
        self.deadline = patience.map(|patience| self.now.after(patience));
        let is_back = self.state == State::Hub && state == State::Direct;
        self.state = state;
        self.todo.push(Do::Event(Event::State { peer: self.peer.clone(), state }));
        for kind in Kind::ALL.into_iter().filter(|&kind| is_back && self.media.mid(kind).is_some())
        {
            self.todo.push(Do::Event(Event::Media { peer: self.peer.clone(), kind }));
        }
    }

    /// str0m cannot go on. It gives up when it has found no way for a while; the hub carries messages still.
    fn broken(&mut self, error: &RtcError) {
        if self.state != State::Hub {
            self.finish(End::Broken(error.to_string()));
        }
        self.rtc.disconnect();
        self.rtc_due = None;
    }

    /// It is over. Tells of what was sent in vain.
    pub(crate) fn finish(&mut self, end: End) {
        if self.end.is_none() {
            let bytes = self.unsure() + self.channels.waiting_bytes();
            self.lose(bytes, Loss::Ended);
            self.end = Some(end);
        }
    }
}

/// Bytes of a channel that the other side has not acknowledged.
fn buffered(rtc: &mut Rtc, entry: &Entry) -> usize {
    entry.sctp.and_then(|sctp| rtc.channel(sctp)).map_or(0, |mut it| it.buffered_amount())
}

/// Whether there was room.
fn say(channel: &mut SctpChannel<'_>, message: &Message) -> Result<bool, SendError> {
    let is_binary = matches!(message, Message::Binary(_));
    channel.write(is_binary, message.bytes()).map_err(|_| SendError::NoChannel)
}

fn read<T: serde_core::de::DeserializeOwned>(description: &Description) -> Option<T> {
    if description.json.len() > MOST_DESCRIPTION {
        return None;
    }
    serde_json::from_str(&description.json).ok()
}

/// The fingerprints in a description: those of the certificate, which is made anew for each session.
fn fingerprints(json: &str) -> Vec<String> {
    const NAME: &str = "a=fingerprint:";
    let ends = |c: char| c == '\\' || c == '"' || c.is_control();
    let mut found: Vec<_> = json
        .split(NAME)
        .skip(1)
        .map(|rest| rest.split(ends).next().unwrap_or_default().to_ascii_lowercase())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

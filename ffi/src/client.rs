//! The client as a value, without pointers.

use std::{
    collections::BTreeMap,
    ffi::{CString, c_void},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Announced, Event as Core, Frames, Id, NextFrame, Path, Reader, Start, SubscribeOptions, Time,
    Watcher,
    wire::{GroupOrder, SessionCode},
};
use smoq_quic::{
    ClientTls, Endpoint, EndpointConfig, Event, Target, TransportOptions, Trust, tape::Recorder,
};

use crate::{
    error::{Error, text_for_c},
    types::{
        SMOQ_MAX_DATAGRAM, SmoqEvent, SmoqEventKind, SmoqFrame, SmoqStatus, SmoqSubscription,
        SmoqTrack,
    },
};

/// An endpoint with one connection, and what C was lent of it.
pub(crate) struct Client {
    endpoint: Endpoint,
    server: SocketAddr,
    /// When this began, by the clock of the caller and by ours, which is read once.
    epoch: u64,
    start: Instant,
    latest: Instant,
    subscriptions: BTreeMap<Id<Reader>, Frames>,
    /// It may have more to tell.
    watcher: Option<Id<Watcher>>,
    outbox: Vec<u8>,
    text: CString,
    payload: Bytes,
}

impl Client {
    /// Dials.
    pub(crate) fn new(
        now: u64,
        server: SocketAddr,
        host: Option<&str>,
        path: Option<&str>,
        trust: Trust,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        // The socket is the caller's, who need not know how to forbid fragments.
        let transport = TransportOptions {
            initial_mtu: SMOQ_MAX_DATAGRAM as u16,
            mtu_discovery: false,
            ..TransportOptions::default()
        };
        let mut endpoint =
            Endpoint::new(EndpointConfig { transport, ..EndpointConfig::default() }, start);
        let host = host.map_or_else(|| server.ip().to_string(), str::to_owned);
        let target = Target::new(vec![server], host, path.unwrap_or_default());
        endpoint.connect(start, target, &ClientTls::new(trust)?)?;
        Ok(Self {
            endpoint,
            server,
            epoch: now,
            start,
            latest: start,
            subscriptions: BTreeMap::new(),
            watcher: None,
            outbox: Vec::new(),
            text: CString::default(),
            payload: Bytes::new(),
        })
    }

    /// `now` of the caller as ours.
    fn at(&mut self, now: u64) -> Result<Instant, Error> {
        let since = Duration::from_micros(now.saturating_sub(self.epoch));
        let at = self.start.checked_add(since).ok_or(Error::Time(now))?;
        self.latest = self.latest.max(at);
        Ok(self.latest)
    }

    /// The node, and `now` as it counts.
    pub(crate) fn node(&mut self, now: u64) -> Result<(&mut Recorder, Time), Error> {
        let now = self.at(now)?;
        let time = self.endpoint.time(now);
        Ok((self.endpoint.node_mut(), time))
    }

    pub(crate) fn handle_datagram(&mut self, now: u64, data: &[u8]) -> Result<(), Error> {
        let now = self.at(now)?;
        self.endpoint.handle_datagram(now, self.server, None, 0, BytesMut::from(data));
        Ok(())
    }

    pub(crate) fn handle_timeout(&mut self, now: u64) -> Result<(), Error> {
        let now = self.at(now)?;
        self.endpoint.handle_timeout(now);
        Ok(())
    }

    /// The next datagram, at most [`SMOQ_MAX_DATAGRAM`] bytes.
    pub(crate) fn poll_transmit(&mut self, now: u64) -> Result<Option<&[u8]>, Error> {
        let now = self.at(now)?;
        let transmit = self.endpoint.poll_transmit(now, 1, &mut self.outbox);
        Ok(transmit.map(|transmit| &self.outbox[..transmit.size]))
    }

    /// When to call `handle_timeout`, by the caller's clock. Rounded up, so that it is due then.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let since = self.endpoint.poll_timeout()?.saturating_duration_since(self.start);
        let micros = u64::try_from(since.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        Some(self.epoch.saturating_add(micros))
    }

    pub(crate) fn poll_event(&mut self) -> Result<Option<SmoqEvent>, Error> {
        loop {
            if let Some(watcher) = self.watcher {
                match self.endpoint.node_mut().poll_announced(watcher)? {
                    // C would see another path, that of somebody else.
                    Some(Announced::Active { path, .. } | Announced::Ended { path })
                        if path.as_str().contains('\0') => {}
                    Some(Announced::Active { path, .. }) => {
                        return Ok(Some(self.event(SmoqEventKind::Announced, path.as_str())));
                    }
                    Some(Announced::Ended { path }) => {
                        return Ok(Some(self.event(SmoqEventKind::Unannounced, path.as_str())));
                    }
                    None => self.watcher = None,
                }
            }
            let Some(event) = self.endpoint.poll_event() else { return Ok(None) };
            let event = match event {
                Event::ConnectFailed { error, .. } => {
                    self.event(SmoqEventKind::ConnectFailed, &error.to_string())
                }
                Event::Core(Core::Ready { .. }) => self.event(SmoqEventKind::Ready, ""),
                Event::Core(Core::Closed { closed, .. }) => {
                    let why = if closed.reason.is_empty() {
                        closed.code.name()
                    } else {
                        closed.reason.as_str()
                    };
                    SmoqEvent { code: closed.code.0, ..self.event(SmoqEventKind::Closed, why) }
                }
                Event::Core(Core::Readable { reader }) => SmoqEvent {
                    subscription: SmoqSubscription { id: reader.to_bits() },
                    ..self.event(SmoqEventKind::Readable, "")
                },
                Event::Core(Core::Demand { track, wanted }) => {
                    let kind = if wanted { SmoqEventKind::Wanted } else { SmoqEventKind::Unwanted };
                    SmoqEvent { track: SmoqTrack { id: track.to_bits() }, ..self.event(kind, "") }
                }
                Event::Core(Core::Announced { watcher }) => {
                    self.watcher = Some(watcher);
                    continue;
                }
                Event::Core(Core::Goaway { uri, .. }) => self.event(SmoqEventKind::Goaway, &uri),
                // A broken rule that costs the session is followed by its end. Nobody here probes.
                Event::Connected { .. }
                | Event::Link(_)
                | Event::Core(
                    Core::Request { .. }
                    | Core::Violation { .. }
                    | Core::Wanted { .. }
                    | Core::Unread { .. }
                    | Core::Probed { .. },
                ) => continue,
            };
            return Ok(Some(event));
        }
    }

    fn event(&mut self, kind: SmoqEventKind, text: &str) -> SmoqEvent {
        self.text = text_for_c(text);
        SmoqEvent {
            kind,
            subscription: SmoqSubscription { id: 0 },
            track: SmoqTrack { id: 0 },
            code: 0,
            text: self.text.as_ptr(),
        }
    }

    /// `all`: from the oldest group held, without leaving any out; else as a live viewer.
    pub(crate) fn subscribe(
        &mut self,
        now: u64,
        path: &Path,
        track: &str,
        all: bool,
    ) -> Result<Id<Reader>, Error> {
        let (node, time) = self.node(now)?;
        let options = if all {
            SubscribeOptions {
                max_age: Duration::MAX,
                order: GroupOrder::OldestFirst,
                start: Start::From(0),
                ..SubscribeOptions::default()
            }
        } else {
            SubscribeOptions::default()
        };
        let reader = node.subscribe(time, path, track, options)?;
        self.subscriptions.insert(reader, Frames::new(reader));
        Ok(reader)
    }

    pub(crate) fn unsubscribe(&mut self, now: u64, reader: Id<Reader>) -> Result<(), Error> {
        let (node, time) = self.node(now)?;
        node.unsubscribe(time, reader)?;
        self.subscriptions.remove(&reader);
        Ok(())
    }

    /// The next frame, or why there is none.
    pub(crate) fn read_frame(
        &mut self,
        now: u64,
        reader: Id<Reader>,
    ) -> Result<Result<SmoqFrame, SmoqStatus>, Error> {
        let now = self.at(now)?;
        let time = self.endpoint.time(now);
        let frames = self.subscriptions.get_mut(&reader).ok_or(smoq_core::Misuse::Stale)?;
        loop {
            match frames.next(self.endpoint.node_mut(), time)? {
                NextFrame::Frame(frame) => {
                    self.payload = frame.payload;
                    return Ok(Ok(SmoqFrame {
                        group: frame.group,
                        index: frame.index,
                        timestamp: frame.timestamp,
                        data: self.payload.as_ptr().cast::<c_void>(),
                        size: self.payload.len(),
                    }));
                }
                NextFrame::GroupEnd { .. } => {}
                NextFrame::Pending => return Ok(Err(SmoqStatus::Nothing)),
                NextFrame::End => return Ok(Err(SmoqStatus::End)),
                NextFrame::Failed(code) => return Err(Error::Subscription(code)),
            }
        }
    }

    pub(crate) fn close(&mut self, now: u64) -> Result<(), Error> {
        let now = self.at(now)?;
        self.endpoint.close_all(now, SessionCode::NO_ERROR, "");
        Ok(())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.endpoint.is_idle()
    }
}

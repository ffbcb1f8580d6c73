//! Two nodes in one process, without QUIC: what it takes to carry moq-lite over something else.
//!
//!     cargo run -p smoq-embed-examples --example in_memory
//!
//! A transport is a [`Transport`], which does what a node wants, and calls of `handle_*`, which tell a node
//! what the other end did; [`pump`] goes between. Here it is a queue for each direction; over a byte stream
//! each `Signal` would be a message. [`smoq_core::Link`] is the bounded one, for use in earnest.

use std::{collections::VecDeque, error::Error, mem, time::Duration};

use bytes::Bytes;
use smoq_core::{
    Carrier, Closed, ClosedBy, Config, Dir, Frames, Id, NextFrame, Node, Path, Session,
    SessionConfig, StreamId, SubscribeOptions, Time, Version,
    binding::{Transport, pump},
    wire::{SessionCode, StreamCode, TrackInfo},
};

/// What one end tells the other.
enum Signal {
    Opened(StreamId, Dir),
    Data(StreamId, Bytes, bool),
    Reset(StreamId, StreamCode),
    Stop(StreamId, StreamCode),
    Close(Closed),
}

/// The sending half of one end.
struct Wire {
    /// 0 or 1: the lowest bit of the ids of its streams, so that both ends can open some.
    side: u64,
    opened: u64,
    queue: VecDeque<Signal>,
}

impl Transport for Wire {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let stream = StreamId(self.opened << 1 | self.side);
        self.opened += 1;
        self.queue.push_back(Signal::Opened(stream, dir));
        Some(stream)
    }

    /// Payload is shared with the store, not copied, and the other end takes it at once.
    fn room(&self) -> usize {
        usize::MAX
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let data = |chunk| Signal::Data(stream, mem::take(chunk), false);
        let bytes = chunks.iter().map(Bytes::len).sum();
        self.queue.extend(chunks.iter_mut().map(data));
        bytes
    }

    fn finish(&mut self, stream: StreamId) {
        self.queue.push_back(Signal::Data(stream, Bytes::new(), true));
    }

    /// The queue keeps the order in which streams are offered, the most urgent first.
    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.queue.push_back(Signal::Reset(stream, code));
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        self.queue.push_back(Signal::Stop(stream, code));
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        let closed = Closed { by: ClosedBy::Peer, code, reason: reason.to_owned() };
        self.queue.push_back(Signal::Close(closed));
    }
}

struct End {
    node: Node,
    session: Id<Session>,
    wire: Wire,
}

impl End {
    fn new(side: u64, session: SessionConfig) -> Self {
        let mut node = Node::new(Config { seed: side, ..Config::default() });
        let session = node.add_session(Time::ZERO, session);
        Self { node, session, wire: Wire { side, opened: 0, queue: VecDeque::new() } }
    }

    /// Carries what this end has to say over to the other one.
    fn carry(&mut self, to: &mut Self, now: Time) {
        self.node.handle_timeout(now);
        pump(&mut self.node, now, self.session, &mut self.wire, &mut Vec::new());
        let (node, session) = (&mut to.node, to.session);
        for signal in mem::take(&mut self.wire.queue) {
            match signal {
                Signal::Opened(stream, dir) => node.handle_opened(now, session, stream, dir),
                Signal::Data(stream, data, fin) => {
                    node.handle_recv(now, session, stream, data, fin);
                    if fin {
                        self.node.handle_acked(now, self.session, stream);
                    }
                }
                Signal::Reset(stream, code) => node.handle_reset(now, session, stream, code),
                Signal::Stop(stream, code) => node.handle_stopped(now, session, stream, code),
                Signal::Close(closed) => node.handle_closed(now, session, closed),
            }
        }
    }
}

pub(crate) fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let version = Version::ALL[0];
    let mut viewer = End::new(0, SessionConfig::client(version, Carrier::Raw, ""));
    let mut publisher = End::new(1, SessionConfig::server(version, Carrier::Raw, ""));
    // No clock is needed: time is what we say it is.
    let mut now = Time::ZERO;
    let (node, name) = (&mut publisher.node, Path::new("clock")?);
    let broadcast = node.create_broadcast(now, &name)?;
    let track = node.create_track(now, broadcast, "ticks", TrackInfo::default())?;
    node.announce(now, broadcast)?;
    let (group, _) = node.create_group(now, track, None)?;
    for tick in 0..3 {
        node.write_frame(now, group, tick * 1000, format!("tick {tick}").into())?;
    }
    node.finish_group(now, group)?;
    node.finish_track(now, track)?;

    let reader = viewer.node.subscribe(now, &name, "ticks", SubscribeOptions::default())?;
    let (mut frames, mut heard) = (Frames::new(reader), Vec::new());
    loop {
        now = now.after(Duration::from_millis(1));
        viewer.carry(&mut publisher, now);
        publisher.carry(&mut viewer, now);
        // An event says when to look; this loop looks each time.
        match frames.next(&mut viewer.node, now)? {
            NextFrame::Frame(frame) => heard.push(String::from_utf8(frame.payload.to_vec())?),
            NextFrame::GroupEnd { .. } | NextFrame::Pending => {}
            NextFrame::End => return Ok(heard),
            NextFrame::Failed(code) => return Err(format!("no subscription: {code}").into()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run()?.iter().for_each(|text| println!("{text}"));
    Ok(())
}

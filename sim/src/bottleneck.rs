//! Sound and pictures through a link that is too narrow for both, by real QUIC in virtual time.
//!
//! A publisher beside its relay, and a viewer behind 10 Mbit/s, which are 1 Mbit/s for a while. Pictures alone
//! are 2.5 Mbit/s.

use std::time::Duration;

use bytes::Bytes;
use smoq_core::{
    Carrier, Config, Frames, Group, Id, NextFrame, Path, SessionConfig, SubscribeOptions, Time,
    Track, Version,
    wire::{GroupOrder, Hop, StreamCode, TrackInfo},
};

use crate::{
    NodeId,
    actors::Stage,
    packets::{Air, Net},
    swarm::depth::Depth,
    tap::Tap,
};

/// The link becomes narrow here, and wide again there.
pub const NARROW: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];
/// What is made before this counts.
pub const END: Duration = Duration::from_secs(25);

/// How long it may come after that.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes a second of the link, and how many of them its router keeps: a tenth of a second when narrow.
const WIDE_RATE: u64 = 1_250_000;
const NARROW_RATE: u64 = 125_000;
const QUEUE: u64 = 12_500;
/// One way, from the relay to the viewer and back.
const LATENCY: Duration = Duration::from_millis(20);

/// What flows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// 50 frames a second of 160 bytes, each a group.
    Audio,
    /// 30 frames a second, fifteen in a group: one of 30 kB and fourteen of 9 kB.
    Video,
}

impl Kind {
    /// Both, the more urgent one first.
    pub const ALL: [Self; 2] = [Self::Audio, Self::Video];

    /// Its name, which is that of its track.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    const fn priority(self) -> u8 {
        match self {
            Self::Audio => 200,
            Self::Video => 100,
        }
    }

    /// When a frame is made, after the beginning.
    fn due(self, frame: u64) -> Duration {
        match self {
            Self::Audio => Duration::from_millis(frame * 20),
            Self::Video => Duration::from_micros(frame * 100_000 / 3),
        }
    }

    const fn group_frames(self) -> u64 {
        match self {
            Self::Audio => 1,
            Self::Video => 15,
        }
    }

    const fn size(self, index: u64) -> usize {
        match (self, index) {
            (Self::Audio, _) => 160,
            (Self::Video, 0) => 30_000,
            (Self::Video, _) => 9000,
        }
    }
}

/// What the viewer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// The newest, and nothing older than 300 ms: moq-lite-06.
    Fresh,
    /// The newest first, and everything else when there is room: moq-lite-06.
    Everything,
    /// The oldest first, as by one connection that loses nothing: moq-lite-05.
    InOrder,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Everything, Self::InOrder];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "newest first, at most 300 ms old",
            Self::Everything => "newest first, however old",
            Self::InOrder => "oldest first, however old",
        }
    }

    fn version(self) -> Version {
        match self {
            Self::Fresh | Self::Everything => Version::Lite06,
            // Later versions cannot ask for an order.
            Self::InOrder => Version::Lite05,
        }
    }

    fn options(self, kind: Kind) -> SubscribeOptions {
        let max_age = match self {
            Self::Fresh => Duration::from_millis(300),
            Self::Everything | Self::InOrder => Duration::MAX,
        };
        let order = match self {
            Self::Fresh | Self::Everything => GroupOrder::NewestFirst,
            Self::InOrder => GroupOrder::OldestFirst,
        };
        let priority = kind.priority();
        SubscribeOptions { priority, max_age, order, ..SubscribeOptions::default() }
    }
}

/// A frame that the viewer has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Of which track.
    pub kind: Kind,
    /// Of which group, and which one in it.
    pub group: u64,
    /// See `group`.
    pub index: u64,
    /// When it was made, after the beginning.
    pub made: Duration,
    /// How much later all of it was there.
    pub late: Duration,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// What has arrived, in order.
    pub arrivals: Vec<Arrival>,
    /// Groups of pictures that were cut off because they were too old.
    pub cut: usize,
}

impl Outcome {
    /// What has arrived of the frames of a track that were made in a span of time.
    pub fn of(&self, kind: Kind, made: [Duration; 2]) -> impl Iterator<Item = &Arrival> {
        self.arrivals.iter().filter(move |arrival| {
            arrival.kind == kind && (made[0]..made[1]).contains(&arrival.made)
        })
    }

    /// How late they were; `share` of them, in a hundred, were not later. `None` if none has arrived.
    pub fn late(&self, kind: Kind, made: [Duration; 2], share: usize) -> Option<Duration> {
        let mut late: Vec<_> = self.of(kind, made).map(|arrival| arrival.late).collect();
        late.sort_unstable();
        late.get((late.len() * share / 100).min(late.len().saturating_sub(1))).copied()
    }
}

/// How many frames of a track are made in a span of time.
pub fn made(kind: Kind, span: [Duration; 2]) -> usize {
    (0..)
        .map(|frame| kind.due(frame))
        .take_while(|due| *due < span[1])
        .filter(|due| *due >= span[0])
        .count()
}

/// A track on its way: who writes it and who reads it.
struct Flow {
    kind: Kind,
    track: Id<Track>,
    group: Option<Id<Group>>,
    written: u64,
    frames: Frames,
}

impl Flow {
    /// Writes what is due by now, as it would be by a clock.
    fn write(&mut self, net: &mut Net, publisher: NodeId) {
        let (kind, frame, time) = (self.kind, self.written, net.time(publisher));
        let node = net.node(publisher);
        let index = frame % kind.group_frames();
        let group = match self.group {
            Some(group) if index > 0 => group,
            _ => node.create_group(time, self.track, None).expect("the track is open").0,
        };
        self.group = Some(group);
        let timestamp = kind.due(frame).as_micros() as u64;
        let payload = Bytes::from(vec![kind.priority(); kind.size(index)]);
        node.write_frame(time, group, timestamp, payload).expect("the group is open");
        if index + 1 == kind.group_frames() {
            node.finish_group(time, group).expect("the group is open");
        }
        self.written += 1;
    }

    /// Reads what is there.
    fn read(&mut self, net: &mut Net, viewer: NodeId, begin: Time, outcome: &mut Outcome) {
        let (kind, now) = (self.kind, net.now());
        let time = net.time(viewer);
        let node = net.node(viewer);
        loop {
            match self.frames.next(node, time).expect("the reader is there") {
                NextFrame::Frame(frame) => {
                    let made = Duration::from_micros(frame.timestamp);
                    let late = now.since(begin).saturating_sub(made);
                    let (group, index) = (frame.group, frame.index);
                    outcome.arrivals.push(Arrival { kind, group, index, made, late });
                }
                NextFrame::GroupEnd { cut: Some(StreamCode::OLD), .. } => {
                    outcome.cut += usize::from(kind == Kind::Video);
                }
                NextFrame::GroupEnd { .. } => {}
                NextFrame::Pending | NextFrame::End => return,
                NextFrame::Failed(code) => panic!("the subscription failed: {code}"),
            }
        }
    }
}

/// Half a minute of it. The same seed gives the same outcome.
pub fn run(seed: u64, policy: Policy) -> Outcome {
    let air = Air { latency: LATENCY, ..Air::default() };
    let mut net = Net::new(seed, air, Tap::new(seed, None, true, false));
    let hop = Hop::new(100).expect("it is not 0");
    let relay = net.add(Config { hop, ..Config::default() });
    let [publisher, viewer] = [(); 2].map(|()| net.add(Config::default()));
    net.narrow(relay, viewer, WIDE_RATE, QUEUE);
    for node in [publisher, viewer] {
        let configs = [
            SessionConfig::client(policy.version(), Carrier::Raw, ""),
            SessionConfig::server(policy.version(), Carrier::Raw, ""),
        ];
        let connection = net.connect([node, relay], configs);
        while net.sessions(connection).contains(&None) {
            let until = net.now().after(LATENCY);
            net.step(until);
        }
    }
    let path = Path::new("show").expect("a good path");
    let time = net.time(publisher);
    let broadcast = net.node(publisher).publish(time, &path).expect("it is the only one");
    let mut flows = Kind::ALL.map(|kind| {
        let priority = kind.priority();
        let info = TrackInfo {
            priority,
            max_age_ms: 60_000,
            timescale: 1_000_000,
            ..TrackInfo::default()
        };
        let node = net.node(publisher);
        let track = node.create_track(time, broadcast, kind.name(), info).expect("a new track");
        let (time, options) = (net.time(viewer), policy.options(kind));
        let reader = net.node(viewer).subscribe(time, &path, kind.name(), options);
        let frames = Frames::new(reader.expect("a good name"));
        Flow { kind, track, group: None, written: 0, frames }
    });
    let mut outcome = Outcome::default();
    // Requests are there before the first frame.
    let begin = net.now().after(Duration::from_secs(1));
    let turns = [(NARROW[0], NARROW_RATE), (NARROW[1], WIDE_RATE)];
    let mut turns = turns.map(|(after, rate)| (begin.after(after), rate)).into_iter().peekable();
    loop {
        let due = |flow: &Flow| begin.after(flow.kind.due(flow.written));
        let next = flows.iter().map(due).min().expect("there are tracks");
        while net.step(next) {
            if net.eventful().contains(&viewer) {
                net.events(viewer);
                flows.iter_mut().for_each(|flow| flow.read(&mut net, viewer, begin, &mut outcome));
            }
        }
        net.pass(next);
        if let Some((_, rate)) = turns.next_if(|(at, _)| *at <= next) {
            net.narrow(relay, viewer, rate, QUEUE);
        }
        if next >= begin.after(END + GRACE) {
            return outcome;
        }
        for flow in flows.iter_mut().filter(|flow| due(flow) <= next) {
            flow.write(&mut net, publisher);
        }
    }
}

//! Groups that became too old: given up where they wait, and nowhere else.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{script::*, *};
use smoq_core::{
    Carrier, Config, Dir, Group, Id, SessionConfig, Start, StreamId, SubscribeOptions, Track,
    Version,
    wire::{BidiType, Fetch, StreamCode, SubscribeParams, SubscribeResponse, TrackInfo, varint},
};
use smoq_sim::{Bench, LinkConfig, PeerId, Sent, Viewer, World};

const MS: Duration = Duration::from_millis(1);

fn aged(max_age_ms: u64) -> SubscribeParams {
    SubscribeParams { max_age_ms, ..SubscribeParams::default() }
}

/// A publisher with a viewer who bears so much, and whose transport takes what the test grants.
struct Blocked {
    bench: Bench,
    track: Id<Track>,
    peer: PeerId,
    asked: StreamId,
    version: Version,
}

impl Blocked {
    fn new(version: Version, info: TrackInfo, params: SubscribeParams) -> Self {
        let mut bench = Bench::new(Config::default());
        let now = bench.now();
        let broadcast = bench.node.publish(now, &path("cam")).unwrap();
        let track = bench.node.create_track(now, broadcast, "video", info).unwrap();
        let peer = bench.client(version);
        let asked = subscribe(&mut bench, peer, 0, "cam", params);
        Self { bench, track, peer, asked, version }
    }

    /// Begins a group with a frame.
    fn begin(&mut self, timestamp: u64) -> Id<Group> {
        let now = self.bench.now();
        let (group, _) = self.bench.node.create_group(now, self.track, None).unwrap();
        self.frame(group, timestamp);
        group
    }

    /// Adds a frame, and lets a millisecond pass.
    fn frame(&mut self, group: Id<Group>, timestamp: u64) {
        let now = self.bench.now();
        self.bench.node.write_frame(now, group, timestamp, vec![7; 1000].into()).unwrap();
        self.bench.run();
        self.bench.pass(MS);
    }

    fn finish(&mut self, group: Id<Group>) {
        let now = self.bench.now();
        self.bench.node.finish_group(now, group).unwrap();
        self.bench.run();
    }

    /// A complete group of one frame.
    fn group(&mut self, timestamp: u64) {
        let group = self.begin(timestamp);
        self.finish(group);
    }

    /// How the group streams have ended so far: with FIN, with a code, or not.
    fn ends(&self) -> Vec<Option<Result<(), StreamCode>>> {
        let end = |sent: &&Sent| match (sent.fin, sent.reset) {
            (true, None) => Some(Ok(())),
            (_, reset) => reset.map(Err),
        };
        let peer = &self.bench[self.peer];
        let uni = peer.opened.iter().filter(|stream| stream.0 & 2 != 0);
        let groups = uni.map(|stream| &peer.sent[stream]);
        // SETUP is the first one where there is one.
        groups.skip(usize::from(self.version.has_setup())).map(|sent| end(&sent)).collect()
    }

    /// The groups dropped by name so far, with their codes.
    fn dropped(&self) -> Vec<(u64, StreamCode)> {
        let sent = self.bench.sent(self.peer, self.asked);
        let responses = heard_responses(sent, self.version);
        let drops = responses.into_iter().filter_map(|response| match response {
            SubscribeResponse::Drop { first, last, code } => Some((first..=last, code)),
            _ => None,
        });
        drops.flat_map(|(range, code)| range.map(move |group| (group, StreamCode(code)))).collect()
    }

    fn room(&mut self, room: usize) {
        self.bench.grant(self.peer, |peer| peer.room = room);
    }
}

const OLD: Option<Result<(), StreamCode>> = Some(Err(StreamCode::OLD));
const WHOLE: Option<Result<(), StreamCode>> = Some(Ok(()));

#[test]
fn a_group_on_its_way_is_reset_when_it_is_too_old() {
    for version in Version::ALL {
        let mut net = Blocked::new(version, TrackInfo::default(), aged(100));
        net.room(300);
        net.group(0);
        let sent = net.bench.groups(net.peer)[0].bytes.len();
        let second = net.begin(1000);
        assert_eq!(net.ends(), [None, None], "{version}");
        net.frame(second, 1099);
        assert_eq!(net.ends(), [None, None], "{version}");
        net.frame(second, 1100);
        assert_eq!(net.ends(), [OLD, None], "{version}");
        assert_eq!(net.bench.groups(net.peer)[0].bytes.len(), sent, "{version}: no byte more");
        net.finish(second);
        net.room(usize::MAX);
        assert_eq!(net.ends(), [OLD, WHOLE], "{version}");
        assert_eq!(net.dropped(), [(0, StreamCode::OLD)], "{version}");
    }
}

#[test]
fn a_group_without_a_stream_is_skipped_and_dropped_by_name() {
    for version in Version::ALL {
        let mut net = Blocked::new(version, TrackInfo::default(), aged(1000));
        net.bench.grant(net.peer, |peer| peer.credit[1] = 0);
        (0..4).for_each(|group| net.group(group * 1000));
        net.bench.pass(Duration::from_secs(1));
        let dropped = [(0, StreamCode::OLD), (1, StreamCode::OLD)];
        assert_eq!(net.dropped(), dropped, "{version}");
        net.bench.grant(net.peer, |peer| peer.credit[1] = 9);
        assert_eq!(net.ends(), [WHOLE; 2], "{version}");
        assert_eq!(net.dropped(), dropped, "{version}");
        let heard = net.bench.groups(net.peer).into_iter();
        let heard: Vec<_> = heard.map(|sent| heard_group(sent, version).0.sequence).collect();
        assert_eq!(heard, [2, 3], "{version}");
    }
}

#[test]
fn the_newest_group_waits_for_ever() {
    for version in Version::ALL {
        let mut net = Blocked::new(version, TrackInfo::default(), aged(0));
        net.room(100);
        let group = net.begin(0);
        (1..30).for_each(|second| {
            net.frame(group, second * 1000);
            net.bench.pass(Duration::from_secs(1));
        });
        net.finish(group);
        assert_eq!(net.ends(), [None], "{version}");
        net.room(usize::MAX);
        assert_eq!(net.ends(), [WHOLE], "{version}");
    }
}

/// Neither a viewer that takes everything, nor the application beside the publisher.
#[test]
fn what_is_taken_at_once_is_never_too_old() {
    for version in Version::ALL {
        let mut net = Blocked::new(version, TrackInfo::default(), aged(0));
        let now = net.bench.now();
        let options = SubscribeOptions { start: Start::From(0), ..SubscribeOptions::default() };
        let reader = net.bench.node.subscribe(now, &path("cam"), "video", options).unwrap();
        // A burst before anything leaves, then one at a time.
        for group in 0..50 {
            let (id, _) = net.bench.node.create_group(now, net.track, None).unwrap();
            net.bench.node.write_frame(now, id, group * 1000, vec![7; 1000].into()).unwrap();
            net.bench.node.finish_group(now, id).unwrap();
        }
        net.bench.run();
        (50..60).for_each(|group| net.group(group * 1000));
        assert_eq!(net.ends(), [WHOLE; 60], "{version}");
        assert_eq!(net.dropped(), [], "{version}");
        let read = (0..60).filter(|_| {
            let next = net.bench.node.next_group(now, reader).unwrap();
            matches!(next, smoq_core::NextGroup::Group { .. })
        });
        assert_eq!(read.count(), 60, "{version}");
    }
}

/// A burst that is more than fits at once, but not more than is sent at once.
#[test]
fn what_goes_in_the_same_instant_has_not_waited() {
    for version in Version::ALL {
        let mut blocked = Blocked::new(version, TrackInfo::default(), aged(0));
        blocked.room(0);
        let now = blocked.bench.now();
        for timestamp in 0..10 {
            let node = &mut blocked.bench.node;
            let (group, _) = node.create_group(now, blocked.track, None).unwrap();
            node.write_frame(now, group, timestamp, vec![7; 1000].into()).unwrap();
            node.finish_group(now, group).unwrap();
        }
        blocked.bench.run();
        for _ in 0..10 {
            blocked.room(1500);
        }
        assert_eq!(blocked.ends(), [Some(Ok(())); 10], "{version}");
    }
}

#[test]
fn the_publisher_bounds_what_a_viewer_bears() {
    for version in Version::ALL {
        let info = TrackInfo { max_age_ms: 1000, timescale: 90_000, ..TrackInfo::default() };
        let mut net = Blocked::new(version, info, aged(varint::MAX));
        net.room(0);
        let groups = [0, 90_000, 179_999].map(|timestamp| net.begin(timestamp));
        net.bench.pass(Duration::from_secs(2));
        assert_eq!(net.ends(), [None; 3], "{version}");
        net.frame(groups[2], 180_000);
        assert_eq!(net.ends(), [OLD, None, None], "{version}");
    }
}

/// One stream that is not read costs its own group, and no other.
#[test]
fn a_stream_that_takes_nothing_harms_no_other() {
    for version in Version::ALL {
        let mut net = Blocked::new(version, TrackInfo::default(), aged(0));
        net.bench.grant(net.peer, |peer| peer.stream_window = 300);
        net.begin(0);
        net.bench.grant(net.peer, |peer| peer.stream_window = usize::MAX);
        let now = net.bench.now();
        for group in 1..10 {
            let (id, _) = net.bench.node.create_group(now, net.track, None).unwrap();
            net.bench.node.write_frame(now, id, group * 1000, vec![7; 1000].into()).unwrap();
            net.bench.node.finish_group(now, id).unwrap();
        }
        net.bench.run();
        let ends = net.ends();
        assert_eq!((ends[0], &ends[1..]), (OLD, &[WHOLE; 9][..]), "{version}");
        assert_eq!(net.dropped(), [(0, StreamCode::OLD)], "{version}");
    }
}

#[test]
fn another_age_is_for_what_is_on_its_way_too() {
    for version in Version::ALL {
        for (before, after) in [(4000, 400), (400, 4000)] {
            let mut net = Blocked::new(version, TrackInfo::default(), aged(before));
            net.room(0);
            [0, 1000].into_iter().for_each(|timestamp| _ = net.begin(timestamp));
            let update = message(&aged(after), version);
            net.bench.send(net.peer, net.asked, &update);
            net.begin(1500);
            let short = after == 400;
            assert_eq!(net.ends()[0], OLD.filter(|_| short), "{version}");
            // The next update finds it without any other news.
            net.bench.pass(MS);
            net.bench.send(net.peer, net.asked, &message(&aged(400), version));
            assert_eq!(net.ends(), [OLD, None, None], "{version}");
        }
    }
}

#[test]
fn a_fetch_takes_its_time() {
    for version in Version::ALL.into_iter().filter(|version| version.has_track()) {
        let mut net = Blocked::new(version, TrackInfo::default(), aged(0));
        net.group(0);
        let (broadcast, track) = (path("cam"), "video".into());
        let (priority, group, frame_start, frame_end) = (0, 0, 0, None);
        let fetch = Fetch { broadcast, track, priority, group, frame_start, frame_end };
        net.room(300);
        let request = typed(BidiType::Fetch.to_varint(), &fetch, version);
        let fetched = net.bench.open_with(net.peer, Dir::Bi, &request);
        (1..9).for_each(|group| net.group(group * 10_000));
        assert_eq!(net.bench.sent(net.peer, fetched).reset, None, "{version}");
        net.room(usize::MAX);
        assert!(net.bench.sent(net.peer, fetched).fin, "{version}");
    }
}

/// Where frames have no timestamps they have those of their arrival.
#[test]
fn age_is_by_timestamps_else_by_arrival() {
    for version in Version::ALL {
        let bench = &mut Bench::new(relay_config(100));
        let [publisher, viewer] = [(); 2].map(|()| bench.client(version));
        announce(bench, publisher, "cam");
        subscribe(bench, viewer, 0, "cam", aged(500));
        accept(bench, publisher, 0);
        bench.grant(viewer, |peer| peer.room = 0);
        // By their timestamps they are a second apart.
        let mut resets = Vec::new();
        for (group, wait) in [(0, 400), (1, 400), (2, 200), (3, 0)] {
            send_group(bench, publisher, 0, group, b"x");
            bench.pass(wait * MS);
            let sent = bench[viewer].sent.values();
            resets.push(sent.filter(|sent| sent.reset == Some(StreamCode::OLD)).count());
        }
        let expected = if version.has_timestamps() { [0, 0, 1, 2] } else { [0, 0, 0, 1] };
        assert_eq!(resets, expected, "{version}");
    }
}

/// A third of what is published gets through, to the relay or from it: what comes is the beginning of each
/// group while it is new, and what does not come is told.
#[test]
fn behind_a_relay_what_comes_is_new() {
    for (up, down) in hops() {
        for slow in 0..2 {
            let world = &mut World::new(5);
            let relay = world.node(relay_config(100));
            let narrow = LinkConfig { rate: Some(20_000), window: 4000, ..LinkConfig::default() };
            let join = |world: &mut World, version, narrowed| {
                let node = world.node(Config::default());
                let configs = [
                    SessionConfig::client(version, Carrier::Raw, ""),
                    SessionConfig::server(version, Carrier::Raw, ""),
                ];
                let link = if narrowed { narrow.clone() } else { LinkConfig::default() };
                world.connect_with(node, relay, configs, link);
                node
            };
            let publisher = join(world, up, slow == 0);
            let viewer = join(world, down, slow == 1);
            let mut source = Source::new(world, publisher, "cam", "video");
            world.run_until_idle();
            let max_age = Duration::from_millis(300);
            let options = SubscribeOptions { max_age, ..SubscribeOptions::default() };
            let mut viewer = Viewer::new(world, viewer, "cam", "video", options);
            world.run_until_idle();
            // A group is 100 ms, of a small frame and a large one.
            let mut late = 0;
            for group in 0..100_u64 {
                let frame =
                    |(at, size): (u64, usize)| (group * 100 + at * 50, Bytes::from(vec![7; size]));
                source.group(world, &[(0, 500), (1, 5500)].map(frame));
                world.run_for(100 * MS);
                let begun = |viewer: &Viewer| {
                    let begun = viewer.groups.iter().filter(|(_, log)| !log.frames.is_empty());
                    begun.map(|(group, _)| *group).collect::<Vec<_>>()
                };
                let before = begun(&viewer);
                viewer.read(world);
                let came = begun(&viewer).into_iter().filter(|came| !before.contains(came));
                late = came.map(|came| group - came).max().unwrap_or(0).max(late);
            }
            let what = format!("{up} {down}, slow {slow}");
            // What is in the window takes two of them.
            assert!(late <= 4, "{what}: {late} groups late");
            let ends = |end| viewer.groups.values().filter(|log| log.end == Some(end)).count();
            assert!(viewer.groups.len() > 90, "{what}: {} begun", viewer.groups.len());
            assert!(ends(Err(StreamCode::OLD)) > 60, "{what}: {} old", ends(Err(StreamCode::OLD)));
            source.finish(world);
            world.run_for(Duration::from_secs(20));
            viewer.read(world);
            assert_eq!(viewer.end, Some(Ok(())), "{what}");
            let newest = viewer.groups.last_key_value().map(|(group, log)| (*group, log.end));
            assert_eq!(newest, Some((99, Some(Ok(())))), "{what}");
        }
    }
}

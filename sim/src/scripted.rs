//! One session that goes the same way whoever drives it.

use smoq_core::{
    Announced, Config, GroupReader, Id, NextGroup, Path, Read, Reader, Start, SubscribeOptions,
    Time, Track, Watcher,
    wire::{GroupOrder, Hop, TrackInfo},
};
use smoq_tape::Recorder;

/// The track of each side.
const TRACK: &str = "video";
const GROUPS: u64 = 3;
const FRAMES: u64 = 2;

/// One of the two sides of a scripted session: it publishes a track and reads that of the other side.
///
/// What is on the streams depends on nothing but the version, so it is the same for every driver;
/// [`smoq_tape::streams`] of the server's recording tells whether it is. The nodes are made with
/// [`config`](Self::config), and the server discovers on demand. Both sides publish before the connection
/// begins: [`new`](Self::new). Then [`poll`](Self::poll) after each turn of the driver, until it says that
/// all is done; the client closes the connection when both are.
#[derive(Debug)]
pub struct Scripted {
    theirs: Path,
    track: Id<Track>,
    watcher: Id<Watcher>,
    reader: Option<Id<Reader>>,
    group: Option<Id<GroupReader>>,
    frames: u64,
    ended: bool,
    asked: bool,
}

impl Scripted {
    /// How the node of a side is made.
    pub fn config(server: bool) -> Config {
        let hop = Hop::new(if server { 7 } else { 9 }).unwrap_or_default();
        Config { hop, seed: 1, ..Config::default() }
    }

    /// Publishes everything, and begins to watch.
    ///
    /// # Panics
    /// If the node has published something before.
    pub fn new(node: &mut Recorder, now: Time, server: bool) -> Self {
        let names = if server { ["down", "up"] } else { ["up", "down"] };
        let [ours, theirs] = names.map(|name| Path::new(name).expect("a good path"));
        let broadcast = node.publish(now, &ours).expect("a new path");
        let info = TrackInfo::default();
        let track = node.create_track(now, broadcast, TRACK, info).expect("a new track");
        for group in 0..GROUPS {
            let (id, _) = node.create_group(now, track, None).expect("the track is there");
            for frame in 0..FRAMES {
                let (timestamp, payload) = Self::frame(group, frame);
                node.write_frame(now, id, timestamp, payload.into()).expect("the group is there");
            }
            node.finish_group(now, id).expect("the group is there");
        }
        node.finish_track(now, track).expect("the track is there");
        let watcher = node.watch(now, &Path::root());
        Self {
            theirs,
            track,
            watcher,
            reader: None,
            group: None,
            frames: 0,
            ended: false,
            asked: false,
        }
    }

    /// The timestamp and the payload of a frame.
    pub fn frame(group: u64, frame: u64) -> (u64, Vec<u8>) {
        (group * 100 + frame, vec![(group * FRAMES + frame) as u8; 5 + 10 * frame as usize])
    }

    /// Does what can be done now. Says whether all is done: everything of the other side was read, and it
    /// has got everything.
    ///
    /// # Panics
    /// If something fails.
    pub fn poll(&mut self, node: &mut Recorder, now: Time) -> bool {
        while let Ok(Some(change)) = node.poll_announced(self.watcher) {
            if let Announced::Active { path, .. } = change
                && path == self.theirs
            {
                let options = SubscribeOptions {
                    max_age: std::time::Duration::MAX,
                    order: GroupOrder::OldestFirst,
                    start: Start::From(0),
                    ..SubscribeOptions::default()
                };
                self.reader = node.subscribe(now, &path, TRACK, options).ok();
            }
        }
        while !self.ended && self.read(node, now) {}
        let backlog = node.backlog(self.track).expect("the track is there");
        self.asked |= backlog.subscribers > 0;
        self.ended && self.asked && backlog.unfinished == 0
    }

    /// Reads something. Says whether there was anything.
    fn read(&mut self, node: &mut Recorder, now: Time) -> bool {
        let Some(reader) = self.reader else { return false };
        let Some(group) = self.group else {
            match node.next_group(now, reader).expect("the reader is there") {
                NextGroup::Group { id, .. } => self.group = Some(id),
                NextGroup::Pending => return false,
                NextGroup::End => {
                    assert_eq!(self.frames, GROUPS * FRAMES, "something was left out");
                    self.ended = true;
                }
                NextGroup::Failed(code) => panic!("the subscription failed: {code}"),
            }
            return true;
        };
        match node.read(group, usize::MAX).expect("the group is there") {
            Read::Chunk(chunk) => self.frames += u64::from(chunk.is_last()),
            Read::Pending => return false,
            Read::End => self.group = None,
            Read::Reset(code) => panic!("a group was cut off: {code}"),
        }
        true
    }
}

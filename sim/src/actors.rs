//! Who publishes and who watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use smoq_core::{
    Announced, Broadcast, Group, GroupReader, Id, Misuse, NextGroup, Path, Read, Reader, Start,
    SubscribeOptions, Time, Track, Watcher,
    wire::{StreamCode, TrackInfo},
};

use crate::{
    NodeId, Recorder, World,
    invariants::{Broken, Delivery, Instance, Invariant, Ledger},
};

/// The track of every broadcast.
const TRACK: &str = "video";

pub(crate) fn path(name: &str) -> Path {
    Path::new(name).expect("the swarm uses good paths")
}

/// What actors act in: a world of the swarm, or a state of the explorer.
pub(crate) trait Stage {
    fn now(&self) -> Time;
    /// The same as a node counts it.
    fn time(&self, _: NodeId) -> Time {
        self.now()
    }
    fn node(&mut self, node: NodeId) -> &mut Recorder;
    fn ledger(&mut self) -> &mut Ledger;
}

impl Stage for World {
    fn now(&self) -> Time {
        Self::now(self)
    }

    fn node(&mut self, node: NodeId) -> &mut Recorder {
        &mut self[node]
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.tap.as_mut().expect("actors need a tap").ledger
    }
}

/// How a group ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Complete,
    CutOff(u16),
    /// The next act of this publisher goes on with it.
    Open,
}

/// What a publisher has on air.
#[derive(Clone, Copy, Debug)]
struct OnAir {
    instance: usize,
    broadcast: Id<Broadcast>,
    track: Id<Track>,
    finished: bool,
    /// A group that goes on.
    open: Option<(Id<Group>, u64)>,
}

/// A publisher of one broadcast with one track.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    pub(crate) node: NodeId,
    pub(crate) path: String,
    on_air: Option<OnAir>,
}

impl Publisher {
    pub(crate) fn new(node: NodeId, path: String) -> Self {
        Self { node, path, on_air: None }
    }

    /// The node has lost everything.
    pub(crate) fn crashed(&mut self) {
        self.on_air = None;
    }

    pub(crate) fn publish(&mut self, world: &mut impl Stage) {
        self.unpublish(world);
        let now = world.time(self.node);
        let Ok(broadcast) = world.node(self.node).publish(now, &path(&self.path)) else { return };
        let info = TrackInfo { max_age_ms: 60_000, ..TrackInfo::default() };
        let track = world.node(self.node).create_track(now, broadcast, TRACK, info);
        let track = track.expect("the broadcast is new");
        let instance = world.ledger().publish(self.node, &self.path);
        self.on_air = Some(OnAir { instance, broadcast, track, finished: false, open: None });
    }

    pub(crate) fn unpublish(&mut self, world: &mut impl Stage) {
        if let Some(on_air) = self.on_air.take() {
            let now = world.time(self.node);
            // Its track goes with it, and the groups that were open stay cut off.
            world.node(self.node).unpublish(now, on_air.broadcast).expect("it is on air");
        }
    }

    /// Makes sure that the next group can be published.
    pub(crate) fn refresh(&mut self, world: &mut impl Stage) {
        self.close(world);
        if self.on_air.is_none_or(|on_air| on_air.finished) {
            self.publish(world);
        }
    }

    pub(crate) fn finish(&mut self, world: &mut impl Stage) {
        self.close(world);
        let now = world.time(self.node);
        if let Some(on_air) = &mut self.on_air {
            on_air.finished = true;
            // Who has no room for it has forgotten it.
            _ = world.node(self.node).finish_track(now, on_air.track);
        }
    }

    /// Publishes a group, or goes on with the one that is open.
    pub(crate) fn group(&mut self, world: &mut impl Stage, frames: u64, size: u64, ending: Ending) {
        let now = world.time(self.node);
        let Some(on_air) = self.on_air.filter(|on_air| !on_air.finished) else { return };
        let (group, sequence) = match on_air.open {
            Some(open) => open,
            None => {
                let Ok(made) = world.node(self.node).create_group(now, on_air.track, None) else {
                    return;
                };
                let begun = world.now();
                world.ledger().open(on_air.instance, made.1, begun);
                made
            }
        };
        for _ in 0..frames {
            let (timestamp, payload) = world.ledger().next(on_air.instance, sequence, size);
            let written =
                world.node(self.node).write_frame(now, group, timestamp, Bytes::from(payload));
            if written.is_err() {
                break;
            }
            world.ledger().wrote(on_air.instance, sequence, size);
        }
        self.set_open(Some((group, sequence)));
        match ending {
            Ending::Open => {}
            Ending::Complete => self.close(world),
            Ending::CutOff(code) => {
                let code = StreamCode::application(code);
                self.end(world, Err(code));
            }
        }
    }

    fn close(&mut self, world: &mut impl Stage) {
        self.end(world, Ok(()));
    }

    fn end(&mut self, world: &mut impl Stage, end: Result<(), StreamCode>) {
        let now = world.time(self.node);
        let Some(on_air) = self.on_air else { return };
        let Some((group, sequence)) = on_air.open else { return };
        self.set_open(None);
        let ended: Result<(), Misuse> = match end {
            Ok(()) => world.node(self.node).finish_group(now, group),
            Err(code) => world.node(self.node).abort_group(now, group, code),
        };
        if ended.is_ok() {
            world.ledger().close(on_air.instance, sequence, end);
        }
    }

    fn set_open(&mut self, open: Option<(Id<Group>, u64)>) {
        if let Some(on_air) = &mut self.on_air {
            on_air.open = open;
        }
    }
}

/// A subscription that a viewer has, or wants back.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    path: String,
    reader: Id<Reader>,
    delivery: Delivery,
    open: BTreeMap<u64, Id<GroupReader>>,
    /// Why it is over.
    over: Option<Result<(), StreamCode>>,
}

/// Somebody who watches some broadcasts, and knows all of them.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) node: NodeId,
    /// Every frame that comes has the timestamp of its publisher.
    stamped: bool,
    pub(crate) slow: bool,
    watcher: Option<Id<Watcher>>,
    pub(crate) known: BTreeSet<String>,
    pub(crate) seats: BTreeMap<usize, Seat>,
}

impl Viewer {
    pub(crate) fn new(node: NodeId, stamped: bool) -> Self {
        let (known, seats) = Default::default();
        Self { node, stamped, slow: false, watcher: None, known, seats }
    }

    pub(crate) fn crashed(&mut self) {
        self.watcher = None;
        self.known.clear();
        self.seats.clear();
    }

    pub(crate) fn watch(&mut self, world: &mut impl Stage) {
        let now = world.time(self.node);
        self.watcher = Some(world.node(self.node).watch(now, &Path::root()));
    }

    pub(crate) fn leave(&mut self, world: &mut impl Stage) {
        let now = world.time(self.node);
        let seats: Vec<_> = self.seats.keys().copied().collect();
        seats.into_iter().for_each(|seat| self.unsubscribe(world, seat));
        if let Some(watcher) = self.watcher.take() {
            world.node(self.node).unwatch(now, watcher).expect("it watches");
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        world: &mut impl Stage,
        seat: usize,
        name: &str,
        options: SubscribeOptions,
    ) {
        self.unsubscribe(world, seat);
        let now = world.time(self.node);
        let reader = world.node(self.node).subscribe(now, &path(name), TRACK, options);
        let reader = reader.expect("the name is short");
        let delivery = Delivery::default();
        let (path, open) = (name.to_owned(), BTreeMap::new());
        self.seats.insert(seat, Seat { path, reader, delivery, open, over: None });
    }

    pub(crate) fn unsubscribe(&mut self, world: &mut impl Stage, seat: usize) {
        if let Some(seat) = self.seats.remove(&seat) {
            let now = world.time(self.node);
            world.node(self.node).unsubscribe(now, seat.reader).expect("it has subscribed");
        }
    }

    pub(crate) fn update(&mut self, world: &mut impl Stage, seat: usize, priority: u8) {
        if let Some(seat) = self.seats.get(&seat) {
            let now = world.time(self.node);
            let options = SubscribeOptions { priority, ..live() };
            let updated = world.node(self.node).update_subscription(now, seat.reader, options);
            updated.expect("it has subscribed");
        }
    }

    /// The seats that have nothing more to come, and whether each ended in good order.
    pub(crate) fn over(&self) -> impl Iterator<Item = (usize, bool)> {
        self.seats.iter().filter_map(|(at, seat)| Some((*at, seat.over?.is_ok())))
    }

    /// Whether a seat has got, completely, a group that began at `since` or later.
    pub(crate) fn has_new(&self, ledger: &Ledger, seat: usize, since: Time) -> bool {
        let Some(seat) = self.seats.get(&seat) else { return false };
        seat.delivery.has_since(ledger, since)
    }

    /// How many frames have begun to come.
    pub(crate) fn frames(&self) -> u64 {
        let groups = self.seats.values().flat_map(|seat| seat.delivery.groups.values());
        groups.map(|progress| progress.frames).sum()
    }

    /// Fails unless each seat has ended in good order and got every complete group of a broadcast, from
    /// the first that came on, or the newest. One that was cut off may be gone before it was heard of.
    pub(crate) fn has_all(&self, instance: &Instance) -> Result<(), Broken> {
        for seat in self.seats.values() {
            let fine = seat.over == Some(Ok(()));
            Invariant::Answered.holds(fine, || format!("the viewer's end is {:?}", seat.over))?;
            let groups = &seat.delivery.groups;
            let first = groups.keys().next().or(instance.groups.keys().next_back()).copied();
            let got = |group: &u64| groups.get(group).is_some_and(|got| got.end.is_some());
            let complete = instance.groups.range(first.unwrap_or(0)..);
            let mut complete = complete.filter(|(_, written)| written.end == Some(Ok(())));
            let missing = complete.find(|(group, _)| !got(group)).map(|(group, _)| group);
            Invariant::Accounting
                .holds(missing.is_none(), || format!("the viewer did not get group {missing:?}"))?;
        }
        Ok(())
    }

    /// Learns and reads all there is.
    pub(crate) fn read(&mut self, world: &mut impl Stage) -> Result<(), Broken> {
        if let Some(watcher) = self.watcher {
            while let Ok(Some(change)) = world.node(self.node).poll_announced(watcher) {
                let (path, fits) = match change {
                    Announced::Active { path, .. } => {
                        let new = self.known.insert(path.as_str().into());
                        (path, new)
                    }
                    Announced::Ended { path } => {
                        let known = self.known.remove(path.as_str());
                        (path, known)
                    }
                };
                Invariant::Ids
                    .holds(fits, || format!("the application is told twice of {path:?}"))?;
            }
        }
        if self.slow {
            return Ok(());
        }
        let node = self.node;
        self.seats.values_mut().try_for_each(|seat| seat.read(world, node, self.stamped))
    }
}

impl Seat {
    fn read(&mut self, world: &mut impl Stage, node: NodeId, stamped: bool) -> Result<(), Broken> {
        let now = world.time(node);
        while self.over.is_none() {
            match world.node(node).next_group(now, self.reader).expect("it has subscribed") {
                NextGroup::Group { id, sequence } => {
                    self.open.insert(sequence, id);
                    self.delivery.begin(world.ledger(), &self.path);
                    self.delivery.open(world.ledger(), sequence, 0)?;
                }
                NextGroup::Pending => break,
                NextGroup::End => self.over = Some(Ok(())),
                NextGroup::Failed(code) => self.over = Some(Err(code)),
            }
        }
        let open: Vec<_> = self.open.iter().map(|(sequence, id)| (*sequence, *id)).collect();
        for (sequence, id) in open {
            let end = loop {
                match world.node(node).read(id, usize::MAX).expect("the group is open") {
                    Read::Chunk(chunk) => {
                        if chunk.offset == 0 {
                            let stamp = Some(chunk.timestamp).filter(|_| stamped);
                            self.delivery.frame(world.ledger(), sequence, chunk.size, stamp)?;
                        }
                        self.delivery.bytes(sequence, &chunk.data)?;
                    }
                    Read::Pending => break None,
                    Read::End => break Some(Ok(())),
                    Read::Reset(code) => break Some(Err(code)),
                }
            };
            if let Some(end) = end {
                self.open.remove(&sequence);
                self.delivery.end(world.ledger(), sequence, end)?;
            }
        }
        Ok(())
    }
}

/// What a patient viewer wants: everything from now on.
pub(crate) fn live() -> SubscribeOptions {
    SubscribeOptions { max_age: Duration::MAX, ..SubscribeOptions::default() }
}

/// What a viewer wants.
pub(crate) fn wanted(start: u64, lossless: bool, priority: u8) -> SubscribeOptions {
    let start = match start {
        0 => Start::Latest,
        1 => Start::Aged { floor: 0 },
        from => Start::From(from - 2),
    };
    let max_age = live().max_age;
    let max_age = if lossless { max_age } else { Duration::from_millis(500) };
    SubscribeOptions { priority, max_age, start, ..SubscribeOptions::default() }
}

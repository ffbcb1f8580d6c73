//! What moq-net spends to hand one group to N subscribers, in one process and without a network.
//!
//! One publisher writes whole groups to one track; the time and the allocations of a group are
//! divided by the number of subscribers. Three depths:
//!
//! - `model`: the track hands frames to N readers, which take each one as a value. No session, no
//!   bytes for a wire, no executor: readers are polled in turn.
//! - `publisher`: N moq-lite sessions, each with one subscription, turn the group into the writes
//!   and the FIN of one stream each. This is the depth to compare with a state machine whose output
//!   is ready for a QUIC stack. The transport throws the bytes away and grants everything at once:
//!   streams open at once, writes never block and never copy, a FIN is acknowledged at once. The
//!   sessions run on one current-thread tokio runtime. Reading a group from an upstream session is
//!   not included.
//!
//! - `live`: the same, with each frame on its way as soon as it is written.
//!
//! The payload of all frames is one shared buffer at all depths. Groups are 33 ms apart, so that
//! moq-net keeps the last 5 s of them, as it does live. Times are the median and the fastest of many
//! short batches; allocations are counted in a run of their own.
//!
//! The table goes to the standard error, one line of JSON per row to the standard output.
//! Run with `cargo run --release --bin fanout_moqnet`.

mod counter;
mod model;
mod publisher;
mod transport;

use std::time::{Duration, Instant};

use bytes::Bytes;
use moq_net::{Timestamp, group, track};

use counter::Allocations;

const SUBSCRIBERS: [usize; 4] = [1, 16, 64, 256];
const SHAPES: [Shape; 2] =
    [Shape { frames: 4, frame_size: 64 }, Shape { frames: 60, frame_size: 4096 }];

/// Batches of which the median and the fastest count.
const BATCHES: usize = 101;

/// How long a batch takes at least: little, so that some are not interrupted on a busy machine.
const BATCH: Duration = Duration::from_millis(5);

/// Groups of the run that counts allocations.
const COUNTED: u64 = 100;

/// Frames of a group and bytes of a frame.
#[derive(Clone, Copy)]
struct Shape {
    frames: usize,
    frame_size: usize,
}

/// Something that hands groups to subscribers.
trait Fanout {
    /// What the rows are called.
    const DEPTH: &'static str;

    /// Writes one group of frames with this payload and returns when every subscriber has all of it.
    fn group(&mut self, shape: Shape, payload: &Bytes);
}

/// Writes groups to a track, 33 ms of media apart.
struct Writer {
    track: track::Producer,
    millis: u64,
}

impl Writer {
    fn new(track: track::Producer) -> Self {
        Self { track, millis: 0 }
    }

    fn write(&mut self, shape: Shape, payload: &Bytes) {
        let mut group = self.begin();
        for _ in 0..shape.frames {
            group.frame(payload);
        }
        group.finish();
    }

    fn begin(&mut self) -> GroupWriter {
        let timestamp = Timestamp::from_millis(self.millis).expect("a small timestamp");
        self.millis += 33;
        GroupWriter { group: self.track.append_group().expect("the track is open"), timestamp }
    }
}

/// Writes the frames of one group.
struct GroupWriter {
    group: group::Producer,
    timestamp: Timestamp,
}

impl GroupWriter {
    fn frame(&mut self, payload: &Bytes) {
        self.group.write_frame(self.timestamp, payload.clone()).expect("the group is open");
    }

    fn finish(self) {
        self.group.finish().expect("the group is open");
    }
}

struct Row {
    depth: &'static str,
    shape: Shape,
    subscribers: usize,
    nanos: f64,
    fastest: f64,
    allocations: f64,
    allocated_bytes: f64,
}

fn measure<F: Fanout>(mut fanout: F, shape: Shape, subscribers: usize) -> Row {
    let payload = Bytes::from(vec![0; shape.frame_size]);
    // As many groups as stay in the cache, so that each later one replaces an old one.
    for _ in 0..200 {
        fanout.group(shape, &payload);
    }
    let mut groups = 1;
    let mut nanos: Vec<_> =
        (0..BATCHES).map(|_| batch(&mut fanout, shape, &payload, &mut groups)).collect();
    nanos.sort_by(f64::total_cmp);
    let counted = Allocations::during(|| (0..COUNTED).for_each(|_| fanout.group(shape, &payload)));
    let deliveries = COUNTED as f64 * subscribers as f64;
    Row {
        depth: F::DEPTH,
        shape,
        subscribers,
        nanos: nanos[BATCHES / 2] / subscribers as f64,
        fastest: nanos[0] / subscribers as f64,
        allocations: counted.count as f64 / deliveries,
        allocated_bytes: counted.bytes as f64 / deliveries,
    }
}

/// Nanoseconds per group. `groups` grows until a batch is long enough, and stays there.
fn batch<F: Fanout>(fanout: &mut F, shape: Shape, payload: &Bytes, groups: &mut u32) -> f64 {
    loop {
        let start = Instant::now();
        for _ in 0..*groups {
            fanout.group(shape, payload);
        }
        let elapsed = start.elapsed();
        if elapsed >= BATCH {
            return elapsed.as_nanos() as f64 / f64::from(*groups);
        }
        *groups *= 2;
    }
}

fn report(row: &Row) {
    let Row { depth, shape, subscribers, nanos, fastest, allocations, allocated_bytes } = row;
    let Shape { frames, frame_size } = shape;
    eprintln!(
        "{depth:<10} {frames:>6} {frame_size:>6} {subscribers:>11} {nanos:>10.0} {fastest:>10.0} {allocations:>8.2} {allocated_bytes:>9.0}"
    );
    println!(
        r#"{{"stack":"moq-net 0.3.18","depth":"{depth}","frames":{frames},"frame_bytes":{frame_size},"subscribers":{subscribers},"ns_per_group_subscriber":{nanos:.1},"fastest_ns_per_group_subscriber":{fastest:.1},"allocations_per_group_subscriber":{allocations:.3},"allocated_bytes_per_group_subscriber":{allocated_bytes:.1}}}"#
    );
}

fn main() {
    eprintln!(
        "moq-net 0.3.18, moq-lite-06; ns, allocations and allocated bytes are per group and subscriber"
    );
    eprintln!("depth      frames  bytes subscribers         ns    fastest   allocs     bytes");
    for shape in SHAPES {
        for subscribers in SUBSCRIBERS {
            report(&measure(model::Model::new(subscribers), shape, subscribers));
        }
        for subscribers in SUBSCRIBERS {
            report(&measure(publisher::Publisher::new(subscribers), shape, subscribers));
        }
        for subscribers in SUBSCRIBERS {
            let live = publisher::Live(publisher::Publisher::new(subscribers));
            report(&measure(live, shape, subscribers));
        }
    }
}

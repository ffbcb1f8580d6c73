//! The bound on allocations: at most four for each group and subscriber, none for each frame.

use smoq_bench::{Delivery, FanOut, SMALL, SUBSCRIBERS, Shape, VIDEO};
use smoq_core::Version;

/// Groups before those that are counted. The store's tables have doubled last at the 17th, and have
/// room for the rest.
const BEFORE: u64 = 17;

/// Groups counted together, so that what is allocated for several of them shows.
const GROUPS: u64 = 8;

/// Allocations of some groups to all subscribers.
fn allocations(subscribers: usize, shape: Shape, version: Version) -> u64 {
    let delivery = Delivery::Live;
    let mut fan_out = FanOut::new(subscribers, version);
    (0..BEFORE).for_each(|_| fan_out.group(shape, delivery));
    let before = fan_out.bytes();
    let groups = || (0..GROUPS).for_each(|_| fan_out.group(shape, delivery));
    let counted = allocation_counter::measure(groups).count_total;
    let sent = fan_out.bytes() - before;
    let payload = GROUPS * subscribers as u64 * shape.frames * shape.size as u64;
    assert!(sent > payload, "everybody got the groups");
    counted
}

#[test]
fn few_for_each_group_and_subscriber() {
    for version in Version::ALL {
        for subscribers in SUBSCRIBERS {
            for shape in [SMALL, VIDEO] {
                let counted = allocations(subscribers, shape, version);
                let each = counted as f64 / (GROUPS as usize * subscribers) as f64;
                assert!(each <= 4.0, "{version}, {subscribers} subscribers, {shape:?}: {each}");
            }
        }
    }
}

#[test]
fn none_for_each_frame() {
    for version in Version::ALL {
        for subscribers in [1, 16] {
            for size in [64, 512, 4096] {
                let count = |frames| allocations(subscribers, Shape { frames, size }, version);
                let (few, many) = (count(4), count(104));
                // Small frames are gathered in buffers, which all subscribers share: two allocations
                // for each 16 KiB of them. Large ones are kept as they came.
                let gathered = if size < 2 << 10 { 100 * size / (16 << 10) } else { 0 };
                let bound = few + GROUPS * 2 * gathered as u64;
                assert!(
                    many <= bound,
                    "{version}, {subscribers} subscribers, {size} bytes: {few}, then {many}"
                );
            }
        }
    }
}

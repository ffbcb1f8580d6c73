//! The bound on allocations: at most four for each group and subscriber, none for each frame.

use smoq_bench::{Delivery, FanOut, SMALL, Shape, VIDEO};
use smoq_core::Version;

const SUBSCRIBERS: usize = 64;

fn allocations(shape: Shape, version: Version) -> u64 {
    let mut fan_out = FanOut::new(SUBSCRIBERS, version);
    for _ in 0..32 {
        fan_out.group(shape, Delivery::Live);
    }
    let before = fan_out.bytes();
    let counted = allocation_counter::measure(|| fan_out.group(shape, Delivery::Live)).count_total;
    let sent = fan_out.bytes() - before;
    assert!(
        sent > SUBSCRIBERS as u64 * shape.frames * shape.size as u64,
        "everybody got the group"
    );
    counted
}

#[test]
fn few_for_each_group_and_subscriber() {
    for version in Version::ALL {
        for shape in [SMALL, VIDEO] {
            let each = allocations(shape, version) / SUBSCRIBERS as u64;
            assert!(each <= 4, "{version} {shape:?}: {each} for each group and subscriber");
        }
    }
}

#[test]
fn none_for_each_frame() {
    for version in Version::ALL {
        let few = allocations(Shape { frames: 4, size: 512 }, version);
        let many = allocations(Shape { frames: 104, size: 512 }, version);
        // What grows are the buffers of the publisher, which all subscribers share.
        let each = (many.saturating_sub(few)) as f64 / (100 * SUBSCRIBERS) as f64;
        assert!(each < 0.05, "{version}: {each} for each frame and subscriber ({few}, {many})");
    }
}

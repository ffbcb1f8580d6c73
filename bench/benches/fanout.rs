//! A group to many subscribers: time and allocations for one group to all of them. Divide by the
//! number of subscribers.

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use smoq_bench::{Delivery, FanOut, SMALL, SUBSCRIBERS, Shape, VIDEO, WARM_UP};
use smoq_core::Version;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = SUBSCRIBERS)]
fn small_4x64_live(bencher: Bencher<'_, '_>, subscribers: usize) {
    run(bencher, subscribers, SMALL, Delivery::Live);
}

#[divan::bench(args = SUBSCRIBERS)]
fn small_4x64_whole(bencher: Bencher<'_, '_>, subscribers: usize) {
    run(bencher, subscribers, SMALL, Delivery::Whole);
}

#[divan::bench(args = SUBSCRIBERS)]
fn video_60x4096_live(bencher: Bencher<'_, '_>, subscribers: usize) {
    run(bencher, subscribers, VIDEO, Delivery::Live);
}

#[divan::bench(args = SUBSCRIBERS)]
fn video_60x4096_whole(bencher: Bencher<'_, '_>, subscribers: usize) {
    run(bencher, subscribers, VIDEO, Delivery::Whole);
}

fn run(bencher: Bencher<'_, '_>, subscribers: usize, shape: Shape, delivery: Delivery) {
    let mut fan_out = FanOut::new(subscribers, Version::Lite06);
    for _ in 0..WARM_UP {
        fan_out.group(shape, delivery);
    }
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| fan_out.group(shape, delivery));
}

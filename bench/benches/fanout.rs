//! A group to many subscribers: time and allocations for one group to all of them. Divide by the
//! number of subscribers.

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use smoq_bench::{FanOut, SMALL, SUBSCRIBERS, Shape, VIDEO};
use smoq_core::Version;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = SUBSCRIBERS)]
fn small_4x64(bencher: Bencher<'_, '_>, subscribers: usize) {
    run(bencher, subscribers, SMALL);
}

#[divan::bench(args = SUBSCRIBERS)]
fn video_60x4096(bencher: Bencher<'_, '_>, subscribers: usize) {
    run(bencher, subscribers, VIDEO);
}

fn run(bencher: Bencher<'_, '_>, subscribers: usize, shape: Shape) {
    let mut fan_out = FanOut::new(subscribers, Version::Lite06);
    for _ in 0..4 {
        fan_out.group(shape);
    }
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| fan_out.group(shape));
}

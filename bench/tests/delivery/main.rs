//! What a relay allocates for each frame that it delivers: nothing in our crates, and quinn-proto's own
//! beside it. `cargo test -p smoq-bench --test delivery -- --nocapture` prints who allocates.

mod profile;
mod world;

use profile::{OURS, Profile, THEIRS};
use world::World;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SUBSCRIBERS: [u64; 3] = [1, 16, 64];

/// Bytes of a frame. It fits into a packet.
const SIZE: usize = 600;

/// Frames until tables have grown to their size, and the path is known.
const WARM_UP: u64 = 300;

/// Frames of one group that are counted: 2 seconds of them.
const FRAMES: u64 = 100;

/// What our crates may allocate meanwhile, however many subscribers there are: two for each 16 KiB that
/// the store gathers, and two whenever it looks for what is old, once a second.
const BOUND: u64 = 2 * (FRAMES * SIZE as u64).div_ceil(16 << 10) + 2 * 3;

/// Groups that are counted after it, and the frames of each.
const GROUPS: u64 = 20;
const FRAMES_EACH: u64 = 5;

/// One test, because there is one allocator.
#[test]
fn none_of_ours_for_a_delivered_frame() {
    for subscribers in SUBSCRIBERS {
        let mut world = World::new(subscribers as usize, SIZE);
        let group = world.group();
        world.frames(group, WARM_UP);
        let frames = count(&mut world, |world| world.frames(group, FRAMES));
        assert!(frames.of(OURS) <= BOUND, "{} in {FRAMES} frames", frames.of(OURS));
        // Otherwise nobody looked, or functions have other names: they are those of the profile `dev`.
        assert!(frames.of(THEIRS) > 0, "quinn-proto allocates for each packet");
        world.finish(group);
        let groups = |world: &mut World, groups| {
            for _ in 0..groups {
                let group = world.group();
                world.frames(group, FRAMES_EACH);
                world.finish(group);
            }
        };
        groups(&mut world, WARM_UP / FRAMES_EACH);
        let groups = count(&mut world, |world| groups(world, GROUPS));
        assert!(groups.of(OURS) > 0, "ours allocate for each group, so our functions are found");
        // Six for a group, and one for two subscribers, whose buffers of headers grow.
        let bound = GROUPS * (6 + subscribers / 2);
        assert!(groups.of(OURS) <= bound, "{} in {GROUPS} groups", groups.of(OURS));
    }
}

/// Counts what is allocated during some work, and prints who did.
fn count(world: &mut World, work: impl FnOnce(&mut World)) -> Profile {
    let (received, delivered) = (world.received, world.delivered);
    let profile = Profile::during(|| work(world));
    let (received, delivered) = (world.received - received, world.delivered - delivered);
    println!("{delivered} frames delivered, {received} datagrams received; for each delivery:");
    profile.print(delivered);
    profile
}

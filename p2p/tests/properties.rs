//! Whatever the network does, what is said arrives once and in order, directly or through the hub. What does not
//! was on a direct way that was lost, and that is told.

mod common;

use common::World;
use proptest::prelude::*;
use smoq_p2p::{CHAT, Event};

proptest! {
    // Each case is a few DTLS handshakes.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn messages_arrive_once_and_in_order(
        seed in any::<u64>(),
        loss in 0..20u64,
        jitter in any::<bool>(),
        both_call in any::<bool>(),
        blocked in prop::bool::weighted(0.2),
        blocked_at in prop::option::weighted(0.3, 0..40usize),
        said in prop::collection::vec((0..2usize, 0..3u64), 1..40),
    ) {
        let mut world = World::with(seed, &["ann", "bob"]);
        (world.loss, world.jitter, world.blocked) = (loss, jitter, blocked);
        let names = ["ann", "bob"];
        world.call(0, "bob");
        if both_call {
            world.call(1, "ann");
        } else {
            world.until("bob knows of it", |world| world.state(1, "ann").is_some());
            world.until("bob has the channel, or needs none", |world| {
                let bob = &world.nodes[1].peer;
                bob.channels("ann").iter().any(|it| it.open)
                    || world.state(1, "ann") == Some(smoq_p2p::State::Hub)
            });
        }
        let mut expected = [Vec::new(), Vec::new()];
        for (i, (who, pause)) in said.iter().enumerate() {
            world.blocked |= blocked_at == Some(i);
            let text = format!("message {i}");
            world.send(*who, names[1 - who], CHAT, &text);
            expected[1 - who].push(text);
            world.pass(std::time::Duration::from_millis(pause * 400));
        }
        let missing = |world: &World, node: usize| -> usize {
            let heard = world.heard(node, CHAT);
            let is_missing = |text: &&String| heard.iter().all(|(_, _, it)| it != *text);
            expected[node].iter().filter(is_missing).map(String::len).sum()
        };
        let lost = |world: &World, node: usize| -> usize {
            let lost = world.nodes[node].events.iter().filter_map(|event| match event {
                Event::Lost { bytes, .. } => Some(*bytes),
                _ => None,
            });
            lost.sum()
        };
        world.until("all of it, or that it is lost", |world| {
            (0..2).all(|node| missing(world, node) <= lost(world, 1 - node))
        });
        if blocked_at.is_none() {
            prop_assert_eq!([0, 1].map(|node| missing(&world, node)), [0, 0]);
        }
        for (node, mut expected) in expected.into_iter().enumerate() {
            let heard = world.heard(node, CHAT);
            let by_hub = heard.iter().filter(|(_, by_hub, _)| *by_hub).count();
            let mut texts: Vec<_> = heard.iter().map(|(_, _, text)| text.clone()).collect();
            expected.retain(|text| texts.contains(text));
            // On two ways, one message may overtake another.
            if by_hub != 0 && by_hub != heard.len() {
                texts.sort_unstable();
                expected.sort_unstable();
            }
            prop_assert_eq!(texts, expected);
        }
    }
}

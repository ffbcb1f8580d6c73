//! Calls between peers, by name of what can go wrong.

mod common;

use std::time::Duration;

use common::World;
use smoq_p2p::{CHAT, CallError, End, Event, Loss, Message, SendError, State, file::PROTOCOL};

const ANN: usize = 0;
const BOB: usize = 1;

fn texts(heard: Vec<(String, bool, String)>) -> Vec<String> {
    heard.into_iter().map(|(_, _, text)| text).collect()
}

fn opened(world: &World, node: usize, label: &str) -> usize {
    let is_it = |event: &&Event| matches!(event, Event::Opened { label: it, .. } if it == label);
    world.nodes[node].events.iter().filter(is_it).count()
}

fn lost(world: &World, node: usize) -> Vec<(usize, Loss)> {
    let lost = world.nodes[node].events.iter().filter_map(|event| match event {
        Event::Lost { bytes, loss, .. } => Some((*bytes, *loss)),
        _ => None,
    });
    lost.collect()
}

#[test]
fn a_call_and_a_message_each_way() {
    let mut world = World::with(1, &["ann", "bob"]);
    world.call(ANN, "bob");
    assert_eq!(world.state(ANN, "bob"), Some(State::Calling));
    // Said before there is a way, it waits for one.
    world.send(ANN, "bob", CHAT, "hello");
    world.until_heard(BOB, CHAT, "hello");
    world.send(BOB, "ann", CHAT, "good day");
    world.until_heard(ANN, CHAT, "good day");
    let direct = |from: &str, text: &str| vec![(from.into(), false, text.into())];
    assert_eq!(world.heard(BOB, CHAT), direct("ann", "hello"));
    assert_eq!(world.heard(ANN, CHAT), direct("bob", "good day"));
    world.pass(Duration::from_secs(3));
    let (_, stats) = world.nodes[ANN].peer.calls().next().unwrap();
    assert_eq!((stats.state, stats.messages_sent, stats.messages_received), (State::Direct, 1, 1));
    assert!(stats.bytes_sent > 0 && stats.bytes_received > 0 && stats.round_trip.is_some());
    let path = stats.path.map(|(here, there)| (here.to_string(), there.to_string()));
    assert_eq!(path, Some(("10.0.0.1:5000".into(), "10.0.0.2:5000".into())));
}

#[test]
fn several_channels_keep_their_messages_apart_and_in_order() {
    let mut world = World::with(2, &["ann", "bob"]);
    world.call(ANN, "bob");
    // One is asked for before the answer, one after.
    let now = world.now;
    world.nodes[ANN].peer.open(now, "bob", "early", "").unwrap();
    world.until_state(ANN, "bob", State::Direct);
    let now = world.now;
    world.nodes[BOB].peer.open(now, "ann", "late", "").unwrap();
    for i in 0..50 {
        world.send(ANN, "bob", "early", &format!("early {i}"));
        world.send(BOB, "ann", "late", &format!("late {i}"));
    }
    world.until_heard(BOB, "early", "early 49");
    world.until_heard(ANN, "late", "late 49");
    let expected = |label: &str| (0..50).map(|i| format!("{label} {i}")).collect::<Vec<_>>();
    assert_eq!(texts(world.heard(BOB, "early")), expected("early"));
    assert_eq!(texts(world.heard(ANN, "late")), expected("late"));
    let mut labels: Vec<_> =
        world.nodes[ANN].peer.channels("bob").into_iter().map(|it| (it.label, it.open)).collect();
    labels.sort_unstable();
    assert_eq!(labels, [(CHAT, true), ("early", true), ("late", true)].map(|(l, o)| (l.into(), o)));
}

#[test]
fn a_closed_channel_is_told_to_the_other_side() {
    let mut world = World::with(3, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    let now = world.now;
    let extra = world.nodes[ANN].peer.open(now, "bob", "extra", "").unwrap();
    world.until("it opens", |world| {
        opened(world, BOB, "extra") == 1 && opened(world, ANN, "extra") == 1
    });
    let now = world.now;
    world.nodes[ANN].peer.close_channel(now, extra).unwrap();
    assert_eq!(world.nodes[ANN].peer.close_channel(now, extra), Err(SendError::NoChannel));
    world.until("it closes", |world| {
        world.nodes[BOB]
            .events
            .iter()
            .any(|event| matches!(event, Event::Closed { label, .. } if label == "extra"))
    });
    let now = world.now;
    let refused = world.nodes[BOB].peer.send(now, "ann", "extra", Message::Text("x".into()));
    assert_eq!(refused, Err(SendError::NoChannel));
}

#[test]
fn bytes_stay_bytes_and_text_stays_text() {
    let mut world = World::with(4, &["ann", "bob"]);
    world.call(ANN, "bob");
    let sent = [
        Message::Binary(vec![0, 255, 128]),
        Message::Text("ü".into()),
        Message::Binary(vec![b'x']),
    ];
    let now = world.now;
    for message in &sent {
        world.nodes[ANN].peer.send(now, "bob", CHAT, message.clone()).unwrap();
    }
    let received = |world: &World| -> Vec<Message> {
        let messages = world.nodes[BOB].events.iter().filter_map(|event| match event {
            Event::Message { message, .. } => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    };
    world.until("three messages", |world| received(world).len() == 3);
    assert_eq!(received(&world), sent);
}

#[test]
fn one_peer_has_several_calls() {
    let mut world = World::with(5, &["ann", "bob", "cleo", "dan"]);
    for other in ["bob", "cleo", "dan"] {
        world.call(ANN, other);
        world.send(ANN, other, CHAT, &format!("hello {other}"));
    }
    for (node, name) in [(1, "bob"), (2, "cleo"), (3, "dan")] {
        world.until_heard(node, CHAT, &format!("hello {name}"));
        assert_eq!(world.heard(node, CHAT).len(), 1, "{name} hears only what is for them");
    }
    let now = world.now;
    world.nodes[ANN].peer.hang_up(now, "bob");
    assert_eq!(world.until_ended(BOB, "ann"), End::HungUp);
    world.send(2, "ann", CHAT, "still there");
    world.until_heard(ANN, CHAT, "still there");
    assert_eq!(world.nodes[ANN].peer.calls().count(), 2);
}

#[test]
fn offers_that_cross_make_one_call() {
    let mut world = World::with(6, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.call(BOB, "ann");
    world.send(ANN, "bob", CHAT, "from ann");
    world.send(BOB, "ann", CHAT, "from bob");
    world.until_heard(BOB, CHAT, "from ann");
    world.until_heard(ANN, CHAT, "from bob");
    assert_eq!(world.state(ANN, "bob"), Some(State::Direct));
    assert_eq!(world.nodes[ANN].peer.calls().count(), 1);
    let ended = |event: &Event| matches!(event, Event::Ended { .. });
    assert!(!world.nodes.iter().any(|node| node.events.iter().any(ended)));
}

#[test]
fn without_a_direct_way_messages_go_through_the_hub() {
    let mut world = World::with(7, &["ann", "bob"]);
    world.blocked = true;
    world.call(ANN, "bob");
    world.send(ANN, "bob", CHAT, "one");
    world.until_heard(BOB, CHAT, "one");
    world.until_state(BOB, "ann", State::Hub);
    world.send(ANN, "bob", CHAT, "two");
    // There is no channel for it, which the hub does not need.
    world.send(BOB, "ann", "other", "three");
    world.until_heard(BOB, CHAT, "two");
    world.until_heard(ANN, "other", "three");
    let through = |text: &str| ("ann".to_owned(), true, text.to_owned());
    assert_eq!(world.heard(BOB, CHAT), [through("one"), through("two")]);

    world.blocked = false;
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    world.send(ANN, "bob", CHAT, "four");
    world.until_heard(BOB, CHAT, "four");
    assert_eq!(world.heard(BOB, CHAT).last(), Some(&("ann".into(), false, "four".into())));
}

#[test]
fn a_direct_way_that_is_lost_is_replaced_by_the_hub() {
    let mut world = World::with(8, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    world.until_state(BOB, "ann", State::Direct);
    world.blocked = true;
    world.until_state(ANN, "bob", State::Hub);
    world.send(ANN, "bob", CHAT, "around");
    world.until_heard(BOB, CHAT, "around");
    assert_eq!(world.heard(BOB, CHAT), [("ann".into(), true, "around".into())]);
    world.pass(Duration::from_secs(300));
    world.send(BOB, "ann", CHAT, "much later");
    world.until_heard(ANN, CHAT, "much later");
}

/// The session gives up after some 40 s, and the call must not.
#[test]
fn a_call_through_the_hub_outlives_its_session() {
    let mut world = World::with(19, &["ann", "bob"]);
    world.blocked = true;
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Hub);
    world.pass(Duration::from_secs(300));
    assert_eq!(world.state(ANN, "bob"), Some(State::Hub));
    world.send(ANN, "bob", CHAT, "much later");
    world.until_heard(BOB, CHAT, "much later");
    world.blocked = false;
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    world.until_state(BOB, "ann", State::Direct);
}

#[test]
fn peers_behind_nats_find_each_other_by_stun() {
    let mut world = World::new(9);
    world.add("ann", Some("198.51.100.1:6001"));
    world.add("bob", Some("198.51.100.2:6002"));
    world.settle();
    world.call(ANN, "bob");
    world.send(ANN, "bob", CHAT, "through two walls");
    world.until_heard(BOB, CHAT, "through two walls");
    assert!(!world.heard(BOB, CHAT)[0].1, "directly");
    world.pass(Duration::from_secs(3));
    let (_, stats) = world.nodes[ANN].peer.calls().next().unwrap();
    assert_eq!(stats.path.unwrap().1.to_string(), "198.51.100.2:6002");
}

#[test]
fn who_is_not_there_cannot_be_called() {
    let mut world = World::with(10, &["ann"]);
    world.call(ANN, "nobody");
    assert_eq!(world.until_ended(ANN, "nobody"), End::Gone);
    let now = world.now;
    let ann = &mut world.nodes[ANN].peer;
    assert_eq!(ann.call(now, "ann"), Err(CallError::Oneself));
    let nowhere = ann.send(now, "bob", CHAT, Message::Text("x".into()));
    assert_eq!(nowhere, Err(SendError::NoCall));
}

#[test]
fn who_does_not_answer_is_given_up() {
    let mut world = World::with(11, &["ann", "bob"]);
    // It is registered, and takes nothing from the hub any more.
    world.deafen(BOB);
    world.call(ANN, "bob");
    assert_eq!(world.until_ended(ANN, "bob"), End::NoAnswer);
}

#[test]
fn who_is_killed_is_missed() {
    let mut world = World::with(12, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    world.kill(BOB);
    // The hub has said so while there was a direct way, and does not say it again.
    assert_eq!(world.until_ended(ANN, "bob"), End::Gone);
}

#[test]
fn who_is_back_at_the_hub_soon_has_lost_nothing() {
    let mut world = World::with(20, &["ann", "bob"]);
    world.blocked = true;
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Hub);
    world.until_state(BOB, "ann", State::Hub);
    world.cut_off(BOB);
    world.until("bob is back", |world| world.hub.holder("bob").is_some());
    world.pass(Duration::from_secs(100));
    world.send(ANN, "bob", CHAT, "welcome back");
    world.until_heard(BOB, CHAT, "welcome back");
    assert_eq!(world.state(BOB, "ann"), Some(State::Hub));
}

#[test]
fn what_is_on_the_way_when_the_way_is_lost_is_told() {
    let mut world = World::with(21, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.until("it opens", |world| opened(world, ANN, CHAT) == 1);
    world.blocked = true;
    world.send(ANN, "bob", CHAT, "into the void");
    world.until_state(ANN, "bob", State::Hub);
    assert_eq!(lost(&world, ANN), [(13, Loss::Way)]);
    assert!(!world.nodes[ANN].peer.has_unsent());
}

#[test]
fn what_waits_for_a_channel_that_is_closed_is_told() {
    let mut world = World::with(22, &["ann", "bob"]);
    world.call(ANN, "bob");
    let now = world.now;
    let extra = world.nodes[ANN].peer.open(now, "bob", "extra", "").unwrap();
    world.send(ANN, "bob", "extra", "for nobody");
    world.nodes[ANN].peer.close_channel(now, extra).unwrap();
    world.until_state(ANN, "bob", State::Direct);
    assert_eq!(lost(&world, ANN), [(10, Loss::Closed)]);
    assert!(!world.nodes[ANN].peer.has_unsent());
}

#[test]
fn who_comes_back_calls_anew() {
    let mut world = World::with(13, &["ann", "bob"]);
    world.call(BOB, "ann");
    world.until_state(ANN, "bob", State::Direct);
    world.kill(BOB);
    let bob = world.add("bob", None);
    world.until("the new bob is there", |world| {
        world.nodes[bob].peer.id().is_some() && world.hub.holder("bob").is_some()
    });
    world.pass(Duration::from_secs(1));
    world.call(bob, "ann");
    assert_eq!(world.until_ended(ANN, "bob"), End::Restarted);
    world.send(bob, "ann", CHAT, "it is me");
    world.until_heard(ANN, CHAT, "it is me");
}

#[test]
fn a_description_that_is_none_ends_the_call() {
    use smoq_p2p::signal::wire::{Description, Payload, SdpType};

    let mut world = World::with(14, &["ann"]);
    let eve = world.stranger("eve");
    for sdp in ["", "v=0", "nonsense\r\n", &"x".repeat(100_000)] {
        let json = format!(r#"{{"type":"offer","sdp":"{}"}}"#, sdp.escape_default());
        let description = Description { kind: Some(SdpType::Offer), json };
        world.say(&eve, "ann", Payload::Sdp(Some(description)));
        assert_eq!(world.until_ended(ANN, "eve"), End::BadDescription);
        world.nodes[ANN].events.clear();
    }
    assert_eq!(world.nodes[ANN].peer.calls().count(), 0);
}

#[test]
fn what_is_too_much_is_refused() {
    let mut world = World::with(15, &["ann", "bob"]);
    world.call(ANN, "bob");
    let now = world.now;
    let ann = &mut world.nodes[ANN].peer;
    let nothing = ann.send(now, "bob", CHAT, Message::Text(String::new()));
    assert_eq!(nothing, Err(SendError::Empty));
    let long = Message::Binary(vec![0; smoq_p2p::MOST_MESSAGE + 1]);
    assert!(matches!(ann.send(now, "bob", CHAT, long), Err(SendError::TooLong { .. })));
    let label = "x".repeat(smoq_p2p::MOST_LABEL + 1);
    assert!(matches!(ann.open(now, "bob", &label, ""), Err(SendError::TooLong { .. })));
    let full =
        (0..10_000).find_map(|_| ann.send(now, "bob", CHAT, Message::Text("x".into())).err());
    assert_eq!(full, Some(SendError::Full));
    let full = (0..100).find_map(|i| ann.open(now, "bob", &format!("{i}"), "").err());
    assert!(matches!(full, Some(SendError::TooManyChannels { .. })));
}

#[test]
fn a_stream_of_bytes_waits_for_room() {
    let mut world = World::with(16, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    let now = world.now;
    let channel = world.nodes[ANN].peer.open(now, "bob", "file", PROTOCOL).unwrap();
    world.until("it opens", |world| opened(world, ANN, "file") == 1);
    let chunk = |i: u32| Message::Binary([&i.to_be_bytes()[..], &[7; 16_000]].concat());
    let (mut next, mut full) = (0, 0);
    while next < 200 {
        let now = world.now;
        if world.nodes[ANN].peer.write(now, channel, &chunk(next)).unwrap() {
            next += 1;
            continue;
        }
        full += 1;
        world.nodes[ANN].events.clear();
        world.until("there is room", |world| {
            world.nodes[ANN].events.contains(&Event::Writable { channel })
        });
    }
    assert!(full > 0, "it never waited");
    let received = |world: &World| -> Vec<Message> {
        let messages = world.nodes[BOB].events.iter().filter_map(|event| match event {
            Event::Message { message, .. } => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    };
    world.until("all of it", |world| received(world).len() == 200);
    assert!(received(&world).iter().zip(0..).all(|(message, i)| *message == chunk(i)));
}

#[test]
fn after_a_loss_of_the_hub_a_call_goes_on() {
    let mut world = World::with(17, &["ann", "bob"]);
    world.call(ANN, "bob");
    world.until_state(ANN, "bob", State::Direct);
    world.cut_off(ANN);
    world.send(ANN, "bob", CHAT, "still talking");
    world.until_heard(BOB, CHAT, "still talking");
    world.until("ann is back", |world| world.hub.holder("ann").is_some());
}

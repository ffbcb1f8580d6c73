//! What comes from a peer never panics, and does no harm beyond its call.

mod common;

use std::{sync::LazyLock, time::Duration};

use common::World;
use proptest::prelude::*;
use smoq_p2p::{
    CHAT, End, Event, Kind, State,
    signal::wire::{Candidate, Description, Payload, SdpType},
};

const SEPARATOR: &str = "\\r\\n";

/// A description as a peer makes it, in JSON.
static OFFER: LazyLock<String> = LazyLock::new(|| {
    let mut world = World::new(1);
    world.media = vec![Kind::Audio, Kind::Video];
    world.add("ann", None);
    world.add("bob", None);
    world.settle();
    world.call(0, "bob");
    world.until("bob has the offer", |world| world.state(1, "ann").is_some());
    let said = world.said.iter().find(|text| text.contains(r#""offer""#)).unwrap();
    let start = said.find(r#"{"type":"offer""#).unwrap();
    let end = start + said[start..].find('}').unwrap();
    said[start..=end].to_owned()
});

/// How a description is spoiled, at a line.
#[derive(Clone, Debug)]
enum Spoil {
    Remove(usize),
    Repeat(usize),
    Swap(usize, usize),
    Change(usize, char),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let with = prop::char::ranges(vec!['0'..='9', 'a'..='z', ':'..=':', ' '..=' '].into());
    prop_oneof![
        any::<usize>().prop_map(Spoil::Remove),
        any::<usize>().prop_map(Spoil::Repeat),
        any::<(usize, usize)>().prop_map(|(a, b)| Spoil::Swap(a, b)),
        (any::<usize>(), with).prop_map(|(at, with)| Spoil::Change(at, with)),
    ]
}

fn spoiled(how: &[Spoil]) -> String {
    let (head, rest) = OFFER.split_once("v=0").unwrap();
    let mut lines: Vec<String> = format!("v=0{rest}").split(SEPARATOR).map(Into::into).collect();
    // The last one is the end of the JSON.
    let tail = lines.pop().unwrap();
    for how in how {
        let count = lines.len();
        match how {
            Spoil::Remove(_) if count < 2 => {}
            Spoil::Remove(at) => drop(lines.remove(at % count)),
            Spoil::Repeat(at) => lines.push(lines[at % count].clone()),
            Spoil::Swap(a, b) => lines.swap(a % count, b % count),
            Spoil::Change(at, with) => {
                let line = &mut lines[at % count];
                let place = at / count % line.len();
                line.replace_range(place..=place, &with.to_string());
            }
        }
    }
    lines.push(tail);
    format!("{head}{}", lines.join(SEPARATOR))
}

proptest! {
    // Each case is a DTLS handshake.
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_spoiled_offer_harms_nobody_else(
        how in prop::collection::vec(spoil(), 1..6),
        line in ".{0,80}",
    ) {
        let mut world = World::with(2, &["ann", "bob"]);
        let eve = world.stranger("eve");
        let description = Description { kind: Some(SdpType::Offer), json: spoiled(&how) };
        world.say(&eve, "ann", Payload::Sdp(Some(description)));
        let candidate = Candidate { candidate: format!("candidate:{line}"), ..Default::default() };
        world.say(&eve, "ann", Payload::Candidate(Some(candidate)));
        world.pass(Duration::from_secs(20));
        world.call(1, "ann");
        world.send(1, "ann", CHAT, "hello");
        world.until_heard(0, CHAT, "hello");
    }
}

proptest! {
    #[test]
    fn any_datagram_is_taken(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 100..200),
    ) {
        let mut world = World::with(3, &["ann", "bob"]);
        world.call(0, "bob");
        let [ann, bob] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|socket| socket.parse().unwrap());
        for (i, datagram) in datagrams.iter().enumerate() {
            let now = world.now;
            world.nodes[0].peer.handle_datagram(now, ann, bob, datagram);
            if i % 10 == 0 {
                world.pass(Duration::from_millis(30));
            }
        }
        world.until("the end of it", |world| {
            matches!(world.state(0, "bob"), Some(State::Direct | State::Hub) | None)
        });
    }
}

#[test]
fn corrupted_datagrams_end_a_call_at_worst() {
    for seed in 0..10 {
        let mut world = World::with(seed, &["ann", "bob"]);
        world.corruption = 20;
        world.call(0, "bob");
        world.pass(Duration::from_secs(40));
        world.corruption = 0;
        for (node, other) in [(0, "bob"), (1, "ann")] {
            let now = world.now;
            world.nodes[node].peer.hang_up(now, other);
        }
        world.pass(Duration::from_secs(1));
        world.call(0, "bob");
        world.send(0, "bob", CHAT, "clear again");
        world.until_heard(1, CHAT, "clear again");
    }
}

fn offer(json: String) -> Payload {
    Payload::Sdp(Some(Description { kind: Some(SdpType::Offer), json }))
}

#[test]
fn who_calls_in_many_names_and_never_comes_keeps_nobody_out() {
    let mut world = World::with(6, &["ann", "bob"]);
    for i in 0..40 {
        let eve = world.stranger(&format!("eve{i}"));
        world.say(&eve, "ann", offer(OFFER.clone()));
        // What it says makes it no friend.
        let bytes = Some(b"hello".to_vec());
        world.say(&eve, "ann", Payload::Data { label: CHAT.into(), bytes });
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.nodes[0].peer.calls().count(), 32);
    world.call(1, "ann");
    world.send(1, "ann", CHAT, "hello");
    world.until_heard(0, CHAT, "hello");
    let idle = world.nodes[0].events.iter().filter(
        |event| matches!(event, Event::Ended { peer, end: End::Idle } if peer.starts_with("eve")),
    );
    assert!(idle.count() > 0);
    // Nor does it keep in.
    let now = world.now;
    world.nodes[0].peer.hang_up(now, "bob");
    world.call(0, "bob");
    world.until_state(0, "bob", State::Direct);
}

#[test]
fn an_offer_has_room_for_so_many_places() {
    let mut world = World::with(7, &["ann"]);
    let media = OFFER.find("m=audio").map(|at| &OFFER[at..]).unwrap();
    let media = &media[..media[1..].find("m=").map_or(media.len(), |at| at + 1)];
    let mid = media.split("a=mid:").nth(1).and_then(|rest| rest.split('\\').next()).unwrap();
    for (more, taken) in [(2, true), (10, false)] {
        let mut json = OFFER.clone();
        let end = json.find(media).unwrap() + media.len();
        for i in 0..more {
            json.insert_str(end, &media.replace(&format!("a=mid:{mid}"), &format!("a=mid:x{i}")));
        }
        let eve = world.stranger(&format!("eve{more}"));
        world.say(&eve, "ann", offer(json));
        world.pass(Duration::from_secs(1));
        let bad = world.nodes[0].events.iter().any(|event| {
            matches!(event, Event::Ended { peer, end: End::BadDescription } if *peer == format!("eve{more}"))
        });
        assert_eq!(bad, !taken);
    }
}

#[test]
fn a_description_names_so_many_addresses() {
    let mut world = World::with(8, &["ann"]);
    let place = OFFER.find("a=mid:").unwrap();
    for (count, taken) in [(50, true), (100, false)] {
        let mut json = OFFER.clone();
        for i in 0..count {
            let line = format!("a=candidate:{i} 1 udp 1 203.0.113.{i} 9 typ host{SEPARATOR}");
            json.insert_str(place, &line);
        }
        let name = format!("eve{count}");
        let eve = world.stranger(&name);
        world.say(&eve, "ann", offer(json));
        world.pass(Duration::from_secs(1));
        assert_eq!(world.state(0, &name).is_some(), taken, "{count}");
    }
}

#[test]
fn nobody_begins_calls_without_end() {
    let mut world = World::with(9, &["ann", "bob"]);
    let eve = world.stranger("eve");
    for i in 0..100 {
        // Each is of another session.
        let line = format!("a=fingerprint:sha-256 {i:02X}");
        let json = OFFER.replacen("a=fingerprint:", &format!("{line}{SEPARATOR}a=fingerprint:"), 1);
        world.say(&eve, "ann", offer(json));
        world.pass(Duration::from_millis(20));
    }
    let begun = world.nodes[0].events.iter().filter(
        |event| matches!(event, Event::State { peer, state: State::Connecting } if peer == "eve"),
    );
    assert!((1..10).contains(&begun.count()));
    world.call(1, "ann");
    world.until_state(1, "ann", State::Direct);
}

//! Limits, deadlines and ends of a hub, in virtual time.

mod common;

use std::{net::IpAddr, time::Duration};

use common::{World, data, go, register, safe};
use smoq_signal::{
    CloseReason, Config, ConnectRefused, Event, IdError, Limits, Rate, Refusal, Time,
    wire::Malformed,
};

const SECOND: Duration = Duration::from_secs(1);

fn limited(limits: Limits) -> Config {
    Config { limits, ..safe() }
}

fn join(room: &str) -> String {
    format!(r#"{{"type":"join_request","data":{{"room":"{room}"}}}}"#)
}

#[test]
fn a_ping_goes_out_every_15_seconds_from_the_beginning() {
    let mut world = World::new(safe());
    let a = world.client("a");
    world.pass(61 * SECOND);
    let at: Vec<_> = [15, 30, 45, 60].map(|s| Time::from_millis(s * 1000)).into();
    assert_eq!(world.pings[&a], at);
    // A long sleep of the machine is not made up for, but it may have cost the connection.
    world.now = Time::from_millis(100_000);
    world.say(a, &data("a", "a", "aGk="));
    world.pass(20 * SECOND);
    assert_eq!(world.pings[&a].len(), 6);
}

#[test]
fn silence_ends_a_connection_and_anything_is_a_sign_of_life() {
    let mut world = World::new(safe());
    let (silent, talker) = (world.client("s"), world.client("t"));
    for _ in 0..89 {
        world.pass_but(SECOND, &[silent, talker]);
        world.say(talker, "anything");
    }
    assert!(world.closed.is_empty());
    world.pass_but(2 * SECOND, &[silent, talker]);
    assert_eq!(world.closed.get(&silent), Some(&CloseReason::Idle));
    assert_eq!(world.closed.len(), 1);
    assert_eq!(world.hub.holder("s"), None);
}

#[test]
fn who_does_not_register_in_time_is_closed() {
    let mut world = World::new(safe());
    let (never, a) = (world.connect(), world.client("a"));
    world.pass(59 * SECOND);
    assert!(world.closed.is_empty());
    world.say(a, r#"{"type":"unregister_request","data":{"client_id":"a"}}"#);
    world.pass(2 * SECOND);
    assert_eq!(world.closed.get(&never), Some(&CloseReason::NotRegistered));
    world.pass(57 * SECOND);
    assert_eq!(world.closed.len(), 1, "time counts from the end of the registration");
    world.pass(2 * SECOND);
    assert_eq!(world.closed.get(&a), Some(&CloseReason::NotRegistered));
    let mut world = World::new(go());
    world.connect();
    world.pass(1000 * SECOND);
    assert!(world.closed.is_empty(), "not where anybody may speak without an id");
}

#[test]
fn the_token_takes_an_id_over_and_nothing_else_does() {
    let mut world = World::new(safe());
    let (half_open, b) = (world.connect(), world.client("b"));
    world.say(half_open, &register("a"));
    let answer = world.hear(half_open);
    let token = answer.split(r#""token":""#).nth(1).unwrap().split('"').next().unwrap();
    let with = |token: &str| {
        format!(r#"{{"type":"register_request","data":{{"client_id":"a","token":"{token}"}}}}"#)
    };
    let again = world.connect();
    world.say(again, &with("wrong"));
    world.say(again, &with(""));
    assert_eq!(world.refusals(again), [Refusal::IdTaken, Refusal::IdTaken]);
    world.say(again, &with(token));
    assert_eq!(world.closed.get(&half_open), Some(&CloseReason::Replaced));
    assert_eq!(world.hub.holder("a"), Some(again));
    world.say(b, &data("b", "a", "aGk="));
    assert!(world.heard[&again].iter().any(|text| text.contains("aGk=")));
    let own = world.connect();
    world.say(own, &with("chosen by the client").replace("\"a\"", "\"own\""));
    assert!(world.hear(own).contains(r#""token":"chosen by the client""#));
    world.say(own, &with(&"x".repeat(65)));
    assert_eq!(world.refusals(own), [Refusal::Malformed(Malformed::Field("token"))]);
}

#[test]
fn addresses_and_the_hub_hold_so_many_connections() {
    let mut world = World::new(limited(Limits {
        connections: 5,
        connections_per_address: 2,
        ..Limits::default()
    }));
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let a = world.try_connect(address("192.0.2.1")).unwrap();
    world.try_connect(address("::ffff:192.0.2.1")).unwrap();
    let full = Err(ConnectRefused::AddressFull);
    assert_eq!(world.try_connect(address("192.0.2.1")), full);
    world.try_connect(address("2001:db8:0:1::1")).unwrap();
    world.try_connect(address("2001:db8:0:1::2")).unwrap();
    assert_eq!(world.try_connect(address("2001:db8:0:1:ffff::3")), full, "one /64, one address");
    world.try_connect(address("2001:db8:0:2::1")).unwrap();
    assert_eq!(world.try_connect(address("192.0.2.2")), Err(ConnectRefused::Full));
    world.leave(a);
    world.try_connect(address("192.0.2.1")).unwrap();
    assert_eq!(world.hub.stats().turned_away, 3);
}

#[test]
fn the_default_fits_itself() {
    assert_eq!(Limits::default().per_address(64), Limits::default());
}

#[test]
fn who_comes_again_and_again_has_to_wait() {
    let limits =
        Limits { connects: Rate { per_second: 1, burst: 5 }, connections: 8, ..Limits::default() };
    let mut world = World::new(limited(limits));
    let address = |last| IpAddr::from([192, 0, 2, last]);
    for _ in 0..5 {
        let conn = world.try_connect(address(1)).unwrap();
        world.leave(conn);
    }
    let refused = Err(ConnectRefused::TooOften);
    assert_eq!(world.try_connect(address(1)), refused, "leaving does not make it new");
    let other = world.try_connect(address(2)).unwrap();
    world.leave(other);
    assert_eq!(world.try_connect(address(1)), refused, "whoever else comes and goes");
    world.pass(SECOND);
    world.try_connect(address(1)).unwrap();
    assert_eq!(world.try_connect(address(1)), refused);
    // What is remembered of those who are gone is bounded, but not in favour of who comes often.
    for i in 10..=200 {
        let conn = world.try_connect(address(i)).unwrap();
        world.leave(conn);
    }
    assert_eq!(world.try_connect(address(1)), refused);
}

#[test]
fn ids_that_come_and_go_cost_what_rooms_cost() {
    let mut world = World::new(limited(Limits {
        messages: Rate { per_second: 1, burst: 40 },
        membership_cost: 8,
        ..Limits::default()
    }));
    let a = world.client("a");
    for _ in 0..2 {
        world.say(a, r#"{"type":"unregister_request","data":{"client_id":"a"}}"#);
        world.say(a, &register("a"));
    }
    assert_eq!(world.refusals(a), []);
    world.say(a, r#"{"type":"unregister_request","data":{"client_id":"a"}}"#);
    assert_eq!(world.refusals(a), [Refusal::RateLimited]);
    world.pass(SECOND);
    world.say(a, &register("a"));
    assert_eq!(world.refusals(a).len(), 1, "asking again changes nothing");
}

#[test]
fn a_message_has_at_most_so_many_bytes_both_ways() {
    let mut world = World::new(safe());
    let (a, b) = (world.client("a"), world.client("b"));
    let limit = Limits::default().message_bytes;
    let padded = |bytes: usize, with: &str| {
        let empty = data("a", "b", "aGk=").replace("chat", "");
        let room = bytes - empty.len();
        empty.replace(r#""label":"""#, &format!(r#""label":"{}""#, with.repeat(room)))
    };
    world.say(a, &padded(limit, "x"));
    assert_eq!(world.hear(b).len(), limit);
    world.pass(10 * SECOND);
    world.say(a, &padded(limit, "<"));
    assert_eq!(world.refusals(a), [Refusal::TooLarge], "it would grow for its receiver");
    world.pass(10 * SECOND);
    world.say(a, &padded(limit + 1, "x"));
    assert_eq!(world.closed.get(&a), Some(&CloseReason::TooLarge));
    assert_eq!(world.try_hear(b), None);
}

#[test]
fn a_flood_is_refused_and_then_ended_and_costs_nobody_else() {
    let mut world = World::new(limited(Limits {
        messages: Rate { per_second: 10, burst: 20 },
        membership_cost: 1,
        refusals: Rate { per_second: 1, burst: 5 },
        ..Limits::default()
    }));
    let (flood, a, b) = (world.client("f"), world.client("a"), world.client("b"));
    for _ in 0..19 {
        world.say(flood, &data("f", "b", "aGk="));
    }
    assert_eq!(world.refusals(flood), []);
    for _ in 0..5 {
        world.say(flood, &data("f", "b", "aGk="));
    }
    assert_eq!(world.refusals(flood), vec![Refusal::RateLimited; 5]);
    assert!(world.closed.is_empty());
    world.say(flood, &data("f", "b", "aGk="));
    assert_eq!(world.closed.get(&flood), Some(&CloseReason::TooManyRefusals));
    world.say(a, &data("a", "b", "aGk="));
    assert_eq!(world.refusals(a), []);
    assert_eq!(world.heard[&b].len(), 20);
}

#[test]
fn go_clients_are_never_closed_for_what_they_are_not_told() {
    let mut world = World::new(go());
    let a = world.client("a");
    for _ in 0..300 {
        world.say(a, &data("a", "nobody", "aGk="));
    }
    world.say(a, &data("a", "a", "aGk="));
    assert_eq!((world.refusals(a).len(), world.closed.len()), (300, 0));
    assert_eq!(world.heard[&a].len(), 1, "nothing but what it sent to itself");
}

#[test]
fn who_calls_peers_that_left_is_told_and_kept() {
    let mut world = World::new(safe());
    let a = world.client("a");
    for _ in 0..200 {
        world.say(a, &data("a", "gone", "aGk="));
    }
    assert_eq!(world.refusals(a), vec![Refusal::UnknownTarget; 200]);
    assert!(world.closed.is_empty(), "others could do it to anybody who answers their calls");
}

#[test]
fn bytes_are_counted_as_messages_are() {
    let mut world = World::new(limited(Limits {
        bytes: Rate { per_second: 100, burst: 400 },
        ..Limits::default()
    }));
    let a = world.client("a");
    let long = "x".repeat(200);
    world.say(a, &long);
    world.say(a, &long);
    assert_eq!(world.refusals(a).last(), Some(&Refusal::RateLimited));
    world.pass(2 * SECOND);
    world.say(a, &data("a", "a", "aGk="));
    assert_eq!(world.refusals(a).len(), 2, "a rest is enough");
}

#[test]
fn who_asks_without_reading_is_closed() {
    let mut world = World::new(limited(Limits { own_messages: 10, ..Limits::default() }));
    let a = world.client("a");
    world.stalled.insert(a);
    for _ in 0..10 {
        world.say(a, &register("a"));
    }
    assert!(world.closed.is_empty());
    world.say(a, &register("a"));
    assert_eq!(world.closed.get(&a), Some(&CloseReason::SlowReader));
    assert_eq!(world.hub.stats().queued_bytes, 0);
}

#[test]
fn answers_are_bounded_in_bytes_too() {
    let mut world = World::new(limited(Limits { own_bytes: 1000, ..Limits::default() }));
    let a = world.client("a");
    world.stalled.insert(a);
    while world.closed.is_empty() {
        assert!(world.hub.stats().queued_bytes <= 1000);
        world.say(a, &register("a"));
    }
    assert_eq!(world.closed.get(&a), Some(&CloseReason::SlowReader));
}

#[test]
fn who_waits_for_most_makes_room_for_all() {
    let mut world = World::new(limited(Limits { total_queue_bytes: 1000, ..Limits::default() }));
    let (a, b, c) = (world.client("a"), world.client("b"), world.client("c"));
    world.stalled.extend([b, c]);
    world.say(a, &data("a", "c", "aGk="));
    while world.closed.is_empty() {
        world.say(a, &data("a", "b", "aGk="));
        assert!(world.hub.stats().queued_bytes <= 1000);
    }
    assert_eq!(world.closed.get(&b), Some(&CloseReason::SlowReader));
    world.say(a, &data("a", "c", "aGk="));
    assert_eq!(world.refusals(a), [], "who has little waiting is served");
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn a_room_that_is_told_in_vain_is_told_anew_and_costs_nobody_the_connection() {
    let mut world = World::new(safe());
    let (slow, quick) = (world.client("slow"), world.client("quick"));
    [slow, quick].into_iter().for_each(|conn| world.say(conn, &join("hall")));
    world.stalled.insert(slow);
    for i in 0..20 {
        let flood = world.client(&format!("f{i}"));
        for _ in 0..30 {
            world.say(flood, &join("hall"));
            world.say(flood, &join("hall").replace("join", "leave"));
        }
    }
    let last = world.client("last");
    world.say(last, &join("hall"));
    assert!(world.closed.is_empty());
    assert!(world.hub.stats().queued_bytes < 2 * Limits::default().own_bytes);
    // What it asks is answered all the same.
    world.say(slow, &register("slow"));
    (0..2000).for_each(|_| world.take_one(slow));
    assert_eq!(world.hub.stats().queued_bytes, 0);
    let heard = &world.heard[&slow];
    assert!(heard.iter().any(|text| text.contains("register_response")));
    let told = heard.back().unwrap();
    assert!(told.contains(r#""room":"hall","peers":["last","quick"]"#), "{told}");
    world.leave(last);
    let told = world.heard[&slow].back().unwrap();
    assert!(told.contains("presence") && told.contains("last"), "and then as before: {told}");
    let changes = world.heard[&quick].iter().filter(|text| text.contains("presence"));
    assert_eq!(changes.count(), 2 * (20 * 30 + 1), "who reads is told all");
}

#[test]
fn a_slow_reader_that_reads_is_kept() {
    let mut world = World::new(safe());
    let (a, slow) = (world.client("a"), world.client("slow"));
    world.stalled.insert(slow);
    for _ in 0..20 {
        world.say(a, &data("a", "slow", "aGk="));
    }
    assert_eq!(world.heard[&slow].len(), 16, "the transport holds no more");
    for _ in 0..20 {
        world.pass(9 * SECOND);
        world.take_one(slow);
    }
    world.pass(60 * SECOND);
    assert!(world.closed.is_empty());
    assert_eq!(world.heard[&slow].len(), 20);
}

#[test]
fn rooms_are_bounded() {
    let mut world = World::new(limited(Limits { rooms: 1, room_peers: 2, ..Limits::default() }));
    let (a, b, c) = (world.client("a"), world.client("b"), world.client("c"));
    for who in [a, b, c, a] {
        world.say(who, &join("hall"));
    }
    world.say(a, &join("other"));
    world.say(a, &join(""));
    assert_eq!(world.refusals(c), [Refusal::RoomFull]);
    assert_eq!(world.refusals(a), [Refusal::TooManyRooms, Refusal::BadRoom(IdError::Empty)]);
    assert_eq!(world.hub.stats().rooms, 1);
    world.leave(a);
    world.leave(b);
    assert_eq!(world.hub.stats().rooms, 0, "an empty room is no room");
}

#[test]
fn a_full_room_may_come_and_go_at_once() {
    let mut world = World::new(safe());
    let names: Vec<_> = (0..64).map(|i| format!("c{i}")).collect();
    let all: Vec<_> = names.iter().map(|name| world.client(name)).collect();
    world.stalled.extend(all.iter().copied());
    all.iter().for_each(|conn| world.say(*conn, &join("hall")));
    all[1..].iter().for_each(|conn| world.leave(*conn));
    assert!(world.closed.is_empty());
}

#[test]
fn a_shutdown_closes_all_and_lets_nobody_in() {
    let mut world = World::new(safe());
    let (a, b) = (world.client("a"), world.client("b"));
    [a, b].into_iter().for_each(|conn| world.say(conn, &join("hall")));
    world.hub.shutdown(world.now);
    world.drain();
    world.pass(SECOND);
    assert_eq!(world.try_connect([127, 0, 0, 1].into()), Err(ConnectRefused::Shutdown));
    assert_eq!(world.closed.get(&a), Some(&CloseReason::Shutdown));
    assert_eq!(world.closed.get(&b), Some(&CloseReason::Shutdown));
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn what_crosses_the_end_of_a_connection_is_ignored() {
    let mut world = World::new(safe());
    let (a, b) = (world.client("a"), world.client("b"));
    world.leave(a);
    world.say(a, &data("a", "b", "aGk="));
    world.take_one(a);
    world.hub.handle_alive(world.now, a);
    world.leave(a);
    assert_eq!(world.try_hear(b), None);
    assert_eq!(world.hub.stats().connections, 1);
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut world = World::new(safe());
        let (a, b) = (world.client("a"), world.client("b"));
        world.say(a, r#"{"type":"sdp","data":{"from_id":"a","to_id":"b"}}"#);
        world.pass(7 * SECOND);
        world.say(b, "?");
        world.leave(b);
        (world.heard, world.events)
    };
    assert_eq!(run(), run());
}

#[test]
fn events_tell_what_happened_and_nothing_of_what_was_said() {
    let mut world = World::new(safe());
    let (a, b) = (world.client("a"), world.client("b"));
    world.say(
        a,
        r#"{"type":"sdp","data":{"from_id":"a","to_id":"b","session_description":{"type":"offer","sdp":"a=ice-pwd:secret"}}}"#,
    );
    world.leave(a);
    let told = format!("{:?}", world.events);
    assert!(!told.contains("secret"));
    assert!(matches!(world.events.last(), Some(Event::Closed { reason: None, .. })));
    let forwarded = |event: &Event| matches!(event, Event::Forwarded { conn, to, .. } if (*conn, *to) == (a, b));
    assert_eq!(world.events.iter().filter(|event| forwarded(event)).count(), 1);
}

//! What went wrong in the hub that this one follows, each by name, in virtual time.

mod common;

use std::time::Duration;

use common::{World, data, go, register, safe};
use smoq_signal::{CloseReason, Config, Limits, Rate, Refusal};

const SECOND: Duration = Duration::from_secs(1);

/// It lost what came ten to fifteen seconds after its last ping, and the connection with it.
#[test]
fn forwards_at_every_second_of_a_minute_arrive() {
    let mut world = World::new(safe());
    let (a, b) = (world.client("a"), world.client("b"));
    for _ in 0..60 {
        world.pass(SECOND);
        let message = data("a", "b", "aGk=");
        world.say(a, &message);
        assert_eq!(world.hear(b), message);
    }
    assert!(world.closed.is_empty());
}

/// It died when a forward was written while the answer to a registration was.
#[test]
fn a_forward_may_meet_the_answer_to_a_registration() {
    let connects = Rate { per_second: 100, burst: 100 };
    let limits = Limits { connects, ..Limits::default() };
    let mut world = World::new(Config { limits, ..safe() });
    let a = world.client("a");
    for i in 0..10_000 {
        let b = world.connect();
        world.stalled.insert(b);
        world.say(b, &register("b"));
        world.say(a, &data("a", "b", "aGk="));
        world.take_one(b);
        assert!(world.hear(b).contains("register_response"), "the answer comes first, client {i}");
        assert!(world.hear(b).contains("data_channel"), "client {i}");
        world.leave(b);
        world.pass(Duration::from_millis(20));
        assert_eq!(world.try_hear(a), None, "nothing was refused");
    }
    assert_eq!(world.hub.stats().peers, 1);
}

/// One client that did not read stopped all the others for seconds.
#[test]
fn a_reader_that_stops_delays_nobody() {
    let mut world = World::new(safe());
    let (a, b, slow) = (world.client("a"), world.client("b"), world.client("slow"));
    world.stalled.insert(slow);
    let mut refused = false;
    for _ in 0..400 {
        world.say(a, &data("a", "slow", "aGk="));
        refused |= world.try_hear(a).is_some_and(|answer| answer.contains("target_busy"));
        world.say(a, &data("a", "b", "aGk="));
        assert!(world.try_hear(b).is_some(), "at once, and in its turn");
        world.pass(Duration::from_millis(20));
    }
    assert!(refused, "the sender is told");
    world.pass(3 * SECOND);
    assert_eq!(world.closed.get(&slow), Some(&CloseReason::SlowReader));
    assert_eq!(world.hub.stats().queued_bytes, 0);
}

/// A disconnect freed nothing: ids of the dead could never be used again.
#[test]
fn an_id_is_free_at_once_after_a_disconnect() {
    for config in [safe(), go()] {
        let mut world = World::new(config);
        let first = world.client("a");
        world.leave(first);
        assert_eq!((world.hub.stats().connections, world.hub.stats().peers), (0, 0));
        let (second, b) = (world.client("a"), world.client("b"));
        world.say(b, &data("b", "a", "aGk="));
        assert_eq!(world.hear(second), data("b", "a", "aGk="), "the living one gets it");
    }
}

/// An id that was taken was said to be given.
#[test]
fn a_taken_id_is_refused() {
    let mut world = World::new(safe());
    let (first, other) = (world.client("a"), world.connect());
    world.say(other, &register("a"));
    let answer = world.hear(other);
    assert!(answer.contains(r#""success":false,"code":"id_taken""#), "{answer}");
    assert_eq!(world.refusals(other), [Refusal::IdTaken]);
    assert_eq!(world.hub.holder("a"), Some(first));
}

/// Anybody could speak in anybody's name.
#[test]
fn a_forged_sender_is_refused() {
    let mut world = World::new(safe());
    let (mallory, b) = (world.client("m"), world.client("b"));
    let stranger = world.connect();
    world.client("a");
    world.say(mallory, &data("a", "b", "aGk="));
    world.say(mallory, &data("", "b", "aGk="));
    world.say(stranger, &data("a", "b", "aGk="));
    assert_eq!(world.refusals(mallory), [Refusal::ForgedSender, Refusal::ForgedSender]);
    assert_eq!(world.refusals(stranger), [Refusal::NotRegistered]);
    assert_eq!(world.try_hear(b), None);
    world.say(mallory, &register("second"));
    assert_eq!(world.refusals(mallory).last(), Some(&Refusal::TooManyIds));
}

/// JSON may name a field twice, and programs that read it do not agree which one counts.
#[test]
fn a_message_with_two_senders_is_refused() {
    let mut world = World::new(safe());
    let (mallory, b) = (world.client("m"), world.client("b"));
    for more in [r#""FROM_ID":"a""#, r#""from_id":"a""#, r#""fromId":"a""#, r#""from\u005fid":"a""#]
    {
        let twice = [r#""from_id":"m","#, more].concat();
        for from in [twice.clone(), twice.split(',').rev().collect::<Vec<_>>().join(",")] {
            world.say(mallory, &data("m", "b", "aGk=").replace(r#""from_id":"m""#, &from));
        }
    }
    assert_eq!(world.refusals(mallory), vec![Refusal::ForgedSender; 8]);
    assert_eq!(world.try_hear(b), None);
    let raw = world.connect();
    world.say(raw, r#"{"type":"register","raw":"{\"ID\":\"r\"}"}"#);
    world.say(raw, r#"{"type":"sdp","raw":"{\"ID\":\"a\",\"id\":\"r\",\"TargetID\":\"b\"}"}"#);
    assert_eq!(world.refusals(raw), [Refusal::ForgedSender]);
}

/// A sender was told nothing when nobody was there.
#[test]
fn an_unknown_target_is_answered() {
    let mut world = World::new(safe());
    let a = world.client("a");
    world.say(a, &data("a", "nobody", "aGk="));
    let answer = world.hear(a);
    for part in [r#""code":"unknown_target""#, r#""request_id":"m""#, r#""to_id":"nobody""#] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

/// A registration was overtaken by what followed it.
#[test]
fn who_registers_can_be_reached_by_the_next_message() {
    let mut world = World::new(safe());
    let (a, b) = (world.connect(), world.client("b"));
    world.say(a, &register("a"));
    world.say(b, &data("b", "a", "aGk="));
    assert_eq!(world.refusals(b), []);
}

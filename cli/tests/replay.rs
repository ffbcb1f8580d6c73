//! `smoq relay --record` and `smoq replay`.
#![cfg(unix)]

mod support;

use std::{fs, iter};

use bytes::Bytes;
use smoq_quic::tape::{Input, Replay};
use support::{Relay, User, noise};

fn end(relay: Relay) {
    relay.running.interrupt();
    relay.running.done().expect(0);
}

#[test]
fn a_relay_under_load_replays_to_the_same_outputs() {
    let user = User::new();
    let tape = user.path("relay.tape");
    let relay = user.relay(&["--shards", "2", "--record", &tape]);
    let load = ["--subscribers", "6", "--warmup", "0s", "--duration", "1s", "--slow", "1"];
    user.run(&[&["bench"], &load[..], &[&relay.url]].concat()).expect(0);
    let input = noise(300_000);
    let done = user.transfer(&["--all", &relay.url, "tv/one"], &[&relay.url, "tv/one"], &input);
    assert!(done.expect(0).stdout == input);
    end(relay);
    let mut story = String::new();
    for file in [tape.clone(), format!("{tape}.1")] {
        let done = user.run(&["replay", &file]).expect(0).says("all as recorded");
        story += &String::from_utf8(done.stdout).unwrap();
    }
    for text in [
        "-- a peer connects by moq-lite-06 over QUIC",
        "-- a link to another shard",
        r#"<- announces "bench""#,
        r#"<- announces "tv/one""#,
        r#" of "tv/one" as "#,
        "is closed by the peer",
    ] {
        assert!(story.contains(text), "{text} is not in\n{story}");
    }
}

#[test]
fn a_fault_is_the_first_differing_line() {
    let user = User::new();
    let tape = user.path("relay.tape");
    let relay = user.relay(&["--shards", "1", "--record", &tape]);
    let input = noise(300_000);
    let args = [&relay.url, "tv"];
    user.transfer(&[&["--all"], &args[..]].concat(), &args, &input).expect(0);
    end(relay);
    let mut bytes = fs::read(&tape).unwrap();
    let at = bytes.windows(64).position(|part| part == &input[200_000..200_064]).unwrap();
    bytes[at + 10] ^= 1;
    let faulty = user.path("faulty.tape");
    fs::write(&faulty, &bytes).unwrap();
    let good = Bytes::from(fs::read(&tape).unwrap());
    let mut replay = Replay::new(good.clone()).unwrap();
    let steps = iter::from_fn(|| replay.step().unwrap());
    let place = |data: &Bytes| at.wrapping_sub(data.as_ptr() as usize - good.as_ptr() as usize);
    let first = steps.into_iter().find_map(|step| match &step.input {
        Input::HandleRecv { data, .. } if place(data) < data.len() => Some(step.number.to_string()),
        _ => None,
    });
    let first = first.unwrap();

    let text = format!("input {first} is the first that is not as recorded");
    user.run(&["replay", &faulty]).expect(1).says(&text);
    let done = user.run(&["replay", "--diff", &faulty, &tape]).expect(1);
    let done = done.says(&format!("differ at input {first}\n"));
    assert!(done.stderr.contains(&format!("faulty.tape: what comes of input {first} is not")));
    let lines = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<_> = lines.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("< ") && lines[1].starts_with("> "));
    assert!(lines[0][1..] != lines[1][1..] && lines.iter().all(|line| line.contains(&first)));
    user.run(&["replay", "--diff", &tape, &tape]).expect(0).says("has ended or was stopped");

    // A length that is damaged is no end.
    bytes[at + 10] ^= 1;
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let head = (0..at).rev().find(|at| word(*at) == !word(at + 4)).unwrap();
    bytes[head + 1] ^= 0x80;
    fs::write(&faulty, bytes).unwrap();
    let text = format!("input {first}, at byte {head}, is none");
    user.run(&["replay", &faulty]).expect(1).says(&text);
    user.run(&["replay", "--diff", &tape, &faulty]).expect(1).says(&text);
}

#[test]
fn a_replay_stops_where_one_wants_to_look() {
    let user = User::new();
    let tape = user.path("relay.tape");
    let relay = user.relay(&["--shards", "1", "--record", &tape]);
    let args = [&relay.url, "tv"];
    user.transfer(&[&["--all"], &args[..]].concat(), &args, b"hello").expect(0);
    end(relay);
    let whole = String::from_utf8(user.run(&["replay", &tape]).expect(0).stdout).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let time = lines[lines.len() / 2].split_whitespace().next().unwrap();
    let part = user.run(&["replay", "--until", time, &tape]).expect(0).stdout;
    let part = String::from_utf8(part).unwrap();
    assert!(whole.starts_with(&part) && part.lines().count() >= lines.len() / 2);
    assert!(part.len() < whole.len(), "{whole}");

    let mut step = user.start(&["replay", "--step", &tape]);
    for line in lines {
        assert_eq!(step.line(), line);
        step.write(b"\n");
    }
    step.done().expect(0);
    let inputs = user.run(&["replay", "--inputs", &tape]).expect(0).stdout;
    assert!(String::from_utf8(inputs).unwrap().contains("HandleRecv"));
}

#[test]
fn a_relay_that_is_killed_leaves_a_good_recording() {
    let user = User::new();
    let tape = user.path("relay.tape");
    let relay = user.relay(&["--shards", "1", "--record", &tape]);
    let args = [&relay.url, "tv"];
    user.transfer(&[&["--all"], &args[..]].concat(), &args, &noise(300_000)).expect(0);
    drop(relay);
    user.run(&["replay", &tape]).expect(0).says("all as recorded");
}

#[test]
fn a_recording_is_bounded_and_the_one_before_is_kept() {
    let user = User::new();
    let tape = user.path("relay.tape");
    let args = ["--shards", "1", "--record", &tape, "--record-limit", "1"];
    for _ in 0..2 {
        let relay = user.relay(&args);
        let input = noise(3_000_000);
        let names = [&relay.url, "tv"];
        let done = user.transfer(&[&["--all"], &names[..]].concat(), &names, &input);
        assert!(done.expect(0).stdout == input, "the relay goes on");
        end(relay);
    }
    for file in [tape.clone(), format!("{tape}.old")] {
        let size = fs::metadata(&file).unwrap().len();
        assert!((1 << 20..1 << 21).contains(&size), "{size}");
        user.run(&["replay", &file]).expect(0).says("it has reached its limit");
    }
    user.run(&["relay", "--record", "/nowhere/at/all"]).expect(1).says("--record");
}

#[test]
fn what_is_no_recording_is_told() {
    let user = User::new();
    let file = user.write("text", "hello");
    user.run(&["replay", &file]).expect(1).says("this is no recording");
    user.run(&["replay", &user.path("nothing")]).expect(1).says("cannot read");
    user.run(&["replay", "--until", "soon", &file]).expect(2).says("give seconds");
}

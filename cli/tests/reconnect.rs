//! A relay that is killed, and one that goes, under `smoq publish` and `smoq subscribe`.

mod support;

use support::{host::Host, noise};

#[test]
fn a_relay_that_is_killed_and_started_again_is_found_again() {
    let host = Host::new();
    let (relay, url) = host.relay(&[]);
    let mut subscriber = host.subscribe(&url);
    let mut publisher = host.publish(&url, "1000", "1");
    let input = noise(100_000);
    let (before, rest) = input.split_at(10_000);
    let (meanwhile, after) = rest.split_at(40_000);
    publisher.write(before);
    assert_eq!(subscriber.read(before.len()), before);
    relay.kill();
    publisher.write(meanwhile);
    let relay = host.again(&url, &[]);
    for command in [&mut publisher, &mut subscriber] {
        command.told("the connection was lost");
        command.told("connected again");
    }
    assert_eq!(subscriber.read(meanwhile.len()), meanwhile);
    publisher.write(after);
    assert_eq!(subscriber.read(after.len()), after);
    publisher.done().expect(0);
    let done = subscriber.done();
    // Of the last group before the kill, the end that follows the last byte may have been on its way.
    let complete = done.code == Some(0) || done.stderr.contains("1 groups are missing");
    assert!(complete, "{}", done.stderr);
    drop(relay);
}

#[test]
fn what_was_on_its_way_is_lost_and_told() {
    let host = Host::new();
    let (relay, url) = host.relay(&[]);
    let mut subscriber = host.subscribe(&url);
    let mut publisher = host.publish(&url, "16", "2");
    publisher.write(b"half of a group,");
    assert_eq!(subscriber.read(16), b"half of a group,");
    relay.kill();
    let _relay = host.again(&url, &[]);
    publisher.told("connected again");
    subscriber.told("connected again");
    publisher.write(b" its other half.and a group more");
    assert_eq!(subscriber.read(16), b"and a group more");
    publisher.done().expect(0);
    subscriber.done().expect(3).says("1 groups are missing");
}

#[test]
fn a_relay_that_goes_is_left_without_a_gap() {
    let host = Host::new();
    let (relay, url) = host.relay(&["--drain", "5"]);
    let mut subscriber = host.subscribe(&url);
    let mut publisher = host.publish(&url, "1000", "1");
    let input = noise(20_000);
    publisher.write(&input[..10_000]);
    assert_eq!(subscriber.read(10_000), &input[..10_000]);
    relay.interrupt();
    publisher.told("the server is about to go");
    subscriber.told("the server is about to go");
    publisher.write(&input[10_000..]);
    assert_eq!(subscriber.read(10_000), &input[10_000..], "it goes on while it goes");
    relay.done().expect(0);
    let _relay = host.again(&url, &[]);
    publisher.told("connected again");
    subscriber.told("connected again");
    publisher.write(b"the end");
    assert_eq!(subscriber.read(7), b"the end");
    publisher.done().expect(0);
    subscriber.done().expect(0);
}

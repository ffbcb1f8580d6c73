//! Relays that dial other relays: processes that come and go.

mod support;

use support::{Running, host::Host, noise};

/// Relays that dial others on the same host.
trait Cluster {
    /// One that dials these, has joined them, and its URL.
    fn joined(&self, others: &[&str], options: &[&str]) -> (Running, String);
}

/// The options that make a relay dial others.
fn dialing<'a>(host: &'a Host, others: &[&'a str]) -> Vec<&'a str> {
    let connect = others.iter().flat_map(|other| ["--connect", other]);
    connect.chain(["--tls-root", &host.chain]).collect()
}

impl Cluster for Host {
    fn joined(&self, others: &[&str], options: &[&str]) -> (Running, String) {
        let (mut relay, url) = self.relay(&[&dialing(self, others), options].concat());
        for _ in others {
            relay.told("joined another relay");
        }
        (relay, url)
    }
}

#[test]
fn a_relay_in_the_chain_may_be_killed_and_started_again() {
    let host = Host::new();
    let (above, first) = host.relay(&[]);
    let (mut below, last) = host.joined(&[&first], &["--shards", "1"]);
    let mut subscriber = host.subscribe(&last);
    let mut publisher = host.publish(&first, "1000", "1");
    let input = noise(60_000);
    let (before, rest) = input.split_at(20_000);
    let (meanwhile, after) = rest.split_at(20_000);
    publisher.write(before);
    assert_eq!(subscriber.read(before.len()), before);
    above.kill();
    publisher.write(meanwhile);
    let _above = host.again(&first, &[]);
    below.told("joined another relay");
    assert_eq!(subscriber.read(meanwhile.len()), meanwhile);
    publisher.write(after);
    assert_eq!(subscriber.read(after.len()), after);
    publisher.done().expect(0);
    let done = subscriber.done();
    assert!(!done.stderr.contains("connect"), "it has noticed nothing: {}", done.stderr);
    // Of the last group before the kill, the end that follows the last byte may have been on its way.
    let complete = done.code == Some(0) || done.stderr.contains("1 groups are missing");
    assert!(complete, "{}", done.stderr);
}

#[test]
fn relays_that_dial_each_other_are_joined_once() {
    let host = Host::new();
    let (one, first) = host.relay(&[]);
    let (mut other, last) = host.joined(&[&first], &[]);
    one.kill();
    let mut one = host.again(&first, &dialing(&host, &[&last]));
    one.told("joined another relay");
    other.told("joined another relay");
    for (from, to) in [(&first, &last), (&last, &first)] {
        let mut announced = host.announced(to);
        let mut subscriber = host.subscribe(to);
        let mut publisher = host.publish(from, "1000", "1");
        let input = noise(20_000);
        publisher.write(&input);
        assert_eq!(subscriber.read(input.len()), input);
        publisher.done().expect(0);
        subscriber.done().expect(0);
        assert_eq!([announced.line(), announced.line()], ["+ a", "- a"], "told once");
    }
}

/// Four in a ring, the publisher opposite the subscriber: whichever way its bytes take, they take the other one
/// when a relay on it is killed.
#[test]
fn a_ring_goes_on_without_one_of_its_relays() {
    let host = Host::new();
    let (_top, top) = host.relay(&[]);
    let (left, left_url) = host.joined(&[&top], &["--shards", "1"]);
    let (right, right_url) = host.joined(&[&top], &[]);
    let (mut bottom, url) = host.joined(&[&left_url, &right_url], &["--shards", "1"]);
    let mut subscriber = host.subscribe(&url);
    let mut publisher = host.publish(&top, "1000", "1");
    let mut sent = |subscriber: &mut Running, seed: usize| {
        let input = noise(20_000 + 1000 * seed);
        publisher.write(&input);
        assert_eq!(subscriber.read(input.len()), input);
    };
    sent(&mut subscriber, 0);
    left.kill();
    sent(&mut subscriber, 1);
    let mut left = host.again(&left_url, &dialing(&host, &[&top]));
    left.told("joined another relay");
    bottom.told("joined another relay");
    sent(&mut subscriber, 2);
    right.kill();
    sent(&mut subscriber, 3);
    publisher.done().expect(0);
    let done = subscriber.done();
    assert!(!done.stderr.contains("connect"), "it has noticed nothing: {}", done.stderr);
    // Of the last group before a kill, the end that follows the last byte may have been on its way.
    let complete = done.code == Some(0) || done.stderr.contains("groups are missing");
    assert!(complete, "{}", done.stderr);
}

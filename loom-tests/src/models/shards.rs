//! Drivers of two shards, and the link between them.

use std::{future::poll_fn, pin::Pin, time::Instant};

use loom::{future::block_on, thread};
use smoq_core::{Announced, Path, Side};
use smoq_quic::Shard;

use super::local::{drive, end, endpoint, path, say, settle, turn};
use crate::{
    Origin,
    driver::{CAPACITY, Peer, Shards},
    mailbox::mailbox,
    op::Ops,
};

/// Turns of both until their link is open.
const TURNS: usize = 8;

/// What is announced on one shard is heard on the other one, and they end together.
pub(super) fn announcement_over_link() {
    let now = Instant::now();
    let (mailboxes, mut receivers): (Vec<Ops>, Vec<_>) = (0..2).map(|_| mailbox(CAPACITY)).unzip();
    let mut shard = |index: u8, side| {
        let mut endpoint = endpoint(now, Some(Shard { index, count: 2 }));
        let session = endpoint.add_link(now, side);
        let other = 1 - index;
        let ops = mailboxes[usize::from(other)].to_peer();
        let shards = Shards::new(index, vec![Peer { shard: other, session, ops }], Vec::new());
        drive(now, endpoint, receivers.remove(0), shards)
    };
    let (mut one, _near) = shard(0, Side::Client);
    let (mut two, _other) = shard(1, Side::Server);
    for _ in 0..TURNS {
        turn(&mut one);
        turn(&mut two);
    }
    let [here, there] = [0, 1].map(|at: usize| Origin::new(mailboxes[at].clone()));
    let broadcast = settle(&mut one, here.create(&path())).unwrap();
    let mut announced = settle(&mut two, there.announced(&Path::root())).unwrap();
    say(broadcast.announce());
    let one = thread::spawn(move || block_on(one));
    // One task has the other driver and its handle: a thread less, and so fewer orders.
    let first = block_on(poll_fn(|cx| {
        assert!(Pin::new(&mut two).poll(cx).is_pending());
        announced.poll_next(cx)
    }));
    let first = first.unwrap();
    assert!(matches!(first, Announced::Active { path: at, .. } if at == path()));
    end(&mailboxes[0]);
    block_on(two);
    one.join().unwrap();
}

/// A shard that fails takes another along, whatever that one had for it.
pub(super) fn shard_against_failure() {
    let now = Instant::now();
    let (ops, receiver) = mailbox(CAPACITY);
    let (failing, inbox) = mailbox(CAPACITY);
    let mut endpoint = endpoint(now, Some(Shard { index: 0, count: 2 }));
    let session = endpoint.add_link(now, Side::Client);
    let peer = |shard, ops: &Ops| vec![Peer { shard, session, ops: ops.to_peer() }];
    let (driver, _near) =
        drive(now, endpoint, receiver, Shards::new(0, peer(1, &failing), Vec::new()));
    let shards = Shards::new(1, peer(0, &ops), Vec::new());
    let driver = thread::spawn(move || block_on(driver));
    // As a driver drops them.
    drop((inbox, shards));
    driver.join().unwrap();
}

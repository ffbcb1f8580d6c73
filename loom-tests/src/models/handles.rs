//! Handles and the real driver of one node, without a network.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use loom::{future::block_on, thread};
use smoq_core::{
    Announced, Path, SubscribeOptions,
    wire::{SessionCode, TrackInfo},
};
use smoq_quic::{Endpoint, EndpointConfig};

use super::nowhere::{Never, Nowhere};
use crate::{
    Broadcast, Error, Origin, TrackWriter,
    driver::{CAPACITY, Driver, Role, Shards},
    events::EventQueue,
    mailbox::mailbox,
    op::{Op, Ops},
    record::Sink,
    slot::{Near, slot},
    state::READ_AHEAD,
};

type Local = Driver<Nowhere, Never>;

fn local() -> (Local, Ops, Near<EventQueue>) {
    let now = Instant::now();
    let config = EndpointConfig { seed: Some([7; 32]), ..EndpointConfig::default() };
    let endpoint = Endpoint::new(config, now);
    let (ops, receiver) = mailbox(CAPACITY);
    let (near, far) = slot(EventQueue::default());
    let (role, shards) = (Role::server(far, 0), Shards::default());
    let driver =
        Driver::new(endpoint, Nowhere, Never(now), receiver, role, shards, Sink::default());
    (driver, ops, near)
}

/// Runs something to its end together with its driver, before the threads begin.
fn settle<T>(driver: &mut Local, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return value;
        }
        assert!(pin!(&mut *driver).poll(cx).is_pending(), "the driver has handles");
    }
}

fn path() -> Path {
    Path::new("live").unwrap()
}

async fn publish(origin: &Origin) -> (Broadcast, TrackWriter) {
    let broadcast = origin.create(&path()).await.unwrap();
    let track = broadcast.track("video", TrackInfo::default()).await.unwrap();
    (broadcast, track)
}

/// Who waits for demand hears of the first subscriber.
pub(super) fn demand() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops);
    let (broadcast, mut track) = settle(&mut driver, publish(&origin));
    let driver = thread::spawn(move || block_on(driver));
    let options = SubscribeOptions::default();
    let subscription = block_on(origin.subscribe(&path(), "video", options)).unwrap();
    block_on(track.wanted()).unwrap();
    drop((broadcast, track, subscription, origin));
    driver.join().unwrap();
}

/// A reader gets groups and chunks to their ends, though the driver reads ahead no more than it may.
pub(super) fn read_ahead() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops);
    let (broadcast, mut track) = settle(&mut driver, publish(&origin));
    let options = SubscribeOptions::default();
    let mut subscription =
        settle(&mut driver, origin.subscribe(&path(), "video", options)).unwrap();
    let mut group = track.try_group().unwrap();
    for timestamp in 0..3 {
        group.try_write(timestamp, vec![0; READ_AHEAD / 2].into()).unwrap();
    }
    group.finish().unwrap();
    track.finish().unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let mut group = block_on(subscription.next_group()).unwrap().unwrap();
    for index in 0..3 {
        assert_eq!(block_on(group.next_frame()).unwrap().unwrap().index, index);
    }
    assert_eq!(block_on(group.next_frame()), Ok(None));
    drop(group);
    assert!(block_on(subscription.next_group()).unwrap().is_none());
    drop((broadcast, track, subscription, origin));
    driver.join().unwrap();
}

/// A writer that waits until everything has been read is told, whenever that is.
pub(super) fn write_and_wait() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops);
    let (broadcast, mut track) = settle(&mut driver, publish(&origin));
    let options = SubscribeOptions::default();
    let subscription = settle(&mut driver, origin.subscribe(&path(), "video", options)).unwrap();
    settle(&mut driver, track.wanted()).unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let reader = thread::spawn(move || drop(subscription));
    let mut group = track.try_group().unwrap();
    group.try_write(0, Bytes::from_static(b"frame")).unwrap();
    group.finish().unwrap();
    track.finish().unwrap();
    block_on(track.finished()).unwrap();
    reader.join().unwrap();
    drop((broadcast, track, origin));
    driver.join().unwrap();
}

/// Who watches hears of what is announced.
pub(super) fn announcements_of_others() {
    let (mut driver, ops, _near) = local();
    let origin = Origin::new(ops);
    let (broadcast, track) = settle(&mut driver, publish(&origin));
    let mut announced = settle(&mut driver, origin.announced(&Path::root())).unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let publisher = thread::spawn(move || {
        block_on(broadcast.announce()).unwrap();
        (broadcast, track)
    });
    let first = block_on(announced.next()).unwrap();
    assert!(matches!(first, Announced::Active { path: at, .. } if at == path()));
    drop(publisher.join().unwrap());
    drop((announced, origin));
    driver.join().unwrap();
}

/// A shutdown answers all who ask meanwhile, and ends though handles are left.
pub(super) fn shutdown_against_question() {
    let (driver, ops, near) = local();
    let origin = Origin::new(ops.clone());
    let driver = thread::spawn(move || block_on(driver));
    let other = thread::spawn(move || {
        ops.force(Op::Shutdown { code: SessionCode::NO_ERROR, reason: String::new() });
        block_on(poll_fn(|cx| {
            near.poll(cx, |_, gone| if gone { Poll::Ready(()) } else { Poll::Pending })
        }));
        ops
    });
    match block_on(origin.create(&path())) {
        Ok(broadcast) => drop(broadcast),
        Err(error) => assert_eq!(error, Error::Shutdown),
    }
    drop(other.join().unwrap());
    driver.join().unwrap();
}

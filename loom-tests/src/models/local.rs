//! A node without a network, and the real driver of it.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use smoq_core::{Path, wire::SessionCode};
use smoq_quic::{Endpoint, EndpointConfig, Shard};

use super::nowhere::{Never, Nowhere};
use crate::{
    driver::{CAPACITY, Driver, Role, Shards},
    events::EventQueue,
    mailbox::{Receiver, mailbox},
    op::{Op, Ops},
    record::Sink,
    slot::{Near, slot},
};

pub(super) type Local = Driver<Nowhere, Never>;

pub(super) fn endpoint(now: Instant, shard: Option<Shard>) -> Endpoint {
    Endpoint::new(EndpointConfig { seed: Some([7; 32]), shard, ..EndpointConfig::default() }, now)
}

pub(super) fn drive(
    now: Instant,
    endpoint: Endpoint,
    ops: Receiver<Op>,
    shards: Shards,
) -> (Local, Near<EventQueue>) {
    let (near, far) = slot(EventQueue::default());
    let role = Role::server(far, 0, Vec::new());
    (Driver::new(endpoint, Nowhere, Never(now), ops, role, shards, Sink::default()), near)
}

/// A node that has no other shards.
pub(super) fn local() -> (Local, Ops, Near<EventQueue>) {
    let now = Instant::now();
    let (ops, receiver) = mailbox(CAPACITY);
    let (driver, near) = drive(now, endpoint(now, None), receiver, Shards::default());
    (driver, ops, near)
}

/// Runs something to its end together with its driver, before the threads begin.
pub(super) fn settle<T>(driver: &mut Local, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        turn(driver);
    }
}

/// Asks, and does not wait for the answer: fewer orders.
pub(super) fn say<T>(question: impl Future<Output = T>) {
    let _ = pin!(question).poll(&mut Context::from_waker(Waker::noop()));
}

pub(super) fn turn(driver: &mut Local) {
    let pending = pin!(driver).poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(pending, "the driver has handles");
}

/// Ends the driver while its handles are there. In `demand` they go; everywhere, that would be many orders
/// of the same.
pub(super) fn end(ops: &Ops) {
    ops.force(Op::Shutdown { code: SessionCode::NO_ERROR, reason: String::new() });
}

pub(super) fn path() -> Path {
    Path::new("live").unwrap()
}

//! One handle and the driver, at what they share.

use std::{
    future::poll_fn,
    sync::Arc as Shared,
    task::{Context, Poll, Wake, Waker},
};

use loom::{future::block_on, thread};

use crate::slot::{Near, slot};

fn look(value: &mut Option<u8>, gone: bool) -> Poll<Option<u8>> {
    match value.take() {
        Some(value) => Poll::Ready(Some(value)),
        None if gone => Poll::Ready(None),
        None => Poll::Pending,
    }
}

fn next(near: &Near<Option<u8>>) -> Option<u8> {
    block_on(poll_fn(|cx| near.poll(cx, look)))
}

/// A change between the look and the registration of the waker is not lost.
pub(super) fn update_against_poll() {
    let (near, far) = slot(None);
    let driver = thread::spawn(move || {
        far.update(|value| *value = Some(1));
        far
    });
    assert_eq!(next(&near), Some(1));
    drop(driver.join().unwrap());
}

/// What a driver left is read before its end, and its end is never missed.
pub(super) fn end_against_poll() {
    let (near, far) = slot(None);
    let driver = thread::spawn(move || {
        far.with(|value| *value = Some(1));
        drop(far);
    });
    assert_eq!(next(&near), Some(1));
    assert_eq!(next(&near), None);
    driver.join().unwrap();
}

/// A handle whose future was given up, and which another task polls, wakes that task.
pub(super) fn task_that_moves() {
    let (near, far) = slot(None);
    let driver = thread::spawn(move || {
        far.update(|value| *value = Some(1));
        far
    });
    if near.poll(&mut Context::from_waker(Waker::noop()), look).is_pending() {
        assert_eq!(next(&near), Some(1));
    }
    drop(driver.join().unwrap());
}

/// A task that waits, and tries before it sleeps, is woken.
pub(super) fn try_while_waiting() {
    let (near, far) = slot(None);
    let driver = thread::spawn(move || {
        far.update(|value| *value = Some(1));
        far
    });
    let value = block_on(poll_fn(|cx| match near.poll(cx, look) {
        Poll::Pending => near.look(None, look),
        ready => ready,
    }));
    assert_eq!(value, Some(1));
    drop(driver.join().unwrap());
}

/// A task that looks at the handle when it is woken, and when its last waker goes.
struct Nosy(Shared<Near<Option<u8>>>);

impl Wake for Nosy {
    fn wake(self: Shared<Self>) {
        assert_eq!(self.0.with(|value, _| *value), Some(1));
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.with(|_, _| ());
    }
}

/// Nothing of a waker runs under the lock.
pub(super) fn wakers_that_use_the_slot() {
    let (near, far) = slot(None);
    let near = Shared::new(near);
    let driver = thread::spawn(move || {
        far.update(|value| *value = Some(1));
    });
    for _ in 0..2 {
        let waker = Waker::from(Shared::new(Nosy(near.clone())));
        let pending = |_: &mut _, _| Poll::<()>::Pending;
        assert!(near.poll(&mut Context::from_waker(&waker), pending).is_pending());
    }
    driver.join().unwrap();
    // The last waker has the handle, so the handle must not keep it.
    let pending = |_: &mut _, _| Poll::<()>::Pending;
    assert!(near.poll(&mut Context::from_waker(Waker::noop()), pending).is_pending());
}

//! The way from the handles to the driver: one bounded queue.
//!
//! Two classes of messages. What makes work (a frame, a new group) is taken while there is room and
//! waits otherwise. What ends or asks is always taken: there is at most one of each per handle, and a
//! handle costs a message with room.
//!
//! Wakers are woken and dropped only when the lock is given back: a waker may be all that is left of a task,
//! and the task may have handles of the same mailbox in it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    task::{Context, Poll, Waker},
};

use crate::sync::{Arc, Mutex, lock};

/// Names a handle, and what it stands for, within one mailbox.
pub(crate) type Key = u64;

/// How much a mailbox holds before writers wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Messages.
    pub(crate) messages: usize,
    /// Payload bytes in them.
    pub(crate) bytes: usize,
}

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Wait, or try later.
    Full,
    /// The driver is gone.
    Closed,
}

struct Inner<M> {
    queue: VecDeque<M>,
    bytes: usize,
    driver: Option<Waker>,
    writers: Vec<(Key, Waker)>,
    handles: usize,
    next_key: Key,
    closed: bool,
}

impl<M> Inner<M> {
    fn new_handle(&mut self) -> Key {
        self.handles += 1;
        self.next_key += 1;
        self.next_key
    }

    /// Gives back the waker of a writer that does not wait any more.
    fn forget(&mut self, key: Key) -> Option<Waker> {
        let at = self.writers.iter().position(|(writer, _)| *writer == key)?;
        Some(self.writers.remove(at).1)
    }
}

struct Mailbox<M> {
    capacity: Capacity,
    inner: Mutex<Inner<M>>,
}

impl<M> Mailbox<M> {
    /// See [`Sender::force`].
    fn force(&self, message: M) {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return;
        }
        inner.queue.push_back(message);
        let driver = inner.driver.take();
        drop(inner);
        wake(driver);
    }

    /// See [`Sender::try_push`].
    fn try_push(&self, bytes: usize, message: M) -> Result<(), Refused> {
        let mut message = Some(message);
        let mut inner = lock(&self.inner);
        let driver = self.push(&mut inner, bytes, &mut message)?;
        drop(inner);
        wake(driver);
        Ok(())
    }

    fn push(
        &self,
        inner: &mut Inner<M>,
        bytes: usize,
        message: &mut Option<M>,
    ) -> Result<Option<Waker>, Refused> {
        let Capacity { messages, bytes: most } = self.capacity;
        if inner.closed {
            return Err(Refused::Closed);
        }
        let room = inner.queue.len() < messages && inner.bytes + bytes <= most;
        if !room && !inner.queue.is_empty() {
            return Err(Refused::Full);
        }
        inner.bytes += bytes;
        inner.queue.extend(message.take());
        Ok(inner.driver.take())
    }
}

/// A mailbox: the first handle's end and the driver's end.
pub(crate) fn mailbox<M>(capacity: Capacity) -> (Sender<M>, Receiver<M>) {
    let mut inner = Inner {
        queue: VecDeque::new(),
        bytes: 0,
        driver: None,
        writers: Vec::new(),
        handles: 0,
        next_key: 0,
        closed: false,
    };
    let key = inner.new_handle();
    let mailbox = Arc::new(Mailbox { capacity, inner: Mutex::new(inner) });
    (Sender { mailbox: mailbox.clone(), key }, Receiver(mailbox))
}

/// A handle's end. Each clone is a handle with a key of its own.
pub(crate) struct Sender<M> {
    mailbox: Arc<Mailbox<M>>,
    key: Key,
}

impl<M> Sender<M> {
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Takes `message` if there is room. One larger than the whole mailbox is taken when it is empty.
    pub(crate) fn try_push(&self, bytes: usize, message: M) -> Result<(), Refused> {
        self.mailbox.try_push(bytes, message)
    }

    /// Takes what is in `message` if there is room; on [`Poll::Pending`] the handle is woken when the
    /// driver has emptied the mailbox. `Err` if the driver is gone. A handle waits for one thing at a time:
    /// who waits by a reference needs a clone.
    pub(crate) fn poll_push(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        message: &mut Option<M>,
    ) -> Poll<Result<(), Refused>> {
        // Declared before the lock, so dropped after it.
        let _stale;
        let mut inner = lock(&self.mailbox.inner);
        _stale = inner.forget(self.key);
        let result = self.mailbox.push(&mut inner, bytes, message);
        if result.as_ref().is_err_and(|refused| *refused == Refused::Full) {
            inner.writers.push((self.key, cx.waker().clone()));
            return Poll::Pending;
        }
        drop(inner);
        Poll::Ready(result.map(wake))
    }

    /// [`poll_push`](Self::poll_push) until it is taken. Dropped before that, nothing is taken.
    pub(crate) async fn push_when_room(&mut self, bytes: usize, message: M) -> Result<(), Refused> {
        let mut message = Some(message);
        poll_fn(|cx| self.poll_push(cx, bytes, &mut message)).await
    }

    /// Takes `message` even if the mailbox is full. For what a handle says once.
    pub(crate) fn force(&self, message: M) {
        self.mailbox.force(message);
    }

    /// A way to the same driver that does not keep it running.
    pub(crate) fn to_peer(&self) -> ToPeer<M> {
        ToPeer(self.mailbox.clone())
    }
}

/// The end of another driver: no handle.
pub(crate) struct ToPeer<M>(Arc<Mailbox<M>>);

impl<M> ToPeer<M> {
    /// As [`Sender::force`].
    pub(crate) fn force(&self, message: M) {
        self.0.force(message);
    }

    /// As [`Sender::try_push`].
    pub(crate) fn try_push(&self, bytes: usize, message: M) -> Result<(), Refused> {
        self.0.try_push(bytes, message)
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        let key = lock(&self.mailbox.inner).new_handle();
        Self { mailbox: self.mailbox.clone(), key }
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        let _stale;
        let mut inner = lock(&self.mailbox.inner);
        _stale = inner.forget(self.key);
        inner.handles -= 1;
        let driver = if inner.handles == 0 { inner.driver.take() } else { None };
        drop(inner);
        wake(driver);
    }
}

/// The driver's end.
pub(crate) struct Receiver<M>(Arc<Mailbox<M>>);

impl<M> Receiver<M> {
    /// Swaps all messages into `into`, which has to be empty, and says whether handles are left. The
    /// driver is woken by the next message, or when the last handle goes.
    pub(crate) fn take(&self, cx: &mut Context<'_>, into: &mut VecDeque<M>) -> bool {
        let _stale;
        let mut inner = lock(&self.0.inner);
        _stale = inner.driver.replace(cx.waker().clone());
        mem::swap(&mut inner.queue, into);
        inner.bytes = 0;
        let handles = inner.handles > 0;
        let writers = mem::take(&mut inner.writers);
        drop(inner);
        for (_, waker) in writers {
            waker.wake();
        }
        handles
    }
}

impl<M> Drop for Receiver<M> {
    /// Messages that nobody will read are dropped, later ones refused.
    fn drop(&mut self) {
        let mut inner = lock(&self.0.inner);
        inner.closed = true;
        let driver = inner.driver.take();
        let queue = mem::take(&mut inner.queue);
        let writers = mem::take(&mut inner.writers);
        drop(inner);
        drop((driver, queue));
        for (_, waker) in writers {
            waker.wake();
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::Count;

    const SMALL: Capacity = Capacity { messages: 2, bytes: 10 };

    fn push(sender: &mut Sender<u8>, count: &Arc<Count>, message: u8) -> Poll<Result<(), Refused>> {
        let waker = count.waker();
        sender.poll_push(&mut Context::from_waker(&waker), 1, &mut Some(message))
    }

    fn take(receiver: &Receiver<u8>, count: &Arc<Count>) -> (Vec<u8>, bool) {
        let waker = count.waker();
        let mut queue = VecDeque::new();
        let handles = receiver.take(&mut Context::from_waker(&waker), &mut queue);
        (queue.into(), handles)
    }

    #[test]
    fn the_driver_is_woken_once_per_park() {
        let (sender, receiver) = mailbox(SMALL);
        let driver = Count::new();
        assert_eq!(take(&receiver, &driver), (vec![], true));
        sender.try_push(1, 1).unwrap();
        sender.try_push(1, 2).unwrap();
        sender.force(3);
        assert_eq!(driver.get(), 1);
        assert_eq!(take(&receiver, &driver), (vec![1, 2, 3], true));
        sender.force(4);
        assert_eq!(driver.get(), 2);
    }

    #[test]
    fn a_full_mailbox_parks_writers_until_it_is_emptied() {
        let (mut first, receiver) = mailbox(SMALL);
        let mut second = first.clone();
        let (driver, one, two) = (Count::new(), Count::new(), Count::new());
        first.force(0);
        first.force(0);
        assert_eq!(first.try_push(1, 1), Err(Refused::Full));
        assert!(push(&mut first, &one, 1).is_pending());
        assert!(push(&mut first, &one, 1).is_pending());
        assert!(push(&mut second, &two, 2).is_pending());
        assert_eq!(take(&receiver, &driver).0, [0, 0]);
        assert_eq!((one.get(), two.get()), (1, 1));
        assert_eq!(push(&mut first, &one, 1), Poll::Ready(Ok(())));
        assert_eq!(push(&mut second, &two, 2), Poll::Ready(Ok(())));
        assert_eq!(take(&receiver, &driver).0, [1, 2]);
        assert_eq!((one.get(), two.get()), (1, 1));
    }

    #[test]
    fn bytes_are_bounded_too_but_a_large_message_fits_an_empty_mailbox() {
        let (sender, receiver) = mailbox(SMALL);
        sender.try_push(100, 1).unwrap();
        assert_eq!(sender.try_push(1, 2), Err(Refused::Full));
        take(&receiver, &Count::new());
        sender.try_push(6, 1).unwrap();
        assert_eq!(sender.try_push(5, 2), Err(Refused::Full));
        sender.try_push(4, 2).unwrap();
    }

    #[test]
    fn the_last_handle_wakes_the_driver() {
        let (first, receiver) = mailbox::<u8>(SMALL);
        let second = first.clone();
        assert_ne!(first.key(), second.key());
        let driver = Count::new();
        assert!(take(&receiver, &driver).1);
        drop(first);
        assert_eq!(driver.get(), 0);
        drop(second);
        assert_eq!(driver.get(), 1);
        assert_eq!(take(&receiver, &driver), (vec![], false));
    }

    #[test]
    fn a_peer_is_no_handle() {
        let (first, receiver) = mailbox(SMALL);
        let peer = first.to_peer();
        let driver = Count::new();
        peer.force(1);
        peer.try_push(10, 2).unwrap();
        assert_eq!(peer.try_push(1, 3), Err(Refused::Full));
        assert_eq!(take(&receiver, &driver), (vec![1, 2], true));
        drop(first);
        assert_eq!(driver.get(), 1);
        assert_eq!(take(&receiver, &driver), (vec![], false));
        drop(receiver);
        peer.force(1);
        assert_eq!(peer.try_push(1, 2), Err(Refused::Closed));
    }

    #[test]
    fn a_gone_driver_wakes_writers_and_refuses() {
        let (mut sender, receiver) = mailbox(SMALL);
        let count = Count::new();
        sender.force(0);
        sender.force(0);
        assert!(push(&mut sender, &count, 1).is_pending());
        drop(receiver);
        assert_eq!(count.get(), 1);
        assert_eq!(push(&mut sender, &count, 1), Poll::Ready(Err(Refused::Closed)));
        sender.force(2);
        assert_eq!(sender.try_push(1, 1), Err(Refused::Closed));
    }

    #[test]
    fn a_dropped_writer_is_not_woken() {
        let (first, receiver) = mailbox(SMALL);
        let mut second = first.clone();
        let count = Count::new();
        first.force(0);
        first.force(0);
        assert!(push(&mut second, &count, 1).is_pending());
        drop(second);
        take(&receiver, &Count::new());
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn messages_of_a_gone_driver_are_dropped() {
        let (sender, receiver) = mailbox::<Arc<u8>>(SMALL);
        let message = Arc::new(1);
        sender.force(message.clone());
        drop(receiver);
        assert_eq!(Arc::strong_count(&message), 1);
    }
}

//! Handles and driver, with a few lines in the driver's place.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc as Shared,
    task::{Context, Poll, Wake, Waker},
};

use loom::{future::block_on, thread};

use crate::{
    mailbox::{Capacity, Receiver, Refused, Sender, ToPeer, mailbox},
    publish::answer,
    slot::{Far, slot},
    state::Answer,
};

/// One message.
const SMALL: Capacity = Capacity { messages: 1, bytes: 10 };

type Question = Far<Answer<u8>>;

/// What a driver does until its handles are gone.
fn drive<M>(receiver: &Receiver<M>, mut act: impl FnMut(M)) {
    let mut batch = VecDeque::new();
    block_on(poll_fn(|cx| {
        let handles = receiver.take(cx, &mut batch);
        batch.drain(..).for_each(&mut act);
        if handles { Poll::Pending } else { Poll::Ready(()) }
    }));
}

fn reply(question: Question) {
    question.update(|answer| *answer = Some(Ok(7)));
}

/// Asks, and keeps the handle until there is an answer.
fn ask(sender: &Sender<Question>) -> Result<u8, crate::Error> {
    let (near, far) = slot(None);
    sender.force(far);
    block_on(answer(&near))
}

/// A driver that goes to sleep hears of a message that came meanwhile.
pub(super) fn question_against_park() {
    let (sender, receiver) = mailbox(SMALL);
    let driver = thread::spawn(move || drive(&receiver, reply));
    assert_eq!(ask(&sender), Ok(7));
    assert_eq!(ask(&sender), Ok(7));
    drop(sender);
    driver.join().unwrap();
}

/// A driver that empties the mailbox wakes all who waited for room.
pub(super) fn two_writers_without_room() {
    let (first, receiver) = mailbox(SMALL);
    first.force(0);
    let second = first.clone();
    let writers = [first, second].map(|mut sender| {
        thread::spawn(move || assert_eq!(block_on(sender.push_when_room(1, 1)), Ok(())))
    });
    let (mut batch, mut sum) = (VecDeque::new(), 0);
    while sum < 2 {
        receiver.take(&mut Context::from_waker(Waker::noop()), &mut batch);
        sum += batch.drain(..).sum::<u8>();
        thread::yield_now();
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

/// Whichever of two handles is dropped last ends the driver, and what they said is heard.
pub(super) fn last_handle_against_turn() {
    let (first, receiver) = mailbox(SMALL);
    let second = first.clone();
    let other = thread::spawn(move || {
        second.force(1);
        drop(second);
    });
    let driver = thread::spawn(move || {
        let mut count = 0;
        drive(&receiver, |message: u8| count += message);
        count
    });
    first.force(1);
    drop(first);
    other.join().unwrap();
    assert_eq!(driver.join().unwrap(), 2);
}

/// A driver that ends answers what it has taken and lets the rest know; nobody waits for ever, neither
/// for room nor for an answer.
pub(super) fn question_against_end() {
    let (mut sender, receiver) = mailbox(SMALL);
    let (early, far) = slot(None);
    sender.force(far);
    let driver = thread::spawn(move || {
        let mut batch = VecDeque::new();
        receiver.take(&mut Context::from_waker(Waker::noop()), &mut batch);
        drop(receiver);
        batch.into_iter().for_each(reply);
    });
    let (near, far) = slot(None);
    match block_on(sender.push_when_room(0, far)) {
        Ok(()) => match block_on(answer(&near)) {
            Ok(7) | Err(crate::Error::Shutdown) => {}
            other => panic!("{other:?}"),
        },
        Err(refused) => assert_eq!(refused, Refused::Closed),
    }
    assert_eq!(block_on(answer(&early)), Ok(7));
    assert_eq!(ask(&sender), Err(crate::Error::Shutdown));
    driver.join().unwrap();
}

/// Another shard sends to one that ends, and keeps its way there.
fn send_against_end(send: impl Fn(&ToPeer<Question>, Question)) {
    let (handle, receiver) = mailbox(SMALL);
    let peer = handle.to_peer();
    let ask = || {
        let (near, far) = slot(None);
        send(&peer, far);
        block_on(answer(&near))
    };
    let shard = thread::spawn(move || drive(&receiver, reply));
    assert_eq!(ask(), Ok(7));
    drop(handle);
    assert!(matches!(ask(), Ok(7) | Err(crate::Error::Shutdown)));
    shard.join().unwrap();
    assert_eq!(ask(), Err(crate::Error::Shutdown));
}

/// What comes over a link is taken or dropped, and keeps no shard running.
pub(super) fn link_against_end() {
    send_against_end(ToPeer::force);
}

/// As [`link_against_end`], of datagrams that another shard got.
pub(super) fn datagrams_against_end() {
    send_against_end(|peer, datagrams| {
        let _ = peer.try_push(1, datagrams);
    });
}

/// A task that uses a handle of its own when it is woken, and drops it with its last waker.
struct Nosy(Sender<u8>);

impl Wake for Nosy {
    fn wake(self: Shared<Self>) {
        let _ = self.0.try_push(0, 1);
    }
}

/// Nothing of a waker runs under the lock.
pub(super) fn wakers_that_use_the_mailbox() {
    let (mut sender, receiver) = mailbox(SMALL);
    let nosy = || Waker::from(Shared::new(Nosy(sender.clone())));
    let (driver, first, second) = (nosy(), nosy(), nosy());
    receiver.take(&mut Context::from_waker(&driver), &mut VecDeque::new());
    drop(driver);
    let other = sender.clone();
    let other = thread::spawn(move || other.force(1));
    sender.force(1);
    for waker in [first, second] {
        let pushed = sender.poll_push(&mut Context::from_waker(&waker), 0, &mut Some(1));
        assert!(pushed.is_pending());
    }
    other.join().unwrap();
    receiver.take(&mut Context::from_waker(Waker::noop()), &mut VecDeque::new());
}

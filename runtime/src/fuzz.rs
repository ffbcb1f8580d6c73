//! Fuzz bodies, each a function from bytes to nothing. `smoq-fuzz` runs them; nobody else should.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use crate::{
    mailbox::{Capacity, Refused, mailbox},
    sync::Arc,
    test::Count,
};

const SMALL: Capacity = Capacity { messages: 3, bytes: 12 };

/// A mailbox beside a model of it: each byte is something that a handle or the driver does.
pub fn runtime_mailbox(data: &[u8]) {
    let (sender, receiver) = mailbox(SMALL);
    let (mut receiver, mut senders) = (Some(receiver), vec![(sender, Count::new())]);
    let (driver, mut queue, mut bytes) = (Count::new(), VecDeque::new(), 0);
    // Who has to be woken by what comes next.
    let (mut sleeping, mut waiting) = (false, Vec::<Arc<Count>>::new());
    for &byte in data {
        let (at, size) = (usize::from(byte >> 3 & 3), usize::from(byte >> 5));
        let woken = driver.get();
        let room = queue.is_empty() || queue.len() < SMALL.messages && bytes + size <= SMALL.bytes;
        let fits = match receiver {
            None => Err(Refused::Closed),
            Some(_) if room => Ok(()),
            Some(_) => Err(Refused::Full),
        };
        let mut pushed = false;
        let handles = senders.len();
        match (byte % 8, senders.get_mut(at)) {
            (0 | 1, Some((sender, _))) => {
                assert_eq!(sender.try_push(size, byte), fits);
                pushed = fits.is_ok();
            }
            (2 | 3, Some((sender, count))) => {
                let (waker, mut message) = (count.waker(), Some(byte));
                let polled = sender.poll_push(&mut Context::from_waker(&waker), size, &mut message);
                waiting.retain(|other| !Arc::ptr_eq(other, count));
                if fits == Err(Refused::Full) {
                    assert_eq!(polled, Poll::Pending);
                    waiting.push(count.clone());
                } else {
                    assert_eq!(polled, Poll::Ready(fits));
                }
                pushed = message.is_none();
                assert_eq!(pushed, fits.is_ok());
            }
            (4, Some((sender, _))) => {
                sender.force(byte);
                if receiver.is_some() {
                    queue.push_back(byte);
                    assert_eq!(driver.get() - woken, usize::from(sleeping));
                    sleeping = false;
                }
            }
            (5, Some((sender, _))) if handles < 4 => {
                let another = sender.clone();
                senders.push((another, Count::new()));
            }
            (6, Some(_)) => {
                let (sender, count) = senders.swap_remove(at);
                drop(sender);
                waiting.retain(|other| !Arc::ptr_eq(other, &count));
                let last = senders.is_empty() && sleeping;
                assert_eq!(driver.get() - woken, usize::from(last));
                sleeping &= !last;
            }
            (7, _) => {
                let Some(open) = &receiver else { continue };
                let before: Vec<_> = waiting.iter().map(|count| count.get()).collect();
                if byte == 0xff {
                    receiver = None;
                } else {
                    let (waker, mut taken) = (driver.waker(), VecDeque::new());
                    let left = open.take(&mut Context::from_waker(&waker), &mut taken);
                    assert_eq!((left, taken), (!senders.is_empty(), queue));
                }
                (queue, bytes, sleeping) = (VecDeque::new(), 0, receiver.is_some());
                let woken = waiting.drain(..).map(|count| count.get() - 1);
                assert!(woken.eq(before), "everybody who waits is woken once");
            }
            _ => {}
        }
        if pushed {
            queue.push_back(byte);
            bytes += size;
            assert_eq!(driver.get() - woken, usize::from(sleeping));
            sleeping = false;
        }
    }
}

//! How fast the server could send: a handle.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use smoq_core::wire::Probe;

use crate::{
    error::Error,
    op::{Op, Ops},
    slot::{Near, slot},
};

/// What the server says about how fast it could send: its estimates of the bitrate and of the round trip
/// time, at once and then when they change.
///
/// The server measures only while there is such a handle. All of a connection share what it says. Nothing makes
/// a server say something, so do not wait for it with other work; and its first word may be that it knows
/// nothing yet.
pub struct Estimates {
    ops: Ops,
    near: Near<Option<Probe>>,
}

impl Estimates {
    pub(crate) async fn ask(mut ops: Ops) -> Result<Self, Error> {
        let (near, far) = slot(None);
        let estimates = ops.key();
        ops.send(Op::Probe { estimates, far }).await?;
        Ok(Self { ops, near })
    }

    /// The next estimate: the latest, if there were several since the last one. Either of its figures may be
    /// unknown. `None` when nothing follows: the server cannot tell, is about to go, or has ended it, or the
    /// connection is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Probe> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The form of [`next`](Self::next) for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Probe>> {
        self.near.poll(cx, |latest, gone| match latest.take() {
            Some(estimate) => Poll::Ready(Some(estimate)),
            None if gone => Poll::Ready(None),
            None => Poll::Pending,
        })
    }

    /// The next estimate if there is one already. That nothing follows is told by [`next`](Self::next).
    pub fn try_next(&mut self) -> Option<Probe> {
        self.near.with(|latest, _| latest.take())
    }
}

impl Drop for Estimates {
    fn drop(&mut self) {
        self.ops.force(Op::Unprobe { estimates: self.ops.key() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{driver::CAPACITY, mailbox::mailbox, test::Count};

    #[test]
    fn who_only_tries_does_not_take_the_place_of_who_waits() {
        let (ops, _receiver) = mailbox(CAPACITY);
        let (near, far) = slot(None);
        let mut estimates = Estimates { ops, near };
        let count = Count::new();
        let waker = count.waker();
        assert!(estimates.poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(estimates.try_next(), None);
        far.update(|_| ());
        assert_eq!(count.get(), 1);
    }
}

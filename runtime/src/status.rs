//! What a client that connects again by itself tells meanwhile.

use std::{
    collections::VecDeque,
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use smoq_core::Version;

use crate::{
    error::{ConnectError, Reason},
    slot::Near,
    url::Url,
};

/// News that may wait for their reader; the oldest go first.
const MAX_NEWS: usize = 64;

/// What has become of a connection. Each loss is followed by attempts that fail, if any, and by the one
/// that does not, unless the connection is given up: then
/// [`Connection::closed`](crate::Connection::closed) says why.
#[derive(Debug)]
pub enum Status {
    /// It is lost. Another one is made.
    Lost {
        /// Why.
        reason: Reason,
        /// The first attempt begins so much later; `None` if one is under way, since the server had asked
        /// to go.
        after: Option<Duration>,
    },
    /// The server is about to go (GOAWAY). Another connection is made, while this one goes on.
    Leaving {
        /// Where the server says to connect to instead, unproven; empty for the same place.
        uri: String,
        /// Where that is tried first. Without its query, which may hold a secret.
        place: Url,
    },
    /// An attempt to connect again has failed.
    Failed {
        /// The how manyth: 1 for the first since the loss.
        attempt: u32,
        /// Why.
        error: ConnectError,
        /// The next one begins so much later. `None`: there is none.
        after: Option<Duration>,
    },
    /// There is a connection again, and what was published and subscribed goes over to it.
    Connected {
        /// The server's address.
        remote: SocketAddr,
        /// What is spoken.
        version: Version,
        /// The how manyth attempt it was: 1 for the first since the loss.
        attempt: u32,
    },
}

/// What waits for its reader.
#[derive(Default)]
pub(crate) struct StatusQueue(VecDeque<Status>);

impl StatusQueue {
    pub(crate) fn push(&mut self, status: Status) {
        if self.0.len() == MAX_NEWS {
            self.0.pop_front();
        }
        self.0.push_back(status);
    }
}

/// Tells what becomes of a connection; see [`Connection::take_statuses`](crate::Connection::take_statuses).
///
/// Who does not read it misses the oldest: 64 are kept. It keeps no connection alive.
pub struct Statuses(Near<StatusQueue>);

impl Statuses {
    pub(crate) fn new(near: Near<StatusQueue>) -> Self {
        Self(near)
    }

    /// The next change; `None` when the connection is over for good. Cancel-safe.
    pub async fn next(&mut self) -> Option<Status> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The form of [`next`](Self::next) for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        self.0.poll(cx, |queue, gone| match queue.0.pop_front() {
            Some(status) => Poll::Ready(Some(status)),
            None if gone => Poll::Ready(None),
            None => Poll::Pending,
        })
    }

    /// The next change if there is one already; `None` also when there is not.
    pub fn try_next(&mut self) -> Option<Status> {
        self.0.with(|queue, _| queue.0.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::{slot::slot, test::Count};

    #[test]
    fn who_only_tries_does_not_take_the_place_of_who_waits() {
        let (near, far) = slot(StatusQueue::default());
        let mut statuses = Statuses::new(near);
        let count = Count::new();
        let waker = count.waker();
        assert!(statuses.poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert!(statuses.try_next().is_none());
        far.update(|_| ());
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let (near, far) = slot(StatusQueue::default());
        let mut statuses = Statuses::new(near);
        assert!(statuses.try_next().is_none());
        for attempt in 0..100 {
            let error = ConnectError::Shutdown;
            far.update(|queue| queue.push(Status::Failed { attempt, error, after: None }));
        }
        let mut next = || statuses.try_next();
        assert!(matches!(next(), Some(Status::Failed { attempt: 36, .. })));
        assert_eq!(std::iter::from_fn(next).count(), MAX_NEWS - 1);
        drop(far);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(statuses.poll_next(&mut cx), Poll::Ready(None)));
    }
}

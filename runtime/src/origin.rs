//! The namespace of a node: where broadcasts are published and found.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use smoq_core::{Announced, Path, SubscribeOptions};

use crate::{
    error::Error,
    op::{Op, Ops, Part},
    publish::Broadcast,
    requests::{Place, Requests},
    slot::{Near, slot},
    state::WatchState,
    subscribe::Subscription,
};

/// The broadcasts that a node knows, its own and those of its peers. Cloning is cheap; each clone
/// keeps the node running.
#[derive(Clone)]
pub struct Origin {
    ops: Ops,
}

impl Origin {
    pub(crate) fn new(ops: Ops) -> Self {
        Self { ops }
    }

    /// Makes a broadcast that nobody is told of before [`Broadcast::announce`], so that it can be given
    /// its tracks first: who asks for a track that is not there is refused, unless there are
    /// [`Broadcast::requests`].
    ///
    /// Fails if this node publishes that path already, or if the path is a pattern. Waits for the
    /// driver, not for the network; cancelled, it leaves nothing behind.
    pub async fn create(&self, path: &Path) -> Result<Broadcast, Error> {
        Broadcast::create(self.ops.clone(), path).await
    }

    /// Makes a broadcast and announces it, for tracks that are added later or asked for later.
    pub async fn publish(&self, path: &Path) -> Result<Broadcast, Error> {
        let broadcast = self.create(path).await?;
        broadcast.announce().await?;
        Ok(broadcast)
    }

    /// What is announced at `prefix` and below: first what is there, then each change.
    pub async fn announced(&self, prefix: &Path) -> Result<Announcements, Error> {
        let (near, far) = slot(WatchState::default());
        let mut ops = self.ops.clone();
        ops.send(Op::Watch { watch: ops.key(), prefix: prefix.clone(), far }).await?;
        Ok(Announcements { ops, near })
    }

    /// Makes tracks at `prefix` and below it when somebody asks for them: of broadcasts that no peer has
    /// announced, and that are not made here or lack that track. The longest prefix counts.
    ///
    /// The peers of a server ask for such a name by themselves. All others have to be told where to ask: a
    /// broadcast that is announced at the prefix, or above it, is enough for all that is below, through relays
    /// too. The shards of a server are peers of each other in this.
    ///
    /// Fails with [`Misuse::DuplicateRequests`](smoq_core::Misuse::DuplicateRequests) if there is such a handle
    /// for that prefix already.
    pub async fn requests(&self, prefix: &Path) -> Result<Requests, Error> {
        Requests::serve(self.ops.clone(), Place::Below(prefix.clone())).await
    }

    /// Subscribes to a track. It need not be announced yet; but if no peer can be asked, or the one
    /// asked does not know it, the subscription fails.
    ///
    /// Waits only while the queue to the driver is full. That the track is refused is told by
    /// [`Subscription::next_group`].
    pub async fn subscribe(
        &self,
        path: &Path,
        track: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let part = Part::Subscription(options);
        Subscription::subscribe(self.ops.clone(), path, track, part).await
    }

    /// Asks for one group of a track: it comes as a subscription that ends after it. Taken from where
    /// it is held on the way, else from the publisher; higher priorities go first. Peers up to
    /// moq-lite-04 serve none.
    ///
    /// Waits only while the queue to the driver is full. That nobody has the group is told by
    /// [`Subscription::next_group`].
    pub async fn fetch(
        &self,
        path: &Path,
        track: &str,
        sequence: u64,
        priority: u8,
    ) -> Result<Subscription, Error> {
        let part = Part::Group { sequence, priority };
        Subscription::subscribe(self.ops.clone(), path, track, part).await
    }
}

/// A stream of what is announced below a prefix.
pub struct Announcements {
    ops: Ops,
    near: Near<WatchState>,
}

impl Announcements {
    /// The next change. Cancel-safe.
    ///
    /// Fails when none will follow: with [`Error::Disconnected`] when a client's connection is over,
    /// after the end of all that it announced, and with [`Error::Shutdown`] when the endpoint is.
    pub async fn next(&mut self) -> Result<Announced, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The form of [`next`](Self::next) for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Announced, Error>> {
        self.look(Some(cx.waker()))
    }

    /// The next change if there is one already; fails as [`next`](Self::next) does.
    pub fn try_next(&mut self) -> Result<Option<Announced>, Error> {
        match self.look(None) {
            Poll::Ready(result) => result.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn look(&mut self, waker: Option<&Waker>) -> Poll<Result<Announced, Error>> {
        let take = |state: &mut WatchState, gone: bool| {
            let next = state.queue.pop_front().map(Ok);
            next.or_else(|| state.end.clone().or(gone.then_some(Error::Shutdown)).map(Err))
        };
        let more = Op::MoreAnnounced { watch: self.ops.key() };
        self.near.take(waker, take, || self.ops.force(more))
    }
}

impl Drop for Announcements {
    fn drop(&mut self) {
        self.ops.force(Op::Unwatch { watch: self.ops.key() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{driver::CAPACITY, mailbox::mailbox, test::Count};

    #[test]
    fn who_only_tries_does_not_take_the_place_of_who_waits() {
        let (ops, _receiver) = mailbox(CAPACITY);
        let (near, far) = slot(WatchState::default());
        let mut announced = Announcements { ops, near };
        let count = Count::new();
        let waker = count.waker();
        assert!(announced.poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(announced.try_next(), Ok(None));
        far.update(|_| ());
        assert_eq!(count.get(), 1);
    }
}

//! Handles to make tracks with when somebody asks for them.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use smoq_core::{Path, Wanted, wire::TrackInfo};

use crate::{
    error::Error,
    mailbox::Key,
    op::{Op, Ops},
    publish::{TrackWriter, poll_answer},
    slot::{Near, slot},
    state::{RequestState, TrackState},
};

/// Where tracks are made on demand.
pub(crate) enum Place {
    /// In a broadcast of this node.
    Broadcast(Key),
    /// At a path and below it.
    Below(Path),
}

/// A stream of tracks that somebody asks for and that are not there.
///
/// Each waits to be accepted or declined, for [`Limits::wanted_timeout`] at most, and one peer waits for
/// [`Limits::wanted`] of them; the others are refused. When this handle is dropped, all that wait are declined.
///
/// [`Limits::wanted_timeout`]: smoq_core::Limits::wanted_timeout
/// [`Limits::wanted`]: smoq_core::Limits::wanted
pub struct Requests {
    ops: Ops,
    near: Near<RequestState>,
}

impl Requests {
    pub(crate) async fn serve(mut ops: Ops, place: Place) -> Result<Self, Error> {
        let (near, far) = slot(RequestState::default());
        ops.send(Op::Serve { requests: ops.key(), place, far }).await?;
        let requests = Self { ops, near };
        poll_fn(|cx| requests.near.poll(cx, |state, gone| poll_answer(&mut state.begun, gone)))
            .await?;
        Ok(requests)
    }

    /// The next track that somebody asks for. Cancel-safe.
    ///
    /// Fails when none will follow: with [`Error::Disconnected`] when a client's connection is over, with
    /// [`Misuse::Stale`](smoq_core::Misuse::Stale) when the broadcast was dropped, and with
    /// [`Error::Shutdown`] when the endpoint is shut down.
    pub async fn next(&mut self) -> Result<TrackRequest, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The form of [`next`](Self::next) for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<TrackRequest, Error>> {
        self.look(Some(cx.waker()))
    }

    /// The next track if somebody asks for one already; fails as [`next`](Self::next) does.
    pub fn try_next(&mut self) -> Result<Option<TrackRequest>, Error> {
        match self.look(None) {
            Poll::Ready(result) => result.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn look(&mut self, waker: Option<&Waker>) -> Poll<Result<TrackRequest, Error>> {
        let take = |state: &mut RequestState, gone: bool| {
            let next = state.next.take().map(Ok);
            next.or_else(|| state.end.clone().or(gone.then_some(Error::Shutdown)).map(Err))
        };
        let more = Op::MoreWanted { requests: self.ops.key() };
        let result = self.near.take(waker, take, || self.ops.force(more));
        result.map_ok(|wanted| TrackRequest { ops: self.ops.clone(), wanted, answered: false })
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.ops.force(Op::Unserve { requests: self.ops.key() });
    }
}

/// A track that somebody asks for. Dropping it declines it.
pub struct TrackRequest {
    ops: Ops,
    wanted: Wanted,
    answered: bool,
}

impl TrackRequest {
    /// The full path of the broadcast that it shall be in.
    pub fn path(&self) -> &Path {
        &self.wanted.broadcast
    }

    /// Its name, as whoever asks has chosen it.
    pub fn name(&self) -> &str {
        &self.wanted.name
    }

    /// Makes the track. Who asked for it, and whoever has joined meanwhile, is served by the writer, as of any
    /// other track. Who fetches a group of it waits until it has that, or a higher one, or has ended.
    ///
    /// It goes when the writer is dropped, or has finished it, and nobody reads it any more. When nobody reads it
    /// for [`Limits::wanted_timeout`](smoq_core::Limits::wanted_timeout), it is ended, and the calls of its writer
    /// fail with [`Misuse::Stale`](smoq_core::Misuse::Stale). Who comes then asks anew.
    ///
    /// Fails with [`Misuse::Stale`](smoq_core::Misuse::Stale) if nobody waits any more, and with
    /// [`Misuse::Timescale`](smoq_core::Misuse::Timescale) if the timescale is zero. Waits for the driver, not
    /// for the network; cancelled, it declines.
    pub async fn accept(mut self, info: TrackInfo) -> Result<TrackWriter, Error> {
        let (near, far) = slot(TrackState::default());
        // The request declines until the driver has this.
        let mut ops = self.ops.clone();
        ops.send(Op::Accept { track: ops.key(), id: self.wanted.track, info, far }).await?;
        self.answered = true;
        TrackWriter::created(ops, near).await
    }

    /// Declines the track: who asked for it is told that there is none.
    pub fn decline(self) {}
}

impl Drop for TrackRequest {
    fn drop(&mut self) {
        if !self.answered {
            self.ops.force(Op::Decline { id: self.wanted.track });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{driver::CAPACITY, mailbox::mailbox, test::Count};

    #[test]
    fn who_only_tries_does_not_take_the_place_of_who_waits() {
        let (ops, _receiver) = mailbox(CAPACITY);
        let (near, far) = slot(RequestState::default());
        let mut requests = Requests { ops, near };
        let count = Count::new();
        let waker = count.waker();
        assert!(requests.poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert!(matches!(requests.try_next(), Ok(None)));
        far.update(|_| ());
        assert_eq!(count.get(), 1);
    }
}

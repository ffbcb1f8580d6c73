//! Handles to read with: subscription, group.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use smoq_core::{FrameChunk, Path, SubscribeOptions, wire::TrackInfo};

use crate::{
    error::{Error, GroupError, SubscribeError},
    op::{Op, Ops, Part},
    slot::{Near, slot},
    state::{Inbox, NewGroup, SubscriptionState},
};

/// A subscription to one track.
///
/// Groups are given in the order in which the node has them ready; each is read by a handle of its
/// own, in any order and by any task. Only what is asked for is read ahead, at most 64 KiB per group,
/// so a slow reader delays nobody else. The subscription ends when this handle and those of its groups
/// are dropped.
///
/// After a [`Reconnect`](crate::Reconnect) it goes on behind the highest group that it gave. Whoever serves
/// the broadcast then has to have that group, or a later one, by [`rejoin`](crate::Reconnect::rejoin): else it
/// is another publisher, who counts anew, and the subscription fails. One that is made in that time waits as
/// long for its broadcast.
pub struct Subscription {
    ops: Ops,
    near: Near<SubscriptionState>,
}

impl Subscription {
    pub(crate) async fn subscribe(
        mut ops: Ops,
        path: &Path,
        track: &str,
        part: Part,
    ) -> Result<Self, Error> {
        let (near, far) = slot(SubscriptionState::default());
        let (subscription, path, track) = (ops.key(), path.clone(), track.to_owned());
        ops.send(Op::Subscribe { subscription, path, track, part, far }).await?;
        Ok(Self { ops, near })
    }

    /// What the publisher says of the track.
    pub async fn info(&mut self) -> Result<TrackInfo, SubscribeError> {
        poll_fn(|cx| self.poll_info(cx)).await
    }

    /// The form of [`info`](Self::info) for hand-written futures.
    pub fn poll_info(&mut self, cx: &mut Context<'_>) -> Poll<Result<TrackInfo, SubscribeError>> {
        self.look(Some(cx.waker()), |state| match (&state.info, state.end) {
            (Some(info), _) => Some(Ok(*info)),
            (None, Some(Err(error))) => Some(Err(error)),
            (None, Some(Ok(()))) => Some(Err(SubscribeError::Unknown)),
            (None, None) => None,
        })
    }

    /// The next group; `None` when the track has ended and all its groups were given. Cancel-safe.
    pub async fn next_group(&mut self) -> Result<Option<GroupReader>, SubscribeError> {
        poll_fn(|cx| self.poll_next_group(cx)).await
    }

    /// The form of [`next_group`](Self::next_group) for hand-written futures.
    pub fn poll_next_group(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<GroupReader>, SubscribeError>> {
        self.look_for_group(Some(cx.waker()))
    }

    /// The next group if it is there already; `Ok(None)` also when it is not.
    pub fn try_next_group(&mut self) -> Result<Option<GroupReader>, SubscribeError> {
        match self.look_for_group(None) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(None),
        }
    }

    /// Changes what is asked for, except for the start. Waits while the queue to the driver is full.
    pub async fn update(&mut self, options: SubscribeOptions) -> Result<(), Error> {
        let subscription = self.ops.key();
        self.ops.send(Op::Update { subscription, options }).await
    }

    fn look_for_group(
        &mut self,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<GroupReader>, SubscribeError>> {
        let next = ready!(self.look(waker, take_group))?;
        Poll::Ready(Ok(next.map(|group| self.reader(group))))
    }

    /// Looks for something; while it is not there, the driver is asked to bring more.
    fn look<T>(
        &mut self,
        waker: Option<&Waker>,
        look: impl FnOnce(&mut SubscriptionState) -> Option<Result<T, SubscribeError>>,
    ) -> Poll<Result<T, SubscribeError>> {
        let take = |state: &mut SubscriptionState, gone: bool| {
            look(state).or(gone.then_some(Err(SubscribeError::Shutdown)))
        };
        let more = Op::MoreGroups { subscription: self.ops.key() };
        self.near.take(waker, take, || self.ops.force(more))
    }

    fn reader(&self, group: NewGroup) -> GroupReader {
        let NewGroup { key, sequence, inbox } = group;
        let subscription = self.ops.key();
        GroupReader { ops: self.ops.clone(), subscription, key, sequence, inbox, partial: None }
    }
}

fn take_group(state: &mut SubscriptionState) -> Option<Result<Option<NewGroup>, SubscribeError>> {
    match (state.next.take(), state.end) {
        (Some(group), _) => Some(Ok(Some(group))),
        (None, Some(end)) => Some(end.map(|()| None)),
        (None, None) => None,
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.ops.force(Op::Unsubscribe { subscription: self.ops.key() });
    }
}

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its place in the group, from 0.
    pub index: u64,
    /// Presentation time, in units of the track's timescale.
    pub timestamp: u64,
    /// Its bytes.
    pub payload: Bytes,
}

/// Reads the frames of one group. Dropping it skips the rest of the group.
pub struct GroupReader {
    ops: Ops,
    subscription: u64,
    key: u64,
    sequence: u64,
    inbox: Near<Inbox>,
    /// The frame that is being put together.
    partial: Option<BytesMut>,
}

impl GroupReader {
    /// Its number in the track.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next frame when it is whole; `None` at the end of the group. Cancel-safe.
    ///
    /// A frame that arrived in one piece is not copied. After [`next_chunk`](Self::next_chunk) the rest
    /// of a frame begun there is left out.
    pub async fn next_frame(&mut self) -> Result<Option<Frame>, GroupError> {
        poll_fn(|cx| self.poll_next_frame(cx)).await
    }

    /// The form of [`next_frame`](Self::next_frame) for hand-written futures.
    pub fn poll_next_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, GroupError>> {
        self.look_for_frame(Some(cx.waker()))
    }

    /// The next frame if it is there already; `Ok(None)` also when it is not.
    pub fn try_next_frame(&mut self) -> Result<Option<Frame>, GroupError> {
        match self.look_for_frame(None) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(None),
        }
    }

    /// The next piece of a frame, as it arrives; `None` at the end of the group. Cancel-safe.
    pub async fn next_chunk(&mut self) -> Result<Option<FrameChunk>, GroupError> {
        poll_fn(|cx| self.poll_next_chunk(cx)).await
    }

    /// The form of [`next_chunk`](Self::next_chunk) for hand-written futures.
    pub fn poll_next_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<FrameChunk>, GroupError>> {
        self.look_for_chunk(Some(cx.waker()))
    }

    fn look_for_frame(&mut self, waker: Option<&Waker>) -> Poll<Result<Option<Frame>, GroupError>> {
        loop {
            let Some(chunk) = ready!(self.look_for_chunk(waker))? else {
                return Poll::Ready(Ok(None));
            };
            if let Some(frame) = self.join(chunk) {
                return Poll::Ready(Ok(Some(frame)));
            }
        }
    }

    fn look_for_chunk(
        &mut self,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<FrameChunk>, GroupError>> {
        let mut ask = false;
        let result = self.inbox.look(waker, |inbox, gone| {
            let taken = inbox.take(gone);
            ask = taken.ask;
            taken.next.map_or(Poll::Pending, Poll::Ready)
        });
        if ask {
            let Self { subscription, key: group, .. } = *self;
            self.ops.force(Op::MoreChunks { subscription, group });
        }
        result
    }

    fn join(&mut self, chunk: FrameChunk) -> Option<Frame> {
        let last = chunk.is_last();
        let FrameChunk { frame: index, timestamp, offset, data, .. } = chunk;
        let payload = match (offset, last) {
            (0, true) => data,
            (0, false) => {
                self.partial = Some(BytesMut::from(&*data));
                return None;
            }
            (_, _) => {
                let mut partial = self.partial.take()?;
                partial.extend_from_slice(&data);
                if !last {
                    self.partial = Some(partial);
                    return None;
                }
                partial.freeze()
            }
        };
        Some(Frame { index, timestamp, payload })
    }
}

impl Drop for GroupReader {
    fn drop(&mut self) {
        let Self { subscription, key: group, .. } = *self;
        self.ops.force(Op::DropReader { subscription, group });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{driver::CAPACITY, mailbox::mailbox, test::Count};

    #[test]
    fn who_only_tries_does_not_take_the_place_of_who_waits() {
        let (ops, _receiver) = mailbox(CAPACITY);
        let (near, far) = slot(SubscriptionState::default());
        let (inbox, chunks) = slot(Inbox::default());
        let mut subscription = Subscription { ops, near };
        let mut group = subscription.reader(NewGroup { key: 1, sequence: 0, inbox });
        let count = Count::new();
        let waker = count.waker();
        let cx = &mut Context::from_waker(&waker);
        assert!(subscription.poll_next_group(cx).is_pending());
        assert!(subscription.try_next_group().unwrap().is_none());
        far.update(|_| ());
        assert_eq!(count.get(), 1);
        assert!(group.poll_next_frame(cx).is_pending());
        assert_eq!(group.try_next_frame(), Ok(None));
        chunks.update(|_| ());
        assert_eq!(count.get(), 2);
    }
}

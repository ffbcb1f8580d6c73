//! What each kind of handle shares with the driver.

use std::{
    collections::VecDeque,
    mem::replace,
    task::{Poll, Waker},
};

use smoq_core::{Announced, FrameChunk, Wanted, wire::TrackInfo};

use crate::{
    error::{Error, GroupError, SubscribeError},
    mailbox::Key,
    slot::Near,
};

/// Bytes that the driver reads ahead for each group that somebody reads. What is beyond it stays in
/// the node's store.
pub(crate) const READ_AHEAD: usize = 64 << 10;
/// Announcements that the driver reads ahead for each watcher.
pub(crate) const ANNOUNCED_AHEAD: usize = 64;
/// What a chunk counts besides its bytes, so that empty frames are bounded too.
const CHUNK_OVERHEAD: usize = 64;

/// The answer to a question, once it is there.
pub(crate) type Answer<T> = Option<Result<T, Error>>;

/// What may still be on its way to subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backlog {
    /// At most so many bytes, for each of them.
    Bytes(usize),
    /// Nothing: they have everything, the end of the track included.
    Nothing,
}

/// A [`TrackWriter`](crate::TrackWriter).
#[derive(Default)]
pub(crate) struct TrackState {
    /// The driver made it, or could not.
    pub(crate) created: Answer<()>,
    /// Why nothing works any more.
    pub(crate) error: Option<Error>,
    /// Somebody subscribes.
    pub(crate) wanted: bool,
    /// The latest question about the backlog to which the answer was yes.
    pub(crate) drained: u64,
}

/// A [`GroupWriter`](crate::GroupWriter): why nothing works any more.
pub(crate) type GroupState = Option<Error>;

/// What the driver brings one by one, each when the handle waits for it.
pub(crate) trait Brought {
    /// The driver knows that the handle waits.
    fn asked(&mut self) -> &mut bool;
}

impl<T: Brought> Near<T> {
    /// Takes what has come; while there is nothing, the driver is asked for it, once. The flag says whether
    /// the driver's end is gone.
    pub(crate) fn take<R>(
        &self,
        waker: Option<&Waker>,
        take: impl FnOnce(&mut T, bool) -> Option<R>,
        ask: impl FnOnce(),
    ) -> Poll<R> {
        let mut unasked = false;
        let result = self.look(waker, |state, gone| match take(state, gone) {
            Some(taken) => Poll::Ready(taken),
            None => {
                unasked = !replace(state.asked(), true);
                Poll::Pending
            }
        });
        if unasked {
            ask();
        }
        result
    }
}

/// An [`Announcements`](crate::Announcements).
#[derive(Default)]
pub(crate) struct WatchState {
    pub(crate) queue: VecDeque<Announced>,
    /// Why nothing follows what is queued.
    pub(crate) end: Option<Error>,
    pub(crate) asked: bool,
}

impl Brought for WatchState {
    fn asked(&mut self) -> &mut bool {
        &mut self.asked
    }
}

/// A [`Requests`](crate::Requests).
#[derive(Default)]
pub(crate) struct RequestState {
    /// The driver serves, or cannot.
    pub(crate) begun: Answer<()>,
    pub(crate) next: Option<Wanted>,
    /// Why nothing follows.
    pub(crate) end: Option<Error>,
    pub(crate) asked: bool,
}

impl Brought for RequestState {
    fn asked(&mut self) -> &mut bool {
        &mut self.asked
    }
}

/// A [`Subscription`](crate::Subscription).
#[derive(Default)]
pub(crate) struct SubscriptionState {
    pub(crate) info: Option<TrackInfo>,
    pub(crate) next: Option<NewGroup>,
    pub(crate) end: Option<Result<(), SubscribeError>>,
    pub(crate) asked: bool,
}

impl Brought for SubscriptionState {
    fn asked(&mut self) -> &mut bool {
        &mut self.asked
    }
}

/// What a [`GroupReader`](crate::GroupReader) is made of.
pub(crate) struct NewGroup {
    pub(crate) key: Key,
    pub(crate) sequence: u64,
    pub(crate) inbox: Near<Inbox>,
}

/// A [`GroupReader`](crate::GroupReader).
#[derive(Default)]
pub(crate) struct Inbox {
    chunks: VecDeque<FrameChunk>,
    /// What the chunks count.
    weight: usize,
    end: Option<Result<(), GroupError>>,
    /// The driver knows that there is room.
    asked: bool,
}

/// What a look into an [`Inbox`] gave.
pub(crate) struct Taken {
    /// The next chunk; `Some(Ok(None))` at the end of the group, `None` for nothing yet.
    pub(crate) next: Option<Result<Option<FrameChunk>, GroupError>>,
    /// The driver has to be told that there is room.
    pub(crate) ask: bool,
}

impl Inbox {
    /// How many bytes the driver may add.
    pub(crate) fn room(&self) -> usize {
        READ_AHEAD.saturating_sub(self.weight)
    }

    /// The driver adds what it read. When `full`, it waits to be asked again.
    pub(crate) fn add(
        &mut self,
        chunks: impl Iterator<Item = FrameChunk>,
        end: Option<Result<(), GroupError>>,
        full: bool,
    ) {
        for chunk in chunks {
            self.weight += weight(&chunk);
            self.chunks.push_back(chunk);
        }
        self.end = end;
        self.asked = !full;
    }

    /// The handle takes the next chunk.
    pub(crate) fn take(&mut self, gone: bool) -> Taken {
        let chunk = self.chunks.pop_front();
        self.weight -= chunk.as_ref().map_or(0, weight);
        let open = self.end.is_none() && !gone;
        let ask = open && !self.asked && self.weight <= READ_AHEAD / 2;
        self.asked |= ask;
        let next = match (chunk, self.end) {
            (Some(chunk), _) => Some(Ok(Some(chunk))),
            (None, Some(end)) => Some(end.map(|()| None)),
            (None, None) if gone => Some(Err(GroupError::Unsubscribed)),
            (None, None) => None,
        };
        Taken { next, ask }
    }
}

pub(crate) fn weight(chunk: &FrameChunk) -> usize {
    chunk.data.len() + CHUNK_OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunk(size: usize) -> FrameChunk {
        let data = Bytes::from(vec![0; size]);
        FrameChunk { frame: 0, timestamp: 0, size: size as u64, offset: 0, data }
    }

    fn add(inbox: &mut Inbox, size: usize, full: bool) {
        inbox.add([chunk(size)].into_iter(), None, full);
    }

    #[test]
    fn the_driver_is_asked_once_until_it_answers() {
        let mut inbox = Inbox::default();
        let taken = inbox.take(false);
        assert!(taken.next.is_none() && taken.ask);
        assert!(!inbox.take(false).ask);
        add(&mut inbox, 1, false);
        assert!(!inbox.take(false).ask, "the driver goes on by itself");
        add(&mut inbox, 1, true);
        assert!(inbox.take(false).ask);
    }

    #[test]
    fn a_full_inbox_is_refilled_when_half_empty() {
        let mut inbox = Inbox::default();
        add(&mut inbox, READ_AHEAD / 2, false);
        add(&mut inbox, READ_AHEAD / 2, true);
        assert_eq!(inbox.room(), 0);
        assert!(!inbox.take(false).ask, "more than half is left");
        assert!(inbox.take(false).ask);
        assert_eq!(inbox.room(), READ_AHEAD);
    }

    #[test]
    fn what_was_read_comes_before_the_end() {
        let mut inbox = Inbox::default();
        inbox.add([chunk(0)].into_iter(), Some(Ok(())), false);
        assert!(matches!(inbox.take(true).next, Some(Ok(Some(_)))));
        assert!(matches!(inbox.take(true), Taken { next: Some(Ok(None)), ask: false }));
    }

    #[test]
    fn a_gone_driver_is_an_error_after_what_was_read() {
        let mut inbox = Inbox::default();
        add(&mut inbox, 3, false);
        assert!(matches!(inbox.take(true).next, Some(Ok(Some(_)))));
        let taken = inbox.take(true);
        assert_eq!(taken.next, Some(Err(GroupError::Unsubscribed)));
        assert!(!taken.ask);
    }

    #[test]
    fn empty_frames_are_bounded() {
        let mut inbox = Inbox::default();
        while inbox.room() > 0 {
            add(&mut inbox, 0, false);
        }
        assert_eq!(inbox.chunks.len(), READ_AHEAD / CHUNK_OVERHEAD);
    }
}

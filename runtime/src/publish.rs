//! Handles to write with: broadcast, track, group.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use smoq_core::{
    Misuse, Path,
    wire::{MAX_DATAGRAM, MAX_TIMESTAMP, StreamCode, TrackInfo},
};

use crate::{
    error::{Error, TryError},
    op::{Op, Ops},
    requests::{Place, Requests},
    slot::{Near, slot},
    state::{Answer, Backlog, GroupState, TrackState},
};

/// A broadcast of this node. Dropping it withdraws the announcement; its finished tracks are still
/// served to those who subscribe already, the other ones are aborted.
pub struct Broadcast {
    ops: Ops,
    path: Path,
}

impl Broadcast {
    pub(crate) async fn create(mut ops: Ops, path: &Path) -> Result<Self, Error> {
        let (near, far) = slot(None);
        ops.send(Op::Create { broadcast: ops.key(), path: path.clone(), far }).await?;
        let broadcast = Self { ops, path: path.clone() };
        answer(&near).await?;
        Ok(broadcast)
    }

    /// Its full path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells everybody of it. A second time changes nothing.
    pub async fn announce(&self) -> Result<(), Error> {
        let (near, far) = slot(None);
        self.ops.clone().send(Op::Announce { broadcast: self.ops.key(), far }).await?;
        answer(&near).await
    }

    /// Adds a track. Subscribers learn `info` before its first group.
    ///
    /// Fails if the broadcast has a track of that name, or if the timescale is zero. Waits for the
    /// driver, not for the network; cancelled, it leaves no track behind.
    pub async fn track(&self, name: &str, info: TrackInfo) -> Result<TrackWriter, Error> {
        let (near, far) = slot(TrackState::default());
        let mut ops = self.ops.clone();
        let (track, broadcast, name) = (ops.key(), self.ops.key(), name.to_owned());
        ops.send(Op::Track { track, broadcast, name, info, far }).await?;
        TrackWriter::created(ops, near).await
    }

    /// Makes the tracks that this broadcast does not have when somebody asks for them: they come as
    /// [`TrackRequest`](crate::TrackRequest)s. To be asked for before [`announce`](Self::announce), so that
    /// nobody is refused. What is below its path belongs to [`Origin::requests`](crate::Origin::requests).
    ///
    /// Fails with [`Misuse::DuplicateRequests`] if there is such a handle already.
    pub async fn requests(&self) -> Result<Requests, Error> {
        Requests::serve(self.ops.clone(), Place::Broadcast(self.ops.key())).await
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        self.ops.force(Op::Unpublish { broadcast: self.ops.key() });
    }
}

/// Writes the groups of one track. Dropping it before [`finish`](Self::finish) aborts the track.
pub struct TrackWriter {
    ops: Ops,
    near: Near<TrackState>,
    /// One above the highest group sequence so far.
    next: u64,
    /// Counts questions about the backlog.
    ticket: u64,
    finished: bool,
}

impl TrackWriter {
    /// The writer of a track that the driver was asked to make.
    pub(crate) async fn created(ops: Ops, near: Near<TrackState>) -> Result<Self, Error> {
        let track = Self { ops, near, next: 0, ticket: 0, finished: false };
        poll_fn(|cx| track.near.poll(cx, |state, gone| poll_answer(&mut state.created, gone)))
            .await?;
        Ok(track)
    }

    /// Opens the next group: sequence 0, or one above the highest so far.
    ///
    /// Waits while the queue to the driver is full. Several groups may be written at a time.
    pub async fn group(&mut self) -> Result<GroupWriter, Error> {
        self.group_at(self.next).await
    }

    /// Opens the group `sequence`, which has to be one that the track has not had. If it had, the
    /// [`GroupWriter`] tells so.
    pub async fn group_at(&mut self, sequence: u64) -> Result<GroupWriter, Error> {
        let (mut group, op) = self.new_group(sequence)?;
        group.ops.send(op).await?;
        self.next = self.next.max(sequence + 1);
        Ok(group.opened())
    }

    /// [`group`](Self::group) without waiting.
    pub fn try_group(&mut self) -> Result<GroupWriter, TryError> {
        let (group, op) = self.new_group(self.next)?;
        group.ops.try_push(0, op)?;
        self.next += 1;
        Ok(group.opened())
    }

    /// Sends one frame as a datagram: a group of its own, with the next sequence. It is never sent twice and
    /// may be lost; what it is for is too late anyway when it comes late. Subscribers read it like any other
    /// group. The timestamp is in units of the track's timescale, below 2^61; the payload has at most
    /// [`MAX_DATAGRAM`] bytes, and 1100 pass everywhere. Where there are no datagrams (up to
    /// moq-lite-04, for example) it goes as a stream.
    ///
    /// Waits while the queue to the driver is full; cancelled, it has written nothing.
    pub async fn datagram(&mut self, timestamp: u64, payload: Bytes) -> Result<(), Error> {
        let size = payload.len();
        let op = self.new_datagram(timestamp, payload)?;
        self.ops.push_when_room(size, op).await?;
        self.next += 1;
        Ok(())
    }

    /// [`datagram`](Self::datagram) without waiting.
    pub fn try_datagram(&mut self, timestamp: u64, payload: Bytes) -> Result<(), TryError> {
        let size = payload.len();
        let op = self.new_datagram(timestamp, payload)?;
        self.ops.try_push(size, op)?;
        self.next += 1;
        Ok(())
    }

    fn new_datagram(&self, timestamp: u64, payload: Bytes) -> Result<Op, Error> {
        let sequence = self.next_sequence(self.next)?;
        if payload.len() > MAX_DATAGRAM {
            return Err(Misuse::DatagramSize.into());
        }
        if timestamp > MAX_TIMESTAMP {
            return Err(Misuse::Timestamp.into());
        }
        Ok(Op::Datagram { track: self.ops.key(), sequence, timestamp, payload })
    }

    /// A sequence, if the track can have a group of it.
    fn next_sequence(&self, sequence: u64) -> Result<u64, Error> {
        self.check()?;
        if self.finished {
            return Err(Misuse::TrackFinished.into());
        }
        // The largest number on the wire, 2^62 - 1, stands for "no group".
        if sequence >= (1 << 62) - 1 {
            return Err(Misuse::Sequence.into());
        }
        Ok(sequence)
    }

    fn new_group(&self, sequence: u64) -> Result<(GroupWriter, Op), Error> {
        let sequence = self.next_sequence(sequence)?;
        let (near, far) = slot(None);
        let group =
            GroupWriter { ops: self.ops.clone(), near, sequence, open: 0, end: End::Unknown };
        let op = Op::Group { group: group.ops.key(), track: self.ops.key(), sequence, far };
        Ok((group, op))
    }

    /// Ends the track after the groups opened so far. What is in them can still be written.
    pub fn finish(&mut self) -> Result<(), Error> {
        if !self.finished {
            self.finished = true;
            self.ops.force(Op::FinishTrack { track: self.ops.key() });
        }
        self.check()
    }

    /// Ends the track at once, with `code` for its subscribers.
    pub fn abort(mut self, code: StreamCode) {
        self.finished = true;
        self.ops.force(Op::DropTrack { track: self.ops.key(), abort: Some(code) });
    }

    /// Whether somebody subscribes to the track now.
    pub fn is_wanted(&self) -> bool {
        self.near.with(|state, _| state.wanted)
    }

    /// Waits until somebody subscribes.
    pub async fn wanted(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_wanted(cx)).await
    }

    /// The form of [`wanted`](Self::wanted) for hand-written futures.
    pub fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.near.poll(cx, |state, gone| match check(state.error.as_ref(), gone) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) if state.wanted => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
        })
    }

    /// Waits until no subscriber has more than `limit` bytes still to come, of what was written before
    /// this call. With it a writer goes as fast as its slowest subscriber; without it a subscriber that
    /// is too slow misses groups. Without subscribers it is done at once.
    pub async fn drained(&mut self, limit: usize) -> Result<(), Error> {
        self.backlog(Backlog::Bytes(limit)).await
    }

    /// After [`finish`](Self::finish): waits until each subscriber has everything, the end of the track
    /// included. Without subscribers it is done at once.
    pub async fn finished(&mut self) -> Result<(), Error> {
        self.backlog(Backlog::Nothing).await
    }

    async fn backlog(&mut self, backlog: Backlog) -> Result<(), Error> {
        self.ticket += 1;
        let ticket = self.ticket;
        self.ops.send(Op::Drain { track: self.ops.key(), ticket, backlog }).await?;
        poll_fn(|cx| {
            self.near.poll(cx, |state, gone| {
                if state.drained >= ticket {
                    return Poll::Ready(Ok(()));
                }
                check(state.error.as_ref(), gone)
                    .map_or_else(|e| Poll::Ready(Err(e)), |()| Poll::Pending)
            })
        })
        .await
    }

    fn check(&self) -> Result<(), Error> {
        self.near.with(|state, gone| check(state.error.as_ref(), gone))
    }
}

impl Drop for TrackWriter {
    fn drop(&mut self) {
        let abort = (!self.finished).then_some(StreamCode::CANCEL);
        self.ops.force(Op::DropTrack { track: self.ops.key(), abort });
    }
}

/// How a [`GroupWriter`] leaves its group when it is dropped.
#[derive(Clone, Copy)]
enum End {
    /// The driver was never told of it.
    Unknown,
    Finish,
    Abort(StreamCode),
}

/// Writes the frames of one group. Dropping it before [`finish`](Self::finish) cuts the group off.
pub struct GroupWriter {
    ops: Ops,
    near: Near<GroupState>,
    sequence: u64,
    /// Bytes that the open frame still has to get.
    open: u64,
    end: End,
}

impl GroupWriter {
    fn opened(mut self) -> Self {
        self.end = End::Abort(StreamCode::CANCEL);
        self
    }

    /// Its number in the track.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes a whole frame. The timestamp is in units of the track's timescale, below 2^61.
    ///
    /// Waits while the queue to the driver is full; cancelled, it has written nothing. An error of the
    /// node, such as a group that is too large, is told by a later call.
    pub async fn write(&mut self, timestamp: u64, payload: Bytes) -> Result<(), Error> {
        let op = self.frame(timestamp, payload.clone())?;
        self.push(payload.len(), op).await
    }

    /// [`write`](Self::write) without waiting.
    pub fn try_write(&mut self, timestamp: u64, payload: Bytes) -> Result<(), TryError> {
        let size = payload.len();
        let op = self.frame(timestamp, payload)?;
        Ok(self.ops.try_push(size, op)?)
    }

    /// The form of [`write`](Self::write) for hand-written futures.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        timestamp: u64,
        payload: &Bytes,
    ) -> Poll<Result<(), Error>> {
        let op = self.frame(timestamp, payload.clone())?;
        ready!(self.ops.poll_push(cx, payload.len(), &mut Some(op)))?;
        Poll::Ready(Ok(()))
    }

    /// Opens a frame of `size` bytes, which follow in any number of [`write_chunk`](Self::write_chunk)
    /// calls and leave as they come.
    pub async fn start_frame(&mut self, timestamp: u64, size: u64) -> Result<(), Error> {
        self.check(timestamp)?;
        let group = self.ops.key();
        self.push(0, Op::StartFrame { group, timestamp, size }).await?;
        self.open = size;
        Ok(())
    }

    /// Writes bytes of the open frame; never more than it was opened with.
    pub async fn write_chunk(&mut self, data: Bytes) -> Result<(), Error> {
        check(self.near.with(|error, _| error.clone()).as_ref(), false)?;
        let size = data.len();
        let open = self.open.checked_sub(size as u64).ok_or(Misuse::FrameSize)?;
        self.push(size, Op::Chunk { group: self.ops.key(), data }).await?;
        self.open = open;
        Ok(())
    }

    /// Ends the group. Fails if the open frame lacks bytes (then the group is cut off), or with what the
    /// driver has found wrong so far.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.open > 0 {
            return Err(Misuse::FrameSize.into());
        }
        self.end = End::Finish;
        self.near.with(|error, gone| check(error.as_ref(), gone))
    }

    /// Cuts the group off, with `code` for its subscribers.
    pub fn abort(mut self, code: StreamCode) {
        self.end = End::Abort(code);
    }

    fn frame(&self, timestamp: u64, payload: Bytes) -> Result<Op, Error> {
        self.check(timestamp)?;
        Ok(Op::Frame { group: self.ops.key(), timestamp, payload })
    }

    fn check(&self, timestamp: u64) -> Result<(), Error> {
        self.near.with(|error, gone| check(error.as_ref(), gone))?;
        if self.open > 0 {
            return Err(Misuse::FrameSize.into());
        }
        if timestamp > MAX_TIMESTAMP {
            return Err(Misuse::Timestamp.into());
        }
        Ok(())
    }

    async fn push(&mut self, bytes: usize, op: Op) -> Result<(), Error> {
        Ok(self.ops.push_when_room(bytes, op).await?)
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        let abort = match self.end {
            End::Unknown => return,
            End::Finish => None,
            End::Abort(code) => Some(code),
        };
        self.ops.force(Op::DropGroup { group: self.ops.key(), abort });
    }
}

/// What a handle says whose driver told an error, or is gone.
fn check(error: Option<&Error>, gone: bool) -> Result<(), Error> {
    match error {
        Some(error) => Err(error.clone()),
        None if gone => Err(Error::Shutdown),
        None => Ok(()),
    }
}

/// Waits for the driver's answer.
pub(crate) async fn answer<T>(near: &Near<Answer<T>>) -> Result<T, Error> {
    poll_fn(|cx| near.poll(cx, poll_answer)).await
}

pub(crate) fn poll_answer<T>(answer: &mut Answer<T>, gone: bool) -> Poll<Result<T, Error>> {
    match answer.take() {
        Some(answer) => Poll::Ready(answer),
        None if gone => Poll::Ready(Err(Error::Shutdown)),
        None => Poll::Pending,
    }
}

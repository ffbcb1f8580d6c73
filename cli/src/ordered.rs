//! Reads a track group after group, however its groups arrive.

use std::{
    collections::HashMap,
    convert::Infallible,
    time::{Duration, Instant},
};

use smoq_core::{
    FrameChunk, Path, Start, SubscribeOptions,
    wire::{GroupOrder, StreamCode, TrackInfo},
};
use smoq_tokio::{GroupError, GroupReader, Origin, SubscribeError, Subscription};
use tokio::{sync::mpsc, task::AbortHandle, time::sleep_until};
use tracing::{debug, info};

use crate::{
    failure::Failure,
    output::Output,
    reorder::{Policy, Reorder, Step},
    terminal::tell,
};

/// Pieces of groups between those who read them and the one who puts them in order.
const PIECES: usize = 64;

/// What comes next in the track.
pub(crate) enum Item {
    /// A piece of a frame. Those of a group follow each other, without those of other groups between.
    Chunk { group: u64, chunk: FrameChunk },
    /// The group is complete.
    End { group: u64 },
    /// These groups (inclusive) of a lossless reader are missing or cut off.
    Gap { first: u64, last: u64 },
}

/// What a reader of a group found.
enum Piece {
    Data(FrameChunk),
    End(Result<(), GroupError>),
}

/// A subscription whose groups come in order.
pub(crate) struct Ordered {
    /// Of what, for messages.
    path: Path,
    track: String,
    subscription: Subscription,
    options: SubscribeOptions,
    reorder: Reorder,
    /// Who reads the groups, by sequence.
    readers: HashMap<u64, AbortHandle>,
    sender: mpsc::Sender<(u64, Piece)>,
    pieces: mpsc::Receiver<(u64, Piece)>,
    /// A group has come.
    begun: bool,
    /// How the subscription ended: there are no further groups.
    ended: Option<Result<(), SubscribeError>>,
}

impl Ordered {
    pub(crate) async fn subscribe(
        origin: &Origin,
        path: &Path,
        track: &str,
        policy: Policy,
    ) -> Result<Self, Failure> {
        let mut reorder = Reorder::new(policy, Instant::now());
        let options = match policy {
            Policy::Live(max_age) => SubscribeOptions { max_age, ..SubscribeOptions::default() },
            Policy::Lossless => SubscribeOptions {
                max_age: Duration::MAX,
                order: GroupOrder::OldestFirst,
                start: Start::From(0),
                end: reorder.window(Instant::now()),
                ..SubscribeOptions::default()
            },
        };
        let subscription = origin.subscribe(path, track, options.clone()).await?;
        let (sender, pieces) = mpsc::channel(PIECES);
        Ok(Self {
            path: path.clone(),
            track: track.to_owned(),
            subscription,
            options,
            reorder,
            readers: HashMap::new(),
            sender,
            pieces,
            begun: false,
            ended: None,
        })
    }

    /// What the publisher says of the track, once it has accepted the subscription.
    pub(crate) async fn info(&mut self) -> Result<TrackInfo, Failure> {
        self.subscription.info().await.map_err(|error| self.failed(error))
    }

    /// What comes next, `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        loop {
            let now = Instant::now();
            let wake = match self.reorder.next(now) {
                Step::Write { group, chunk } => return Some(Item::Chunk { group, chunk }),
                Step::Finish(group) => return Some(Item::End { group }),
                Step::Skip { first, last } => match self.skip(first, last) {
                    Some(gap) => return Some(gap),
                    None => continue,
                },
                Step::Wait(wake) => wake,
                Step::Done => return None,
            };
            self.take_in(now, wake, true).await;
        }
    }

    /// Goes on receiving while the last item is not used up, for ever. Cancel-safe.
    pub(crate) async fn hold(&mut self) -> Infallible {
        loop {
            let now = Instant::now();
            let wake = match self.reorder.stalled(now) {
                Step::Skip { first, last } => {
                    self.skip(first, last);
                    continue;
                }
                Step::Wait(wake) => wake,
                // Never while something waits to be used up.
                Step::Write { .. } | Step::Finish(_) | Step::Done => None,
            };
            // What is not taken stays in the store, which has a bound.
            let has_room = !self.reorder.is_full();
            self.take_in(now, wake, has_room).await;
        }
    }

    /// How the subscription ended, when there is no next item.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        self.ended.unwrap_or(Ok(())).map_err(|error| self.failed(error))
    }

    /// Whether it ended because the publisher knows no such track.
    pub(crate) fn is_unknown(&self) -> bool {
        self.ended == Some(Err(SubscribeError::Failed(StreamCode::NOT_FOUND)))
    }

    /// Writes everything, until the end or until nobody reads it. Says how many groups are missing.
    pub(crate) async fn write_to(&mut self, output: &Output) -> u64 {
        let mut missing = 0;
        loop {
            let item = tokio::select! {
                // The reader has had enough.
                () = output.closed() => return missing,
                item = self.next() => item,
            };
            match item {
                None => return missing,
                Some(Item::End { .. }) => {}
                Some(Item::Gap { first, last }) => {
                    tell(format_args!("gap: groups {first} to {last} are missing or cut off"));
                    missing += last - first + 1;
                }
                Some(Item::Chunk { chunk, .. }) => tokio::select! {
                    room = output.room() => match room {
                        Some(room) => room.send(chunk.data),
                        None => return missing,
                    },
                    never = self.hold() => match never {},
                },
            }
        }
    }

    /// Waits for an arrival, or until `wake`. Takes no pieces if there is no room.
    async fn take_in(&mut self, now: Instant, wake: Option<Instant>, has_room: bool) {
        self.slide(now).await;
        tokio::select! {
            Some((sequence, piece)) = self.pieces.recv(), if has_room => {
                self.piece(sequence, piece);
            }
            group = self.subscription.next_group(), if self.ended.is_none() => match group {
                Ok(Some(group)) => self.group(group),
                Ok(None) => self.close(Ok(())),
                Err(error) => self.close(Err(error)),
            },
            () = sleep_until(wake.unwrap_or(now).into()), if wake.is_some() => {}
            else => std::future::pending().await,
        }
    }

    /// Asks for what there is room for now.
    async fn slide(&mut self, now: Instant) {
        let end = self.reorder.window(now);
        if end != self.options.end {
            let options = SubscribeOptions { end, ..self.options.clone() };
            // If it fails, the subscription fails too and tells why.
            let _ = self.subscription.update(options.clone()).await;
            self.options = options;
        }
    }

    /// Reads these groups no further.
    fn skip(&mut self, first: u64, last: u64) -> Option<Item> {
        self.readers
            .extract_if(|group, _| (first..=last).contains(group))
            .for_each(|(_, reader)| reader.abort());
        if self.reorder.is_lossless() {
            return Some(Item::Gap { first, last });
        }
        info!(first, last, "groups left out: a later one has waited too long");
        None
    }

    fn group(&mut self, group: GroupReader) {
        let sequence = group.sequence();
        if self.begun {
            debug!(group = sequence, "a group arrives");
        } else {
            self.begun = true;
            info!(group = sequence, "the first group arrives");
        }
        if self.reorder.open(sequence, Instant::now()) {
            let reader = tokio::spawn(read(group, self.sender.clone()));
            self.readers.insert(sequence, reader.abort_handle());
        }
    }

    fn piece(&mut self, sequence: u64, piece: Piece) {
        let now = Instant::now();
        match piece {
            Piece::Data(chunk) => self.reorder.data(sequence, chunk, now),
            Piece::End(end) => {
                self.readers.remove(&sequence);
                self.reorder.close(sequence, end.is_ok(), now);
            }
        }
    }

    fn failed(&self, error: SubscribeError) -> Failure {
        let (broadcast, track) = (self.path.to_string(), self.track.clone());
        Failure::Subscribe { broadcast, track, error }
    }

    fn close(&mut self, end: Result<(), SubscribeError>) {
        self.ended = Some(end);
        self.reorder.end();
    }
}

/// Passes a group on, piece by piece.
async fn read(mut group: GroupReader, pieces: mpsc::Sender<(u64, Piece)>) {
    let sequence = group.sequence();
    loop {
        let piece = match group.next_chunk().await {
            Ok(Some(chunk)) => Piece::Data(chunk),
            Ok(None) => Piece::End(Ok(())),
            Err(error) => Piece::End(Err(error)),
        };
        let over = matches!(piece, Piece::End(_));
        if pieces.send((sequence, piece)).await.is_err() || over {
            return;
        }
    }
}

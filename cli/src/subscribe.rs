//! `smoq subscribe`

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use smoq_core::{
    Announced, Limits, Path, Start, SubscribeOptions,
    wire::{GroupOrder, StreamCode},
};
use smoq_tokio::{Connection, GroupError, GroupReader, Origin, SubscribeError, Subscription};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, sleep_until, timeout},
};

use tracing::info;

use crate::{
    client::{self, ClientArgs, without_query},
    failure::Failure,
    interrupt::interrupted,
    output::Output,
    reorder::{Policy, Reorder, Step},
    terminal::tell,
};

/// Pieces of groups between those who read them and the one who puts them in order.
const PIECES: usize = 64;

/// How long a group is held that has arrived: until it is read. Nobody asks for it again.
const STORE_AGE: Duration = Duration::from_secs(10);

/// Bytes of groups that a live reader holds: two of the largest.
const LIVE_STORE: usize = 64 << 20;

/// How long a broadcast may be unannounced before the user is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a publisher may take from announcing a broadcast to adding its tracks.
const TRACK_DELAY: Duration = Duration::from_secs(1);

/// How often to ask for a track meanwhile.
const RETRY: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
Examples:
  smoq subscribe moqt://localhost:4443 tv | ffplay -
  smoq subscribe --all moqt://localhost:4443 files/image > image.iso";

/// Write a track to standard output, group after group
///
/// Waits until the broadcast is announced, and ends when the track ends.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,
    /// The path of the broadcast
    broadcast: String,
    /// The track's name
    #[arg(long, value_name = "NAME", default_value = "data")]
    track: String,
    /// Leave a group out when a later one has waited so long
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration, conflicts_with = "all")]
    max_latency: Duration,
    /// Everything, from the oldest group that the relay holds, and at the pace of the reader. What is
    /// missing nevertheless is told, and the exit status is 3
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let path = Path::new(&args.broadcast)?;
    let subscribe = async |connection: &mut Connection| {
        let (origin, stop) = (connection.origin(), interrupted());
        tokio::pin!(stop);
        tokio::select! {
            result = wait(&origin, &path, &args) => result?,
            reason = connection.closed() => return Err(Failure::Disconnected(reason)),
            () = &mut stop => return Ok(()),
        }
        // That the connection is over is for the subscription to tell, after what has arrived.
        tokio::select! {
            result = subscribe(&origin, &path, &args) => result,
            () = &mut stop => Ok(()),
        }
    };
    let store_bytes = if args.all { Limits::default().store_bytes } else { LIVE_STORE };
    let limits = Limits { store_age: STORE_AGE, store_bytes, ..Limits::default() };
    client::run(&args.client, limits, subscribe).await
}

/// Waits until the broadcast is announced, and tells the user when that takes long.
async fn wait(origin: &Origin, path: &Path, args: &Args) -> Result<(), Failure> {
    if let Ok(result) = timeout(PATIENCE, announced(origin, path)).await {
        return result;
    }
    let url = without_query(&args.client.url);
    tell(format_args!(
        "{path} is not announced yet, waiting; `smoq announced {url}` lists what is"
    ));
    announced(origin, path).await
}

async fn subscribe(origin: &Origin, path: &Path, args: &Args) -> Result<(), Failure> {
    let policy = if args.all { Policy::Lossless } else { Policy::Live(args.max_latency) };
    let output = Output::stdout();
    let start = Instant::now();
    let copied = loop {
        let copied = Copy::new(origin, path, &args.track, policy).await?.run(&output).await;
        // Some publishers announce a broadcast before they add its tracks.
        if !copied.is_unknown() || start.elapsed() > TRACK_DELAY {
            break copied;
        }
        sleep(RETRY).await;
    };
    output.finish().await?;
    let Copied { end, missing } = copied;
    if let Err(error) = end {
        let (broadcast, track) = (path.to_string(), args.track.clone());
        return Err(Failure::Subscribe { broadcast, track, error });
    }
    if missing > 0 { Err(Failure::Gap { count: missing }) } else { Ok(()) }
}

/// Waits until `path` is announced.
async fn announced(origin: &Origin, path: &Path) -> Result<(), Failure> {
    let mut announced = origin.announced(path).await?;
    loop {
        if let Announced::Active { path: active, .. } = announced.next().await?
            && active == *path
        {
            return Ok(());
        }
    }
}

/// What a reader of a group found.
enum Piece {
    Data(Bytes),
    End(Result<(), GroupError>),
}

/// From a subscription to standard output.
struct Copy {
    subscription: Subscription,
    options: SubscribeOptions,
    reorder: Reorder,
    /// Who reads the groups, by sequence.
    readers: HashMap<u64, AbortHandle>,
    sender: mpsc::Sender<(u64, Piece)>,
    pieces: mpsc::Receiver<(u64, Piece)>,
    /// How the subscription ended: there are no further groups.
    ended: Option<Result<(), SubscribeError>>,
    /// Groups that a lossless reader lacks.
    missing: u64,
}

/// What came of it.
struct Copied {
    end: Result<(), SubscribeError>,
    /// Groups that a lossless reader lacks.
    missing: u64,
}

impl Copied {
    /// The publisher knows no such track.
    fn is_unknown(&self) -> bool {
        self.end == Err(SubscribeError::Failed(StreamCode::NOT_FOUND))
    }
}

impl Copy {
    async fn new(
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
        let readers = HashMap::new();
        let ended = None;
        Ok(Self { subscription, options, reorder, readers, sender, pieces, ended, missing: 0 })
    }

    async fn run(mut self, output: &Output) -> Copied {
        self.copy(output).await;
        Copied { end: self.ended.unwrap_or(Ok(())), missing: self.missing }
    }

    /// Until everything is written, or nobody reads it.
    async fn copy(&mut self, output: &Output) {
        let mut unwritten = None;
        loop {
            let now = Instant::now();
            let step = match unwritten {
                None => self.reorder.next(now),
                Some(_) => self.reorder.stalled(now),
            };
            let wake = match step {
                Step::Write(data) => {
                    unwritten = Some(data);
                    continue;
                }
                Step::Wait(at) => at,
                Step::Skip { first, last } => {
                    self.skip(first, last);
                    continue;
                }
                Step::Done => return,
            };
            self.slide(now).await;
            // What is not taken stays in the store, which has a bound.
            let has_room = unwritten.is_none() || !self.reorder.is_full();
            tokio::select! {
                // The reader has had enough.
                () = output.closed() => return,
                Some(room) = output.room(), if unwritten.is_some() => {
                    room.send(unwritten.take().unwrap_or_default());
                }
                Some((sequence, piece)) = self.pieces.recv(), if has_room => {
                    self.piece(sequence, piece);
                }
                group = self.subscription.next_group(), if self.ended.is_none() => match group {
                    Ok(Some(group)) => self.group(group),
                    Ok(None) => self.end(Ok(())),
                    Err(error) => self.end(Err(error)),
                },
                () = sleep_until(wake.unwrap_or(now).into()), if wake.is_some() => {}
            }
        }
    }

    /// Reads these groups no further.
    fn skip(&mut self, first: u64, last: u64) {
        self.readers
            .extract_if(|group, _| (first..=last).contains(group))
            .for_each(|(_, reader)| reader.abort());
        if self.reorder.is_lossless() {
            tell(format_args!("gap: groups {first} to {last} are missing or cut off"));
            self.missing += last - first + 1;
        } else {
            info!(first, last, "groups left out: a later one has waited too long");
        }
    }

    /// Asks for what there is room for now.
    async fn slide(&mut self, now: Instant) {
        let end = self.reorder.window(now);
        if end != self.options.end {
            self.options.end = end;
            // If it fails, the subscription fails too and tells why.
            let _ = self.subscription.update(self.options.clone()).await;
        }
    }

    fn group(&mut self, group: GroupReader) {
        let sequence = group.sequence();
        if self.reorder.open(sequence, Instant::now()) {
            let reader = tokio::spawn(read(group, self.sender.clone()));
            self.readers.insert(sequence, reader.abort_handle());
        }
    }

    fn piece(&mut self, sequence: u64, piece: Piece) {
        let now = Instant::now();
        match piece {
            Piece::Data(data) => self.reorder.data(sequence, data, now),
            Piece::End(end) => {
                self.readers.remove(&sequence);
                self.reorder.close(sequence, end.is_ok(), now);
            }
        }
    }

    fn end(&mut self, end: Result<(), SubscribeError>) {
        self.ended = Some(end);
        self.reorder.end();
    }
}

/// Passes a group on, piece by piece.
async fn read(mut group: GroupReader, pieces: mpsc::Sender<(u64, Piece)>) {
    let sequence = group.sequence();
    loop {
        let piece = match group.next_chunk().await {
            Ok(Some(chunk)) => Piece::Data(chunk.data),
            Ok(None) => Piece::End(Ok(())),
            Err(error) => Piece::End(Err(error)),
        };
        let over = matches!(piece, Piece::End(_));
        if pieces.send((sequence, piece)).await.is_err() || over {
            return;
        }
    }
}

//! `smoq subscribe`

use std::time::{Duration, Instant};

use smoq_core::{Limits, Path};
use smoq_tokio::{ClientOptions, Connection, Origin};
use tokio::time::{sleep, timeout};

use crate::{
    announced::until_active,
    client::{self, ClientArgs, ReconnectArgs, without_query},
    failure::Failure,
    interrupt::interrupted,
    ordered::Ordered,
    output::Output,
    reorder::Policy,
    terminal::tell,
};

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
/// Waits until the broadcast is announced, and ends when the track ends. When the connection is lost,
/// another one is made, and the track goes on behind the last group that had begun.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    reconnect: ReconnectArgs,
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
    let change = |options: &mut ClientOptions| {
        options.node.limits = limits;
        options.reconnect = args.reconnect.options();
    };
    client::run(&args.client, change, subscribe).await
}

/// Waits until the broadcast is announced, and tells the user when that takes long.
async fn wait(origin: &Origin, path: &Path, args: &Args) -> Result<(), Failure> {
    let mut announced = origin.announced(path).await?;
    if let Ok(result) = timeout(PATIENCE, until_active(&mut announced, path)).await {
        return result;
    }
    let url = without_query(&args.client.url);
    tell(format_args!(
        "{path} is not announced yet, waiting; `smoq announced {url}` lists what is"
    ));
    until_active(&mut announced, path).await
}

async fn subscribe(origin: &Origin, path: &Path, args: &Args) -> Result<(), Failure> {
    let policy = if args.all { Policy::Lossless } else { Policy::Live(args.max_latency) };
    let output = Output::stdout();
    let start = Instant::now();
    let (ordered, missing) = loop {
        let mut ordered = Ordered::subscribe(origin, path, &args.track, policy).await?;
        let missing = ordered.write_to(&output).await;
        // Some publishers announce a broadcast before they add its tracks.
        if !ordered.is_unknown() || start.elapsed() > TRACK_DELAY {
            break (ordered, missing);
        }
        sleep(RETRY).await;
    };
    output.finish().await?;
    ordered.end()?;
    if missing > 0 { Err(Failure::Gap { count: missing }) } else { Ok(()) }
}

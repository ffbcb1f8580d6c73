//! `smoq fetch`

use std::{fs::File, path::PathBuf, pin::pin, time::Duration};

use smoq_core::{Path, wire::StreamCode};
use smoq_tokio::{ClientOptions, Connection, GroupError, GroupReader, SubscribeError};

use crate::{
    client::{self, ClientArgs},
    failure::Failure,
    interrupt::interrupted,
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  smoq fetch moqt://localhost:4443 tv data 41 > second.ts
  smoq fetch --output poster.jpg https://relay.example tv poster 0";

/// Write one group of a track, of the past or the next one, to standard output: its frames one after the other
///
/// It comes from wherever it is held on the way. A server that does not hold it asks whoever publishes the
/// broadcast. moq-lite has this from 05 on.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,
    /// The path of the broadcast
    broadcast: String,
    /// The track's name; `smoq publish` calls it "data"
    track: String,
    /// The group's number, from 0
    group: u64,
    /// Write to this file, which is made once the group is there, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long the server may take to answer, and to go on
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let path = Path::new(&args.broadcast)?;
    let change = |options: &mut ClientOptions| options.node.limits.request_timeout = args.timeout;
    let work = async |connection: &mut Connection| {
        let version = connection.version();
        if !version.serves_fetch() {
            return Err(Failure::NoFetch(version));
        }
        fetch(connection, &path, &args).await
    };
    client::run(&args.client, change, work).await
}

async fn fetch(connection: &Connection, path: &Path, args: &Args) -> Result<(), Failure> {
    let mut stop = pin!(interrupted());
    let mut group = tokio::select! {
        group = ask(connection, path, args) => group?,
        () = &mut stop => return Ok(()),
    };
    let output = match &args.output {
        None => Output::stdout(),
        Some(path) => Output::to(
            File::create(path).map_err(|source| Failure::Write { path: path.clone(), source })?,
        ),
    };
    let number = args.group;
    let written = tokio::select! {
        written = copy(&mut group, &output) => {
            written.map_err(|error| Failure::Cut { group: number, error })
        }
        // What takes the output may be what hangs: it is not waited for.
        () = stop => return Err(Failure::Interrupted { group: number }),
    };
    output.finish().await?;
    written
}

/// Waits until the group is there.
async fn ask(connection: &Connection, path: &Path, args: &Args) -> Result<GroupReader, Failure> {
    let (track, number) = (&args.track, args.group);
    let failed = |error| Failure::Fetch {
        broadcast: args.broadcast.clone(),
        track: track.clone(),
        group: number,
        error,
    };
    let mut fetched = connection.origin().fetch(path, track, number, 0).await?;
    let group = fetched.next_group().await.map_err(failed)?;
    let not_found = SubscribeError::Failed(StreamCode::NOT_FOUND);
    group.ok_or_else(|| failed(not_found))
}

/// Writes what comes, until all is there or nobody wants more.
async fn copy(group: &mut GroupReader, output: &Output) -> Result<(), GroupError> {
    while let Some(chunk) = group.next_chunk().await? {
        let Some(room) = output.room().await else { break };
        room.send(chunk.data);
    }
    Ok(())
}

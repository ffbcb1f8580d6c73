//! `smoq fetch`

use std::{fs::File, path::PathBuf, time::Duration};

use smoq_core::{Path, wire::StreamCode};
use smoq_tokio::{ClientOptions, Connection, SubscribeError};

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
        tokio::select! {
            result = fetch(connection, &path, &args) => result,
            () = interrupted() => Ok(()),
        }
    };
    client::run(&args.client, change, work).await
}

async fn fetch(connection: &Connection, path: &Path, args: &Args) -> Result<(), Failure> {
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
    let mut group = group.ok_or_else(|| failed(not_found))?;
    let output = match &args.output {
        None => Output::stdout(),
        Some(path) => Output::to(
            File::create(path).map_err(|source| Failure::Write { path: path.clone(), source })?,
        ),
    };
    let mut written = Ok(());
    loop {
        let chunk = match group.next_chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                written = Err(Failure::Cut { group: number, error });
                break;
            }
        };
        match output.room().await {
            Some(room) => room.send(chunk.data),
            None => break,
        };
    }
    output.finish().await?;
    written
}

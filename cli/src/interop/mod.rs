//! `smoq interop`

mod check;
mod client;
mod exchange;
mod publish;
mod server;
mod tracks;
mod verdict;

use std::time::Duration;

use smoq_core::Limits;

use crate::{failure::Failure, pace::STORE_AGE};

/// What the listening side announces.
const SERVER: &str = "interop/server";

/// What the dialing side announces.
const CLIENT: &str = "interop/client";

const EXAMPLES: &str = "\
Examples:
  smoq interop server
      ... then let your client dial it
  smoq interop client --insecure moqt://localhost:4443
      ... with your server there
  smoq interop client --as server moqt://localhost:4443 &
  smoq interop client moqt://localhost:4443
      ... with your relay between the two

Each side announces one broadcast, `interop/server` or `interop/client`, with these tracks:

  small   20 groups of 3 frames; frame F of group G has 10 + G + F bytes
  empty    9 groups; group G has G mod 3 frames without bytes
  big      3 groups of one frame of 2 MiB
  many   300 groups of one frame of 16 bytes
  live    a group every 50 ms while somebody subscribes, of 2 frames of 100 bytes
  done     1 group of one frame without bytes

Groups and frames count from 0. A frame of track T has the text `T/G/F ` again and again, cut to its size.
All but `live` have an end. Each side takes what the other announces and checks it; last it takes `done`,
which says that it has finished. When the other side has finished too, it ends its announcement.

Each step is one line: its name and `pass`, `fail` or `not offered`, with the reason.";

/// See whether another implementation understands smoq: a server and a client that check each step
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    side: Side,
}

#[derive(clap::Subcommand)]
enum Side {
    Server(server::Args),
    Client(client::Args),
}

/// Of both sides.
#[derive(clap::Args)]
struct StepArgs {
    /// How long to wait for each thing that the other side is to do
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.side {
        Side::Server(args) => server::run(args).await,
        Side::Client(args) => client::run(args).await,
    }
}

/// moq-relay sends the newest of many groups first, so all of a track may come before its first one.
const REORDER: usize = 512;

fn limits() -> Limits {
    Limits { store_age: STORE_AGE, reorder: REORDER, ..Limits::default() }
}

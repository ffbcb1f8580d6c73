//! `smoq echo`

mod client;
mod server;

use smoq_core::Limits;

use crate::{failure::Failure, pace::STORE_AGE};

/// The path of the URL.
const URL_PATH: &str = "/echo";

/// What each side asks the other to announce.
const PREFIX: &str = "japan/kyoto";

/// What each side announces, and the track that it has.
const BROADCAST: &str = "japan/kyoto/text";
const TRACK: &str = "text";

const EXAMPLES: &str = "\
Examples:
  smoq echo server
  smoq echo client
      ... in another terminal: each line that you type comes back; Ctrl-D ends it
  smoq --log info echo client
      ... shows each step
  smoq echo client < image.iso | cmp - image.iso";

/// Send back what comes: a server that subscribes to its clients, and the client
///
/// Each side asks the other for announcements below `japan/kyoto`, announces `japan/kyoto/text` there,
/// and subscribes to the track `text` of the other. What the client says comes back group by group and
/// frame by frame. Clients do not hear each other.
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

impl Args {
    pub(crate) fn is_server(&self) -> bool {
        matches!(self.side, Side::Server(_))
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.side {
        Side::Server(args) => server::run(args).await,
        Side::Client(args) => client::run(args).await,
    }
}

fn limits() -> Limits {
    Limits { store_age: STORE_AGE, ..Limits::default() }
}

//! `smoq announced`

use std::io::{self, Write};

use smoq_core::{Announced, Path};
use smoq_tokio::{Announcements, Connection};

use crate::{
    client::{self, ClientArgs},
    failure::Failure,
    interrupt::interrupted,
    terminal::printable,
};

const EXAMPLES: &str = "\
Examples:
  smoq announced moqt://localhost:4443
  smoq announced moqt://relay.example/room camera";

/// List broadcasts as they come (+) and go (-), a line each
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,
    /// Only broadcasts at this path or below
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let prefix = Path::new(&args.prefix)?;
    let list = async |connection: &mut Connection| list(connection, &prefix).await;
    client::run(&args.client, |_| {}, list).await
}

async fn list(connection: &mut Connection, prefix: &Path) -> Result<(), Failure> {
    let stop = interrupted();
    tokio::pin!(stop);
    let mut announced = connection.origin().announced(prefix).await?;
    loop {
        let change = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            change = announced.next() => change?,
        };
        match write(&change) {
            // Whoever read it had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
    }
}

/// Waits until `path` is announced.
pub(crate) async fn until_active(
    announced: &mut Announcements,
    path: &Path,
) -> Result<(), Failure> {
    loop {
        if let Announced::Active { path: active, .. } = announced.next().await?
            && active == *path
        {
            return Ok(());
        }
    }
}

fn write(change: &Announced) -> io::Result<()> {
    let (sign, path) = match change {
        Announced::Active { path, .. } => ('+', path),
        Announced::Ended { path } => ('-', path),
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{sign} {}", printable(&path.to_string()))?;
    stdout.flush()
}

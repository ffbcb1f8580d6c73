//! `smoq interop client`

use smoq_core::{Path, Version};
use smoq_tokio::{ClientOptions, Connection};
use tokio::time::timeout;

use super::{
    CLIENT, SERVER, StepArgs,
    exchange::Exchange,
    limits,
    verdict::{Report, Verdict},
};
use crate::{
    client::{self, ClientArgs},
    failure::Failure,
    interrupt::interrupted,
};

/// Dial a server, or a relay that has another client, and check each step
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    steps: StepArgs,
    /// Whose broadcast to announce; the other one is checked
    #[arg(long = "as", value_name = "SIDE", default_value = "client")]
    side: As,
    /// Wait at the end until the server asks to leave (GOAWAY)
    #[arg(long)]
    goaway: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum As {
    Client,
    Server,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let report = Report::new(String::new());
    let work = async |connection: &mut Connection| {
        tokio::select! {
            result = steps(connection, &args, &report) => result,
            () = interrupted() => Ok(()),
        }
    };
    let change = |options: &mut ClientOptions| options.node.limits = limits();
    client::run(&args.client, change, work).await?;
    report.result()
}

async fn steps(connection: &mut Connection, args: &Args, report: &Report) -> Result<(), Failure> {
    let version = connection.version();
    report.step("connect", Verdict::Pass);
    report.step("probe", probe(connection, args).await);
    let (mine, theirs) = match args.side {
        As::Client => (CLIENT, SERVER),
        As::Server => (SERVER, CLIENT),
    };
    let (mine, theirs) = (Path::new(mine)?, Path::new(theirs)?);
    let exchange = Exchange {
        origin: connection.origin(),
        mine: &mine,
        theirs: &theirs,
        patience: args.steps.patience,
        version,
        report,
    };
    exchange.run().await?;
    if args.goaway {
        report.step("goaway", goaway(connection, version, args).await);
    }
    Ok(())
}

async fn probe(connection: &Connection, args: &Args) -> Verdict {
    let mut estimates = match connection.estimates().await {
        Ok(estimates) => estimates,
        Err(error) => return Verdict::Fail(error.to_string()),
    };
    match timeout(args.steps.patience, estimates.next()).await {
        Ok(Some(_)) => Verdict::Pass,
        Ok(None) => Verdict::NotOffered("the server says that it tells nothing".into()),
        Err(_) => Verdict::Fail(format!("nothing for {:?}", args.steps.patience)),
    }
}

async fn goaway(connection: &mut Connection, version: Version, args: &Args) -> Verdict {
    if !version.has_goaway() {
        return Verdict::NotOffered(format!("{version} has none"));
    }
    match timeout(args.steps.patience, connection.goaway()).await {
        Ok(Ok(_uri)) => Verdict::Pass,
        Ok(Err(reason)) => Verdict::Fail(format!("the connection was {reason}")),
        Err(_) => Verdict::Fail(format!("nothing for {:?}", args.steps.patience)),
    }
}

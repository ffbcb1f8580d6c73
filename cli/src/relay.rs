//! `smoq relay`

use std::{num::NonZeroU8, path::PathBuf, time::Duration};

use smoq_core::Limits;
use smoq_relay::{Config, Record, Relay};

use crate::{
    client::DialArgs,
    failure::Failure,
    interrupt::interrupted,
    listen::{ListenArgs, announce},
    upstream::Connect,
};

const EXAMPLES: &str = "\
Examples:
  smoq relay
      For this machine, with a development certificate that clients of the same user on it trust
  smoq relay --listen '[::]:443' --tls-cert fullchain.pem --tls-key privkey.pem
      For everybody
  smoq relay --listen '[::]:443' --tls-cert a.pem --tls-key a-key.pem --connect https://b.example
      Together with the relay on b.example: what is published on one can be watched on both

When it accepts sessions it prints one line: its URL and the SHA-256 fingerprint of its certificate.";

/// Run a relay: publishers and subscribers connect to it
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    listen: ListenArgs,
    /// MiB of media to hold at most, over all broadcasts; however many threads there are, each has room for a
    /// group (32 MiB)
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    store: u32,
    /// Threads that serve, each with a socket and a part of the store of its own; the system divides the
    /// clients between them [default: one for each core that this process may use,
    /// with tokio on Linux; else 1]
    #[arg(long, value_name = "N")]
    shards: Option<NonZeroU8>,
    /// When it is to stop, ask clients to connect anew (GOAWAY) and serve them so many seconds more
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    drain: u16,
    /// Record everything that goes into the relay, payload and tokens included, for `smoq replay`; each
    /// shard after the first has a file of its own, with its number behind the name. What an earlier relay
    /// has recorded there is kept as FILE.old
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// MiB at which the recording of a shard ends; the relay goes on
    #[arg(long, value_name = "MIB", default_value_t = 256, requires = "record", value_parser = clap::value_parser!(u32).range(1..))]
    record_limit: u32,
    /// Another relay to be a cluster with, for ever: each has what the other one has, below the path of the
    /// URL. May be given several times, for a ring too: each broadcast is pulled once, by the cheapest way, and
    /// by another one when that is lost. A way costs 1 for each connection, or what `?cost=N` in the URL says.
    /// Only one of two relays needs to connect to the other. In the environment with spaces between
    #[arg(
        long,
        help_heading = "Cluster",
        value_name = "URL",
        env = "SMOQ_CONNECT",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    connect: Vec<Connect>,
    #[command(flatten)]
    dial: DialArgs,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let first = interrupted();
    let stop = async {
        first.await;
        // Who asks twice does not want to wait for the clients.
        tokio::spawn(async {
            interrupted().await;
            std::process::exit(130);
        });
    };
    let limits = Limits { store_bytes: (args.store as usize) << 20, ..Limits::default() };
    let drain = Duration::from_secs(args.drain.into());
    let limit = u64::from(args.record_limit) << 20;
    let record = args.record.map(|file| Record { file, limit });
    let connect = args.connect.iter().map(|connect| connect.upstream(&args.dial));
    let connect = connect.collect::<Result<_, _>>()?;
    let config =
        Config { shards: args.shards, drain, record, connect, ..args.listen.config(limits) };
    let certificate = config.certificate.clone();
    let relay = Relay::bind(config)?;
    announce(&relay, "", &certificate);
    Ok(relay.run(stop).await?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn help_tells_no_tokens_of_other_relays() {
        let command = Command::command();
        let connect = command.get_arguments().find(|arg| arg.get_id() == "connect").unwrap();
        assert!(connect.is_hide_env_values_set());
    }
}

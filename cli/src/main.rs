//! `smoq`: everything that a person types.
#![forbid(unsafe_code)]

mod announced;
mod bench;
mod client;
mod conformance;
mod demo;
mod echo;
mod explore;
mod failure;
mod fetch;
mod generate;
mod input;
mod interop;
mod interrupt;
mod listen;
mod log;
mod ordered;
mod output;
#[cfg(feature = "p2p")]
mod p2p;
mod pace;
mod place;
mod publish;
mod relay;
mod reorder;
mod replay;
mod runtime;
mod signal;
mod sim;
mod subscribe;
mod terminal;
mod upstream;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use failure::Failure;
use terminal::tell;

const EXAMPLES: &str = "\
Examples:
  smoq demo
      See it work: relay, publisher and subscribers in one process
  smoq relay
      A relay on this machine; it prints its URL
  ffmpeg ... -f mpegts - | smoq publish --wait moqt://localhost:4443 tv
      Publish what comes from standard input
  smoq subscribe moqt://localhost:4443 tv | ffplay -
      Watch it
  smoq echo server
      Send back what `smoq echo client` says
  smoq signal
      A WebRTC signalling hub on this machine; it prints its URL
  smoq p2p --name ann
      Talk to another peer at that hub, directly

Exit status:
  0  done, or ended by Ctrl-C
  1  failed; standard error says why
  2  the command line is not right
  3  `subscribe --all` or `echo client` had to leave something out";

/// Live media over QUIC: publish, relay and watch (moq-lite)
#[derive(Parser)]
#[command(name = "smoq", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    log: log::LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Relay(relay::Args),
    Publish(publish::Args),
    Subscribe(subscribe::Args),
    Fetch(fetch::Args),
    Announced(announced::Args),
    Demo(demo::Args),
    Echo(echo::Args),
    Interop(interop::Args),
    Bench(bench::Args),
    Conformance(conformance::Args),
    Signal(signal::Args),
    #[cfg(feature = "p2p")]
    P2p(p2p::Args),
    Generate(generate::Args),
    Replay(replay::Args),
    Sim(sim::Args),
    Explore(explore::Args),
}

fn main() -> ExitCode {
    let Cli { log, command } = Cli::parse();
    // Whoever runs a server wants to see who comes; the other commands have something else to show.
    log.init(match &command {
        Command::Relay(_) | Command::Signal(_) => LevelFilter::INFO,
        Command::Echo(args) if args.is_server() => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    });
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        match command {
            Command::Relay(args) => relay::run(args).await,
            Command::Publish(args) => publish::run(args).await,
            Command::Subscribe(args) => subscribe::run(args).await,
            Command::Fetch(args) => fetch::run(args).await,
            Command::Announced(args) => announced::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Echo(args) => echo::run(args).await,
            Command::Interop(args) => interop::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Conformance(args) => conformance::run(args).await,
            Command::Signal(args) => signal::run(args).await,
            #[cfg(feature = "p2p")]
            Command::P2p(args) => p2p::run(args).await,
            Command::Generate(args) => generate::run(args),
            Command::Replay(args) => replay::run(args),
            Command::Sim(args) => sim::run_worlds(args),
            Command::Explore(args) => explore::run(args),
        }
    });
    // A thread may still wait for standard input; nobody waits for it.
    runtime.shutdown_background();
    result
}

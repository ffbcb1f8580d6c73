//! `moq-peer`: publish and subscribe with moq-tokio from the command line.

use std::{
    io::{Read, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use moq_peer::{Dial, Error, Groups, Role, Shape, Sink, Source, Trust, Version, concat, split};
use tokio::time::timeout;
use url::Url;

/// How long a publisher that has said everything stays for its readers.
const LINGER: Duration = Duration::from_secs(3);

#[derive(Parser)]
#[command(about = "A moq-tokio peer for interop tests")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Wait for a subscriber, publish one track, and give it a second to arrive
    Publish {
        #[command(flatten)]
        target: Target,
        /// Publish GROUPSxFRAMESxBYTES of a fixed pattern instead of the standard input
        #[arg(long, value_parser = parse_shape)]
        pattern: Option<Shape>,
        /// Bytes per frame of the standard input
        #[arg(long, default_value = "1024")]
        frame_size: NonZeroUsize,
        /// Frames per group of the standard input
        #[arg(long, default_value = "16")]
        group_frames: NonZeroUsize,
    },
    /// Wait for the broadcast and write the track to the standard output, to its end
    Subscribe {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Args)]
struct Target {
    /// moqt://host:port/path
    url: Url,
    /// Path of the broadcast
    broadcast: String,
    /// Name of the track
    track: String,
    /// Offer only this version, such as moq-lite-05
    #[arg(long)]
    version: Option<Version>,
    /// Check the server by these root certificates (PEM)
    #[arg(long, conflicts_with_all = ["tls_fingerprint", "tls_insecure"])]
    tls_root: Option<PathBuf>,
    /// Check the server by the SHA-256 of its certificate (hex)
    #[arg(long, conflicts_with = "tls_insecure")]
    tls_fingerprint: Option<String>,
    /// Do not check the server
    #[arg(long, required_unless_present_any = ["tls_root", "tls_fingerprint"])]
    tls_insecure: bool,
}

impl Target {
    fn dial(&self) -> Dial {
        let trust = match (&self.tls_root, &self.tls_fingerprint) {
            (Some(file), _) => Trust::Root(file.clone()),
            (None, Some(hex)) => Trust::Fingerprint(hex.clone()),
            (None, None) => Trust::Anything,
        };
        Dial { url: self.url.clone(), version: self.version, trust }
    }
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    let wanted = || format!("{text:?} is not GROUPSxFRAMESxBYTES, such as 10x4x1000");
    let numbers: Vec<_> =
        text.split('x').map(str::parse).collect::<Result<_, _>>().map_err(|_| wanted())?;
    let [groups, frames, frame_size] = numbers[..] else {
        return Err(wanted());
    };
    Ok(Shape { groups: groups as u64, frames, frame_size })
}

async fn publish(target: &Target, groups: &Groups) -> Result<(), Error> {
    let source = Source::new(&target.broadcast, &target.track)?;
    let link = target.dial().connect(Role::Publish(&source)).await?;
    eprintln!("connected with {}", version(&link));
    source.wanted().await?;
    source.write(groups)?;
    source.finish()?;
    // A reader of moq-net that has not come to the end when the session closes takes the track for
    // broken, whatever it has received. So whoever reads may leave first.
    let _ = timeout(LINGER, link.closed()).await;
    link.close().await
}

async fn subscribe(target: &Target) -> Result<Groups, Error> {
    let sink = Sink::new();
    let link = target.dial().connect(Role::Subscribe(&sink)).await?;
    eprintln!("connected with {}", version(&link));
    let groups = sink.collect(&target.broadcast, &target.track).await?;
    link.close().await?;
    Ok(groups)
}

fn version(link: &moq_peer::Link) -> String {
    link.version().map_or("no version".into(), |version| version.to_string())
}

async fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Publish { target, pattern, frame_size, group_frames } => {
            let groups = match pattern {
                Some(shape) => shape.groups(),
                None => {
                    let mut bytes = Vec::new();
                    std::io::stdin().read_to_end(&mut bytes)?;
                    split(&bytes, frame_size.get(), group_frames.get())
                }
            };
            publish(&target, &groups).await?;
        }
        Command::Subscribe { target } => {
            let groups = subscribe(&target).await?;
            let frames: usize = groups.values().map(Vec::len).sum();
            eprintln!("{} groups, {frames} frames", groups.len());
            std::io::stdout().write_all(&concat(&groups))?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("moq-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

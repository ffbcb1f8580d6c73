//! `smoq p2p`

mod command;
mod console;
mod container;
mod files;
mod hub;
mod media;
mod session;
mod show;

use std::{io, net::SocketAddr, path::PathBuf};

use smoq_signal::ClientConfig;
use smoq_signal::wire::Dialect;

use crate::{failure::Failure, interrupt::interrupted};
use files::Files;
use hub::HubUrl;
use media::Media;
use session::Session;

const EXAMPLES: &str = "\
Examples:
  smoq p2p --name bob --role answer
      Wait to be called
  smoq p2p --name ann
      Then type `offer bob`, and `send chat hello`; `help` lists all commands
  printf 'offer bob\\nsendfile chat photo.jpg\\n' | smoq p2p
      The same from a script: it ends when all is sent
  smoq p2p --name cam --role answer --video bounce.yuv --audio sample.wav
      Show a file to each page of `smoq signal --demo` that calls; `smoq generate` makes such files

Standard output tells what happens: who is there, how calls go, what peers say. A script knows by the
line `id NAME` that it can be called.";

/// Talk to a peer directly (WebRTC): messages and files on data channels, sound and pictures; messages go
/// through the hub where no direct way is found
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The hub where peers meet; `smoq signal` starts one
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:3000/ws")]
    signal: HubUrl,
    /// What the hub's access token is, if it has one
    #[arg(long, value_name = "TOKEN", env = "SMOQ_SIGNAL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trust a hub whose certificate one of the roots in this PEM file has signed, instead of the roots of
    /// the system
    #[arg(long, value_name = "FILE")]
    tls_root: Option<PathBuf>,
    /// Whether to ask at the beginning whom to call, to wait for calls only, or neither
    #[arg(long, value_name = "ROLE", value_enum, default_value_t = Role::Peer)]
    role: Role,
    /// The id to be known by; without it a random one
    #[arg(long, visible_alias = "id", value_name = "ID")]
    name: Option<String>,
    /// The room whose members `peers` lists
    #[arg(long, value_name = "NAME", default_value = "lobby")]
    room: String,
    /// Ask this STUN server how the world sees this machine, so that peers outside the local network can
    /// reach it; may be given more than once
    #[arg(long, value_name = "HOST:PORT")]
    stun: Vec<String>,
    /// Use this address of this machine; may be given more than once. Without it all are used, those of
    /// loopback only if the hub is there
    #[arg(long, value_name = "IP")]
    bind: Vec<std::net::IpAddr>,
    /// Take the files that peers send, and put them here
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// Play this file to whoever can hear it, again and again, as Opus; needs ffmpeg, which knows most
    /// formats
    #[arg(long, value_name = "FILE")]
    audio: Option<PathBuf>,
    /// Show this file to whoever can see it, again and again, as VP8; needs ffmpeg. A `.yuv` is taken for what
    /// `smoq generate video` makes
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Asks whom to call
    Offer,
    /// Waits for calls
    Answer,
    /// Calls and is called
    Peer,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let stop = interrupted();
    let mut stun = Vec::new();
    for server in &args.stun {
        let failed = |source| Failure::Stun { server: server.clone(), source };
        stun.extend(tokio::net::lookup_host(server).await.map_err(failed)?);
    }
    let media = Media::new(args.audio, args.video)?;
    let mut entropy = [0; 28];
    getrandom::fill(&mut entropy).map_err(io::Error::from)?;
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let config = smoq_p2p::Config {
        signal: ClientConfig {
            id: args.name,
            dialect: Dialect::Envelope,
            rooms: vec![args.room],
            entropy,
            wall_micros: wall.map_or(0, |since| since.as_micros() as u64),
        },
        crypto: std::sync::Arc::new(str0m_aws_lc_rs::default_provider()),
        stun,
        media: media.kinds(),
    };
    let link = hub::Link::new(args.signal, args.token, args.tls_root.as_deref())?;
    let addresses = addresses(args.bind, link.is_near())?;
    let files = Files::new(args.save);
    Session::new(config, link, &addresses, args.role, files, media).await?.run(stop).await
}

/// Where this machine can be reached.
fn addresses(bind: Vec<std::net::IpAddr>, near: bool) -> io::Result<Vec<SocketAddr>> {
    if !bind.is_empty() {
        return Ok(bind.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect());
    }
    let interfaces = if_addrs::get_if_addrs()?;
    let usable = |it: &if_addrs::Interface| (near || !it.is_loopback()) && !it.is_link_local();
    Ok(interfaces.iter().filter(|it| usable(it)).map(|it| SocketAddr::new(it.ip(), 0)).collect())
}

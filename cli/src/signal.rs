//! `smoq signal`

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use smoq_relay::{Executor, Identity};
use smoq_signal::{
    Limits, Policies,
    server::{
        self, AccessToken, BadOrigin, BadToken, IceServers, Origin, Origins, Server, ServerConfig,
        tls,
    },
};

use crate::{failure::Failure, interrupt::interrupted, runtime::RuntimeArgs};

const EXAMPLES: &str = "\
Examples:
  smoq signal
      For programs and pages on this machine
  smoq signal --listen '[::]:443' --tls-cert fullchain.pem --tls-key privkey.pem --origin https://app.example
      For everybody, and for the pages of one site
  smoq signal --demo
      With a page to try it in a browser

When it accepts connections it prints one line: the URL for WebSocket clients; with --demo another one: the
URL of the page. Beside /ws it answers /healthz, and /ice (STUN and TURN servers, JSON), /stats (JSON) and
/metrics (Prometheus), which need the token if there is one.";

/// Run a WebRTC signalling hub: peers find each other and exchange offers, answers and candidates
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen (TCP); port 0 is any port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// PEM file with the certificate chain, the hub's own certificate first; without it there is no TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let pages of this origin connect, as in `https://app.example`, besides those of the hub's own host;
    /// may be given more than once; `*` is all pages
    #[arg(long, value_name = "ORIGIN", value_parser = pages)]
    origin: Vec<Pages>,
    /// What clients must show, as `?token=` or as a bearer token; 8 to 128 letters, digits or any of -._~
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SMOQ_SIGNAL_TOKEN",
        hide_env_values = true,
        value_parser = access_token
    )]
    token: Option<AccessToken>,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = positive())]
    connections: u32,
    /// Connections from one address at a time (for IPv6 from one /64), and twice as many at once if they
    /// come and go; raise it behind a proxy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive())]
    connections_per_address: u32,
    /// A STUN server that clients are told of at /ice, as in `stun:stun.example:3478`; may be given more
    /// than once
    #[arg(long, value_name = "URL")]
    stun: Vec<String>,
    /// A TURN server that clients are told of at /ice, as in `turn:turn.example:3478`, with credentials
    /// that are good for an hour; may be given more than once
    #[arg(long, value_name = "URL")]
    turn: Vec<String>,
    /// What the TURN servers share with the hub, to make and check credentials
    #[arg(long, value_name = "SECRET", env = "SMOQ_TURN_SECRET", hide_env_values = true)]
    turn_secret: Option<String>,
    /// Serve a page at / to try the hub with
    #[arg(long)]
    demo: bool,
    /// Answer as the Go hub does: silent about errors, and anybody may speak in anybody's name
    #[arg(long)]
    go_compat: bool,
    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// Pages that may connect.
#[derive(Clone, Debug)]
enum Pages {
    All,
    Of(Origin),
}

impl Pages {
    fn listed(self) -> Option<Origin> {
        match self {
            Self::All => None,
            Self::Of(origin) => Some(origin),
        }
    }
}

fn pages(text: &str) -> Result<Pages, BadOrigin> {
    match text {
        "*" => Ok(Pages::All),
        text => Origin::new(text).map(Pages::Of),
    }
}

fn access_token(text: &str) -> Result<AccessToken, BadToken> {
    AccessToken::new(text)
}

fn positive() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let stop = interrupted();
    let base = if args.go_compat { Limits::go_compat() } else { Limits::default() };
    let limits = Limits { connections: args.connections as usize, ..base }
        .per_address(args.connections_per_address);
    let policies = if args.go_compat { Policies::GO_COMPAT } else { Policies::SAFE };
    let tls = match args.tls_cert.zip(args.tls_key) {
        Some((chain, key)) => {
            let identity = Identity::from_files(&chain, &key)?;
            Some(tls(identity.chain, identity.key)?)
        }
        None => None,
    };
    let listed: Option<Vec<_>> = args.origin.into_iter().map(Pages::listed).collect();
    let origins = listed.map_or(Origins::Any, Origins::Own);
    let ice = IceServers::new(args.stun, args.turn, args.turn_secret.as_deref());
    let config = ServerConfig {
        executor: match args.runtime.executor {
            Executor::Tokio => server::Executor::Tokio,
            #[cfg(feature = "smol")]
            Executor::Smol => server::Executor::Smol,
        },
        ice: ice.map_err(|error| Failure::Usage(error.to_string()))?,
        demo: args.demo,
        limits,
        policies,
        origins,
        token: args.token,
        tls,
        ..ServerConfig::new(args.listen)
    };
    let server = Server::bind(config).await?;
    // Nobody may be listening there; that is no reason not to serve.
    let lines = [Some(server.url()), server.demo_url()];
    let _ = lines.iter().flatten().try_for_each(|line| writeln!(io::stdout(), "{line}"));
    server.run(stop).await?;
    Ok(())
}

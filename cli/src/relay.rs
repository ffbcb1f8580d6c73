//! `smoq relay`

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use smoq_core::Limits;
use smoq_relay::{CertificateSource, Config, Relay, hex};

use crate::{failure::Failure, interrupt::interrupted, terminal::tell};

const EXAMPLES: &str = "\
Examples:
  smoq relay
      For this machine, with a development certificate that clients of the same user on it trust
  smoq relay --listen '[::]:443' --tls-cert fullchain.pem --tls-key privkey.pem
      For everybody

When it accepts sessions it prints one line: its URL and the SHA-256 fingerprint of its certificate.";

/// Run a relay: publishers and subscribers connect to it
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen, as in `127.0.0.1:4443` or `[::]:443`; port 0 is any port [default:
    /// `127.0.0.1:4443`; with --tls-cert `[::]:4443`, which takes IPv4 too]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// PEM file with the certificate chain, the relay's own certificate first; without it a
    /// development certificate is made, which is good for at least 7 days: restart the relay then
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// MiB of media to hold at most, over all broadcasts
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    store: u32,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let stop = interrupted();
    let certificate = match (args.tls_cert, args.tls_key) {
        (Some(chain), Some(key)) => CertificateSource::Files { chain, key },
        _ => CertificateSource::Development,
    };
    let is_development = certificate == CertificateSource::Development;
    let limits = Limits { store_bytes: (args.store as usize) << 20, ..Limits::default() };
    let relay =
        Relay::bind(Config { listen: args.listen, certificate, limits, ..Config::default() })?;
    let fingerprint = hex(&relay.fingerprint());
    // Nobody may be listening there; that is no reason not to relay.
    let _ = writeln!(io::stdout(), "{} {fingerprint}", relay.url());
    if is_development && !relay.local_addr().ip().is_loopback() {
        tell(format_args!(
            "clients on other machines trust this relay with --tls-fingerprint {fingerprint}"
        ));
    }
    Ok(relay.run(stop).await?)
}

//! What every command has that listens.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use smoq_core::Limits;
use smoq_relay::{CertificateSource, Config, Relay, hex};

use crate::{runtime::RuntimeArgs, terminal::tell};

#[derive(clap::Args)]
pub(crate) struct ListenArgs {
    /// Where to listen, as in `127.0.0.1:4443` or `[::]:443`; port 0 is any port [default:
    /// `127.0.0.1:4443`; with --tls-cert `[::]:4443`, which takes IPv4 too]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// PEM file with the certificate chain, the server's own certificate first; without it a
    /// development certificate is made, which is good for at least 7 days: restart the server then
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    runtime: RuntimeArgs,
}

impl ListenArgs {
    pub(crate) fn config(self, limits: Limits) -> Config {
        let certificate = match (self.tls_cert, self.tls_key) {
            (Some(chain), Some(key)) => CertificateSource::Files { chain, key },
            _ => CertificateSource::Development,
        };
        let executor = self.runtime.executor;
        Config { listen: self.listen, certificate, limits, executor, ..Config::default() }
    }
}

/// Tells where a server listens, below which `path`, and what its clients need to trust it.
pub(crate) fn announce(server: &Relay, path: &str, certificate: &CertificateSource) {
    let fingerprint = hex(&server.fingerprint());
    // Nobody may be listening there; that is no reason not to serve.
    let _ = writeln!(io::stdout(), "{}{path} {fingerprint}", server.url());
    let is_development = *certificate == CertificateSource::Development;
    if is_development && !server.local_addr().ip().is_loopback() {
        tell(format_args!(
            "clients on other machines trust this server with --tls-fingerprint {fingerprint}"
        ));
    }
}

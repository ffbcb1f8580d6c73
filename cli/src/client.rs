//! What every command has that connects to a relay.

use std::{
    convert::Infallible,
    fs,
    future::pending,
    path::{Path, PathBuf},
    time::Duration,
};

use smoq_core::{Version, wire::SessionCode};
use smoq_quic::{TlsError, Trust, parse_fingerprint, roots_from_pem, rustls::RootCertStore};
use smoq_tokio::{ClientOptions, Connection, Reconnect, Status, Statuses, Url};

use crate::{failure::Failure, interrupt::interrupted, runtime::RuntimeArgs, terminal::tell};

/// The server, and how to connect to it.
#[derive(clap::Args)]
pub(crate) struct ClientArgs {
    /// The relay: `moqt://HOST[:PORT][/PATH][?QUERY]` (raw QUIC) or `https://...` (WebTransport), port
    /// 443 by default. Names of broadcasts are relative to the path
    pub(crate) url: Url,
    #[command(flatten)]
    pub(crate) options: ConnectArgs,
}

/// How to connect, wherever to.
#[derive(clap::Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) dial: DialArgs,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
}

/// Whom to trust, and what to speak.
#[derive(clap::Args)]
pub(crate) struct DialArgs {
    #[command(flatten)]
    trust: TrustArgs,
    /// Speak this version only: moq-lite-06, moq-lite-05, moq-lite-04 or moq-lite-03
    #[arg(long, help_heading = "Connection", value_name = "VERSION")]
    moq_version: Option<Version>,
}

/// Whom to trust.
#[derive(clap::Args)]
pub(crate) struct TrustArgs {
    /// Trust servers whose certificate one of the roots in this PEM file has signed, instead of the
    /// roots of the system
    #[arg(long, help_heading = "Connection", value_name = "FILE", conflicts_with_all = ["tls_fingerprint", "insecure"])]
    tls_root: Option<PathBuf>,
    /// Trust the server whose certificate has this SHA-256 fingerprint, and no other one; may be given
    /// several times, for several certificates
    #[arg(long, help_heading = "Connection", value_name = "HEX", value_parser = parse_fingerprint, conflicts_with = "insecure")]
    tls_fingerprint: Vec<[u8; 32]>,
    /// Trust every server. Whoever is on the way can read and change everything
    #[arg(long, help_heading = "Connection")]
    insecure: bool,
}

/// What to do when the connection is lost.
#[derive(clap::Args)]
pub(crate) struct ReconnectArgs {
    /// When the connection is lost, or the server asks to go elsewhere, try so long to connect again and go
    /// on; 0s: not at all. The first connection is tried once
    #[arg(long, help_heading = "Connection", value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    reconnect: Duration,
}

impl ReconnectArgs {
    pub(crate) fn options(&self) -> Option<Reconnect> {
        let wanted = !self.reconnect.is_zero();
        wanted.then(|| Reconnect { give_up: Some(self.reconnect), ..Reconnect::default() })
    }
}

/// Connects with options as `change` leaves them, does `work`, and closes. What `work` fails with is less
/// than why the connection ended.
pub(crate) async fn run(
    args: &ClientArgs,
    change: impl FnOnce(&mut ClientOptions),
    work: impl AsyncFnOnce(&mut Connection) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut connection = tokio::select! {
        connection = connect(args, change) => connection?,
        () = interrupted() => return Ok(()),
    };
    let statuses = connection.take_statuses();
    let result = tokio::select! {
        result = work(&mut connection) => result,
        never = tell_statuses(statuses) => match never {},
    };
    let result = result.map_err(|failure| match (failure, connection.try_closed()) {
        (
            Failure::Handle(_)
            | Failure::Subscribe { .. }
            | Failure::Fetch { .. }
            | Failure::Cut { .. },
            Some(reason),
        ) => Failure::Disconnected(reason),
        (failure, _) => failure,
    });
    connection.close(SessionCode::NO_ERROR, "").await;
    result
}

/// Tells the user what becomes of the connection, for ever.
async fn tell_statuses(statuses: Option<Statuses>) -> Infallible {
    let Some(mut statuses) = statuses else { return pending().await };
    let mut told = String::new();
    while let Some(status) = statuses.next().await {
        let text = match status {
            Status::Lost { reason, .. } => {
                format!("the connection was {reason}; connecting again")
            }
            Status::Leaving { place, .. } => {
                format!("the server is about to go; connecting to {place}")
            }
            Status::Failed { error, after: Some(_), .. } => {
                format!("cannot connect: {error}; trying on")
            }
            Status::Failed { error, after: None, .. } => format!("cannot connect: {error}"),
            Status::Connected { remote, .. } => format!("connected again, to {remote}"),
        };
        // Attempts fail alike as a rule.
        if text != told {
            tell(&text);
            told = text;
        }
    }
    pending().await
}

async fn connect(
    args: &ClientArgs,
    change: impl FnOnce(&mut ClientOptions),
) -> Result<Connection, Failure> {
    let mut options = options(&args.url, &args.options)?;
    change(&mut options);
    let executor = args.options.runtime.executor;
    let connection = executor
        .connect(&args.url, options)
        .await
        .map_err(|error| Failure::Connect { url: without_query(&args.url), error })?;
    if connection.path_in_names() {
        tell(format_args!(
            "{} cannot carry the path of the URL on raw QUIC: {} is put in front of the names of \
             broadcasts instead",
            connection.version(),
            args.url.path_only(),
        ));
    }
    Ok(connection)
}

/// How to connect to this URL.
pub(crate) fn options(url: &Url, args: &ConnectArgs) -> Result<ClientOptions, Failure> {
    let versions = args.dial.versions();
    Ok(ClientOptions { versions, ..ClientOptions::new(args.dial.trust(url)?) })
}

impl DialArgs {
    pub(crate) fn versions(&self) -> Vec<Version> {
        self.moq_version.map_or_else(|| Version::ALL.to_vec(), |version| vec![version])
    }

    pub(crate) fn trust(&self, url: &Url) -> Result<Trust, Failure> {
        self.trust.trust(url)
    }
}

impl TrustArgs {
    pub(crate) fn trust(&self, url: &Url) -> Result<Trust, Failure> {
        if self.insecure {
            tell(
                "WARNING: --insecure trusts every server: whoever is on the way can read and change \
                 everything",
            );
            return Ok(Trust::Insecure);
        }
        if !self.tls_fingerprint.is_empty() {
            return Ok(Trust::Fingerprints(self.tls_fingerprint.clone()));
        }
        if let Some(file) = &self.tls_root {
            return Ok(Trust::Roots(roots_in(file)?));
        }
        let mut roots = system_roots();
        if is_loopback(url.host()) {
            roots.add_parsable_certificates(smoq_relay::development_certificate());
        }
        Ok(Trust::Roots(roots))
    }
}

/// A system without roots has nothing to add; the handshake tells that it trusts nobody.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

pub(crate) fn roots_in(file: &Path) -> Result<RootCertStore, Failure> {
    let failed = |error: String| Failure::Roots { path: file.to_owned(), error };
    let pem = fs::read(file).map_err(|error| failed(error.to_string()))?;
    roots_from_pem(&pem).map_err(|error| match error {
        TlsError::NoRoots => failed("there is no certificate in it".into()),
        error => failed(error.to_string()),
    })
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// For messages: a query may carry a secret.
pub(crate) fn without_query(url: &Url) -> String {
    url.clone().with_path(url.path_only()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "::2", "0.0.0.0"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

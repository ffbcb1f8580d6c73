//! `smoq conformance`: whether a relay keeps the rules.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use smoq_conformance::{
    FAULTS, Fault, Options, Target, junit, list, plant, reach, run as check, table, tap,
};
use smoq_core::Version;
use smoq_quic::ClientTls;
use smoq_tokio::Url;

use crate::{client::TrustArgs, failure::Failure};

const EXAMPLES: &str = "\
Examples:
  smoq conformance moqt://localhost:4443
      Every check, over raw QUIC, on each version that the relay speaks
  smoq conformance https://localhost:4443 --only groups/ --version 06
      Some of them, over WebTransport
  smoq conformance moqt://relay.example --junit report.xml
      For a CI system
  smoq conformance --list
      What is checked, as a table in Markdown
  smoq conformance moqt://localhost:4443 --break lost-reset
      Whether the checks would notice

The relay has to let everybody publish and subscribe below the path of the URL. Others may use it meanwhile.";

/// Check from outside whether a relay keeps the rules of moq-lite
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The relay: `moqt://HOST[:PORT][/PATH]` (raw QUIC) or `https://...` (WebTransport)
    #[arg(required_unless_present = "list")]
    url: Option<Url>,
    /// Only checks whose name contains this
    #[arg(long, value_name = "PATTERN", default_value = "")]
    only: String,
    /// Only this version: 03, 04, 05 or 06
    #[arg(long, visible_alias = "moq-version", value_name = "VERSION", value_parser = version)]
    version: Option<Version>,
    /// How long the relay may take for each step of a check
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Checks at a time
    #[arg(long, value_name = "N", default_value_t = 8)]
    at_once: usize,
    /// Write TAP (Test Anything Protocol) instead of a table
    #[arg(long)]
    tap: bool,
    /// Write JUnit's XML to this file too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// List the checks instead
    #[arg(long, conflicts_with = "url")]
    list: bool,
    /// Put a faulty server in front of the relay, to see what is noticed; --list tells which faults there
    /// are. Checks of priorities may fail beside it
    #[arg(long = "break", value_name = "NAME", value_parser = fault)]
    fault: Option<Fault>,
    #[command(flatten)]
    trust: TrustArgs,
}

fn version(text: &str) -> Result<Version, String> {
    let name = format!("moq-lite-{}", text.trim_start_matches("moq-lite-"));
    name.parse().map_err(|error: smoq_core::UnknownVersion| error.to_string())
}

fn fault(name: &str) -> Result<Fault, String> {
    let fault = FAULTS.iter().find(|fault| fault.name == name);
    fault.copied().ok_or_else(|| "there is no such fault; --list tells which there are".into())
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Some(url) = args.url else { return Ok(io::stdout().write_all(list().as_bytes())?) };
    let mut target = target(&url, &args.trust, args.timeout).await?;
    if let Some(fault) = args.fault {
        target = plant(target, Some(&fault)).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    let options = Options {
        versions: args.version.map_or(Version::ALL.to_vec(), |version| vec![version]),
        only: args.only,
        patience: args.timeout,
        at_once: args.at_once,
    };
    let report = check(target, &options).await;
    let text = if args.tap { tap(&report) } else { table(&report) };
    io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = args.junit {
        fs::write(&path, junit(&report)).map_err(|source| Failure::Write { path, source })?;
    }
    match report.faults() {
        0 if report.is_good() => Ok(()),
        0 if report.unspoken.len() == options.versions.len() => Err(Failure::NoVersion),
        0 => Err(Failure::NoCheck),
        faults => Err(Failure::Conformance(faults)),
    }
}

/// Where the relay is, and whom to believe. Of several addresses it is one that answers.
async fn target(url: &Url, trust: &TrustArgs, patience: Duration) -> Result<Target, Failure> {
    let nowhere = |error: io::Error| Failure::Host { host: url.host().into(), error };
    let tls =
        ClientTls::new(trust.trust(url)?).map_err(|error| Failure::Usage(error.to_string()))?;
    let (host, path): (String, String) = (url.host().into(), url.path().into());
    let addresses = tokio::net::lookup_host((url.host(), url.port())).await.map_err(nowhere)?;
    let targets = addresses.map(|address| Target {
        address,
        host: host.clone(),
        carrier: url.carrier(),
        path: path.clone(),
        tls: tls.clone(),
    });
    let found = reach(targets.collect(), patience).await;
    found.ok_or_else(|| nowhere(io::ErrorKind::NotFound.into()))
}

//! Why a command failed, in words, and as an exit status.

use std::{io, path::PathBuf, process::ExitCode};

use smoq_quic::{CertificateProblem, ConnectError as QuicError, tape::ReplayError};
use smoq_tokio::{
    ConnectError, Error, GroupError, Reason, SubscribeError,
    core::{PathError, Version, wire::StreamCode},
};
use thiserror::Error as ThisError;

#[derive(Debug, ThisError)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Relay(#[from] smoq_relay::BindError),
    #[error("{0}")]
    Signal(#[from] smoq_signal::server::BindError),
    #[error("{0}")]
    Hub(#[from] smoq_signal::server::HubFailed),
    #[error("{0}")]
    Certificate(#[from] smoq_relay::CertificateError),
    #[error("{0}")]
    Tls(#[from] smoq_signal::server::TlsError),
    #[error("{0}")]
    Stopped(#[from] smoq_relay::Stopped),
    #[error("cannot read the roots in {path}: {error}; it must be a PEM file with certificates")]
    Roots { path: PathBuf, error: String },
    #[error("cannot connect to {url}: {error}{}", hint(.error))]
    Connect { url: String, error: ConnectError },
    #[error("the connection to the server is over: {0}")]
    Disconnected(Reason),
    #[error("this cannot be the path of a broadcast: {0}")]
    Path(#[from] PathError),
    #[error(transparent)]
    Handle(Error),
    #[error("cannot get track {track:?} of {broadcast:?}: {error}")]
    Subscribe { broadcast: String, track: String, error: SubscribeError },
    #[error("cannot get group {group} of track {track:?} of {broadcast:?}: {error}{}", held(.error))]
    Fetch { broadcast: String, track: String, group: u64, error: SubscribeError },
    #[error("group {group} is not whole: {error}")]
    Cut { group: u64, error: GroupError },
    #[error("group {group} is not whole: it was interrupted")]
    Interrupted { group: u64 },
    #[error(
        "{0} has no FETCH: connect by moq-lite-05 or later, or take the group from `smoq subscribe --all`"
    )]
    NoFetch(Version),
    #[error(
        "{count} groups are missing in the output: the server no longer had them, or they were cut off"
    )]
    Gap { count: u64 },
    #[error("{count} steps failed, see above")]
    Interop { count: u32 },
    #[error("the server's process cannot be watched: {0}; give its PID, as `pgrep` tells it")]
    NoProcess(io::Error),
    #[error("the broadcast has ended while it was measured")]
    BenchEnd,
    #[error("subscriber {0} got nothing")]
    DemoSilence(usize),
    #[error("cannot find {host}: {error}")]
    Host { host: String, error: io::Error },
    #[error("{0} checks of rules that must hold failed")]
    Conformance(usize),
    #[error(
        "nothing was checked: the relay speaks none of the versions that were asked for, see above"
    )]
    NoVersion,
    #[error(
        "no check of these versions is called like that; `smoq conformance --list` names them all"
    )]
    NoCheck,
    #[error("{broken}; {replay}")]
    Broken { broken: smoq_sim::Broken, replay: String },
    #[error("cannot write {path}: {source}; choose another file with --output")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {path}: {source}")]
    Recording { path: PathBuf, source: io::Error },
    #[error("cannot replay {path}: {error}")]
    Replay { path: PathBuf, error: ReplayError },
    #[error("{done} inputs were replayed; {error}")]
    Damaged { done: u64, error: ReplayError },
    #[error(
        "input {number} is the first that is not as recorded, or of which something else has come: {line}"
    )]
    Different { number: u64, line: String },
    #[error("the recordings are alike as far as one of them is good: {0}")]
    Compare(ReplayError),
    #[error("the recordings differ at input {number}")]
    Differ { number: u64 },
    #[error("the recordings do the same, but from input {number} on it is not what was recorded")]
    Unlike { number: u64 },
    #[error("one of the recordings makes the node panic: replay each without --diff to see where")]
    ComparePanic,
    #[error("input {number} makes the node panic: please report it, with the recording")]
    Panic { number: u64 },
    #[cfg(feature = "p2p")]
    #[error("cannot connect to the hub at {url}: {error}; `smoq signal` starts one")]
    NoHub { url: String, error: String },
    #[cfg(feature = "p2p")]
    #[error("the hub does not take this peer: {0}; choose another id with --name")]
    NotRegistered(String),
    #[cfg(feature = "p2p")]
    #[error("not all went well; this was the first: {0}")]
    Script(String),
    #[cfg(feature = "p2p")]
    #[error("cannot find the STUN server {server}: {source}; it is HOST:PORT")]
    Stun { server: String, source: io::Error },
    #[cfg(feature = "p2p")]
    #[error("cannot read {path}: {source}")]
    Media { path: PathBuf, source: io::Error },
    #[cfg(feature = "p2p")]
    #[error("cannot run ffmpeg: {0}; install it, --audio and --video need it")]
    NoFfmpeg(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Disconnected(reason) => Self::Disconnected(reason),
            error => Self::Handle(error),
        }
    }
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => 2.into(),
            Self::Gap { .. } => 3.into(),
            _ => ExitCode::FAILURE,
        }
    }
}

/// What else there is to check.
fn held(error: &SubscribeError) -> &'static str {
    match error {
        SubscribeError::Failed(StreamCode::NOT_FOUND) => ", and whether that group is still held",
        _ => "",
    }
}

/// What an option can do about it.
fn hint(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Quic(QuicError::Unreachable(_)) => {
            "; `smoq relay` starts one, and `smoq echo server` one for `smoq echo client`"
        }
        ConnectError::Quic(QuicError::NoCommonVersion) => "; without --moq-version all are offered",
        ConnectError::Quic(QuicError::Certificate { problem, .. }) => match problem {
            CertificateProblem::UnknownIssuer | CertificateProblem::Name => {
                "; give its root with --tls-root FILE, or the fingerprint that the relay prints when \
                 it starts with --tls-fingerprint HEX"
            }
            CertificateProblem::Fingerprint => {
                "; the relay prints its fingerprint when it starts, for --tls-fingerprint"
            }
            CertificateProblem::Expired | CertificateProblem::Other => "",
        },
        _ => "",
    }
}

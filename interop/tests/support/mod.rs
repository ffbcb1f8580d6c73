//! Running the `smoq` binary as other people do, and each test for each version and carrier.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{path::PathBuf, process::Stdio, sync::OnceLock, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::Instant,
};

/// The time for one whole test. Nothing waits for a clock, so only a hang comes near it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What both ends speak, and over what.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub version: &'static str,
    /// Of the URL: it chooses the carrier.
    pub scheme: &'static str,
}

/// Makes of each function a test for each case. `cargo xtask interop` reads version and carrier from the names
/// of the modules.
macro_rules! matrix {
    ($tests:tt $($name:ident => $version:literal over $scheme:literal),+ $(,)?) => {$(
        mod $name {
            const CASE: $crate::support::Case =
                $crate::support::Case { version: $version, scheme: $scheme };
            $crate::support::matrix!(@tests $tests);
        }
    )+};
    (@tests [$($test:ident),+ $(,)?]) => {$(
        #[tokio::test]
        async fn $test() {
            super::$test(CASE).await;
        }
    )+};
}
pub(crate) use matrix;

/// The budget of one test.
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Starts when there is a binary to test.
    pub(crate) fn start() -> Self {
        binary();
        Self::without_binary()
    }

    /// Starts now.
    pub(crate) fn without_binary() -> Self {
        Self(Instant::now() + TIMEOUT)
    }

    /// Runs one step, or panics and says which one failed or never ended.
    pub(crate) async fn step<T, E>(&self, what: &str, step: impl Future<Output = Result<T, E>>) -> T
    where
        E: std::fmt::Display,
    {
        match tokio::time::timeout_at(self.0, step).await {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => panic!("{what}: {error}"),
            Err(_) => panic!("the {TIMEOUT:?} of this test ran out while waiting for: {what}"),
        }
    }
}

/// The binary under test: `SMOQ_BIN`, else built from the workspace above.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("SMOQ_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = std::process::Command::new(env!("CARGO"))
        .args(["build", "--package", "smoq", "--bin", "smoq", "--message-format=json"])
        .args(["--manifest-path", manifest])
        .stderr(Stdio::inherit())
        .output()
        .expect("run cargo to build smoq, or set SMOQ_BIN");
    assert!(output.status.success(), "cargo could not build smoq, see above; or set SMOQ_BIN");
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable of smoq")
}

fn smoq(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Where a server is, and how to know it.
#[derive(Clone)]
pub(crate) struct Target {
    /// `moqt://127.0.0.1:port` or `https://127.0.0.1:port`.
    pub url: String,
    /// The SHA-256 of its certificate, in hex.
    pub fingerprint: String,
}

impl Target {
    /// The same one, by another scheme.
    pub(crate) fn over(self, scheme: &str) -> Self {
        let (_, rest) = self.url.split_once("://").expect("a URL");
        Self { url: format!("{scheme}://{rest}"), ..self }
    }
}

/// A running `smoq relay`, killed when dropped.
pub(crate) struct Relay {
    target: Target,
    _process: Child,
    _data: TempDir,
}

impl Relay {
    /// Starts one with a development certificate of its own, and waits until it accepts sessions.
    /// The scheme is how its target is named.
    pub(crate) async fn start(deadline: &Deadline, scheme: &str) -> Self {
        let data = TempDir::new().expect("a directory for the certificate");
        let mut process = smoq(&["relay", "--listen", "127.0.0.1:0"])
            .env("XDG_DATA_HOME", data.path())
            .spawn()
            .expect("start smoq relay");
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        deadline.step("the relay to print its address", stdout.read_line(&mut line)).await;
        let mut words = line.split_whitespace().map(String::from);
        let (Some(url), Some(fingerprint), None) = (words.next(), words.next(), words.next())
        else {
            panic!("the relay printed {line:?}, not `URL FINGERPRINT`");
        };
        let target = Target { url, fingerprint }.over(scheme);
        Self { target, _process: process, _data: data }
    }

    /// Where it listens.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

/// A running `smoq publish` or `smoq subscribe`, killed when dropped.
pub(crate) struct Smoq(Child);

impl Smoq {
    /// Publishes what [`feed`](Self::feed) gets as soon as somebody subscribes.
    pub(crate) fn publish(target: &Target, shape: moq_peer::Shape, more: &[&str]) -> Self {
        let (size, frames) = (shape.frame_size.to_string(), shape.frames.to_string());
        let args = ["--frame-size", &size, "--group-frames", &frames, "--wait"];
        let mut command = command("publish", target, &args, more);
        command.stdin(Stdio::piped());
        Self(command.spawn().expect("start smoq publish"))
    }

    /// Writes the whole track to its standard output.
    pub(crate) fn subscribe(target: &Target, more: &[&str]) -> Self {
        let mut command = command("subscribe", target, &["--all"], more);
        Self(command.spawn().expect("start smoq subscribe"))
    }

    /// Writes all of the standard input and ends it.
    pub(crate) async fn feed(&mut self, deadline: &Deadline, bytes: &[u8]) {
        let mut stdin = self.0.stdin.take().expect("stdin is piped");
        deadline.step("smoq publish to read its standard input", stdin.write_all(bytes)).await;
    }

    /// Reads the standard output to its end, and expects success.
    pub(crate) async fn output(mut self, deadline: &Deadline) -> Vec<u8> {
        let mut stdout = self.0.stdout.take().expect("stdout is piped");
        let mut bytes = Vec::new();
        deadline.step("smoq to end its standard output", stdout.read_to_end(&mut bytes)).await;
        let status = deadline.step("smoq to exit", self.0.wait()).await;
        assert!(status.success(), "smoq ended with {status}");
        bytes
    }
}

fn command(verb: &str, target: &Target, args: &[&str], more: &[&str]) -> Command {
    let mut command = smoq(&[verb, &target.url, BROADCAST, "--track", TRACK]);
    command.args(["--tls-fingerprint", &target.fingerprint]).args(args).args(more);
    command
}

/// The broadcast of every test.
pub(crate) const BROADCAST: &str = "room/cam";

/// Its only track.
pub(crate) const TRACK: &str = "video";

//! Servers under test.

use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crate::run::root;

/// Where they listen, on 127.0.0.1.
pub(crate) const PORT: u16 = 24_443;

/// How long one may take until it listens, and until it has gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The path of a program of ours that `cargo build --release` has made.
pub(crate) fn release(name: &str) -> String {
    target().join("release").join(name).display().to_string()
}

/// A server that is stopped when it is dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Returns when it listens.
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        // The one before may take a moment to go.
        if !wait_until(false, || false)? {
            return Err(format!("port {PORT} is taken"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("cannot start it: {error}"))?;
        let mut server = Self(child);
        if !wait_until(true, || server.0.try_wait().is_ok_and(|ended| ended.is_some()))? {
            return Err("it does not listen".into());
        }
        Ok(server)
    }

    /// One that is talked to, and says itself where it listens.
    pub(crate) fn talking(mut command: Command) -> Result<(Self, ChildStdin, ChildStdout), String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("cannot start it: {error}"))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let server = Self(child);
        let (Some(to), Some(from)) = (to, from) else { return Err("it has no pipes".into()) };
        Ok((server, to, from))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The memory that it has of the system, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        kib.ok_or_else(|| format!("{path} does not tell how much memory is resident"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody has the port, or nobody has. False if that does not come to be.
fn wait_until(taken: bool, mut given_up: impl FnMut() -> bool) -> Result<bool, String> {
    let begin = Instant::now();
    let port = format!(":{PORT:04X} ");
    loop {
        let table = fs::read_to_string("/proc/net/udp").map_err(|error| error.to_string())?;
        if table.contains(&port) == taken {
            return Ok(true);
        }
        if begin.elapsed() > PATIENCE || given_up() {
            return Ok(false);
        }
        thread::park_timeout(Duration::from_millis(50));
    }
}

//! Runs the binary, and ends a test that hangs.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod host;

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// No test takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command left.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard error: {}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "{part:?} is not in standard error: {}", self.stderr);
        self
    }
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    pub(crate) stderr: Option<BufReader<ChildStderr>>,
}

impl Running {
    /// The names of its threads, as Linux tells them.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
        };
        tasks.filter_map(name).collect()
    }

    /// The next line of standard output, without its end.
    pub(crate) fn line(&mut self) -> String {
        self.next_line().unwrap_or_else(|| self.ended())
    }

    /// The same; `None` after the last one.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        self.take(read_line)
    }

    /// The next bytes of standard output.
    pub(crate) fn read(&mut self, size: usize) -> Vec<u8> {
        let bytes = self.take(move |stdout| {
            let mut bytes = vec![0; size];
            stdout.read_exact(&mut bytes).ok().map(|()| bytes)
        });
        bytes.unwrap_or_else(|| self.ended())
    }

    fn take<R: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut BufReader<ChildStdout>) -> R + Send + 'static,
    ) -> R {
        let (read, rest) = in_time(self.stdout.take().unwrap(), |mut stdout| {
            let read = read(&mut stdout);
            (read, stdout)
        });
        self.stdout = Some(rest);
        read
    }

    fn ended(&mut self) -> ! {
        let mut text = String::new();
        let _ = self.stderr.take().unwrap().read_to_string(&mut text);
        panic!("standard output has ended; standard error: {text}")
    }

    /// Writes to standard input.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        let stdin = in_time(self.stdin.take().unwrap(), move |mut stdin| {
            stdin.write_all(&bytes).unwrap();
            stdin
        });
        self.stdin = Some(stdin);
    }

    /// The next line of standard error that contains `part`.
    pub(crate) fn told(&mut self, part: &'static str) -> String {
        let (line, rest) = in_time(self.stderr.take().unwrap(), move |mut stderr| {
            let line =
                std::iter::from_fn(|| read_line(&mut stderr)).find(|line| line.contains(part));
            (line, stderr)
        });
        self.stderr = Some(rest);
        line.expect("a line on standard error")
    }

    /// Bytes of memory that it uses.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    pub(crate) fn interrupt(&self) {
        let kill = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Ends it as a crash would, with no word to anybody.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its input and waits for its end.
    pub(crate) fn done(mut self) -> Done {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let errors = thread::spawn(move || {
            let mut text = String::new();
            stderr.map(|mut stderr| stderr.read_to_string(&mut text));
            text
        });
        let output = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.map(|mut stdout| stdout.read_to_end(&mut bytes));
            bytes
        });
        in_time(self, move |mut running| {
            let code = running.child.wait().unwrap().code();
            Done { code, stdout: output.join().unwrap(), stderr: errors.join().unwrap() }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(from: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (from.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}

/// Runs `wait` on a thread and fails the test if it takes too long.
fn in_time<T: Send + 'static, R: Send + 'static>(
    what: T,
    wait: impl FnOnce(T) -> R + Send + 'static,
) -> R {
    let (sender, receiver): (_, Receiver<R>) = sync_channel(1);
    thread::spawn(move || sender.send(wait(what)));
    receiver.recv_timeout(PATIENCE).expect("waited in vain")
}

/// A user's folder, and the commands that this user runs.
pub(crate) struct User {
    pub(crate) home: TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.spawn(env!("CARGO_BIN_EXE_smoq"), args)
    }

    /// Starts a command on a terminal of its own, which shows what it writes and not what is typed.
    /// Its standard error goes to the file `errors`.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_on_terminal(&self, args: &[&str], errors: &str) -> Running {
        let smoq = env!("CARGO_BIN_EXE_smoq");
        let line = format!("stty -echo; echo ready; exec '{smoq}' {} 2>'{errors}'", args.join(" "));
        let options = ["--quiet", "--flush", "--return", "--command", &line, "/dev/null"];
        let mut terminal = self.spawn("script", &options);
        assert_eq!(terminal.line(), "ready");
        terminal
    }

    fn spawn(&self, program: &str, args: &[&str]) -> Running {
        let mut child = Command::new(program)
            .args(args)
            .env("SHELL", "/bin/sh")
            .env("XDG_DATA_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}; install it"));
        Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: child.stderr.take().map(BufReader::new),
            child,
        }
    }

    /// Runs a command to its end, without input.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.start(args).done()
    }

    pub(crate) fn relay(&self, args: &[&str]) -> Relay {
        self.server(&["relay"], args)
    }

    /// Starts a command that serves, on any port.
    pub(crate) fn server(&self, command: &[&str], args: &[&str]) -> Relay {
        let mut running = self.start(&[command, &["--listen", "127.0.0.1:0"], args].concat());
        let line = running.line();
        let (url, fingerprint) = line.split_once(' ').expect("URL and fingerprint");
        Relay { url: url.into(), fingerprint: fingerprint.into(), running }
    }

    /// Subscribes before it publishes `input`; gives what the subscriber left.
    pub(crate) fn transfer(&self, subscribe: &[&str], publish: &[&str], input: &[u8]) -> Done {
        let subscriber = self.start(&[&["subscribe"], subscribe].concat());
        let mut publisher = self.start(&[&["publish", "--wait"], publish].concat());
        // Both at a time: a subscriber that nobody reads holds the publisher up.
        let subscriber = thread::spawn(|| subscriber.done());
        publisher.write(input);
        publisher.done().expect(0);
        subscriber.join().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(Path::new(&path), text).unwrap();
        path
    }
}

pub(crate) struct Relay {
    pub(crate) url: String,
    pub(crate) fingerprint: String,
    pub(crate) running: Running,
}

/// Bytes without a pattern that a mistake could repeat.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(step).collect()
}

//! Programs against each other: ours, gomoqt's and the released moq-relay.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use super::cell::{Cell, Verdict, step, transport};
use crate::run::{cargo, command, output, probe, root, run};
use crate::server::{PORT, Server, target};

pub(super) const GOMOQT: &str = "gomoqt 0.17.0";
/// What gomoqt speaks.
const LITE_04: &str = "moq-lite-04";

const MOQ_RELAY: &str = "moq-relay 0.17.10";

/// More than one prints until it ends.
const LINES: usize = 1024;

/// How long a server may take until it says where it is.
const START: Duration = Duration::from_secs(60);

/// How long programs may take: each of their steps has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long a server may take to end after its client.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// Where a server is, and the SHA-256 of its certificate.
struct Place {
    url: String,
    fingerprint: String,
}

/// Who does the steps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Smoq,
    Gomoqt,
}

impl Who {
    /// As the peer's tables call it.
    fn name(self) -> &'static str {
        match self {
            Self::Smoq => "smoq",
            Self::Gomoqt => "gomoqt",
        }
    }
}

/// The programs, and where they keep things.
pub(super) struct Programs {
    smoq: PathBuf,
    gomoqt: PathBuf,
    folder: PathBuf,
}

/// The moq-relay that is to be tested, if it is there.
pub(super) fn installed_moq_relay() -> Option<PathBuf> {
    let binary = target().join("tools/bin/moq-relay");
    let listed = output(&binary.display().to_string(), "--version").unwrap_or_default();
    (listed.trim() == MOQ_RELAY).then_some(binary)
}

impl Programs {
    /// Builds ours.
    pub(super) fn new() -> Result<Self, String> {
        let folder = target().join("interop");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let smoq = match env::var_os("SMOQ_BIN") {
            Some(path) => path.into(),
            None => {
                cargo("build --package smoq")?;
                target().join("debug/smoq")
            }
        };
        Ok(Self { smoq, gomoqt: folder.join("gomoqt"), folder })
    }

    /// The binary that the tests use too.
    pub(super) fn smoq(&self) -> &Path {
        &self.smoq
    }

    /// gomoqt in each role.
    pub(super) fn gomoqt(&self) -> Result<Vec<Cell>, String> {
        let mut cells = vec![later_gomoqt()];
        if !probe("go", "version") {
            println!("SKIPPED: gomoqt was not tested, because go is not at hand; install Go 1.26");
            let why = Verdict::NotRun("go was not at hand".into());
            cells.push(whole(GOMOQT, LITE_04, "all", why));
            return Ok(cells);
        }
        let mut build = command("go", "build -o");
        run(build.arg(&self.gomoqt).arg(".").current_dir(root().join("interop/go")))?;
        for scheme in ["moqt", "https"] {
            cells.extend(self.call(Who::Smoq, Who::Gomoqt, scheme)?);
            cells.extend(self.call(Who::Gomoqt, Who::Smoq, scheme)?);
        }
        for (client, server) in
            [(Who::Gomoqt, Who::Gomoqt), (Who::Smoq, Who::Gomoqt), (Who::Gomoqt, Who::Smoq)]
        {
            cells.extend(self.relayed(client, server)?);
        }
        Ok(cells)
    }

    /// One dials the other.
    fn call(&self, client: Who, server: Who, scheme: &str) -> Result<Vec<Cell>, String> {
        let mut listener = match server {
            Who::Smoq => {
                // What the peer closes a connection with before there is a session.
                let args = "--log warn,quinn_proto::connection=trace interop server --once";
                self.smoq_command(args, "--listen 127.0.0.1:0")
            }
            Who::Gomoqt => {
                let mut gomoqt = Command::new(&self.gomoqt);
                gomoqt.args(["-scheme", scheme]);
                gomoqt
            }
        };
        let log = self.folder.join("server.log");
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let listener = Running::start(listener.stderr(file))?;
        let place = listener.place(scheme)?;
        let called = Running::start(&mut self.client(client, &place, "client", true))?;
        let told = called.end(PATIENCE);
        let connected = told.lines.iter().any(|line| line == "connect: pass");
        let role = format!("{}'s client, {}'s server", client.name(), server.name());
        let mut cells = cells(GOMOQT, LITE_04, scheme, &role, client, &told);
        // Whoever could not connect left nothing for it to do.
        if connected {
            let told = listener.end(AFTERWARDS);
            cells.extend(self::cells(GOMOQT, LITE_04, scheme, &role, server, &told));
        }
        let wire = fs::read_to_string(&log).unwrap_or_default();
        for cell in &mut cells {
            if let (Verdict::Fail(why), Some(close)) = (&mut cell.verdict, closed_with(&wire))
                && !connected
            {
                *why += &format!("; on the wire: {close}");
            }
        }
        Ok(cells)
    }

    /// Two clients meet at our relay.
    fn relayed(&self, client: Who, server: Who) -> Result<Vec<Cell>, String> {
        let mut relay = self.smoq_command("relay --listen 127.0.0.1:0", "");
        let relay = Running::start(&mut relay)?;
        let place = relay.place("moqt")?;
        let role =
            format!("{} as client, smoq's relay, {} as server", client.name(), server.name());
        let both = self.meet(&place, client, server, LITE_04)?;
        let seen = ["client", "server"].iter().zip(both).flat_map(|(side, (who, told))| {
            // Both may be the same program.
            let role = format!("{role}; as {side}");
            cells(GOMOQT, LITE_04, "moqt", &role, who, &told)
        });
        Ok(seen.collect())
    }

    /// Two of our clients at the released moq-relay.
    pub(super) fn moq_relay(&self) -> Result<Vec<Cell>, String> {
        let old = "a 0.14 release cannot be built any more: of its dependencies http-cache-reqwest \
                   1.0.0-alpha.10 does not compile, and its lock file names a release that was withdrawn";
        let mut cells = vec![whole("moq-relay 0.14.12", "all", "all", Verdict::NotRun(old.into()))];
        let Some(binary) = installed_moq_relay() else {
            println!(
                "SKIPPED: {MOQ_RELAY} was not tested, neither alone nor in a ring with ours; `cargo xtask \
                 bench-relay` installs it"
            );
            let why = "it takes minutes to install; `cargo xtask bench-relay` does";
            cells.push(whole(MOQ_RELAY, "all", "all", Verdict::NotRun(why.into())));
            return Ok(cells);
        };
        let args =
            format!("--listen 127.0.0.1:{PORT} --listen-tls-generate localhost --auth-public **");
        let _relay = Server::start(command(&binary.display().to_string(), &args))?;
        for version in ["moq-lite-03", "moq-lite-04", "moq-lite-05", "moq-lite-06"] {
            for scheme in ["moqt", "https"] {
                // Its announcements of one exchange are not to meet the next one.
                let url = format!("{scheme}://127.0.0.1:{PORT}/{version}/{scheme}");
                let place = Place { url, fingerprint: String::new() };
                let role = "two of smoq's clients, its relay";
                for (side, (_, told)) in ["client", "server"].iter().zip(self.meet(
                    &place,
                    Who::Smoq,
                    Who::Smoq,
                    version,
                )?) {
                    let role = format!("{role}; as {side}");
                    let seen = self::cells(MOQ_RELAY, version, scheme, &role, Who::Smoq, &told);
                    cells.extend(seen);
                }
            }
        }
        Ok(cells)
    }

    /// Two clients do their steps through a relay: as client, and as server.
    fn meet(
        &self,
        place: &Place,
        client: Who,
        server: Who,
        version: &str,
    ) -> Result<[(Who, Told); 2], String> {
        let start = |who, side| {
            let mut command = self.client(who, place, side, false);
            // gomoqt has no other.
            if who == Who::Smoq {
                command.args(["--moq-version", version]);
            }
            Running::start(&mut command)
        };
        let (one, other) = (start(client, "client")?, start(server, "server")?);
        Ok([(client, one.end(PATIENCE)), (server, other.end(AFTERWARDS))])
    }

    fn client(&self, who: Who, place: &Place, side: &str, goaway: bool) -> Command {
        match who {
            Who::Smoq => {
                let trust = match &*place.fingerprint {
                    "" => "--insecure".into(),
                    hash => format!("--tls-fingerprint {hash}"),
                };
                let goaway = if goaway { "--goaway" } else { "" };
                self.smoq_command(
                    &format!("--log off interop client --as {side} {goaway} {trust}"),
                    &place.url,
                )
            }
            Who::Gomoqt => {
                let mut command = Command::new(&self.gomoqt);
                command.args(["-dial", &place.url, "-as", side]);
                if goaway {
                    command.arg("-goaway");
                }
                command
            }
        }
    }

    fn smoq_command(&self, args: &str, more: &str) -> Command {
        let mut smoq = command(&self.smoq.display().to_string(), args);
        smoq.args(more.split_whitespace()).env("XDG_DATA_HOME", self.folder.join("home"));
        smoq
    }
}

/// A program that is stopped when it is dropped.
struct Running {
    child: Child,
    /// What it prints.
    lines: Receiver<String>,
}

/// What a program that has ended leaves.
struct Told {
    lines: Vec<String>,
    /// Why not well.
    ended: Result<(), String>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self, String> {
        let shown = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("cannot start {shown}: {error}"))?;
        let stdout = child.stdout.take().ok_or("it has no pipe")?;
        let (printed, lines) = sync_channel(LINES);
        // A pipe cannot be read with a time limit.
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines();
            lines.map_while(Result::ok).try_for_each(|line| printed.send(line))
        });
        Ok(Self { child, lines })
    }

    /// The first line of a server, with this scheme.
    fn place(&self, scheme: &str) -> Result<Place, String> {
        let line = self.lines.recv_timeout(START);
        let line = line.map_err(|error| format!("a server does not say its URL: {error}"))?;
        let words: Vec<_> = line.split_whitespace().collect();
        let &[url, fingerprint] = &words[..] else {
            return Err(format!("a server says {line:?}, not its URL and its fingerprint"));
        };
        let (_, address) = url.split_once("://").ok_or_else(|| format!("{url} is no URL"))?;
        Ok(Place { url: format!("{scheme}://{address}"), fingerprint: fingerprint.into() })
    }

    /// The other lines, when it has ended, or is stopped since it does not.
    fn end(mut self, patience: Duration) -> Told {
        let begin = Instant::now();
        let ended = loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => break Ok(()),
                Ok(Some(status)) => break Err(status.to_string()),
                Ok(None) if begin.elapsed() < patience => {
                    thread::park_timeout(Duration::from_millis(20));
                }
                Ok(None) => break Err(format!("stopped after {patience:?}")),
                Err(error) => break Err(error.to_string()),
            }
        };
        let _ = self.child.kill();
        Told { lines: self.lines.iter().collect(), ended }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one program says, and how it ended if no step that failed explains that.
fn cells(peer: &str, version: &str, scheme: &str, role: &str, who: Who, told: &Told) -> Vec<Cell> {
    let role = format!("{role}; {} checks", who.name());
    let cell = |(step, verdict)| Cell {
        peer: peer.into(),
        version: version.into(),
        transport: transport(scheme),
        role: role.clone(),
        step,
        verdict,
    };
    let mut cells: Vec<_> = told.lines.iter().filter_map(|line| step(line)).map(cell).collect();
    if let Err(why) = &told.ended
        && !cells.iter().any(|cell| matches!(cell.verdict, Verdict::Fail(_)))
    {
        cells.push(cell(("exit".into(), Verdict::Fail(why.clone()))));
    }
    cells
}

/// A peer of which nothing is known.
fn whole(peer: &str, version: &str, transport: &'static str, verdict: Verdict) -> Cell {
    let (role, step) = ("all".into(), "all".into());
    Cell { peer: peer.into(), version: version.into(), transport, role, step, verdict }
}

fn later_gomoqt() -> Cell {
    let why = "no release after 0.17.0 can be had from the module proxy";
    whole("gomoqt 0.18 and later", "moq-lite-05", "all", Verdict::NotRun(why.into()))
}

/// How the peer closed the connection, from quinn-proto's log.
fn closed_with(log: &str) -> Option<String> {
    let (_, close) = log.split_once("ApplicationClose { error_code: ")?;
    let (code, rest) = close.split_once(", reason: b\"")?;
    let (reason, _) = rest.split_once("\" }")?;
    let code: u64 = code.parse().ok()?;
    Some(format!("CONNECTION_CLOSE {code:#x}, {reason:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_dies_does_not_pass() {
        let told = |script, patience| {
            let mut shell = Command::new("sh");
            let running = Running::start(shell.args(["-c", script])).expect("a shell");
            let cells = cells(GOMOQT, LITE_04, "moqt", "role", Who::Gomoqt, &running.end(patience));
            cells.into_iter().map(|cell| (cell.step, cell.verdict)).collect::<Vec<_>>()
        };
        let pass = || ("connect".to_owned(), Verdict::Pass);
        assert_eq!(told("echo connect: pass", PATIENCE), [pass()]);
        let [first, exit] = &told("echo connect: pass; exit 101", PATIENCE)[..] else {
            panic!("two cells")
        };
        assert_eq!((first, &*exit.0), (&pass(), "exit"));
        assert_eq!(exit.1, Verdict::Fail("exit status: 101".into()));
        let fail = ("small".to_owned(), Verdict::Fail("cut off".into()));
        assert_eq!(told("echo small: fail: cut off; exit 1", PATIENCE), [fail]);
        let stopped = Verdict::Fail("stopped after 0ns".into());
        assert_eq!(told("exec sleep 1000", Duration::ZERO), [("exit".to_owned(), stopped)]);
    }

    #[test]
    fn a_close_is_found_in_the_log() {
        let log = "TRACE got frame Close(Application(ApplicationClose { error_code: 556535112, reason: \
                   b\"no\" }))";
        assert_eq!(closed_with(log).as_deref(), Some("CONNECTION_CLOSE 0x212c0d48, \"no\""));
        assert_eq!(closed_with("nothing"), None);
    }

    #[test]
    fn gomoqt_is_the_one_that_is_pinned() {
        let module = include_str!("../../../interop/go/go.mod");
        let (_, version) = GOMOQT.split_once(' ').expect("a version");
        assert!(module.contains(&format!("github.com/qumo-dev/gomoqt v{version}\n")));
    }
}

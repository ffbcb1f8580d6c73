//! `smoq interop server`

use std::{collections::HashMap, num::NonZeroU8, time::Duration};

use smoq_core::{Admission, Closed, ClosedBy, Discover, Grant, Path, Version, wire::SessionCode};
use smoq_relay::{BindError, Config, Log, Relay, Stopped};
use smoq_tokio::{Origin, Server, ServerEvent, SessionId};
use tokio::{sync::mpsc, task::AbortHandle, time::timeout};

use super::{
    CLIENT, SERVER, StepArgs,
    exchange::Exchange,
    limits,
    verdict::{Report, Verdict},
};
use crate::{
    failure::Failure,
    interrupt::interrupted,
    listen::{ListenArgs, announce},
    place::at,
};

/// Let clients come, and check each step with each of them
///
/// When it accepts sessions it prints one line: its URL and the SHA-256 fingerprint of its certificate. Each
/// client has a namespace of its own.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    steps: StepArgs,
    /// After the first client ask it to leave (GOAWAY), and end; the exit status tells whether all went well
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let mut stop = std::pin::pin!(interrupted());
    let (once, patience) = (args.once, args.steps.patience);
    let config = args.listen.config(limits());
    let certificate = config.certificate.clone();
    let relay = bind(config)?;
    announce(&relay, "", &certificate);
    let (mut server, _door) = relay.into_parts();
    let mut log = Log::default();
    // With `--once` it is the first that counts.
    let (checked, mut finished) = mpsc::channel(1);
    let mut clients = Clients { tasks: HashMap::new(), count: 0, once, patience, checked };
    let result = loop {
        let event = tokio::select! {
            () = &mut stop => break Ok(()),
            Some(client) = finished.recv(), if once => break clients.last(&mut server, client).await,
            event = server.next() => event.ok_or(Stopped)?,
        };
        log.event(&event, server.missed());
        clients.event(event, &server).await?;
    };
    server.shutdown(SessionCode::NO_ERROR, "the interop server shuts down").await;
    result
}

/// A server that gives each client places of its own.
fn bind(config: Config) -> Result<Relay, BindError> {
    // Clients are not to be asked for more than is watched, which is so on one shard only.
    let config = Config { shards: Some(NonZeroU8::MIN), ..config };
    Relay::bind_with(config, |options| {
        options.admission = Admission::Ask;
        options.discover = Discover::OnDemand;
    })
}

/// A client with which all else is done.
struct Checked {
    session: SessionId,
    version: Version,
    report: Report,
}

/// Who is there.
struct Clients {
    tasks: HashMap<SessionId, AbortHandle>,
    /// How many were let in so far.
    count: u64,
    once: bool,
    patience: Duration,
    checked: mpsc::Sender<Checked>,
}

impl Clients {
    /// Asks the only client to leave, and ends.
    async fn last(&mut self, server: &mut Server, client: Checked) -> Result<(), Failure> {
        let Checked { session, version, report } = client;
        let verdict = match self.tasks.contains_key(&session) {
            true => self.leave(server, session).await?,
            false => Verdict::Fail("the client had gone before it was asked to".into()),
        };
        report.step(
            "leave",
            match version.has_goaway() {
                true => verdict,
                false => Verdict::NotOffered(format!("{version} has no GOAWAY")),
            },
        );
        report.result()
    }

    /// Asks a client to leave, and waits until it has.
    async fn leave(&mut self, server: &mut Server, client: SessionId) -> Result<Verdict, Failure> {
        let patience = self.patience;
        server.drain("").await?;
        let left = async {
            loop {
                let event = server.next().await.ok_or(Stopped)?;
                let end = match &event {
                    ServerEvent::Closed { session, closed, .. } if *session == client => {
                        Some(closed.clone())
                    }
                    _ => None,
                };
                self.event(event, server).await?;
                if let Some(end) = end {
                    return Ok::<_, Failure>(end);
                }
            }
        };
        Ok(match timeout(patience, left).await {
            Ok(end) => match end? {
                Closed { by: ClosedBy::Peer, .. } => Verdict::Pass,
                Closed { reason, .. } => {
                    Verdict::Fail(format!("the session ended before the client left: {reason}"))
                }
            },
            Err(_) => Verdict::Fail(format!("the client is still there after {patience:?}")),
        })
    }

    async fn event(&mut self, event: ServerEvent, server: &Server) -> Result<(), Failure> {
        match event {
            ServerEvent::Request { session, .. } => {
                self.count += 1;
                let place = |side| Path::new(&format!("{side}/{}", self.count));
                let grant =
                    Grant { publish: Some(place("client")?), subscribe: Some(place("server")?) };
                // Who has gone meanwhile needs nothing.
                let _ = server.grant(session, grant).await;
            }
            ServerEvent::Connected { session, remote, version, grant, .. } => {
                if let Grant { publish: Some(client), subscribe: Some(own) } = grant {
                    let peer = if self.once { String::new() } else { format!("{remote} ") };
                    let checked = Checked { session, version, report: Report::new(peer) };
                    let (patience, done) = (self.patience, self.checked.clone());
                    let origin = server.origin();
                    let task = tokio::spawn(async move {
                        if let Err(error) = steps(origin, &checked, own, client, patience).await {
                            checked.report.step("session", Verdict::Fail(error.to_string()));
                        }
                        // Nobody waits for another one.
                        let _ = done.try_send(checked);
                    });
                    self.tasks.insert(session, task.abort_handle());
                }
            }
            ServerEvent::Closed { session, .. } => {
                // With `--once` it is to say what was missing.
                if let Some(task) = self.tasks.remove(&session).filter(|_| !self.once) {
                    task.abort();
                }
            }
            ServerEvent::Violation { .. } | ServerEvent::Goaway { .. } => {}
        }
        Ok(())
    }
}

async fn steps(
    origin: Origin,
    client: &Checked,
    own: Path,
    theirs: Path,
    patience: Duration,
) -> Result<(), Failure> {
    let Checked { version, report, .. } = client;
    report.step("connect", Verdict::Pass);
    let (mine, theirs) = (at(&own, SERVER)?, at(&theirs, CLIENT)?);
    let exchange =
        Exchange { origin, mine: &mine, theirs: &theirs, patience, version: *version, report };
    exchange.run().await
}

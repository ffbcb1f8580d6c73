//! `smoq echo server`

use std::{collections::HashMap, num::NonZeroU8};

use smoq_core::{Admission, Announced, Discover, Grant, Path, wire::SessionCode};
use smoq_relay::{BindError, Config, Log, Relay, Stopped};
use smoq_tokio::{Broadcast, GroupWriter, Origin, Server, ServerEvent, SessionId, TrackWriter};
use tokio::task::AbortHandle;
use tracing::{Instrument, debug, info, info_span, warn};

use super::{BROADCAST, PREFIX, TRACK, URL_PATH, limits};
use crate::{
    announced::until_active,
    failure::Failure,
    interrupt::interrupted,
    listen::{ListenArgs, announce},
    ordered::{Item, Ordered},
    pace::Pace,
    place::at,
    reorder::Policy,
};

/// Send back to each client what it says
///
/// When it accepts sessions it prints one line: its URL and the SHA-256 fingerprint of its certificate.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    listen: ListenArgs,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut stop = std::pin::pin!(interrupted());
    let config = args.listen.config(limits());
    let certificate = config.certificate.clone();
    let relay = bind(config)?;
    announce(&relay, URL_PATH, &certificate);
    let (mut server, _door) = relay.into_parts();
    let mut log = Log::default();
    let mut clients = Clients::default();
    loop {
        let event = tokio::select! {
            () = &mut stop => break,
            event = server.next() => event.ok_or(Stopped)?,
        };
        log.event(&event, server.missed());
        clients.event(event, &server).await?;
    }
    server.shutdown(SessionCode::NO_ERROR, "the echo server shuts down").await;
    Ok(())
}

/// A server that decides who comes in, and asks for no other announcements than it watches.
fn bind(config: Config) -> Result<Relay, BindError> {
    // What it watches decides what its clients are asked for, which is so on one shard only.
    let config = Config { shards: Some(NonZeroU8::MIN), ..config };
    Relay::bind_with(config, |options| {
        options.admission = Admission::Ask;
        options.discover = Discover::OnDemand;
    })
}

/// Who is there, and the echoes for them.
#[derive(Default)]
struct Clients {
    echoes: HashMap<SessionId, AbortHandle>,
    /// How many were let in so far.
    count: u64,
}

impl Clients {
    async fn event(&mut self, event: ServerEvent, server: &Server) -> Result<(), Failure> {
        match event {
            ServerEvent::Request { session, path, .. } => {
                if is_here(&path) {
                    let grant = self.private()?;
                    // Who has gone meanwhile needs nothing.
                    let _ = server.grant(session, grant).await;
                } else {
                    let reason = format!("this is an echo server, end the URL with {URL_PATH}");
                    server.close_session(session, SessionCode::UNAUTHORIZED, &reason).await?;
                }
            }
            ServerEvent::Connected { session, remote, version, carrier, grant } => {
                if let Grant { publish: Some(said), subscribe: Some(echo) } = grant {
                    let client = Client { origin: server.origin(), said, echo };
                    let span = info_span!("echo", %session, %remote, %version, %carrier);
                    let task = tokio::spawn(client.serve().instrument(span));
                    self.echoes.insert(session, task.abort_handle());
                }
            }
            ServerEvent::Closed { session, .. } => {
                // With the task goes everything that it has.
                if let Some(echo) = self.echoes.remove(&session) {
                    echo.abort();
                }
            }
            ServerEvent::Violation { .. } | ServerEvent::Goaway { .. } => {}
        }
        Ok(())
    }

    /// Places that no other client can reach.
    fn private(&mut self) -> Result<Grant, Failure> {
        self.count += 1;
        let place = |name| Path::new(&format!("{name}/{}", self.count));
        Ok(Grant { publish: Some(place("client")?), subscribe: Some(place("echo")?) })
    }
}

/// Whether a request is for the echo.
fn is_here(request: &str) -> bool {
    let path = request.split('?').next().unwrap_or_default();
    path.trim_matches('/') == URL_PATH.trim_matches('/')
}

/// One client, and where its things lie.
struct Client {
    origin: Origin,
    /// Below it is what the client announces.
    said: Path,
    /// Below it is what the client is told of.
    echo: Path,
}

impl Client {
    /// Until it is aborted.
    async fn serve(self) {
        if let Err(error) = self.answer().await {
            info!("no echo any more: {error}");
        }
    }

    async fn answer(&self) -> Result<(), Failure> {
        let said = at(&self.said, BROADCAST)?;
        let mut announced = self.origin.announced(&at(&self.said, PREFIX)?).await?;
        info!(prefix = PREFIX, "asks for announcements");
        loop {
            until_active(&mut announced, &said).await?;
            info!(path = BROADCAST, "the client announces");
            // It is there as long as what it echoes, for a client that has not asked for it yet.
            let echo = self.echo(&said).await;
            if let Err(error) = &echo {
                info!("the echo is cut off: {error}");
            }
            while !matches!(announced.next().await?, Announced::Ended { path } if path == said) {}
            debug!(path = BROADCAST, "the client announces it no longer");
        }
    }

    /// Echoes the client's track until it ends.
    async fn echo(&self, said: &Path) -> Result<(Broadcast, TrackWriter), Failure> {
        let mut source = Ordered::subscribe(&self.origin, said, TRACK, Policy::Lossless).await?;
        info!(path = BROADCAST, track = TRACK, "subscribes");
        let info = source.info().await?;
        info!("the client accepts the subscription");
        let broadcast = self.origin.create(&at(&self.echo, BROADCAST)?).await?;
        let mut track = broadcast.track(TRACK, info).await?;
        broadcast.announce().await?;
        info!(path = BROADCAST, track = TRACK, "announces the echo");
        tokio::select! {
            wanted = track.wanted() => wanted?,
            never = source.hold() => match never {},
        }
        info!("the client subscribes");
        let mut copy = Copy { track, group: None, pace: Pace::default() };
        while let Some(item) = source.next().await {
            copy.write(item).await?;
            tokio::select! {
                room = copy.pace.keep(&mut copy.track) => room?,
                never = source.hold() => match never {},
            }
        }
        source.end()?;
        let Copy { mut track, .. } = copy;
        info!("the client's track has ended: ends the echo");
        track.finish()?;
        Ok((broadcast, track))
    }
}

/// Writes the echo, group by group and frame by frame.
struct Copy {
    track: TrackWriter,
    group: Option<GroupWriter>,
    pace: Pace,
}

impl Copy {
    async fn write(&mut self, item: Item) -> Result<(), Failure> {
        match item {
            Item::Chunk { group, chunk } => {
                let size = chunk.data.len();
                let group = self.group(group).await?;
                if chunk.offset == 0 {
                    group.start_frame(chunk.timestamp, chunk.size).await?;
                }
                group.write_chunk(chunk.data).await?;
                self.pace.wrote(size);
            }
            Item::End { group } => {
                self.group(group).await?;
                self.group.take().map_or(Ok(()), GroupWriter::finish)?;
            }
            Item::Gap { first, last } => {
                warn!(first, last, "groups of the client are missing or cut off");
                self.group = None;
            }
        }
        Ok(())
    }

    /// The writer of this group.
    async fn group(&mut self, sequence: u64) -> Result<&mut GroupWriter, Failure> {
        Ok(match &mut self.group {
            Some(group) => group,
            none => {
                if sequence == 0 {
                    info!(group = sequence, "sends the first group back");
                } else {
                    debug!(group = sequence, "sends a group back");
                }
                none.insert(self.track.group_at(sequence).await?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use bytes::Bytes;
    use smoq_core::{SubscribeOptions, wire::TrackInfo};
    use smoq_quic::Trust;
    use smoq_relay::CertificateSource;
    use smoq_tokio::{ClientOptions, Connection, connect};
    use tokio::time::timeout;

    use super::*;

    fn server(folder: &std::path::Path) -> Server {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let [chain, key] = ["chain", "key"].map(|name| folder.join(name));
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let config = Config {
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            certificate: CertificateSource::Files { chain, key },
            ..Config::default()
        };
        bind(config).unwrap().into_parts().0
    }

    /// Says a few words and waits until they are back; gives all that keeps the client there.
    async fn client(url: String) -> Result<(Connection, Broadcast, TrackWriter), Failure> {
        let [said, echo] = ["said", "echo"].map(|place| Path::new(place).unwrap());
        let mut options = ClientOptions::new(Trust::Insecure);
        options.grant = Grant { publish: Some(echo.clone()), subscribe: Some(said.clone()) };
        let connection = connect(&url.parse().unwrap(), options).await.unwrap();
        let origin = connection.origin();
        let broadcast = origin.create(&at(&said, BROADCAST)?).await?;
        let mut track = broadcast.track(TRACK, TrackInfo::default()).await?;
        broadcast.announce().await?;
        let frames = [&b"hello"[..], b"", b"world"];
        let mut group = track.group().await?;
        for frame in frames {
            group.write(0, Bytes::from_static(frame)).await?;
        }
        group.finish()?;
        let echo = at(&echo, BROADCAST)?;
        let mut announced = origin.announced(&echo).await?;
        until_active(&mut announced, &echo).await?;
        let mut back = origin.subscribe(&echo, TRACK, SubscribeOptions::default()).await?;
        let mut group = back.next_group().await.unwrap().expect("a group");
        for frame in frames {
            assert_eq!(group.next_frame().await.unwrap().expect("a frame").payload, frame);
        }
        assert_eq!(group.next_frame().await, Ok(None));
        Ok((connection, broadcast, track))
    }

    #[tokio::test]
    async fn a_client_that_goes_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = server(folder.path());
        let mut clients = Clients::default();
        let client = client(format!("moqt://{}{URL_PATH}", server.local_addr()));
        let mut client = std::pin::pin!(client);
        let there = loop {
            tokio::select! {
                there = &mut client => break there.unwrap(),
                event = server.next() => clients.event(event.unwrap(), &server).await.unwrap(),
            }
        };
        let stats = server.stats().await.unwrap();
        assert_eq!((stats.sessions, clients.echoes.len()), (1, 1));
        assert!(stats.tracks > 0 && stats.routes > 0 && stats.groups > 0, "{stats:?}");
        drop(there);
        while !clients.echoes.is_empty() {
            clients.event(server.next().await.unwrap(), &server).await.unwrap();
        }
        let empty = async {
            loop {
                let stats = server.stats().await.unwrap();
                let held = [stats.tracks, stats.routes, stats.groups, stats.subscriptions];
                if held == [0; 4] && stats.sessions == 0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), empty).await.expect("nothing of the client is left");
    }

    #[test]
    fn the_echo_is_at_one_path() {
        for request in ["/echo", "echo", "/echo/", "/echo?jwt=x/y"] {
            assert!(is_here(request), "{request}");
        }
        for request in ["", "/", "/echoes", "/echo/2", "/room?/echo"] {
            assert!(!is_here(request), "{request}");
        }
    }

    #[test]
    fn no_two_clients_share_a_place() {
        let mut clients = Clients::default();
        let [one, two] = [(); 2].map(|()| clients.private().unwrap());
        let places = |grant: Grant| [grant.publish.unwrap(), grant.subscribe.unwrap()];
        assert_eq!(places(one).map(|path| path.to_string()), ["client/1", "echo/1"]);
        assert_eq!(places(two).map(|path| path.to_string()), ["client/2", "echo/2"]);
    }
}

//! A server of several shards.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    io,
    net::{SocketAddr, UdpSocket},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use smoq_runtime::{
    Connection, Error, Runtime, Server, ServerEvent, SessionId, connect,
    core::{Admission, Announced, Grant, Path, Version, wire::SessionCode, wire::TrackInfo},
};

use super::tools::*;

const SHARDS: usize = 3;

/// A relay of three shards.
fn sharded<R: Bed>(runtime: R) -> Relay<R> {
    sharded_with(runtime, Admission::Open)
}

fn sharded_with<R: Bed>(runtime: R, admission: Admission) -> Relay<R> {
    Relay::build(runtime, |runtime, mut options| {
        options.admission = admission;
        Server::bind_shards(&vec![runtime.clone(); SHARDS], options).unwrap()
    })
}

/// Clients until every shard has some and there are at least `least`: the system decides where each
/// goes.
async fn everywhere<R: Bed>(relay: &mut Relay<R>, least: usize) -> Vec<(Connection, SessionId)> {
    let mut clients = Vec::new();
    let mut shards = BTreeSet::new();
    while clients.len() < least || shards.len() < SHARDS {
        assert!(clients.len() < 200, "only {shards:?} of the shards are given clients");
        let client = relay.client().await;
        let session = connected(relay).await;
        shards.insert(session.shard);
        clients.push((client, session));
    }
    clients
}

/// The session that begins next.
async fn connected<R: Bed>(relay: &mut Relay<R>) -> SessionId {
    loop {
        match relay.server.next().await.unwrap() {
            ServerEvent::Connected { session, .. } => return session,
            ServerEvent::Request { session, .. } => {
                relay.server.grant(session, Grant::all(Path::root())).await.unwrap();
            }
            event => panic!("{event:?}"),
        }
    }
}

fn payload(group: u64, frame: u64) -> Vec<u8> {
    let size = (group * 531 + frame * 131) % 5000;
    vec![(group + frame) as u8; size as usize]
}

pub(crate) async fn shards_share_what_is_published<R: Bed>(runtime: R) {
    let mut relay = sharded(runtime);
    let mut clients = everywhere(&mut relay, 31).await;
    let (publisher, home) = clients.pop().unwrap();
    let broadcast = publisher.origin().create(&path("room/cam")).await.unwrap();
    let mut track = broadcast.track("video", TrackInfo::default()).await.unwrap();
    broadcast.announce().await.unwrap();
    let mut subscriptions = Vec::new();
    for (client, _) in &clients {
        let origin = client.origin();
        let mut announced = origin.announced(&path("room")).await.unwrap();
        let Ok(Announced::Active { path: at, .. }) = announced.next().await else {
            panic!("the broadcast is there")
        };
        let subscription = origin.subscribe(&at, "video", lossless()).await.unwrap();
        subscriptions.push(subscription);
    }
    for subscription in &mut subscriptions {
        subscription.info().await.unwrap();
    }
    let own = |shard| clients.iter().filter(|(_, session)| session.shard == shard).count();
    let expected: Vec<_> = (0..SHARDS as u8)
        // Where the publisher is, the other shards subscribe once each.
        .map(|shard| own(shard) + if shard == home.shard { SHARDS - 1 } else { 0 })
        .collect();
    // A subscription is counted when SUBSCRIBE has come, which may be after TRACK was answered.
    loop {
        let stats = relay.server.shard_stats().await.unwrap();
        assert!(stats.iter().all(|stats| stats.violations == 0 && stats.tracks <= 1));
        let counts: Vec<_> = stats.iter().map(|stats| stats.subscriptions).collect();
        assert!(counts.iter().zip(&expected).all(|(count, most)| count <= most), "{counts:?}");
        if counts == expected {
            break;
        }
        yield_now().await;
    }
    let stats = relay.server.stats().await.unwrap();
    assert_eq!((stats.sessions, stats.tracks), (clients.len() + 1, SHARDS));

    let mut all = Vec::new();
    for sequence in 0..5 {
        let mut group = track.group().await.unwrap();
        let frames: Frames = (0..20).map(|frame| payload(sequence, frame)).collect();
        for frame in &frames {
            group.write(0, Bytes::from(frame.clone())).await.unwrap();
        }
        group.finish().unwrap();
        all.push((sequence, frames));
    }
    track.finish().unwrap();
    for subscription in &mut subscriptions {
        assert_eq!(read_all(subscription).await, all);
    }
    track.finished().await.unwrap();
}

pub(crate) async fn the_server_decides_on_every_shard<R: Bed>(runtime: R) {
    let mut relay = sharded_with(runtime, Admission::Ask);
    let mut clients = Vec::new();
    let mut shards = BTreeSet::new();
    while shards.len() < SHARDS {
        let options = relay.options(Version::ALL[0]);
        let url = relay.url("");
        let runtime = relay.runtime.clone();
        let (client, session) =
            join(async { connect(&runtime, &url, options).await.unwrap() }, connected(&mut relay))
                .await;
        shards.insert(session.shard);
        clients.push((client, session));
    }
    for (mut client, session) in clients {
        relay.server.close_session(session, SessionCode::UNAUTHORIZED, "enough").await.unwrap();
        let reason = client.closed().await.0;
        assert_eq!((reason.code, &*reason.reason), (SessionCode::UNAUTHORIZED, "enough"));
        let again = relay.server.grant(session, Grant::all(Path::root())).await;
        assert!(matches!(again, Err(Error::Misuse(_))), "{again:?}");
    }
}

pub(crate) async fn a_shutdown_ends_every_shard<R: Bed>(runtime: R) {
    let mut relay = sharded(runtime);
    let clients = everywhere(&mut relay, 0).await;
    let origin = relay.server.origin();
    relay.server.shutdown(SessionCode::NO_ERROR, "over").await;
    for (mut client, _) in clients {
        let reason = client.closed().await.0;
        assert_eq!((reason.code, &*reason.reason), (SessionCode::NO_ERROR, "over"));
    }
    assert_eq!(origin.publish(&path("a")).await.err(), Some(Error::Shutdown));
}

pub(crate) async fn the_last_handle_ends_every_shard<R: Bed>(runtime: R) {
    let mut relay = sharded(runtime);
    let clients = everywhere(&mut relay, 0).await;
    let broadcast = relay.server.origin().publish(&path("a")).await.unwrap();
    drop(relay.server);
    // What it was made for is there as long as one handle is, on every shard.
    for (client, _) in &clients {
        let mut announced = client.origin().announced(&path("")).await.unwrap();
        assert!(matches!(announced.next().await, Ok(Announced::Active { .. })));
    }
    drop(broadcast);
    for (mut client, _) in clients {
        assert_eq!(client.closed().await.0.code, SessionCode::NO_ERROR);
    }
}

/// What was spawned on it ends when told to, as by a panic.
#[derive(Clone)]
struct Mortal<R> {
    runtime: R,
    dies: Arc<AtomicBool>,
}

impl<R: Runtime> Runtime for Mortal<R> {
    type Socket = R::Socket;
    type Timer = R::Timer;

    fn socket(&self, socket: UdpSocket) -> io::Result<R::Socket> {
        self.runtime.socket(socket)
    }

    fn timer(&self) -> R::Timer {
        self.runtime.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let dies = self.dies.clone();
        self.runtime.spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| match dies.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => task.as_mut().poll(cx),
            })
            .await;
        });
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.runtime.resolve(host, port)
    }
}

pub(crate) async fn a_shard_that_fails_ends_the_server<R: Bed>(runtime: R) {
    for failing in 0..SHARDS {
        let dies = Arc::new(AtomicBool::new(false));
        let mut relay = Relay::build(runtime.clone(), |runtime, options| {
            let mut runtimes: Vec<_> = (0..SHARDS)
                .map(|_| Mortal { runtime: runtime.clone(), dies: Arc::default() })
                .collect();
            runtimes[failing].dies = dies.clone();
            Server::bind_shards(&runtimes, options).unwrap()
        });
        let clients = everywhere(&mut relay, 0).await;
        dies.store(true, Ordering::Relaxed);
        // It is asked something, which wakes it.
        assert_eq!(relay.server.shard_stats().await.err(), Some(Error::Shutdown));
        while relay.server.next().await.is_some() {}
        for (mut client, session) in clients {
            // The one that failed cannot say anything any more.
            if usize::from(session.shard) != failing {
                assert_eq!(client.closed().await.0.code, SessionCode::INTERNAL);
            }
        }
    }
}

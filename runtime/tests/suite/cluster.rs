//! Servers that connect to each other.

use smoq_runtime::{
    Server, ServerEvent, ServerOptions, Status, Statuses, Upstream, Url,
    core::{
        Announced,
        wire::{SessionCode, TrackInfo},
    },
    quic::{ClientTls, ServerTls},
};

use super::tools::*;

/// A server that trusts nobody so far, as its port is not known before it listens.
fn options(tls: ServerTls) -> ServerOptions {
    ServerOptions::new(([127, 0, 0, 1], 0).into(), tls)
}

fn upstream<R: Bed>(relay: &Relay<R>) -> Upstream {
    Upstream::new(relay.url("?token=x"), ClientTls::new(relay.trust.clone()).unwrap())
}

/// A relay of so many shards that dials another one.
fn dialing<R: Bed>(runtime: &R, shards: usize, other: &Relay<R>) -> Relay<R> {
    Relay::build(runtime.clone(), |runtime, mut options| {
        options.connect = vec![upstream(other)];
        Server::bind_shards(&vec![runtime.clone(); shards], options).unwrap()
    })
}

/// The only connection that a server makes.
fn only(server: &mut Server) -> (Url, Statuses) {
    let mut all = server.take_statuses();
    assert_eq!((all.len(), server.take_statuses().len()), (1, 0));
    all.remove(0)
}

async fn connected(statuses: &mut Statuses) -> u32 {
    loop {
        match statuses.next().await {
            Some(Status::Connected { attempt, .. }) => return attempt,
            Some(_) => {}
            None => panic!("a server dials for ever"),
        }
    }
}

/// What is published on one arrives on the other, and is announced there once.
async fn carries<R: Bed>(from: &Relay<R>, to: &Relay<R>, name: &str) {
    let (publisher, subscriber) = (from.client().await, to.client().await);
    let broadcast = publisher.origin().publish(&path(name)).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let origin = subscriber.origin();
    let mut announced = origin.announced(&path("")).await.unwrap();
    let first = announced.next().await.unwrap();
    assert!(matches!(&first, Announced::Active { path, .. } if path.as_str() == name), "{first:?}");
    let mut subscription = origin.subscribe(&path(name), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    for number in 0..10 {
        let mut group = track.group().await.unwrap();
        group.write(number, vec![number as u8; 5000].into()).await.unwrap();
        group.finish().unwrap();
        let mut group = subscription.next_group().await.unwrap().unwrap();
        assert_eq!(group.sequence(), number);
        assert_eq!(group.next_frame().await.unwrap().unwrap().payload, vec![number as u8; 5000]);
    }
    drop((track, broadcast));
    let end = announced.next().await.unwrap();
    assert!(matches!(end, Announced::Ended { .. }), "told once, and withdrawn once: {end:?}");
}

pub(crate) async fn servers_that_dial_each_other_are_one<R: Bed>(runtime: R) {
    let one = Relay::new(runtime.clone());
    let mut other = dialing(&runtime, 1, &one);
    let (url, mut statuses) = only(&mut other.server);
    assert_eq!(url.to_string(), one.url("").to_string(), "without what may be a secret");
    assert_eq!(connected(&mut statuses).await, 1);
    // It is a session as others are.
    let event = other.server.next().await;
    let address = one.server.local_addr();
    assert!(
        matches!(event, Some(ServerEvent::Connected { remote, .. }) if remote == address),
        "{event:?}"
    );
    carries(&one, &other, "from-one").await;
    carries(&other, &one, "from-other").await;
    // Both dial: nothing is told twice, and nothing goes in circles.
    let mut third = Relay::build(runtime.clone(), |runtime, mut options| {
        options.connect = vec![upstream(&one), upstream(&other)];
        Server::bind(runtime, options).unwrap()
    });
    for (_, mut statuses) in third.server.take_statuses() {
        connected(&mut statuses).await;
    }
    for (from, to) in [(&one, &third), (&third, &other), (&other, &one)] {
        carries(from, to, "around").await;
    }
    for relay in [&one, &other, &third] {
        while relay.server.stats().await.unwrap().routes > 0 {
            yield_now().await;
        }
        assert_eq!(relay.server.stats().await.unwrap().violations, 0);
    }
}

pub(crate) async fn a_server_goes_on_dialing<R: Bed>(runtime: R) {
    let (tls, trust) = certificate();
    let stranger = certificate().0;
    // One that is not trusted is no reason to give up for ever.
    let wrong = Server::bind(&runtime, options(stranger)).unwrap();
    let address = wrong.local_addr();
    let mut other = Relay::build(runtime.clone(), |runtime, mut options| {
        let tls = ClientTls::new(trust.clone()).unwrap();
        options.connect = vec![Upstream::new(url::<R>(address, ""), tls)];
        Server::bind(runtime, options).unwrap()
    });
    let (_, mut statuses) = only(&mut other.server);
    for attempt in 1..=2 {
        let status = statuses.next().await;
        let Some(Status::Failed { attempt: told, after: Some(_), .. }) = status else {
            panic!("{status:?}")
        };
        assert_eq!(told, attempt);
    }
    wrong.shutdown(SessionCode::NO_ERROR, "").await;
    let again = || loop_until_bound(&runtime, address, &tls);
    let server = again().await;
    connected(&mut statuses).await;
    server.shutdown(SessionCode::NO_ERROR, "").await;
    let server = again().await;
    connected(&mut statuses).await;
    let relay = Relay { runtime: runtime.clone(), server, trust: trust.clone() };
    carries(&relay, &other, "after").await;
    other.server.shutdown(SessionCode::NO_ERROR, "").await;
    while statuses.next().await.is_some() {}
}

/// A server on a port that may take a moment to be free.
async fn loop_until_bound<R: Bed>(
    runtime: &R,
    address: std::net::SocketAddr,
    tls: &ServerTls,
) -> Server {
    loop {
        match Server::bind(runtime, ServerOptions::new(address, tls.clone())) {
            Ok(server) => return server,
            Err(_) => yield_now().await,
        }
    }
}

pub(crate) async fn shards_dial_together<R: Bed>(runtime: R) {
    let one = Relay::new(runtime.clone());
    let mut other = dialing(&runtime, 2, &one);
    let (_, mut statuses) = only(&mut other.server);
    connected(&mut statuses).await;
    let each = other.server.shard_stats().await.unwrap();
    assert_eq!(each.len(), 3, "one more, which dials");
    assert_eq!(each.iter().map(|stats| stats.sessions).collect::<Vec<_>>(), [0, 0, 1]);
    for number in 0..4 {
        // The system decides to which shard a client goes.
        carries(&one, &other, &format!("there{number}")).await;
        carries(&other, &one, &format!("back{number}")).await;
    }
    one.server.shutdown(SessionCode::NO_ERROR, "").await;
    assert!(matches!(statuses.next().await, Some(Status::Lost { .. })));
}

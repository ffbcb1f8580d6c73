//! A client goes on when its connection does not.

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    time::Duration,
};

use smoq_runtime::{
    ClientOptions, ConnectError, Connection, Reconnect, Server, ServerEvent, ServerOptions, Status,
    Statuses, SubscribeError, Subscription, Timer, TrackWriter, connect,
    core::{
        Start, SubscribeOptions, Version,
        wire::{SessionCode, StreamCode, TrackInfo},
    },
    quic::{ConnectError as QuicError, ServerTls, Trust},
};

use super::{faulty::Faulty, tools::*};

/// Relays that clients take for the same one.
struct Host<R> {
    runtime: R,
    tls: ServerTls,
    trust: Trust,
}

impl<R: Bed> Host<R> {
    fn new(runtime: R) -> Self {
        let (tls, trust) = certificate();
        Self { runtime, tls, trust }
    }

    /// Starts one, when the port is free.
    async fn start(&self, address: SocketAddr) -> Server {
        loop {
            let options = ServerOptions::new(address, self.tls.clone());
            match Server::bind(&self.runtime, options) {
                Ok(server) => return server,
                Err(_) => yield_now().await,
            }
        }
    }

    async fn start_anywhere(&self) -> Server {
        self.start((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    async fn client(
        &self,
        server: &Server,
        version: Version,
        reconnect: Reconnect,
    ) -> (Connection, Statuses) {
        let mut options = ClientOptions::new(self.trust.clone());
        options.versions = vec![version];
        options.reconnect = Some(reconnect);
        let url = url::<R>(server.local_addr(), "");
        let mut connection = connect(&self.runtime, &url, options).await.unwrap();
        let statuses = connection.take_statuses().unwrap();
        assert!(connection.take_statuses().is_none());
        (connection, statuses)
    }
}

/// A publisher and a subscriber of one track.
struct Pair {
    publisher: (Connection, Statuses),
    subscriber: (Connection, Statuses),
    track: TrackWriter,
    subscription: Subscription,
    /// Keeps the broadcast.
    _broadcast: smoq_runtime::Broadcast,
}

impl Pair {
    async fn new<R: Bed>(
        host: &Host<R>,
        server: &Server,
        version: Version,
        reconnect: Reconnect,
    ) -> Self {
        let publisher = host.client(server, version, reconnect.clone()).await;
        let subscriber = host.client(server, version, reconnect).await;
        let broadcast = publisher.0.origin().publish(&path("a")).await.unwrap();
        let info = TrackInfo { max_age_ms: 600_000, ..TrackInfo::default() };
        let mut track = broadcast.track("t", info).await.unwrap();
        let origin = subscriber.0.origin();
        origin.announced(&path("a")).await.unwrap().next().await.unwrap();
        let subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
        track.wanted().await.unwrap();
        Self { publisher, subscriber, track, subscription, _broadcast: broadcast }
    }

    async fn write(&mut self, text: &'static str) {
        let mut group = self.track.group().await.unwrap();
        group.write(0, text.into()).await.unwrap();
        group.finish().unwrap();
    }

    /// The next group has this number and this frame.
    async fn reads(&mut self, sequence: u64, text: &'static str) {
        let mut group = self.subscription.next_group().await.unwrap().unwrap();
        assert_eq!(group.sequence(), sequence);
        assert_eq!(group.next_frame().await.unwrap().unwrap().payload, text);
        assert_eq!(group.next_frame().await.unwrap(), None);
    }
}

async fn lost(statuses: &mut Statuses) {
    let status = statuses.next().await;
    assert!(matches!(status, Some(Status::Lost { .. })), "{status:?}");
}

/// Waits for the next connection, over attempts that fail.
async fn connected(statuses: &mut Statuses) -> SocketAddr {
    loop {
        match statuses.next().await {
            Some(Status::Connected { remote, attempt, .. }) => {
                assert!(attempt > 0);
                return remote;
            }
            Some(Status::Failed { after: Some(_), .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn a_restarted_relay_is_found_again<R: Bed>(runtime: R) {
    for version in [Version::Lite06, Version::Lite03] {
        let host = Host::new(runtime.clone());
        let server = host.start_anywhere().await;
        let address = server.local_addr();
        let mut pair = Pair::new(&host, &server, version, Reconnect::default()).await;
        pair.write("before").await;
        pair.reads(0, "before").await;

        server.shutdown(SessionCode::NO_ERROR, "a restart").await;
        lost(&mut pair.publisher.1).await;
        lost(&mut pair.subscriber.1).await;
        assert!(pair.track.is_wanted(), "the subscriber is expected back");
        pair.write("meanwhile").await;
        let origin = pair.subscriber.0.origin();
        let mut late = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();

        let server = host.start(address).await;
        assert_eq!(connected(&mut pair.publisher.1).await, address);
        connected(&mut pair.subscriber.1).await;
        pair.reads(1, "meanwhile").await;
        pair.write("after").await;
        pair.reads(2, "after").await;
        pair.track.finish().unwrap();
        assert!(pair.subscription.next_group().await.unwrap().is_none());
        let all = read_all(&mut late).await;
        assert_eq!(all.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [0, 1, 2]);
        pair.track.finished().await.unwrap();
        assert_eq!(pair.subscriber.0.try_closed(), None);
        drop(pair);
        server.shutdown(SessionCode::NO_ERROR, "").await;
    }
}

/// What a driver that comes late hears of at once: more of a group that is read, and the end.
pub(crate) async fn a_loss_in_the_middle_of_a_group_is_survived<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let faulty = Faulty::new(host.runtime.clone());
    let gate = faulty.gate.clone();
    let clients = Host { runtime: faulty, tls: host.tls.clone(), trust: host.trust.clone() };
    let server = host.start_anywhere().await;
    let address = server.local_addr();
    let broadcast = server.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let (client, _) = clients.client(&server, Version::ALL[0], Reconnect::default()).await;
    let mut subscription = client.origin().subscribe(&path("a"), "t", lossless()).await.unwrap();
    track.wanted().await.unwrap();
    let mut group = track.group().await.unwrap();
    group.write(0, "begun".into()).await.unwrap();
    let mut reader = subscription.next_group().await.unwrap().unwrap();
    assert_eq!(reader.next_frame().await.unwrap().unwrap().payload, "begun");

    let restart = async {
        // By then the driver knows that both handles wait.
        sleep(&host.runtime, Duration::from_millis(20)).await;
        gate.shut();
        group.write(0, "more".into()).await.unwrap();
        sleep(&host.runtime, Duration::from_millis(20)).await;
        server.shutdown(SessionCode::NO_ERROR, "a restart").await;
        gate.open();
        drop((group, track, broadcast));
        let server = host.start(address).await;
        let broadcast = server.origin().publish(&path("a")).await.unwrap();
        let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
        for _ in 0..2 {
            track.group().await.unwrap().finish().unwrap();
        }
        (server, broadcast, track)
    };
    let read = async { while let Ok(Some(_)) = reader.next_frame().await {} };
    let (next, (_restarted, ())) = join(subscription.next_group(), join(restart, read)).await;
    assert_eq!(next.unwrap().unwrap().sequence(), 1);
}

pub(crate) async fn who_joined_late_misses_nothing_either<R: Bed>(runtime: R) {
    for (version, start) in [
        (Version::Lite06, Start::Latest),
        (Version::Lite06, Start::Aged { floor: 0 }),
        (Version::Lite03, Start::Latest),
    ] {
        let host = Host::new(runtime.clone());
        let server = host.start_anywhere().await;
        let address = server.local_addr();
        let mut pair = Pair::new(&host, &server, version, Reconnect::default()).await;
        let max_age = Duration::from_secs(3600);
        let options = SubscribeOptions { start, max_age, ..SubscribeOptions::default() };
        let origin = pair.subscriber.0.origin();
        pair.subscription = origin.subscribe(&path("a"), "t", options).await.unwrap();
        pair.write("before").await;
        pair.reads(0, "before").await;
        server.shutdown(SessionCode::NO_ERROR, "").await;
        lost(&mut pair.publisher.1).await;
        lost(&mut pair.subscriber.1).await;
        for _ in 0..3 {
            pair.write("meanwhile").await;
        }
        let server = host.start(address).await;
        for sequence in 1..4 {
            pair.reads(sequence, "meanwhile").await;
        }
        drop(pair);
        server.shutdown(SessionCode::NO_ERROR, "").await;
    }
}

pub(crate) async fn finished_waits_for_a_subscriber_to_come_back<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let server = host.start_anywhere().await;
    let address = server.local_addr();
    let mut pair = Pair::new(&host, &server, Version::ALL[0], Reconnect::default()).await;
    server.shutdown(SessionCode::NO_ERROR, "").await;
    lost(&mut pair.publisher.1).await;
    pair.write("late").await;
    pair.track.finish().unwrap();
    {
        let mut timer = host.runtime.timer();
        timer.reset(timer.now() + Duration::from_millis(500));
        let mut finished = pin!(pair.track.finished());
        poll_fn(|cx| {
            assert!(finished.as_mut().poll(cx).is_pending(), "nobody has it");
            timer.poll(cx)
        })
        .await;
    }
    let _server = host.start(address).await;
    let Pair { mut track, mut subscription, .. } = pair;
    let (finished, groups) = join(track.finished(), read_all(&mut subscription)).await;
    finished.unwrap();
    assert_eq!(groups, [(0, vec![b"late".to_vec()])]);
}

pub(crate) async fn a_server_that_goes_moves_its_clients<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let (old, new) = (host.start_anywhere().await, host.start_anywhere().await);
    // The old one would go on for as long as the test may take.
    let reconnect = Reconnect { overlap: Duration::from_secs(600), ..Reconnect::default() };
    let mut pair = Pair::new(&host, &old, Version::ALL[0], reconnect).await;
    let mut group = pair.track.group().await.unwrap();
    group.write(0, "begun".into()).await.unwrap();
    let mut reader = pair.subscription.next_group().await.unwrap().unwrap();
    assert_eq!(reader.next_frame().await.unwrap().unwrap().payload, "begun");

    let there = url::<R>(new.local_addr(), "");
    old.drain(&there.to_string()).await.unwrap();
    for statuses in [&mut pair.publisher.1, &mut pair.subscriber.1] {
        match statuses.next().await {
            Some(Status::Leaving { uri, place }) => {
                assert_eq!((uri, place), (there.to_string(), there.clone()));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(connected(statuses).await, new.local_addr());
    }
    assert_eq!(pair.subscriber.0.remote(), new.local_addr());

    // What was on its way is read to its end; what comes later comes from the new one.
    group.write(1, "ended".into()).await.unwrap();
    group.finish().unwrap();
    assert_eq!(reader.next_frame().await.unwrap().unwrap().payload, "ended");
    assert_eq!(reader.next_frame().await.unwrap(), None);
    drop(reader);
    let mut sequence = 1;
    while old.stats().await.unwrap().sessions > 0 {
        pair.write("on").await;
        pair.reads(sequence, "on").await;
        sequence += 1;
    }
    pair.write("moved").await;
    pair.reads(sequence, "moved").await;
    assert_eq!(new.stats().await.unwrap().sessions, 2);
    for statuses in [&mut pair.publisher.1, &mut pair.subscriber.1] {
        assert!(statuses.try_next().is_none(), "that the old connection ends is no loss");
    }
}

pub(crate) async fn refused_for_good_it_is_not_tried_again<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let mut server = host.start_anywhere().await;
    let address = server.local_addr();
    let version = Version::ALL[0];
    let (mut connection, mut statuses) = host.client(&server, version, Reconnect::default()).await;
    let broadcast = connection.origin().publish(&path("b")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let Some(ServerEvent::Connected { session, .. }) = server.next().await else {
        panic!("nobody else is there")
    };
    server.close_session(session, SessionCode::UNAUTHORIZED, "no token").await.unwrap();
    assert_eq!(connection.closed().await.0.code, SessionCode::UNAUTHORIZED);
    assert!(statuses.next().await.is_none());
    assert!(track.group().await.is_err());

    let mut pair = Pair::new(&host, &server, version, Reconnect::default()).await;
    server.shutdown(SessionCode::NO_ERROR, "").await;
    let other = Host { tls: certificate().0, ..host };
    let (connection, statuses) = &mut pair.subscriber;
    lost(statuses).await;
    let _server = other.start(address).await;
    loop {
        match statuses.next().await {
            Some(Status::Failed { error, after: None, .. }) => {
                let refused = matches!(&error, ConnectError::Quic(QuicError::Certificate { .. }));
                assert!(refused, "{error}");
                break;
            }
            Some(Status::Failed { after: Some(_), .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let text = connection.closed().await.to_string();
    assert!(text.contains("certificate"), "{text}");
    assert!(statuses.next().await.is_none());
    let error = pair.subscription.next_group().await.err();
    assert_eq!(error, Some(SubscribeError::Failed(StreamCode::SESSION_CLOSED)));
}

pub(crate) async fn who_does_not_come_back_is_not_waited_for<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let reconnect = Reconnect { rejoin: Duration::from_millis(200), ..Reconnect::default() };
    for stays in ["publisher", "subscriber"] {
        let server = host.start_anywhere().await;
        let address = server.local_addr();
        let mut pair = Pair::new(&host, &server, Version::ALL[0], reconnect.clone()).await;
        pair.write("unread").await;
        server.shutdown(SessionCode::NO_ERROR, "").await;
        let Pair { mut publisher, mut subscriber, mut subscription, mut track, _broadcast } = pair;
        lost(&mut publisher.1).await;
        lost(&mut subscriber.1).await;
        if stays == "publisher" {
            drop((subscriber, subscription));
            let _server = host.start(address).await;
            connected(&mut publisher.1).await;
            track.drained(0).await.unwrap();
            assert!(!track.is_wanted());
        } else {
            drop((publisher, track, _broadcast));
            let _server = host.start(address).await;
            let error = loop {
                match subscription.next_group().await {
                    Ok(group) => assert!(group.is_some()),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, SubscribeError::Failed(_)), "{error:?}");
            assert_eq!(subscriber.0.try_closed(), None);
        }
    }
}

pub(crate) async fn what_only_the_server_that_goes_has_is_waited_for<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let (old, new) = (host.start_anywhere().await, host.start_anywhere().await);
    let there = url::<R>(new.local_addr(), "").to_string();
    let reconnect = Reconnect { overlap: Duration::from_secs(600), ..Reconnect::default() };
    let (client, mut statuses) = host.client(&old, Version::ALL[0], reconnect).await;
    let before = old.origin().publish(&path("a")).await.unwrap();
    let mut running = before.track("running", TrackInfo::default()).await.unwrap();
    let origin = client.origin();
    origin.announced(&path("a")).await.unwrap().next().await.unwrap();
    // As long as it is read, the old connection stays.
    let _subscription = origin.subscribe(&path("a"), "running", lossless()).await.unwrap();
    running.wanted().await.unwrap();
    old.drain(&there).await.unwrap();
    assert!(matches!(statuses.next().await, Some(Status::Leaving { .. })));
    connected(&mut statuses).await;
    let mut subscription = origin.subscribe(&path("a"), "t", lossless()).await.unwrap();
    assert!(subscription.try_next_group().unwrap().is_none());
    sleep(&host.runtime, Duration::from_millis(100)).await;
    assert!(subscription.try_next_group().unwrap().is_none());

    let after = new.origin().create(&path("a")).await.unwrap();
    let mut track = after.track("t", TrackInfo::default()).await.unwrap();
    track.group().await.unwrap().finish().unwrap();
    after.announce().await.unwrap();
    assert_eq!(subscription.next_group().await.unwrap().unwrap().sequence(), 0);
}

pub(crate) async fn another_publisher_is_noticed<R: Bed>(runtime: R) {
    let host = Host::new(runtime);
    let rejoin = Duration::from_secs(2);
    let reconnect = Reconnect { rejoin, ..Reconnect::default() };
    let mut server = host.start_anywhere().await;
    let address = server.local_addr();
    let mut pair = Pair::new(&host, &server, Version::ALL[0], reconnect.clone()).await;
    for sequence in 0..3 {
        pair.write("text").await;
        pair.reads(sequence, "text").await;
    }
    // The same one, who says nothing for a while.
    let mut sessions = Vec::new();
    while sessions.len() < 2 {
        if let Some(ServerEvent::Connected { session, .. }) = server.next().await {
            sessions.push(session);
        }
    }
    for session in sessions {
        server.close_session(session, SessionCode::NO_ERROR, "").await.unwrap();
    }
    for statuses in [&mut pair.publisher.1, &mut pair.subscriber.1] {
        lost(statuses).await;
        connected(statuses).await;
    }
    sleep(&host.runtime, 2 * rejoin).await;
    pair.write("later").await;
    pair.reads(3, "later").await;

    server.shutdown(SessionCode::NO_ERROR, "").await;
    lost(&mut pair.publisher.1).await;
    lost(&mut pair.subscriber.1).await;
    let server = host.start(address).await;
    let Pair { publisher, track, _broadcast, mut subscription, subscriber } = pair;
    drop((publisher, track, _broadcast));
    let (other, _) = host.client(&server, Version::ALL[0], reconnect).await;
    let broadcast = other.origin().publish(&path("a")).await.unwrap();
    let mut track = broadcast.track("t", TrackInfo::default()).await.unwrap();
    let mut group = track.group().await.unwrap();
    group.write(0, "another".into()).await.unwrap();
    let error = subscription.next_group().await.err();
    assert!(matches!(error, Some(SubscribeError::Failed(_))), "{error:?}");
    drop(subscriber);
}

async fn sleep<R: Bed>(runtime: &R, time: Duration) {
    let mut timer = runtime.timer();
    timer.reset(timer.now() + time);
    poll_fn(|cx| timer.poll(cx)).await;
}

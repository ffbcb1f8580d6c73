//! Tracks are made when somebody asks for them.

use std::{future::poll_fn, task::Poll, time::Duration};

use smoq_runtime::{
    Error, Mux, Requests, Route, SubscribeError, Subscription, TrackRequest, TrackWriter,
    core::{
        Misuse, Version,
        wire::{SessionCode, StreamCode, TrackInfo},
    },
};

use super::tools::*;

const NOT_FOUND: SubscribeError = SubscribeError::Failed(StreamCode::NOT_FOUND);

/// Makes the track, with one group that says which one it is.
async fn write(request: TrackRequest, sequence: u64) -> TrackWriter {
    let text = format!("{} {}", request.path(), request.name());
    let mut track = request.accept(TrackInfo::default()).await.unwrap();
    let mut group = track.group_at(sequence).await.unwrap();
    group.write(0, text.into()).await.unwrap();
    group.finish().unwrap();
    track
}

/// Makes the whole track, and waits until whoever asked has it.
async fn make(request: TrackRequest) {
    let mut track = write(request, 0).await;
    track.wanted().await.unwrap();
    track.finish().unwrap();
    track.finished().await.unwrap();
}

async fn text(subscription: &mut Subscription) -> String {
    let mut group = subscription.next_group().await.unwrap().unwrap();
    let frame = group.next_frame().await.unwrap().unwrap();
    String::from_utf8(frame.payload.to_vec()).unwrap()
}

pub(crate) async fn a_track_is_made_when_somebody_asks<R: Bed>(runtime: R) {
    for version in Version::ALL {
        let relay = Relay::new(runtime.clone());
        let (publisher, subscriber) =
            (relay.client_of(version).await, relay.client_of(version).await);
        let broadcast = publisher.origin().create(&path("cam")).await.unwrap();
        let mut requests = broadcast.requests().await.unwrap();
        let again = broadcast.requests().await;
        assert_eq!(again.err(), Some(Error::Misuse(Misuse::DuplicateRequests)), "{version}");
        broadcast.announce().await.unwrap();
        let origin = subscriber.origin();
        origin.announced(&path("cam")).await.unwrap().next().await.unwrap();
        let mut subscription = origin.subscribe(&path("cam"), "high", lossless()).await.unwrap();
        let request = requests.next().await.unwrap();
        assert_eq!((request.path().as_str(), request.name()), ("cam", "high"), "{version}");
        let reading = async {
            assert_eq!(text(&mut subscription).await, "cam high", "{version}");
            assert!(subscription.next_group().await.unwrap().is_none(), "{version}");
        };
        join(make(request), reading).await;

        for dropped in [false, true] {
            let mut missing = origin.subscribe(&path("cam"), "low", lossless()).await.unwrap();
            let request = requests.next().await.unwrap();
            if dropped {
                drop(request)
            } else {
                request.decline()
            }
            assert_eq!(missing.next_group().await.err(), Some(NOT_FOUND), "{version}");
        }
        // A request that was answered by a track of that name has nothing left to decline.
        let mut made = origin.subscribe(&path("cam"), "made", lossless()).await.unwrap();
        let request = requests.next().await.unwrap();
        let mut track = broadcast.track("made", TrackInfo::default()).await.unwrap();
        drop(request);
        let mut group = track.group().await.unwrap();
        group.write(0, "cam made".into()).await.unwrap();
        group.finish().unwrap();
        assert_eq!(text(&mut made).await, "cam made", "{version}");
        // By itself, one group.
        if version.serves_fetch() {
            let mut one = origin.fetch(&path("cam"), "past", 7, 0).await.unwrap();
            let request = requests.next().await.unwrap();
            assert_eq!(request.name(), "past", "{version}");
            // It may be asked what the track is like some time before it is asked for the group.
            let _track = write(request, 7).await;
            assert_eq!(text(&mut one).await, "cam past", "{version}");
        }
        // The publisher's own readers ask too.
        let own = publisher.origin();
        let mut own = own.subscribe(&path("cam"), "own", lossless()).await.unwrap();
        let request = requests.next().await.unwrap();
        // The writer waits for it, as for any other reader.
        let reading = async move { assert_eq!(text(&mut own).await, "cam own") };
        join(make(request), reading).await;
        assert!(requests.try_next().unwrap().is_none(), "{version}");
    }
}

pub(crate) async fn a_mux_says_who_serves_what_is_asked_for<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (publisher, subscriber) = (relay.client().await, relay.client().await);
    let mut mux = Mux::new();
    mux.insert(Route::prefix(path("rooms")).track("chat"), "chat");
    mux.insert(Route::exact(path("rooms/lobby")), "lobby");
    // One broadcast says where all that is below is to be had.
    let _rooms = publisher.origin().publish(&path("rooms")).await.unwrap();
    let mut requests = publisher.origin().requests(&path("rooms")).await.unwrap();
    let origin = subscriber.origin();
    origin.announced(&path("rooms")).await.unwrap().next().await.unwrap();
    let asked = [
        ("rooms/7", "chat", Some("chat")),
        ("rooms/7", "video", None),
        ("rooms/lobby", "chat", Some("lobby")),
        ("rooms/lobby/2", "chat", Some("chat")),
    ];
    for (at, name, served) in asked {
        let mut subscription = origin.subscribe(&path(at), name, lossless()).await.unwrap();
        let request = requests.next().await.unwrap();
        let found = mux.find(request.path(), request.name()).copied();
        assert_eq!(found, served, "{at} {name}");
        if found.is_none() {
            drop(request);
            assert_eq!(subscription.next_group().await.err(), Some(NOT_FOUND));
            continue;
        }
        let reading = async { assert_eq!(text(&mut subscription).await, format!("{at} {name}")) };
        join(make(request), reading).await;
    }
    // A server is asked by its peers for what nobody has announced.
    let mut here = relay.server.origin().requests(&path("here")).await.unwrap();
    let mut subscription = origin.subscribe(&path("here/1"), "t", lossless()).await.unwrap();
    let request = here.next().await.unwrap();
    join(make(request), async { assert_eq!(text(&mut subscription).await, "here/1 t") }).await;
}

/// Asks once, and gives up at once.
async fn glance(requests: &mut Requests) {
    poll_fn(|cx| match requests.poll_next(cx) {
        Poll::Pending => Poll::Ready(()),
        Poll::Ready(_) => panic!("nobody asks yet"),
    })
    .await;
}

pub(crate) async fn a_track_that_nobody_reads_ends<R: Bed>(runtime: R) {
    // The same limit bounds how long the request waits to be accepted.
    let limit = Duration::from_secs(3);
    let relay = Relay::with(runtime, |options| options.node.limits.wanted_timeout = limit);
    let mut requests = relay.server.origin().requests(&path("cam")).await.unwrap();
    let client = relay.client().await;
    let subscription = client.origin().subscribe(&path("cam"), "t", lossless()).await.unwrap();
    let mut track = requests.next().await.unwrap().accept(TrackInfo::default()).await.unwrap();
    track.wanted().await.unwrap();
    drop(subscription);
    while track.is_wanted() {
        yield_now().await;
    }
    let stale = Some(Error::Misuse(Misuse::Stale));
    assert_eq!(track.wanted().await.err(), stale);
    assert_eq!(track.group().await.err(), stale);
    assert_eq!(track.drained(0).await.err(), stale);
}

pub(crate) async fn requests_end_with_their_handle<R: Bed>(runtime: R) {
    let relay = Relay::new(runtime);
    let (mut publisher, subscriber) = (relay.client().await, relay.client().await);
    let broadcast = publisher.origin().create(&path("cam")).await.unwrap();
    let mut requests = broadcast.requests().await.unwrap();
    broadcast.announce().await.unwrap();
    let origin = subscriber.origin();
    origin.announced(&path("cam")).await.unwrap().next().await.unwrap();
    let ask = async |name| origin.subscribe(&path("cam"), name, lossless()).await.unwrap();
    // What is cancelled takes nothing with it.
    for _ in 0..3 {
        glance(&mut requests).await;
    }
    let mut kept = ask("kept").await;
    let kept_request = requests.next().await.unwrap();
    let (mut first, mut second) = (ask("first").await, ask("second").await);
    let told = requests.next().await.unwrap();
    // What waits is declined, told or not; what was made stays.
    let track = kept_request.accept(TrackInfo::default()).await.unwrap();
    drop(requests);
    for declined in [&mut first, &mut second] {
        assert_eq!(declined.next_group().await.err(), Some(NOT_FOUND));
    }
    let late = told.accept(TrackInfo::default()).await;
    assert_eq!(late.err(), Some(Error::Misuse(Misuse::Stale)));
    assert!(track.is_wanted());
    drop(track);
    let cancelled = Some(SubscribeError::Failed(StreamCode::CANCEL));
    assert_eq!(kept.next_group().await.err(), cancelled);

    // A broadcast takes its requests with it.
    let mut requests = broadcast.requests().await.unwrap();
    drop(broadcast);
    assert_eq!(requests.next().await.err(), Some(Error::Misuse(Misuse::Stale)));
    // So does the connection.
    let mut requests = publisher.origin().requests(&path("")).await.unwrap();
    relay.server.shutdown(SessionCode::NO_ERROR, "over").await;
    let lost = Some(Error::Disconnected(publisher.closed().await));
    assert_eq!(requests.next().await.err(), lost);
    assert_eq!(publisher.origin().requests(&path("a")).await.err(), lost);
}

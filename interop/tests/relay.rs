//! The `smoq` binary against moq-tokio over raw QUIC and WebTransport, byte for byte, for each version they
//! share.

mod support;

use moq_peer::{
    Dial, Error, Groups, Link, Role, Server, Shape, Sink, Source, Trust, Version, concat,
};
use support::{BROADCAST, Case, Deadline, Relay, Smoq, TRACK, Target, matrix};

/// More than one packet per frame, and more groups than a few round trips.
const SHAPE: Shape = Shape { groups: 25, frames: 6, frame_size: 4000 };

fn payload() -> Vec<u8> {
    concat(&SHAPE.groups())
}

async fn dial(deadline: &Deadline, target: &Target, case: Case, role: Role<'_>) -> Link {
    let version: Version = case.version.parse().expect("a version of moq-net");
    let dial = Dial {
        url: target.url.parse().expect("a URL"),
        version: Some(version),
        trust: Trust::Fingerprint(target.fingerprint.clone()),
    };
    let link = deadline.step("the peer to connect", dial.connect(role)).await;
    assert_eq!(link.version(), Some(version));
    link
}

async fn serve(deadline: &Deadline, case: Case, role: Role<'_>) -> (Server, Target) {
    let version = case.version.parse().expect("a version of moq-net");
    let server = deadline.step("the peer to listen", Server::start(Some(version), role)).await;
    let target = Target {
        url: server.url().as_str().trim_end_matches('/').into(),
        fingerprint: server.fingerprint().into(),
    };
    (server, target.over(case.scheme))
}

fn source() -> Source {
    Source::new(BROADCAST, TRACK).expect("announce the broadcast")
}

async fn write(deadline: &Deadline, source: &Source) {
    deadline.step("a subscription to reach the peer", source.wanted()).await;
    source.write(&SHAPE.groups()).expect("write the groups");
    source.finish().expect("finish the track");
}

async fn collect(deadline: &Deadline, sink: &Sink) -> Groups {
    let track = sink.collect(BROADCAST, TRACK);
    deadline.step("the peer to receive the whole track", track).await
}

/// Where smoq cuts its input depends on when the input arrives, so only the bytes are compared.
fn assert_payload(groups: &Groups) {
    let bytes = concat(groups);
    let sequences: Vec<_> = groups.keys().collect();
    assert!(bytes == payload(), "{} bytes in the groups {sequences:?}", bytes.len());
}

/// The peer publishes, smoq relays, smoq subscribes.
async fn peer_to_smoq(case: Case) {
    let deadline = Deadline::start();
    let relay = Relay::start(&deadline, case.scheme).await;
    let source = source();
    let _link = dial(&deadline, relay.target(), case, Role::Publish(&source)).await;
    let subscriber = Smoq::subscribe(relay.target(), &[]);
    let (output, ()) = tokio::join!(subscriber.output(&deadline), write(&deadline, &source));
    assert!(output == payload(), "{} bytes arrived changed", output.len());
}

/// smoq publishes, smoq relays, the peer subscribes.
async fn smoq_to_peer(case: Case) {
    let deadline = Deadline::start();
    let relay = Relay::start(&deadline, case.scheme).await;
    let sink = Sink::new();
    let mut watch = sink.watch(BROADCAST);
    let _link = dial(&deadline, relay.target(), case, Role::Subscribe(&sink)).await;
    let mut publisher = Smoq::publish(relay.target(), SHAPE, &[]);
    deadline.step("smoq's announcement", watch.announced()).await;
    let payload = payload();
    let (groups, ()) = tokio::join!(collect(&deadline, &sink), publisher.feed(&deadline, &payload));
    assert_payload(&groups);
    publisher.output(&deadline).await;
    deadline.step("the end of smoq's announcement", watch.unannounced()).await;
}

/// The peer publishes, smoq relays, another peer subscribes.
async fn peer_to_peer(case: Case) {
    let deadline = Deadline::start();
    let relay = Relay::start(&deadline, case.scheme).await;
    let (source, sink) = (source(), Sink::new());
    let mut watch = sink.watch(BROADCAST);
    let publisher = dial(&deadline, relay.target(), case, Role::Publish(&source)).await;
    let _subscriber = dial(&deadline, relay.target(), case, Role::Subscribe(&sink)).await;
    deadline.step("the peer's announcement", watch.announced()).await;
    let (groups, ()) = tokio::join!(collect(&deadline, &sink), write(&deadline, &source));
    assert_eq!(groups, SHAPE.groups());
    drop(publisher);
    deadline.step("the end of the peer's announcement", watch.unannounced()).await;
}

/// smoq publishes straight to a moq-tokio server.
async fn smoq_to_server(case: Case) {
    let deadline = Deadline::start();
    let sink = Sink::new();
    let (_server, target) = serve(&deadline, case, Role::Subscribe(&sink)).await;
    let mut publisher = Smoq::publish(&target, SHAPE, &["--moq-version", case.version]);
    let (payload, mut groups) = (payload(), Groups::new());
    let read = async {
        let end = sink.read(BROADCAST, TRACK, &mut groups).await;
        end.or_else(|error| ended_without_end(case.version, error))
    };
    tokio::join!(
        deadline.step("the peer to receive the whole track", read),
        publisher.feed(&deadline, &payload)
    );
    assert_payload(&groups);
    publisher.output(&deadline).await;
}

/// Before 05 nothing says that a track has ended. A moq-net reader waits some time after the FIN, and
/// fails if the session closes in that time; it does so with a publisher of its own kind too.
fn ended_without_end(version: &str, error: Error) -> Result<(), Error> {
    let has_end = !matches!(version, "moq-lite-03" | "moq-lite-04");
    if has_end || !error.is_orderly_close() {
        return Err(error);
    }
    Ok(())
}

/// smoq subscribes straight to a moq-tokio server.
async fn server_to_smoq(case: Case) {
    let deadline = Deadline::start();
    let source = source();
    let (_server, target) = serve(&deadline, case, Role::Publish(&source)).await;
    let subscriber = Smoq::subscribe(&target, &["--moq-version", case.version]);
    let (output, ()) = tokio::join!(subscriber.output(&deadline), write(&deadline, &source));
    assert!(output == payload(), "{} bytes arrived changed", output.len());
}

/// What the peer refuses, smoq refuses for the same reason.
async fn refusal_by_peer(case: Case) {
    let deadline = Deadline::start();
    let relay = Relay::start(&deadline, case.scheme).await;
    let source = source();
    let _publisher = dial(&deadline, relay.target(), case, Role::Publish(&source)).await;
    assert_refused(&deadline, relay.target(), case).await;
}

/// What smoq refuses, the peer understands.
async fn refusal_by_smoq(case: Case) {
    let deadline = Deadline::start();
    let relay = Relay::start(&deadline, case.scheme).await;
    let _publisher = Smoq::publish(relay.target(), SHAPE, &[]);
    assert_refused(&deadline, relay.target(), case).await;
}

async fn assert_refused(deadline: &Deadline, target: &Target, case: Case) {
    let sink = Sink::new();
    let _subscriber = dial(deadline, target, case, Role::Subscribe(&sink)).await;
    let refused = async {
        match sink.collect(BROADCAST, "no-such-track").await {
            Ok(groups) => Err(format!("served {} groups", groups.len())),
            Err(error) => Ok(error),
        }
    };
    let error = deadline.step("the refusal of a track", refused).await;
    assert!(error.is_not_found(), "{error:?}");
}

matrix! {
    [
        peer_to_smoq,
        smoq_to_peer,
        peer_to_peer,
        refusal_by_peer,
        refusal_by_smoq,
        smoq_to_server,
        server_to_smoq,
    ]
    lite_03 => "moq-lite-03" over "moqt",
    lite_04 => "moq-lite-04" over "moqt",
    lite_05 => "moq-lite-05" over "moqt",
    lite_06 => "moq-lite-06" over "moqt",
    lite_03_web => "moq-lite-03" over "https",
    lite_04_web => "moq-lite-04" over "https",
    lite_05_web => "moq-lite-05" over "https",
    lite_06_web => "moq-lite-06" over "https",
}

/// Without a version to insist on, the newest common one is agreed on.
#[tokio::test]
async fn the_newest_version_wins() {
    for scheme in ["moqt", "https"] {
        newest_version(scheme).await;
    }
}

async fn newest_version(scheme: &str) {
    let deadline = Deadline::start();
    let relay = Relay::start(&deadline, scheme).await;
    let source = source();
    let dial = Dial {
        url: relay.target().url.parse().expect("a URL"),
        version: None,
        trust: Trust::Fingerprint(relay.target().fingerprint.clone()),
    };
    let link = deadline.step("the peer to connect", dial.connect(Role::Publish(&source))).await;
    assert_eq!(link.version(), "moq-lite-06".parse().ok());
}

//! The peer against itself: what passes here and fails against smoq is the fault of smoq.

use std::time::Duration;

use moq_peer::{Dial, Error, Role, Server, Shape, Sink, Source, Trust, Version};

const SHAPE: Shape = Shape { groups: 20, frames: 5, frame_size: 3000 };

async fn within<T>(what: &str, step: impl Future<Output = Result<T, Error>>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), step).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("waited 20 s for {what}"),
    }
}

fn dial(server: &Server, version: Version) -> Dial {
    Dial {
        url: server.url().clone(),
        version: Some(version),
        trust: Trust::Fingerprint(server.fingerprint().into()),
    }
}

fn lite() -> impl Iterator<Item = Version> {
    ["moq-lite-03", "moq-lite-04", "moq-lite-05", "moq-lite-06"]
        .into_iter()
        .map(|name| name.parse().expect("a version of moq-net"))
}

async fn write(source: &Source) {
    within("a subscription", source.wanted()).await;
    source.write(&SHAPE.groups()).expect("write the groups");
    source.finish().expect("finish the track");
}

#[tokio::test]
async fn a_client_publishes_to_a_server() {
    for version in lite() {
        let sink = Sink::new();
        let mut watch = sink.watch("room/cam");
        let server = within("the server", Server::start(None, Role::Subscribe(&sink))).await;
        let source = Source::new("room/cam", "video").expect("announce");
        let link = within("the link", dial(&server, version).connect(Role::Publish(&source))).await;
        assert_eq!(link.version(), Some(version));
        within("the announcement", watch.announced()).await;
        let (groups, ()) = tokio::join!(
            within("the end of the track", sink.collect("room/cam", "video")),
            write(&source),
        );
        assert_eq!(groups, SHAPE.groups(), "{version}");
        drop(source);
        within("the end of the broadcast", watch.unannounced()).await;
    }
}

#[tokio::test]
async fn a_client_subscribes_to_a_server() {
    for version in lite() {
        let source = Source::new("room/cam", "video").expect("announce");
        let server =
            within("the server", Server::start(Some(version), Role::Publish(&source))).await;
        let sink = Sink::new();
        let link = within("the link", dial(&server, version).connect(Role::Subscribe(&sink))).await;
        assert_eq!(link.version(), Some(version));
        let (groups, ()) = tokio::join!(
            within("the end of the track", sink.collect("room/cam", "video")),
            write(&source),
        );
        assert_eq!(groups, SHAPE.groups(), "{version}");
    }
}

#[tokio::test]
async fn a_wrong_fingerprint_is_refused() {
    let sink = Sink::new();
    let server = within("the server", Server::start(None, Role::Subscribe(&sink))).await;
    let mut dial = dial(&server, lite().last().expect("four versions"));
    dial.trust = Trust::Fingerprint("00".repeat(32));
    let source = Source::new("room/cam", "video").expect("announce");
    assert!(dial.connect(Role::Publish(&source)).await.is_err());
}

#[tokio::test]
async fn a_missing_track_is_not_found() {
    for version in lite() {
        let source = Source::new("room/cam", "video").expect("announce");
        let server =
            within("the server", Server::start(Some(version), Role::Publish(&source))).await;
        let sink = Sink::new();
        let _link =
            within("the link", dial(&server, version).connect(Role::Subscribe(&sink))).await;
        let error = within("the refusal", async {
            Ok(sink.collect("room/cam", "audio").await.expect_err("there is no audio"))
        });
        assert!(error.await.is_not_found(), "{version}");
    }
}

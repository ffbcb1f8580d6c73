//! The `moq-peer` binary against a moq-tokio server in this process.

use std::{process::Stdio, time::Duration};

use moq_peer::{Error, Groups, Role, Server, Shape, Sink, Source, concat, split};
use tokio::{io::AsyncWriteExt, process::Command};

const SHAPE: Shape = Shape { groups: 3, frames: 2, frame_size: 1500 };

async fn within<T, E: std::fmt::Display>(
    what: &str,
    step: impl Future<Output = Result<T, E>>,
) -> T {
    match tokio::time::timeout(Duration::from_secs(20), step).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("waited 20 s for {what}"),
    }
}

fn moq_peer(verb: &str, server: &Server, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moq-peer"));
    command
        .args([verb, server.url().as_str(), "room/cam", "video"])
        .args(["--version", "moq-lite-06", "--tls-fingerprint", server.fingerprint()])
        .args(more)
        .kill_on_drop(true);
    command
}

/// Runs `moq-peer publish` with this input, and returns what arrived at the server.
async fn published(more: &[&str], input: &[u8]) -> Groups {
    let sink = Sink::new();
    let server = within("the server", Server::start(None, Role::Subscribe(&sink))).await;
    let mut publisher =
        moq_peer("publish", &server, more).stdin(Stdio::piped()).spawn().expect("start moq-peer");
    let mut stdin = publisher.stdin.take().expect("stdin is piped");
    within("moq-peer to read", stdin.write_all(input)).await;
    drop(stdin);
    let groups = within("the track", sink.collect("room/cam", "video")).await;
    drop(server);
    let status = within("moq-peer to exit", publisher.wait()).await;
    assert!(status.success(), "moq-peer ended with {status}");
    groups
}

#[tokio::test]
async fn publish_a_pattern() {
    assert_eq!(published(&["--pattern", "3x2x1500"], &[]).await, SHAPE.groups());
}

#[tokio::test]
async fn publish_the_standard_input() {
    let input = concat(&SHAPE.groups());
    let args = ["--frame-size", "1000", "--group-frames", "4"];
    assert_eq!(published(&args, &input).await, split(&input, 1000, 4));
}

#[tokio::test]
async fn subscribe_to_the_standard_output() {
    let source = Source::new("room/cam", "video").expect("announce");
    let server = within("the server", Server::start(None, Role::Publish(&source))).await;
    let subscriber = moq_peer("subscribe", &server, &[]).output();
    let write = async {
        source.wanted().await?;
        source.write(&SHAPE.groups())?;
        source.finish()?;
        Ok::<_, Error>(())
    };
    let (output, ()) =
        tokio::join!(within("moq-peer to exit", subscriber), within("a subscription", write));
    assert!(output.status.success(), "moq-peer ended with {}", output.status);
    assert!(output.stdout == concat(&SHAPE.groups()));
}

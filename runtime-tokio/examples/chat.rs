//! A chat: everybody publishes below `chat`, watches that prefix, and subscribes to whoever appears.
//!
//!     cargo run -p smoq-tokio --example chat
//!
//! Nobody has to know the others before. It prints, in some order:
//!
//!     ann hears from bob: hello, I am bob
//!     bob hears from ann: hello, I am ann

mod support;

use std::time::Duration;

use bytes::Bytes;
use smoq_tokio::{
    Broadcast, ClientOptions, Connection, Origin, TrackWriter, Url, connect,
    core::{Announced, Path, Start, SubscribeOptions, wire::TrackInfo},
    quic::Trust,
};
use support::{Result, server};

const TRACK: &str = "messages";

#[tokio::main]
async fn main() -> Result {
    let (_server, url, trust) = server("", |_| {})?;
    // What each returns keeps it there until both have heard the other.
    tokio::try_join!(talk("ann", &url, &trust), talk("bob", &url, &trust))?;
    Ok(())
}

/// Says hello, and hears one other person do so.
async fn talk(
    name: &str,
    url: &Url,
    trust: &Trust,
) -> Result<(Connection, Broadcast, TrackWriter)> {
    let connection = connect(url, ClientOptions::new(trust.clone())).await?;
    let origin = connection.origin();
    let own = Path::new(&format!("chat/{name}"))?;

    let broadcast = origin.create(&own).await?;
    let mut track = broadcast.track(TRACK, TrackInfo::default()).await?;
    broadcast.announce().await?;
    // A message is a group: each stands for itself, and who comes later gets the latest.
    let mut group = track.group().await?;
    group.write(0, Bytes::from(format!("hello, I am {name}"))).await?;
    group.finish()?;

    let mut people = origin.announced(&Path::new("chat")?).await?;
    loop {
        let Announced::Active { path, .. } = people.next().await? else { continue };
        if path != own {
            let text = first_message(&origin, &path).await?;
            println!("{name} hears from {}: {text}", path.as_str().trim_start_matches("chat/"));
            return Ok((connection, broadcast, track));
        }
    }
}

async fn first_message(origin: &Origin, path: &Path) -> Result<String> {
    // Messages must not be left out because newer ones exist.
    let (start, max_age) = (Start::From(0), Duration::MAX);
    let options = SubscribeOptions { start, max_age, ..SubscribeOptions::default() };
    let mut subscription = origin.subscribe(path, TRACK, options).await?;
    let mut group = subscription.next_group().await?.ok_or("no message")?;
    let frame = group.next_frame().await?.ok_or("an empty message")?;
    Ok(String::from_utf8_lossy(&frame.payload).into_owned())
}

#[test]
fn it_works() {
    main().unwrap();
}

//! A clock: each second is a group, and who looks at it wants the newest one only.
//!
//!     cargo run -p smoq-tokio --example clock
//!
//! It prints three times of day, each as the publisher wrote it:
//!
//!     12:34:56
//!     12:34:57
//!     12:34:58

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use smoq_tokio::{
    ClientOptions, TrackWriter, connect,
    core::{Path, SubscribeOptions, wire::TrackInfo},
};
use support::{Result, server};

/// A second, shortened so that nobody has to wait.
const SECOND: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result {
    let (_server, url, trust) = server("", |_| {})?;
    let name = Path::new("clock")?;

    let publisher = connect(&url, ClientOptions::new(trust.clone())).await?;
    let broadcast = publisher.origin().create(&name).await?;
    let track = broadcast.track("time", TrackInfo::default()).await?;
    broadcast.announce().await?;
    tokio::spawn(tell(track));

    let viewer = connect(&url, ClientOptions::new(trust)).await?;
    let origin = viewer.origin();
    origin.announced(&name).await?.next().await?;
    // The default begins at the newest group, and leaves out what has become old.
    let mut subscription = origin.subscribe(&name, "time", SubscribeOptions::default()).await?;
    for _ in 0..3 {
        let Some(mut group) = subscription.next_group().await? else { break };
        while let Some(frame) = group.next_frame().await? {
            println!("{}", String::from_utf8_lossy(&frame.payload));
        }
    }
    Ok(())
}

/// Writes the time of day, group after group, until the connection is over.
async fn tell(mut track: TrackWriter) -> Result {
    let begin = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut pause = tokio::time::interval(SECOND);
    for second in 0.. {
        pause.tick().await;
        let time = begin + second;
        let text = format!("{:02}:{:02}:{:02}", time / 3600 % 24, time / 60 % 60, time % 60);
        let mut group = track.group().await?;
        group.write(second * 1000, Bytes::from(text)).await?;
        group.finish()?;
    }
    Ok(())
}

#[test]
fn it_works() {
    main().unwrap();
}

//! Fetch: somebody who comes late looks at a group of the past, without a subscription.
//!
//!     cargo run -p smoq-tokio --example fetch
//!
//! The group comes from whoever still holds it on the way. It prints:
//!
//!     chapter 1: once upon a time
//!     chapter 9 is not there: not found

mod support;

use bytes::Bytes;
use smoq_tokio::{
    ClientOptions, SubscribeError, connect,
    core::{
        Path,
        wire::{StreamCode, TrackInfo},
    },
};
use support::{Result, server};

#[tokio::main]
async fn main() -> Result {
    let (_server, url, trust) = server("", |_| {})?;
    let name = Path::new("book")?;

    let publisher = connect(&url, ClientOptions::new(trust.clone())).await?;
    let broadcast = publisher.origin().create(&name).await?;
    let mut track = broadcast.track("chapters", TrackInfo::default()).await?;
    broadcast.announce().await?;
    for text in ["contents", "once upon a time", "and they lived happily"] {
        let mut group = track.group().await?;
        group.write(0, Bytes::from(text)).await?;
        group.finish()?;
    }

    let reader = connect(&url, ClientOptions::new(trust)).await?;
    let origin = reader.origin();
    origin.announced(&name).await?.next().await?;
    for chapter in [1, 9] {
        let mut fetch = origin.fetch(&name, "chapters", chapter, 128).await?;
        match fetch.next_group().await {
            Ok(Some(mut group)) => {
                while let Some(frame) = group.next_frame().await? {
                    println!("chapter {chapter}: {}", String::from_utf8_lossy(&frame.payload));
                }
            }
            Ok(None) => println!("chapter {chapter} is empty"),
            Err(SubscribeError::Failed(code)) if code == StreamCode::NOT_FOUND => {
                println!("chapter {chapter} is not there: {code}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[test]
fn it_works() {
    main().unwrap();
}

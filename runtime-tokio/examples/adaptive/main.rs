//! Adaptive: a viewer takes the better of two renditions while the way to it has room for that, as the server
//! estimates by PROBE.
//!
//!     cargo run -p smoq-tokio --example adaptive
//!
//! What it prints, and how it decides, is in `README.md` beside this file.

mod bottleneck;
mod policy;
mod shaper;
#[path = "../support/mod.rs"]
mod support;
mod viewer;

use std::time::{Duration, Instant};

use shaper::Shaper;
use smoq_tokio::{
    ClientOptions, Connection, GroupReader, Subscription, TrackWriter, connect,
    core::{Path, SubscribeOptions, wire::TrackInfo},
};
use support::{Result, server};
use tokio::{
    sync::mpsc::{Receiver, channel},
    time::{sleep, sleep_until},
};
use viewer::{Clock, NAMES, watch, write};

/// Bits per second.
const AMPLE: u64 = 10_000_000;
const NARROW: u64 = 1_000_000;

struct Tokio;

impl Clock for Tokio {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep_until(&self, at: Instant) {
        sleep_until(at.into()).await;
    }
}

#[tokio::main]
async fn main() -> Result {
    run().await
}

async fn run() -> Result {
    let (server, url, trust) = server("", |_| {})?;
    let path = Path::new("show")?;
    let publisher = connect(&url, ClientOptions::new(trust.clone())).await?;
    let broadcast = publisher.origin().create(&path).await?;
    let mut tracks = [
        broadcast.track(NAMES[0], TrackInfo::default()).await?,
        broadcast.track(NAMES[1], TrackInfo::default()).await?,
    ];
    broadcast.announce().await?;

    // The viewer alone is behind the bottleneck.
    let shaper = Shaper::new(server.local_addr(), AMPLE).await?;
    let url = format!("moqt://{}", shaper.address).parse()?;
    let viewer = connect(&url, ClientOptions::new(trust)).await?;
    viewer.origin().announced(&path).await?.next().await?;
    let (shows, mut shown) = channel(16);
    tokio::select! {
        result = write(&Tokio, &mut tracks) => result,
        result = watch(&Tokio, &viewer, &path, |name| _ = shows.try_send(name)) => result,
        result = play(&shaper, &mut shown) => result,
    }
}

/// Makes the way narrow and wide again, and tells what the viewer shows then.
async fn play(shaper: &Shaper, shown: &mut Receiver<&'static str>) -> Result {
    let steps = [
        ("10 Mbit/s", AMPLE, "high", 5),
        ("1 Mbit/s", NARROW, "low", 8),
        ("10 Mbit/s", AMPLE, "high", 1),
    ];
    let mut current = "";
    for (words, rate, expected, stay) in steps {
        while let Ok(name) = shown.try_recv() {
            current = name;
        }
        shaper.set_rate(rate);
        println!("the way has {words}");
        let start = Instant::now();
        while current != expected {
            current = shown.recv().await.ok_or("the viewer has ended")?;
        }
        println!("  {expected} after {:.1} s", start.elapsed().as_secs_f64());
        sleep(Duration::from_secs(stay)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works() {
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, run()).await.expect("it ends in time").unwrap();
}

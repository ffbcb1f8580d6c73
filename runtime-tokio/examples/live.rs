//! Sound and pictures as two processes, to be set apart by a network: `scripts/bottleneck.sh` does so.
//!
//!     cargo run -p smoq-tokio --example live publish moqt://localhost:4443
//!     cargo run -p smoq-tokio --example live watch moqt://localhost:4443 20
//!
//! Who watches prints, after so many seconds, what came of each track, and how late. The clocks of both have to
//! agree, as on one machine.

use std::{
    env, error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use smoq_tokio::{
    ClientOptions, Origin, TrackWriter, Url, connect,
    core::{Path, SubscribeOptions, wire::TrackInfo},
    quic::Trust,
};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep, sleep_until, timeout},
};

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error + Send + Sync>>;

/// A track: its name and priority, the microseconds of a frame, the frames of a group, and the bytes of the
/// first one and of the others.
const TRACKS: [(&str, u8, u64, u64, [usize; 2]); 2] =
    [("audio", 200, 20_000, 1, [160, 160]), ("video", 100, 33_333, 15, [30_000, 9000])];

const MAX_AGE: Duration = Duration::from_millis(300);

/// How long a viewer waits for the publisher.
const PATIENCE: Duration = Duration::from_secs(20);

/// Frames read that may wait to be counted.
const WAITING: usize = 100;

#[tokio::main]
async fn main() -> Result {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["publish", url] => publish(&url.parse()?).await,
        ["watch", url, seconds] => watch(&url.parse()?, seconds.parse()?).await,
        _ => Err("usage: live publish URL | live watch URL SECONDS".into()),
    }
}

async fn publish(url: &Url) -> Result {
    let mut connection = connect(url, ClientOptions::new(Trust::Insecure)).await?;
    let broadcast = connection.origin().create(&Path::new("show")?).await?;
    for (name, priority, period, count, sizes) in TRACKS {
        let info = TrackInfo { priority, timescale: 1_000_000, ..TrackInfo::default() };
        let track = broadcast.track(name, info).await?;
        tokio::spawn(write(track, Duration::from_micros(period), count, sizes));
    }
    broadcast.announce().await?;
    Err(connection.closed().await.to_string().into())
}

async fn write(mut track: TrackWriter, period: Duration, count: u64, sizes: [usize; 2]) -> Result {
    let mut clock = interval(period);
    loop {
        let mut group = track.group().await?;
        for index in 0..count {
            clock.tick().await;
            let now = now();
            let payload = Bytes::from(vec![7; sizes[usize::from(index > 0)]]);
            group.write(now, payload).await?;
        }
        group.finish()?;
    }
}

async fn watch(url: &Url, seconds: u64) -> Result {
    let connection = connect(url, ClientOptions::new(Trust::Insecure)).await?;
    let origin = connection.origin();
    let mut announced = origin.announced(&Path::new("show")?).await?;
    let first = timeout(PATIENCE, announced.next()).await;
    first.map_err(|_| format!("nobody published within {PATIENCE:?}: look at the publisher"))??;
    // What is under way in the first second is from before there was anything in the way.
    sleep(Duration::from_secs(1)).await;
    let end = Instant::now() + Duration::from_secs(seconds);
    let watching =
        TRACKS.map(|(name, priority, ..)| tokio::spawn(read(origin.clone(), name, priority, end)));
    for ((name, _, period, ..), watched) in TRACKS.into_iter().zip(watching) {
        let mut late = watched.await??;
        late.sort_unstable();
        let made = seconds * 1_000_000 / period;
        let share =
            |share: usize| late.get((late.len() * share / 100).min(late.len().saturating_sub(1)));
        let ms =
            |micros: Option<&u64>| micros.map_or("-".to_owned(), |at| format!("{} ms", at / 1000));
        let [half, most, all] = [50, 99, 100].map(|part| ms(share(part)));
        println!("| {name} | {made} | {} | {half} | {most} | {all} |", late.len());
    }
    Ok(())
}

/// How late each frame of a track was, in microseconds.
async fn read(origin: Origin, name: &str, priority: u8, end: Instant) -> Result<Vec<u64>> {
    let options = SubscribeOptions { priority, max_age: MAX_AGE, ..SubscribeOptions::default() };
    let mut subscription = origin.subscribe(&Path::new("show")?, name, options).await?;
    let (sender, mut frames) = mpsc::channel(WAITING);
    let mut late = Vec::new();
    loop {
        tokio::select! {
            group = subscription.next_group() => {
                let Some(mut group) = group? else { return Ok(late) };
                let sender = sender.clone();
                tokio::spawn(async move {
                    while let Ok(Some(frame)) = group.next_frame().await {
                        _ = sender.send(now().saturating_sub(frame.timestamp)).await;
                    }
                });
            }
            Some(frame) = frames.recv() => late.push(frame),
            () = sleep_until(end) => return Ok(late),
        }
    }
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64
}

//! The known broadcast of this side.

use std::time::Duration;

use smoq_core::{Path, wire::TrackInfo};
use smoq_tokio::{Broadcast, Error, Origin, TrackWriter};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};

use super::{
    tracks::{DONE, ENDING, Known, LIVE},
    verdict::Verdict,
};

/// How long a group may be asked for.
const MAX_AGE: Duration = Duration::from_secs(600);

/// How often the live track has a group.
const TICK: Duration = Duration::from_millis(50);

/// A broadcast with all tracks, announced until it is dropped. A track has its groups as soon as somebody
/// subscribes to it.
pub(super) struct Published {
    _broadcast: Broadcast,
    _tracks: JoinSet<()>,
    done: watch::Receiver<bool>,
    live: watch::Receiver<Live>,
}

/// Who takes the live track.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Live {
    Nobody,
    Somebody,
    /// There was somebody.
    NobodyAgain,
}

impl Published {
    pub(super) async fn new(origin: &Origin, path: &Path) -> Result<Self, Error> {
        let broadcast = origin.create(path).await?;
        let info = TrackInfo {
            max_age_ms: MAX_AGE.as_millis() as u64,
            timescale: 1000,
            ..TrackInfo::default()
        };
        let mut tracks = JoinSet::new();
        for known in &ENDING {
            let mut track = broadcast.track(known.name, info).await?;
            tracks.spawn(async move {
                if write_all(&mut track, known).await.is_ok() {
                    // Others may come for it, or fetch a group.
                    std::future::pending().await
                }
            });
        }
        let (done_there, done) = watch::channel(false);
        let mut track = broadcast.track(DONE.name, info).await?;
        tracks.spawn(async move {
            if write_all(&mut track, &DONE).await.is_ok() && track.finished().await.is_ok() {
                done_there.send_replace(true);
            }
        });
        let (live_there, live) = watch::channel(Live::Nobody);
        let track = broadcast.track(LIVE.name, info).await?;
        tracks.spawn(async move {
            // Its end is the end of the broadcast.
            let _ = tick(track, &live_there).await;
        });
        broadcast.announce().await?;
        Ok(Self { _broadcast: broadcast, _tracks: tracks, done, live })
    }

    /// Waits until the peer has checked everything. False if it does not say so within `patience`.
    pub(super) async fn checked(&mut self, patience: Duration) -> bool {
        matches!(timeout(patience, self.done.wait_for(|done| *done)).await, Ok(Ok(_)))
    }

    /// Whether the live track was left by who took it, within `patience`.
    pub(super) async fn left(&mut self, patience: Duration) -> Verdict {
        if *self.live.borrow() == Live::Nobody {
            return Verdict::Fail(format!("the peer takes no track {:?}", LIVE.name));
        }
        let left = self.live.wait_for(|live| *live == Live::NobodyAgain);
        match timeout(patience, left).await {
            Ok(Ok(_)) => Verdict::Pass,
            Ok(Err(_)) => Verdict::Fail("the connection ended".into()),
            Err(_) => Verdict::Fail(format!("still subscribed after {patience:?}")),
        }
    }
}

/// All groups, as soon as somebody subscribes, and the end.
async fn write_all(track: &mut TrackWriter, known: &Known) -> Result<(), Error> {
    track.wanted().await?;
    for group in 0..known.groups.unwrap_or(0) {
        write(track, known, group).await?;
        // A relay that is made for live media leaves out what it has no time for.
        track.drained(0).await?;
    }
    track.finish()
}

async fn tick(mut track: TrackWriter, live: &watch::Sender<Live>) -> Result<(), Error> {
    let mut ticks = interval(TICK);
    let mut group = 0;
    loop {
        track.wanted().await?;
        live.send_replace(Live::Somebody);
        while track.is_wanted() {
            ticks.tick().await;
            write(&mut track, &LIVE, group).await?;
            group += 1;
        }
        live.send_replace(Live::NobodyAgain);
    }
}

async fn write(track: &mut TrackWriter, known: &Known, group: u64) -> Result<(), Error> {
    let mut writer = track.group().await?;
    for payload in known.frames(group) {
        writer.write(group, payload).await?;
    }
    writer.finish()
}

//! The publisher and the subscribers.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes, BytesMut};
use smoq_core::{Path, SubscribeOptions, wire::TrackInfo};
use smoq_tokio::{Connection, GroupReader, Subscription, TrackWriter};
use tokio::time::{Instant, sleep_until};

use super::shape::Flow;
use crate::failure::Failure;

/// The track of the broadcast.
pub(super) const TRACK: &str = "data";

/// How late a frame may be and still be wanted: what is later counts as not delivered.
const MAX_AGE: Duration = Duration::from_secs(5);

/// Microseconds since 1970: frames carry it, so that whoever makes them and whoever gets them need not
/// be one process.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Frames sent in this time are counted. Not set until everybody is there.
pub(super) type Window = Arc<OnceLock<Range<u64>>>;

/// What was counted at one place.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Microseconds from a frame's making to its arrival.
    pub(super) latencies: Vec<u32>,
}

impl Tally {
    fn count(&mut self, window: &Range<u64>, frame: &Bytes, now: u64) {
        let Some(sent) = frame.first_chunk().map(|sent| u64::from_be_bytes(*sent)) else { return };
        if window.contains(&sent) {
            self.frames += 1;
            self.bytes += frame.len() as u64;
            self.latencies.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
        }
    }
}

/// Makes frames on schedule, for ever. A frame that is due while the one before waits follows at once.
pub(super) async fn publish(
    mut track: TrackWriter,
    flow: Flow,
    window: Window,
    published: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let payload = BytesMut::zeroed(flow.size.saturating_sub(size_of::<u64>())).freeze();
    let start = Instant::now();
    for first in (0..).step_by(flow.group as usize) {
        let mut group = track.group().await?;
        for number in first..first + flow.group {
            sleep_until(start + flow.interval() * number).await;
            let now = now();
            let mut frame = BytesMut::with_capacity(flow.size);
            frame.put_u64(now);
            frame.put_slice(&payload);
            if window.get().is_some_and(|window| window.contains(&now)) {
                published.fetch_add(1, Ordering::Relaxed);
            }
            group.write(now, frame.freeze()).await?;
        }
        group.finish()?;
    }
    Ok(())
}

pub(super) fn info() -> TrackInfo {
    TrackInfo {
        max_age_ms: MAX_AGE.as_millis() as u64,
        timescale: 1_000_000,
        ..TrackInfo::default()
    }
}

/// A subscriber that has its first frame.
pub(super) struct Viewer {
    subscription: Subscription,
    group: Option<GroupReader>,
}

impl Viewer {
    /// Subscribes and waits for the first frame.
    pub(super) async fn join(connection: &Connection, path: &Path) -> Result<Self, Failure> {
        let origin = connection.origin();
        let mut announced = origin.announced(path).await?;
        announced.next().await?;
        let options = SubscribeOptions { max_age: MAX_AGE, ..SubscribeOptions::default() };
        let subscription = origin.subscribe(path, TRACK, options).await?;
        let mut viewer = Self { subscription, group: None };
        viewer.next().await?;
        Ok(viewer)
    }

    /// Counts until the track ends, and keeps the connection until then.
    pub(super) async fn watch(
        mut self,
        _connection: Connection,
        window: Window,
        tally: Arc<Mutex<Tally>>,
    ) -> Result<(), Failure> {
        while let Some(frame) = self.next().await? {
            let now = now();
            if let Some(window) = window.get() {
                tally.lock().unwrap_or_else(PoisonError::into_inner).count(window, &frame, now);
            }
        }
        Ok(())
    }

    /// Stops to read, or reads once in each `interval` what has come by then, a window at most. Keeps the connection as long as it lasts: a relay may cut off who is slow.
    pub(super) async fn lag(
        self,
        connection: Connection,
        interval: Option<Duration>,
    ) -> Result<(), Failure> {
        while connection.pause().await.is_ok() {
            let Some(interval) = interval else { break };
            tokio::time::sleep(interval).await;
            if connection.resume().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    /// The next frame; `None` if the track has ended.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let failed =
            |error| Failure::Subscribe { broadcast: "bench".into(), track: TRACK.into(), error };
        loop {
            let Some(group) = &mut self.group else {
                match self.subscription.next_group().await.map_err(failed)? {
                    Some(group) => self.group = Some(group),
                    None => return Ok(None),
                }
                continue;
            };
            match group.next_frame().await {
                Ok(Some(frame)) => return Ok(Some(frame.payload)),
                // Frames that are missing show in the count.
                Ok(None) | Err(_) => self.group = None,
            }
        }
    }
}

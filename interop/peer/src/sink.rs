//! The subscribing side.

use std::time::Duration;

use bytes::Bytes;
use moq_net::{origin, track};

use crate::{Error, Groups};

/// How late a group may be. On 03 and 04 moq-net also waits this long after the publisher's FIN
/// before it believes that the track has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the other side announces.
pub struct Sink {
    pub(crate) origin: origin::Producer,
}

impl Sink {
    /// Nothing announced yet.
    ///
    /// Panics outside a tokio runtime.
    #[expect(clippy::new_without_default, reason = "it spawns a task")]
    pub fn new() -> Self {
        Self { origin: moq_tokio::origin::spawn() }
    }

    /// Watches `broadcast` come and go. Start before it comes: one that is gone again is never seen.
    pub fn watch(&self, broadcast: &str) -> Watch {
        Watch { announced: self.origin.consume().announced(), broadcast: broadcast.into() }
    }

    /// Waits for `broadcast`, subscribes to `track` from its first group, and reads it to its end.
    pub async fn collect(&self, broadcast: &str, track: &str) -> Result<Groups, Error> {
        let mut groups = Groups::new();
        self.read(broadcast, track, &mut groups).await?;
        Ok(groups)
    }

    /// Waits for `broadcast`, and subscribes to the datagrams of `track`.
    pub async fn datagrams(&self, broadcast: &str, track: &str) -> Result<Datagrams, Error> {
        let broadcast = self.origin.consume().routed_broadcast(broadcast).await?;
        let options = track::Subscription::default().with_max_age(PATIENCE);
        Ok(Datagrams(broadcast.track(track)?.subscribe(options).await?))
    }

    /// Waits for `broadcast`, and fetches the frames of one group of `track` without a subscription.
    pub async fn fetch(
        &self,
        broadcast: &str,
        track: &str,
        sequence: u64,
    ) -> Result<Vec<Bytes>, Error> {
        let broadcast = self.origin.consume().routed_broadcast(broadcast).await?;
        let mut group = broadcast.track(track)?.fetch_group(sequence, None).await?;
        let mut frames = Vec::new();
        while let Some(frame) = group.read_frame().await? {
            frames.push(frame.payload);
        }
        Ok(frames)
    }

    /// Like [`collect`](Self::collect), and the groups that were read before an error are there.
    pub async fn read(
        &self,
        broadcast: &str,
        track: &str,
        groups: &mut Groups,
    ) -> Result<(), Error> {
        let broadcast = self.origin.consume().routed_broadcast(broadcast).await?;
        let everything = track::Subscription::default().with_max_age(PATIENCE).with_groups(0..);
        let mut track = broadcast.track(track)?.subscribe(everything).await?;
        while let Some(mut group) = track.recv_group().await? {
            let mut frames = Vec::new();
            while let Some(frame) = group.read_frame().await? {
                frames.push(frame.payload);
            }
            groups.insert(group.sequence, frames);
        }
        Ok(())
    }
}

/// The datagrams of one track.
pub struct Datagrams(track::Subscriber);

impl Datagrams {
    /// The next one: its sequence, its timestamp in milliseconds, and its payload.
    pub async fn next(&mut self) -> Result<(u64, u64, Bytes), Error> {
        let datagram = self.0.recv_datagram().await?.ok_or(Error::Closed)?;
        let millis = datagram.timestamp.as_millis() as u64;
        Ok((datagram.sequence, millis, datagram.payload))
    }
}

/// Watches one broadcast.
pub struct Watch {
    announced: moq_net::announce::Consumer,
    broadcast: String,
}

impl Watch {
    /// Waits until the broadcast is announced.
    pub async fn announced(&mut self) -> Result<(), Error> {
        self.until(true).await
    }

    /// Waits until the broadcast is gone.
    pub async fn unannounced(&mut self) -> Result<(), Error> {
        self.until(false).await
    }

    async fn until(&mut self, active: bool) -> Result<(), Error> {
        while let Some(update) = self.announced.next().await {
            if update.prefix.as_str() == self.broadcast && update.kind.is_active() == active {
                return Ok(());
            }
        }
        Err(Error::Closed)
    }
}

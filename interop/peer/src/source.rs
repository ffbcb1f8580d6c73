//! The publishing side: one broadcast with one track.

use std::time::Duration;

use bytes::Bytes;
use moq_net::{Timestamp, broadcast, group, origin, track};

use crate::{Error, Groups};

/// Longer than any test: no group may age out while every byte is compared.
const NEVER_TOO_OLD: Duration = Duration::from_secs(3600);

/// An announced broadcast with one track. Dropping it ends the broadcast.
pub struct Source {
    pub(crate) origin: origin::Producer,
    broadcast: broadcast::Producer,
    track: track::Producer,
}

impl Source {
    /// Announces `broadcast` with the track `track`, on whatever link it is attached to later.
    ///
    /// Panics outside a tokio runtime.
    pub fn new(broadcast: &str, track: &str) -> Result<Self, Error> {
        let origin = moq_tokio::origin::spawn();
        let broadcast = origin.create_broadcast(broadcast)?;
        let info = track::Info::default().with_max_age(NEVER_TOO_OLD);
        let track = broadcast.create_track(track, info)?;
        broadcast.announce(Default::default())?;
        Ok(Self { origin, broadcast, track })
    }

    /// Waits until somebody asks for the track.
    pub async fn wanted(&self) -> Result<(), Error> {
        Ok(self.track.used().await?)
    }

    /// Writes whole groups, one millisecond apart, so that none is late for a [`Sink`](crate::Sink).
    pub fn write(&self, groups: &Groups) -> Result<(), Error> {
        for (millis, (sequence, frames)) in (0..).zip(groups) {
            let timestamp = Timestamp::from_millis(millis).map_err(|_| Error::Timestamp)?;
            let mut group = self.track.create_group(group::Info { sequence: *sequence })?;
            for frame in frames {
                group.write_frame(timestamp, frame.clone())?;
            }
            group.finish()?;
        }
        Ok(())
    }

    /// Writes the next group as a datagram.
    pub fn datagram(&self, millis: u64, payload: Bytes) -> Result<(), Error> {
        let timestamp = Timestamp::from_millis(millis).map_err(|_| Error::Timestamp)?;
        self.track.clone().append_datagram(timestamp, payload)?;
        Ok(())
    }

    /// Ends the track after its last group; the broadcast stays announced.
    pub fn finish(&self) -> Result<(), Error> {
        Ok(self.track.finish()?)
    }

    /// Takes the announcement back; subscriptions go on.
    pub fn unannounce(&self) {
        self.broadcast.unannounce();
    }
}

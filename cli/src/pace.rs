//! Keeps a writer at the pace of its slowest subscriber.

use std::time::Duration;

use smoq_tokio::{Error, TrackWriter};

/// How long what was written waits for a reader that stalls. How much that may be is bounded by the pace.
pub(crate) const STORE_AGE: Duration = Duration::from_secs(600);

/// A writer waits while a subscriber lacks more than this, so that a fast input goes at the pace of
/// its readers and does not run through the store.
const AHEAD: usize = 8 << 20;

/// How often to look whether one does.
const LOOK_EVERY: usize = 256 << 10;

/// How much was written to a track since the last look at what its subscribers lack.
#[derive(Default)]
pub(crate) struct Pace {
    unseen: usize,
}

impl Pace {
    /// So many bytes were written.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.unseen += bytes;
    }

    /// Waits until no subscriber is too far behind. Cancel-safe.
    pub(crate) async fn keep(&mut self, track: &mut TrackWriter) -> Result<(), Error> {
        if self.unseen >= LOOK_EVERY {
            track.drained(AHEAD).await?;
            self.unseen = 0;
        }
        Ok(())
    }
}

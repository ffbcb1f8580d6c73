//! Keeps a writer at the pace of its slowest subscriber.

use smoq_tokio::{Error, TrackWriter};

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

//! Cuts a stream of bytes into frames.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time,
};

/// A frame closes when its input pauses this long: what was written at once stays together, and
/// what is ready is not held back.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes of a block that frames are cut from. Small frames share one, so that a frame that is kept
/// does not keep much more than itself.
const BLOCK: usize = 64 << 10;

/// Room for a read below which a new block begins.
const LEAST_READ: usize = 2 << 10;

/// The frames of an input.
pub(crate) struct Frames<R> {
    input: R,
    /// Bytes of a frame at most.
    size: usize,
    buffer: BytesMut,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// `size`: bytes of a frame at most, not zero.
    pub(crate) fn new(input: R, size: usize) -> Self {
        Self { input, size, buffer: BytesMut::new(), ended: false }
    }

    /// The next frame, `None` at the end of the input. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.buffer.len() < self.size && !self.ended {
            if self.buffer.capacity() - self.buffer.len() < LEAST_READ {
                self.buffer.reserve(BLOCK);
            }
            let begun = !self.buffer.is_empty();
            let read = self.input.read_buf(&mut self.buffer);
            if !begun {
                self.ended = read.await? == 0;
                continue;
            }
            match time::timeout(PAUSE, read).await {
                Ok(read) => self.ended = read? == 0,
                Err(_) => break,
            }
        }
        Ok(self.take())
    }

    /// A frame of what was read and not given yet, as full as it can be.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let size = self.buffer.len().min(self.size);
        (size > 0).then(|| self.buffer.split_to(size).freeze())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    async fn sizes(frames: &mut Frames<impl AsyncRead + Unpin>, count: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        for _ in 0..count {
            sizes.push(frames.next().await.unwrap().map_or(0, |frame| frame.len()));
        }
        sizes
    }

    #[tokio::test(start_paused = true)]
    async fn frames_close_at_their_size_and_at_the_end() {
        let data = vec![7; 100_000];
        let mut frames = Frames::new(&data[..], 40_000);
        assert_eq!(sizes(&mut frames, 4).await, [40_000, 40_000, 20_000, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_closes_when_the_input_pauses() {
        let (mut writer, reader) = duplex(1 << 20);
        let mut frames = Frames::new(reader, 1000);
        writer.write_all(&[1; 300]).await.unwrap();
        assert_eq!(sizes(&mut frames, 1).await, [300]);
        writer.write_all(&[2; 1300]).await.unwrap();
        assert_eq!(sizes(&mut frames, 2).await, [1000, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_can_be_taken_before_its_frame_closes() {
        let (mut writer, reader) = duplex(1 << 20);
        let mut frames = Frames::new(reader, 1000);
        writer.write_all(&[1; 10]).await.unwrap();
        assert!(time::timeout(PAUSE / 2, frames.next()).await.is_err());
        assert_eq!(frames.take().as_deref(), Some(&[1; 10][..]));
        assert_eq!(frames.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_when_waiting_for_a_frame_is_given_up() {
        let (mut writer, reader) = duplex(1 << 20);
        let mut frames = Frames::new(reader, 1000);
        let given_up = time::timeout(PAUSE, frames.next()).await;
        assert!(given_up.is_err());
        writer.write_all(&[1; 10]).await.unwrap();
        drop(writer);
        assert_eq!(sizes(&mut frames, 2).await, [10, 0]);
    }
}

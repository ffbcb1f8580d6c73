//! Standard output, or a file, as something to wait for: a thread writes, and a full pipe holds up only its queue.

use std::{
    io::{self, Write},
    thread,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{self, Permit},
    task,
};

/// Chunks between the program and the thread.
const QUEUE: usize = 16;

pub(crate) struct Output {
    queue: mpsc::Sender<Bytes>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Output {
    /// Begins to write to standard output.
    pub(crate) fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Begins to write to something else.
    pub(crate) fn to(mut sink: impl Write + Send + 'static) -> Self {
        let (queue, mut chunks) = mpsc::channel::<Bytes>(QUEUE);
        let thread = thread::spawn(move || {
            while let Some(chunk) = chunks.blocking_recv() {
                sink.write_all(&chunk)?;
                if chunks.is_empty() {
                    sink.flush()?;
                }
            }
            sink.flush()
        });
        Self { queue, thread }
    }

    /// Waits for room for a chunk; `None` when it takes no more.
    pub(crate) async fn room(&self) -> Option<Permit<'_, Bytes>> {
        self.queue.reserve().await.ok()
    }

    /// Waits until it takes no more.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Waits until all is written. A reader that went away is no error: it had enough.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        let thread = self.thread;
        let result = task::spawn_blocking(|| thread.join()).await;
        match result {
            Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Ok(Ok(result)) => result,
            _ => Err(io::Error::other("the thread that writes failed")),
        }
    }
}

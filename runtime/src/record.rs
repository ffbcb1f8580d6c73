//! What the node of a driver records, on its way to whoever keeps it.

use std::sync::mpsc::{SyncSender, TrySendError};

use smoq_quic::Endpoint;

/// Bytes that may wait in the node while nobody takes them. Beyond it the recording ends.
const MAX_WAITING: usize = 64 << 20;

/// Where the recordings of a server's nodes go: see [`tape`](smoq_quic::tape) for what is in them.
///
/// Each shard sends what it has recorded at the end of a turn. A shard whose receiver is slow or gone does
/// not wait there, but ends its recording.
///
/// It waits when it ends: the rest, two messages at most, goes to the receiver before a shutdown returns, and
/// until then the thread of its executor is held. So whoever has a receiver reads it to the end on a
/// thread that the executor does not need, or drops it; who keeps it and does not read keeps the shard.
#[derive(Clone, Debug)]
pub struct Recordings {
    /// One for each shard, in order. A shard without one records nothing.
    pub to: Vec<SyncSender<Vec<u8>>>,
    /// Bytes of each recording, at which it ends.
    pub limit: u64,
}

/// The way of one recording.
#[derive(Default)]
pub(crate) struct Sink {
    to: Option<SyncSender<Vec<u8>>>,
    /// What there was no room for.
    held: Option<Vec<u8>>,
}

impl Sink {
    pub(crate) fn new(to: Option<SyncSender<Vec<u8>>>) -> Self {
        Self { to, held: None }
    }

    /// Sends what there is, as far as there is room.
    pub(crate) fn flush(&mut self, endpoint: &mut Endpoint) {
        let Some(to) = &self.to else { return };
        let node = endpoint.node_mut();
        while self.held.is_some() || !node.recorded().is_empty() {
            let bytes = self.held.take().unwrap_or_else(|| node.take_recording());
            match to.try_send(bytes) {
                Ok(()) => {}
                Err(TrySendError::Full(bytes)) => {
                    self.held = Some(bytes);
                    if node.is_recording() && node.recorded().len() > MAX_WAITING {
                        tracing::warn!(
                            "the recording ends: it is not written as fast as it is made"
                        );
                        node.stop_recording();
                    }
                    return;
                }
                Err(TrySendError::Disconnected(_)) => {
                    tracing::warn!("the recording ends: it cannot be written any more");
                    node.stop_recording();
                    node.take_recording();
                    self.to = None;
                    return;
                }
            }
        }
        if !node.is_recording() {
            tracing::info!("the recording has ended");
            self.to = None;
        }
    }

    /// Sends the rest, and holds the thread until there is room for it.
    pub(crate) fn finish(&mut self, endpoint: &mut Endpoint) {
        let Some(to) = self.to.take() else { return };
        let rest = endpoint.node_mut().take_recording();
        for bytes in self.held.take().into_iter().chain([rest]) {
            // Nobody wants it any more.
            let _ = to.send(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::sync_channel, time::Instant};

    use smoq_quic::{EndpointConfig, tape::Replay};

    use super::*;

    fn recording() -> Endpoint {
        let config = EndpointConfig { record: Some(u64::MAX), ..EndpointConfig::default() };
        Endpoint::new(config, Instant::now())
    }

    fn act(endpoint: &mut Endpoint) {
        let time = endpoint.time(Instant::now());
        endpoint.node_mut().handle_timeout(time);
    }

    #[test]
    fn a_slow_reader_gets_everything_in_order() {
        let mut endpoint = recording();
        let (sender, receiver) = sync_channel(1);
        let mut sink = Sink::new(Some(sender));
        for _ in 0..5 {
            act(&mut endpoint);
            sink.flush(&mut endpoint);
        }
        let reader = std::thread::spawn(move || receiver.iter().flatten().collect::<Vec<u8>>());
        sink.finish(&mut endpoint);
        let mut replay = Replay::new(reader.join().unwrap().into()).unwrap();
        for _ in 0..5 {
            assert_eq!(replay.step().unwrap().unwrap().same, Some(true));
        }
        assert_eq!(replay.step(), Ok(None));
    }

    #[test]
    fn without_a_reader_nothing_is_recorded() {
        let mut endpoint = recording();
        let mut sink = Sink::new(Some(sync_channel(1).0));
        act(&mut endpoint);
        sink.flush(&mut endpoint);
        assert!(!endpoint.node_mut().is_recording() && endpoint.node_mut().recorded().is_empty());
    }
}

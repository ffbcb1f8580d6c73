//! A transport whose peer is a script: it sets up, subscribes once, and takes everything.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use moq_net::web_transport_trait::{Stats, StatsUnavailable, poll};

/// What arrived at the peer.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Counters>);

#[derive(Default)]
struct Counters {
    finished: AtomicUsize,
    bytes: AtomicUsize,
}

impl Sent {
    /// Whether at least these bytes of the group on its way have arrived.
    pub(crate) fn has(&self, payload: usize) -> bool {
        self.0.bytes.load(Relaxed) >= payload
    }

    /// Whether one group stream has finished since the last time, with at least these bytes.
    pub(crate) fn take_finished(&self, payload: usize) -> bool {
        if self.0.finished.load(Relaxed) == 0 {
            return false;
        }
        assert_eq!(self.0.finished.swap(0, Relaxed), 1, "one stream per group");
        let bytes = self.0.bytes.swap(0, Relaxed);
        assert!(bytes > payload, "{bytes} bytes cannot carry {payload}");
        true
    }
}

/// The server's end.
#[derive(Clone)]
pub(crate) struct Transport {
    uni: Arc<Mutex<VecDeque<Receive>>>,
    bidi: Arc<Mutex<VecDeque<Receive>>>,
    sent: Sent,
}

impl Transport {
    /// A client of moq-lite-06 that has sent an empty SETUP and a SUBSCRIBE for the live groups.
    pub(crate) fn subscribed(broadcast: &str, track: &str) -> (Self, Sent) {
        let sent = Sent::default();
        // Stream type, length, no parameters.
        let setup = Receive::finished(&[1, 1, 0]);
        let mut body = vec![0];
        for text in [broadcast, track] {
            body.push(text.len() as u8);
            body.extend(text.as_bytes());
        }
        // Priority, max age, and no bounds for groups and frames.
        body.extend([128, 0, 0, 0, 0, 0]);
        let subscribe = Receive::open(&[&[2, body.len() as u8], &body[..]].concat());
        let transport = Self {
            uni: Arc::new(Mutex::new([setup].into())),
            bidi: Arc::new(Mutex::new([subscribe].into())),
            sent: sent.clone(),
        };
        (transport, sent)
    }
}

fn next(queue: &Mutex<VecDeque<Receive>>) -> Poll<Receive> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.pop_front().map_or(Poll::Pending, Poll::Ready)
}

impl poll::Session for Transport {
    type SendStream = Send;
    type RecvStream = Receive;
    type Error = Never;

    fn poll_accept_uni(&mut self, _: &mut Context<'_>) -> Poll<Result<Receive, Never>> {
        next(&self.uni).map(Ok)
    }

    fn poll_accept_bi(&mut self, _: &mut Context<'_>) -> Poll<Result<(Send, Receive), Never>> {
        next(&self.bidi).map(|receive| Ok((Send::Control, receive)))
    }

    fn poll_open_uni(&mut self, _: &mut Context<'_>) -> Poll<Result<Send, Never>> {
        Poll::Ready(Ok(Send::New(self.sent.clone())))
    }

    fn poll_open_bi(&mut self, _: &mut Context<'_>) -> Poll<Result<(Send, Receive), Never>> {
        Poll::Ready(Ok((Send::Control, Receive::open(&[]))))
    }

    fn poll_send_datagram(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<(), Never>> {
        Poll::Ready(Ok(()))
    }

    fn poll_recv_datagram(&mut self, _: &mut Context<'_>) -> Poll<Result<Bytes, Never>> {
        Poll::Pending
    }

    fn max_datagram_size(&self) -> usize {
        0
    }

    fn protocol(&self) -> Option<&str> {
        Some("moq-lite-06")
    }

    fn close(&mut self, _: u32, _: &str) {}

    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<Never> {
        Poll::Pending
    }

    fn stats(&self) -> impl Stats {
        StatsUnavailable
    }
}

/// Nothing ever fails.
#[derive(Debug)]
pub(crate) struct Never(Infallible);

impl std::fmt::Display for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {}
    }
}

impl std::error::Error for Never {}

impl moq_net::web_transport_trait::Error for Never {
    fn session_error(&self) -> Option<(u32, String)> {
        match self.0 {}
    }
}

/// A stream to the peer. Its first byte says what it is.
pub(crate) enum Send {
    /// A unidirectional stream without a byte yet.
    New(Sent),
    /// A group, whose bytes count.
    Group(Sent),
    /// A group after its FIN.
    Finished,
    /// Anything else.
    Control,
}

impl poll::SendStream for Send {
    type Error = Never;

    fn poll_write(&mut self, cx: &mut Context<'_>, mut buf: &[u8]) -> Poll<Result<usize, Never>> {
        self.poll_write_buf(cx, &mut buf)
    }

    /// Takes the bytes as they are, as a transport without a copy does.
    fn poll_write_buf<B: Buf>(
        &mut self,
        _: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<Result<usize, Never>> {
        let length = buf.remaining();
        let bytes = buf.copy_to_bytes(length);
        if let Self::New(sent) = self {
            *self = match bytes.first() {
                Some(0) => Self::Group(sent.clone()),
                _ => Self::Control,
            };
        }
        if let Self::Group(sent) = self {
            sent.0.bytes.fetch_add(length, Relaxed);
        }
        Poll::Ready(Ok(length))
    }

    fn set_priority(&mut self, _: u8) {}

    fn finish(&mut self) -> Result<(), Never> {
        if let Self::Group(sent) = self {
            sent.0.finished.fetch_add(1, Relaxed);
            *self = Self::Finished;
        }
        Ok(())
    }

    fn reset(&mut self, code: u32) {
        assert!(!matches!(self, Self::Group(_)), "a group was reset with {code}");
    }

    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Never>> {
        match self {
            Self::Finished => Poll::Ready(Ok(())),
            Self::New(_) | Self::Group(_) | Self::Control => Poll::Pending,
        }
    }
}

/// A stream from the peer, which says one thing.
pub(crate) struct Receive {
    bytes: Bytes,
    finished: bool,
}

impl Receive {
    fn finished(bytes: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), finished: true }
    }

    fn open(bytes: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), finished: false }
    }
}

impl poll::RecvStream for Receive {
    type Error = Never;

    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        dst: &mut [u8],
    ) -> Poll<Result<Option<usize>, Never>> {
        if self.bytes.is_empty() {
            return if self.finished { Poll::Ready(Ok(None)) } else { Poll::Pending };
        }
        let length = dst.len().min(self.bytes.len());
        self.bytes.split_to(length).copy_to_slice(&mut dst[..length]);
        Poll::Ready(Ok(Some(length)))
    }

    fn stop(&mut self, _: u32) {
        self.finished = true;
    }

    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Never>> {
        if self.finished { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

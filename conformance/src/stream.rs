//! The two directions of a raw stream, with time limits.

use std::{fmt, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use smoq_core::{
    Version,
    wire::{DecodeError, FrameHeader, Message, StreamCode},
};
use tokio::time::timeout;
use web_transport_proto::{error_from_http3, error_to_http3};

use crate::verdict::{Result, Unmet, holds, same};

/// The longest message that is read.
pub(crate) const LIMIT: usize = 1 << 20;

/// The longest frame that is read, and the longest stream that nobody looks into.
const FRAME: usize = 64 << 20;

/// How a stream ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// FIN.
    Fin,
    /// RESET_STREAM.
    Reset(StreamCode),
    /// The session is over.
    Lost,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fin => f.write_str("FIN"),
            Self::Reset(code) => write!(f, "a reset, {code}"),
            Self::Lost => f.write_str("the end of the session"),
        }
    }
}

/// A frame of a group.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// 0 where the version has none.
    pub(crate) timestamp: u64,
    pub(crate) payload: Bytes,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.payload[..self.payload.len().min(16)];
        write!(f, "{} bytes at {}: {shown:02x?}", self.payload.len(), self.timestamp)
    }
}

/// A code as it travels: in the form that WebTransport has, on raw QUIC too, as moq-dev's stack wants it.
pub(crate) fn code_to_wire(code: StreamCode) -> VarInt {
    let code = u32::try_from(code.0).unwrap_or(u32::MAX);
    VarInt::from_u64(error_to_http3(code)).unwrap_or(VarInt::MAX)
}

/// In that form, or plain.
pub(crate) fn code_from_wire(code: VarInt) -> StreamCode {
    let code = code.into_inner();
    StreamCode(error_from_http3(code).map_or(code, u64::from))
}

/// Waits for something for as long as the user wants to wait.
pub(crate) async fn within<T>(
    patience: Duration,
    what: impl fmt::Display,
    work: impl Future<Output = T>,
) -> Result<T> {
    let late = |_| Unmet::failed(what, format_args!("nothing for {patience:?}"));
    timeout(patience, work).await.map_err(late)
}

/// What this end says.
pub(crate) struct Send {
    stream: SendStream,
    version: Version,
    patience: Duration,
    timestamp: u64,
}

impl Send {
    pub(crate) fn new(stream: SendStream, version: Version, patience: Duration) -> Self {
        Self { stream, version, patience, timestamp: 0 }
    }

    /// Writes bytes. A peer that wants no more of them is no failure: whoever cares asks for
    /// [`stopped`](Self::stopped).
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> Result {
        let write = self.stream.write_all(bytes);
        match within(self.patience, "room for bytes on a stream", write).await? {
            Ok(()) | Err(WriteError::Stopped(_) | WriteError::ConnectionLost(_)) => Ok(()),
            Err(error) => Err(Unmet::failed("a stream that takes bytes", error)),
        }
    }

    /// Writes what is encoded.
    pub(crate) async fn put(&mut self, encode: impl FnOnce(&mut BytesMut, Version)) -> Result {
        let mut out = BytesMut::new();
        encode(&mut out, self.version);
        self.bytes(&out).await
    }

    /// Writes a message with its length.
    pub(crate) async fn message(&mut self, message: &impl Message) -> Result {
        self.put(|out, version| message.encode(out, version)).await
    }

    /// Writes the header of a frame of so many bytes.
    pub(crate) async fn frame_header(&mut self, timestamp: u64, size: usize) -> Result {
        let delta = timestamp.wrapping_sub(self.timestamp) as i64;
        self.timestamp = timestamp;
        let header = FrameHeader { delta, size: size as u64 };
        self.put(|out, version| header.encode(out, version)).await
    }

    /// Writes a frame.
    pub(crate) async fn frame(&mut self, timestamp: u64, payload: &[u8]) -> Result {
        self.frame_header(timestamp, payload.len()).await?;
        self.bytes(payload).await
    }

    /// Ends it.
    pub(crate) fn fin(&mut self) {
        // It fails only if the stream has ended otherwise.
        let _ = self.stream.finish();
    }

    /// Abandons it.
    pub(crate) fn reset(&mut self, code: StreamCode) {
        let _ = self.stream.reset(code_to_wire(code));
    }

    /// Waits for STOP_SENDING, or for the acknowledgement of all that was sent (`None`).
    async fn settled(&mut self, what: &str) -> Result<Option<StreamCode>> {
        match within(self.patience, what, self.stream.stopped()).await? {
            Ok(code) => Ok(code.map(code_from_wire)),
            Err(StoppedError::ConnectionLost(error)) => Err(Unmet::failed(what, error)),
            Err(error) => Err(Unmet::failed(what, error)),
        }
    }

    /// Waits until the peer wants no more.
    pub(crate) async fn stopped(&mut self) -> Result<StreamCode> {
        let what = "STOP_SENDING";
        self.settled(what).await?.ok_or_else(|| Unmet::failed(what, "only an acknowledgement"))
    }

    /// Waits until the peer's transport has everything, after [`fin`](Self::fin).
    pub(crate) async fn acknowledged(&mut self) -> Result {
        self.settled("an acknowledgement").await.map(|_| ())
    }
}

/// What the peer says.
pub(crate) struct Recv {
    stream: RecvStream,
    buffer: BytesMut,
    end: Option<End>,
    version: Version,
    patience: Duration,
    timestamp: u64,
}

impl Recv {
    pub(crate) fn new(stream: RecvStream, version: Version, patience: Duration) -> Self {
        Self { stream, buffer: BytesMut::new(), end: None, version, patience, timestamp: 0 }
    }

    /// Reads on. `false` at the end.
    async fn more(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let end = match self.stream.read_chunk(64 << 10, true).await {
            Ok(Some(chunk)) => {
                self.buffer.extend_from_slice(&chunk.bytes);
                return true;
            }
            Ok(None) => End::Fin,
            Err(ReadError::Reset(code)) => End::Reset(code_from_wire(code)),
            Err(_) => End::Lost,
        };
        self.end = Some(end);
        false
    }

    /// Reads without a limit of time: `None` at an early end.
    pub(crate) async fn take_now<T>(
        &mut self,
        mut take: impl FnMut(&[u8], Version) -> std::result::Result<Option<(T, usize)>, DecodeError>,
    ) -> std::result::Result<Option<T>, DecodeError> {
        loop {
            if let Some((found, used)) = take(&self.buffer, self.version)? {
                self.buffer.advance(used);
                return Ok(Some(found));
            }
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    /// Reads what `take` finds at the start of the bytes.
    pub(crate) async fn take<T>(
        &mut self,
        what: &str,
        take: impl FnMut(&[u8], Version) -> std::result::Result<Option<(T, usize)>, DecodeError>,
    ) -> Result<T> {
        match within(self.patience, what, self.take_now(take)).await? {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Unmet::failed(what, self.end.unwrap_or(End::Lost))),
            Err(error) => {
                let bytes = &self.buffer[..self.buffer.len().min(32)];
                Err(Unmet::failed(what, format_args!("{bytes:02x?}: {error}")))
            }
        }
    }

    /// Reads a message with its length.
    pub(crate) async fn message<M: Message>(&mut self, what: &str) -> Result<M> {
        self.take(what, |bytes, version| M::take(bytes, LIMIT, version)).await
    }

    /// Reads so many bytes.
    pub(crate) async fn exactly(&mut self, what: &str, size: usize) -> Result<Bytes> {
        holds("a frame of at most 64 MiB", size <= FRAME, size)?;
        let take = |bytes: &[u8], _| Ok((bytes.len() >= size).then_some(((), 0)));
        self.take(what, take).await?;
        Ok(self.buffer.split_to(size).freeze())
    }

    /// Reads the header of a frame, and says how many bytes follow.
    pub(crate) async fn frame_header(&mut self) -> Result<(u64, usize)> {
        let take = |bytes: &[u8], version| Ok(FrameHeader::take(bytes, version));
        let header = self.take("a frame", take).await?;
        self.timestamp = self.timestamp.wrapping_add_signed(header.delta);
        Ok((self.timestamp, usize::try_from(header.size).unwrap_or(usize::MAX)))
    }

    /// Reads a frame.
    pub(crate) async fn frame(&mut self) -> Result<Frame> {
        let (timestamp, size) = self.frame_header().await?;
        Ok(Frame { timestamp, payload: self.exactly("the payload of a frame", size).await? })
    }

    /// Expects a frame with these bytes.
    pub(crate) async fn expect(&mut self, payload: &[u8]) -> Result {
        let frame = self.frame().await?;
        let payload = Bytes::copy_from_slice(payload);
        same("a frame", &frame, &Frame { timestamp: frame.timestamp, payload })
    }

    /// Expects a frame with these bytes and, where the version has them, this timestamp.
    pub(crate) async fn expect_at(&mut self, timestamp: u64, payload: &[u8]) -> Result {
        let timestamp = if self.version.has_timestamps() { timestamp } else { 0 };
        let frame = self.frame().await?;
        same("a frame", frame, Frame { timestamp, payload: Bytes::copy_from_slice(payload) })
    }

    /// Reads on, and says how many bytes there were, or how it ended.
    pub(crate) async fn some(&mut self) -> Result<std::result::Result<usize, End>> {
        let patience = self.patience;
        if self.buffer.is_empty() && !within(patience, "the end of a stream", self.more()).await? {
            return Ok(Err(self.end.unwrap_or(End::Lost)));
        }
        Ok(Ok(self.buffer.split().len()))
    }

    /// Reads to the end of the stream, and says how many bytes there were. The end of the session fails.
    pub(crate) async fn rest(&mut self) -> Result<(usize, End)> {
        let mut bytes = 0;
        loop {
            match self.some().await? {
                Ok(more) => bytes += more,
                Err(End::Lost) => return Err(Unmet::failed("the end of a stream", End::Lost)),
                Err(end) => return Ok((bytes, end)),
            }
            holds("a stream of at most 64 MiB", bytes <= FRAME, bytes)?;
        }
    }

    /// Expects the end of the stream, whatever was before it.
    pub(crate) async fn ended(&mut self) -> Result {
        self.rest().await.map(|_| ())
    }

    /// Expects the end of the stream, and no bytes before it. The end of the session fails.
    pub(crate) async fn end(&mut self) -> Result<End> {
        let patience = self.patience;
        while self.buffer.is_empty() {
            if !within(patience, "the end of a stream", self.more()).await? {
                return match self.end {
                    Some(end) if end != End::Lost => Ok(end),
                    _ => Err(Unmet::failed("the end of a stream", End::Lost)),
                };
            }
        }
        let bytes = &self.buffer[..self.buffer.len().min(32)];
        Err(Unmet::failed("the end of a stream", format_args!("{bytes:02x?}")))
    }

    /// Expects FIN, and no bytes before it.
    pub(crate) async fn fin(&mut self) -> Result {
        match self.end().await? {
            End::Fin => Ok(()),
            end => Err(Unmet::failed("FIN", end)),
        }
    }

    /// Expects RESET_STREAM, whatever was before it.
    pub(crate) async fn reset(&mut self) -> Result<StreamCode> {
        match self.rest().await? {
            (_, End::Reset(code)) => Ok(code),
            (_, end) => Err(Unmet::failed("RESET_STREAM", end)),
        }
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> RecvStream {
        self.stream
    }

    /// Wants no more.
    pub(crate) fn stop(&mut self, code: StreamCode) {
        let _ = self.stream.stop(code_to_wire(code));
    }
}

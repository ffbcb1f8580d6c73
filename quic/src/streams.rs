//! What a node can do with the streams of a connection.

use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{self as quic, Dir as QuicDir};
use smoq_core::{
    Dir, Estimate, StreamId,
    binding::Transport,
    wire::{SessionCode, StreamCode},
};

use crate::{
    codes,
    connection::{Connection, to_core, to_quic},
};

/// The streams of one connection. With HTTP/3 around them, each begins with the name of its session.
pub(crate) struct Streams<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) now: Instant,
}

impl Streams<'_> {
    /// Whether nothing of HTTP/3 has to go before the node's bytes. It is not counted by the pace, which
    /// expects more of every stream than it has.
    fn has_begun(&mut self, stream: quic::StreamId) -> bool {
        let Connection { web, quic, .. } = &mut *self.connection;
        web.as_mut().is_none_or(|web| web.flush(quic, stream))
    }
}

impl Transport for Streams<'_> {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let dir = match dir {
            Dir::Bi => QuicDir::Bi,
            Dir::Uni => QuicDir::Uni,
        };
        let stream = self.connection.quic.streams().open(dir)?;
        if let Some(web) = &mut self.connection.web {
            web.begin_stream(stream);
        }
        Some(to_core(stream))
    }

    fn room(&self) -> usize {
        self.connection.room()
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let stream = to_quic(stream);
        if !self.has_begun(stream) {
            return 0;
        }
        let mut quic = self.connection.quic.send_stream(stream);
        let mut taken = 0;
        // Until all is taken or it refuses: only a refusal makes quinn-proto tell when there is credit
        // again. If the peer has stopped the stream, another event says so.
        while chunks.iter().any(|chunk| !chunk.is_empty()) {
            match quic.write_chunks(chunks) {
                Ok(written) => taken += written.bytes,
                Err(_) => break,
            }
        }
        self.connection.pace.wrote(taken);
        taken
    }

    // The errors of the calls below say that the stream has ended on its own or was stopped by the
    // peer, which its events tell the node.

    fn finish(&mut self, stream: StreamId) {
        let stream = to_quic(stream);
        if self.has_begun(stream) {
            let _ = self.connection.quic.send_stream(stream).finish();
        } else if let Some(web) = &mut self.connection.web {
            web.finish_stream(stream);
        }
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        let _ = self.connection.quic.send_stream(to_quic(stream)).set_priority(priority);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        let stream = to_quic(stream);
        if let Some(web) = &mut self.connection.web {
            web.forget_stream(stream);
        }
        let _ = self.connection.quic.send_stream(stream).reset(codes::to_wire(code));
        self.connection.pace.forgot();
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        let _ = self.connection.quic.recv_stream(to_quic(stream)).stop(codes::to_wire(code));
    }

    fn datagram_room(&mut self) -> usize {
        self.connection.datagram_room()
    }

    fn send_datagram(&mut self, data: Bytes) {
        self.connection.send_datagram(data);
    }

    fn estimate(&mut self) -> Estimate {
        self.connection.estimate()
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.connection.close(self.now, code, reason);
    }
}

//! Who is told what happened to the streams of a connection.

use bytes::Bytes;
use smoq_core::{Dir, Id, Session, StreamId, Time, wire::StreamCode};
use smoq_tape::Recorder;

/// Is told what happened to the streams of a connection.
pub(crate) trait Listener {
    /// The peer has opened a stream.
    fn opened(&mut self, stream: StreamId, dir: Dir);
    /// Bytes, in order, with the end of the stream or not.
    fn received(&mut self, stream: StreamId, data: Bytes, fin: bool);
    /// The peer sends no more.
    fn reset(&mut self, stream: StreamId, code: StreamCode);
    /// The peer wants no more.
    fn stopped(&mut self, stream: StreamId, code: StreamCode);
    /// The peer has everything, the end included.
    fn acked(&mut self, stream: StreamId);
    /// A stream that took fewer bytes than offered takes some again.
    fn writable(&mut self, stream: StreamId);
    /// A datagram has come.
    fn datagram(&mut self, data: Bytes);
}

/// A session of a node, at a time.
pub(crate) struct Ear<'a> {
    pub(crate) node: &'a mut Recorder,
    pub(crate) session: Id<Session>,
    pub(crate) time: Time,
}

impl Listener for Ear<'_> {
    fn opened(&mut self, stream: StreamId, dir: Dir) {
        self.node.handle_opened(self.time, self.session, stream, dir);
    }

    fn received(&mut self, stream: StreamId, data: Bytes, fin: bool) {
        self.node.handle_recv(self.time, self.session, stream, data, fin);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.node.handle_reset(self.time, self.session, stream, code);
    }

    fn stopped(&mut self, stream: StreamId, code: StreamCode) {
        self.node.handle_stopped(self.time, self.session, stream, code);
    }

    fn acked(&mut self, stream: StreamId) {
        self.node.handle_acked(self.time, self.session, stream);
    }

    fn writable(&mut self, stream: StreamId) {
        self.node.handle_writable(self.time, self.session, stream);
    }

    fn datagram(&mut self, data: Bytes) {
        self.node.handle_datagram(self.time, self.session, data);
    }
}

/// Where there is no session yet, or no more.
pub(crate) struct Nobody;

impl Listener for Nobody {
    fn opened(&mut self, _: StreamId, _: Dir) {}
    fn received(&mut self, _: StreamId, _: Bytes, _: bool) {}
    fn reset(&mut self, _: StreamId, _: StreamCode) {}
    fn stopped(&mut self, _: StreamId, _: StreamCode) {}
    fn acked(&mut self, _: StreamId) {}
    fn writable(&mut self, _: StreamId) {}
    fn datagram(&mut self, _: Bytes) {}
}

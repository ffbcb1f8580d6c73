//! The seam between a [`Node`] and whatever carries its streams.
//!
//! A transport (QUIC, WebTransport, a byte stream, the simulator) tells the node what happened by the
//! `handle_*` methods, and carries out what the node wants through [`Transport`]. [`pump`] is the
//! only loop that moves output from one to the other, so that every transport behaves the same.
//!
//! A transport calls [`pump`] for each session that [`Node::poll_session`] names, and again by itself
//! when one of the things it refused may work now: a stream to open, room for bytes. For a stream
//! that took fewer bytes than offered it first calls [`Node::handle_writable`].

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    Command, Dir, Estimate, Id, Node, Session, StreamId, Time,
    wire::{SessionCode, StreamCode},
};

/// What a node needs of one connection.
pub trait Transport {
    /// Opens a stream, if the peer's limit allows one more.
    fn open(&mut self, dir: Dir) -> Option<StreamId>;

    /// How many more bytes it would take now over all streams. Bounded to what the network can carry
    /// (the congestion window and a burst), so that what is decided late is decided well.
    fn room(&self) -> usize;

    /// Takes bytes for a stream and says how many; fewer than offered means that the stream is
    /// blocked until [`Node::handle_writable`]. Chunks taken may be replaced by empty ones.
    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize;

    /// Ends a stream after the bytes taken so far (FIN).
    fn finish(&mut self, stream: StreamId);

    /// Sends what this stream has before that of streams with a lower number.
    fn set_priority(&mut self, stream: StreamId, priority: i32);

    /// Abandons sending (RESET_STREAM). The stream may have ended already.
    fn reset(&mut self, stream: StreamId, code: StreamCode);

    /// Asks the peer to send no more (STOP_SENDING). The stream may have ended already.
    fn stop(&mut self, stream: StreamId, code: StreamCode);

    /// How many bytes a datagram may have now. Called only for sessions that have datagrams
    /// ([`SessionConfig::datagrams`](crate::SessionConfig::datagrams)).
    fn datagram_room(&mut self) -> usize {
        0
    }

    /// Sends a datagram of at most [`datagram_room`](Self::datagram_room) bytes, before what streams have. It
    /// may be lost.
    fn send_datagram(&mut self, _data: Bytes) {}

    /// How fast the connection is. Called only while its peer wants to know, about ten times a second. One
    /// that cannot tell leaves this as it is; its peers are refused, though SETUP says that they may ask.
    fn estimate(&mut self) -> Estimate {
        Estimate::default()
    }

    /// Closes the connection. Nothing else is called after it.
    fn close(&mut self, code: SessionCode, reason: &str);
}

impl<T: Transport> Transport for &mut T {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        (**self).open(dir)
    }

    fn room(&self) -> usize {
        (**self).room()
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        (**self).write(stream, chunks)
    }

    fn finish(&mut self, stream: StreamId) {
        (**self).finish(stream);
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        (**self).set_priority(stream, priority);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        (**self).reset(stream, code);
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        (**self).stop(stream, code);
    }

    fn datagram_room(&mut self) -> usize {
        (**self).datagram_room()
    }

    fn send_datagram(&mut self, data: Bytes) {
        (**self).send_datagram(data);
    }

    fn estimate(&mut self) -> Estimate {
        (**self).estimate()
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        (**self).close(code, reason);
    }
}

/// Moves the output of one session into its transport until one of them has had enough.
///
/// `scratch` is a buffer to reuse between calls; its content does not matter.
pub fn pump<T: Transport>(
    node: &mut Node,
    now: Time,
    session: Id<Session>,
    transport: &mut T,
    scratch: &mut Vec<Bytes>,
) {
    let datagrams = node.may_have_datagrams(session);
    loop {
        while let Some(command) = node.poll_command(session) {
            match command {
                Command::Priority { stream, priority } => transport.set_priority(stream, priority),
                Command::Reset { stream, code } => transport.reset(stream, code),
                Command::Stop { stream, code } => transport.stop(stream, code),
                Command::Estimate => node.handle_estimate(now, session, transport.estimate()),
                Command::Close { code, reason } => return transport.close(code, &reason),
            }
        }
        let mut granted = false;
        while datagrams && node.wants_datagram(session) && transport.room() > 0 {
            let Some(data) = node.poll_datagram(now, session, transport.datagram_room()) else {
                continue;
            };
            transport.send_datagram(data);
            granted = true;
        }
        for dir in [Dir::Bi, Dir::Uni] {
            while node.wants_open(session, dir) {
                let Some(stream) = transport.open(dir) else { break };
                node.handle_granted(now, session, stream, dir);
                granted = true;
            }
        }
        if granted {
            continue;
        }
        let room = transport.room();
        let Some(send) = node.poll_send(now, session, room, scratch) else { break };
        let taken = if send.bytes == 0 { 0 } else { transport.write(send.stream, scratch) };
        if taken == send.bytes && send.fin {
            transport.finish(send.stream);
        }
        node.sent(now, session, send.stream, taken);
    }
    scratch.clear();
}

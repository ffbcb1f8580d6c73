//! Between a node and its transport: what passes is written down, or played back.

use alloc::vec::{IntoIter, Vec};
use core::cell::RefCell;

use bytes::Bytes;
use smoq_core::{
    Dir, Estimate, StreamId,
    binding::Transport,
    wire::{SessionCode, StreamCode},
};

use crate::{
    tape::{Digest, Tape},
    value::{Source, Value},
};

/// What a transport answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A stream was opened, or none can be.
    Opened(Option<StreamId>),
    /// So many more bytes would be taken.
    Room(usize),
    /// So many bytes were taken.
    Taken(usize),
    /// How fast the connection is.
    Estimate(Estimate),
    /// So many bytes may be in a datagram.
    DatagramRoom(usize),
}

impl Value for Answer {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Opened(stream) => {
                out.push(0);
                stream.put(out);
            }
            Self::Room(bytes) => {
                out.push(1);
                bytes.put(out);
            }
            Self::Taken(bytes) => {
                out.push(2);
                bytes.put(out);
            }
            Self::Estimate(estimate) => {
                out.push(3);
                estimate.put(out);
            }
            Self::DatagramRoom(bytes) => {
                out.push(4);
                bytes.put(out);
            }
        }
    }

    fn get(from: &mut Source) -> Option<Self> {
        match from.byte()? {
            0 => Some(Self::Opened(Value::get(from)?)),
            1 => Some(Self::Room(Value::get(from)?)),
            2 => Some(Self::Taken(Value::get(from)?)),
            3 => Some(Self::Estimate(Value::get(from)?)),
            4 => Some(Self::DatagramRoom(Value::get(from)?)),
            _ => None,
        }
    }
}

/// Writes down what passes between a node and its transport.
pub(crate) struct Tap<'a, T> {
    transport: &'a mut T,
    tape: RefCell<&'a mut Tape>,
}

impl<'a, T> Tap<'a, T> {
    pub(crate) fn new(transport: &'a mut T, tape: &'a mut Tape) -> Self {
        Self { transport, tape: RefCell::new(tape) }
    }

    fn call(&mut self, call: core::fmt::Arguments<'_>) {
        self.tape.get_mut().say(call);
    }
}

impl<T> Drop for Tap<'_, T> {
    /// Where the node panics, what it was told until then is kept.
    fn drop(&mut self) {
        self.tape.get_mut().seal();
    }
}

impl<T: Transport> Transport for Tap<'_, T> {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let stream = self.transport.open(dir);
        Answer::Opened(stream).put(self.tape.get_mut().out());
        self.call(format_args!("open({dir:?}) "));
        stream
    }

    fn room(&self) -> usize {
        let room = self.transport.room();
        Answer::Room(room).put(self.tape.borrow_mut().out());
        room
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let digest = chunks.iter().fold(Digest::default(), |digest, chunk| digest.update(chunk));
        let taken = self.transport.write(stream, chunks);
        Answer::Taken(taken).put(self.tape.get_mut().out());
        self.call(format_args!("write({}, {offered} bytes, {:08x}) ", stream.0, digest.short()));
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        self.call(format_args!("finish({}) ", stream.0));
        self.transport.finish(stream);
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.call(format_args!("set_priority({}, {priority}) ", stream.0));
        self.transport.set_priority(stream, priority);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.call(format_args!("reset({}, {}) ", stream.0, code.0));
        self.transport.reset(stream, code);
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        self.call(format_args!("stop({}, {}) ", stream.0, code.0));
        self.transport.stop(stream, code);
    }

    fn datagram_room(&mut self) -> usize {
        let room = self.transport.datagram_room();
        Answer::DatagramRoom(room).put(self.tape.get_mut().out());
        room
    }

    fn send_datagram(&mut self, data: Bytes) {
        let digest = Digest::default().update(&data);
        self.call(format_args!("send_datagram({} bytes, {:08x}) ", data.len(), digest.short()));
        self.transport.send_datagram(data);
    }

    fn estimate(&mut self) -> Estimate {
        let estimate = self.transport.estimate();
        Answer::Estimate(estimate).put(self.tape.get_mut().out());
        estimate
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.call(format_args!("close({}, {reason:?}) ", code.0));
        self.transport.close(code, reason);
    }
}

/// What a node told its transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// It opened a stream.
    Opened(StreamId, Dir),
    /// Bytes for a stream, as far as they were taken.
    Data(StreamId, Bytes),
    /// No more on a stream.
    Finished(StreamId),
    /// A stream was abandoned.
    Reset(StreamId, StreamCode),
    /// The peer is to send no more on a stream.
    Stopped(StreamId, StreamCode),
    /// A datagram.
    Datagram(Bytes),
    /// The connection is closed.
    Closed(SessionCode),
}

/// Answers what a transport answered before, and keeps what it is told. A script that is over, because
/// the node asks for more than it did, or that goes on otherwise, answers that nothing is possible.
pub(crate) struct Script<'a> {
    answers: RefCell<IntoIter<Answer>>,
    said: &'a mut Vec<Said>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(answers: Vec<Answer>, said: &'a mut Vec<Said>) -> Self {
        Self { answers: RefCell::new(answers.into_iter()), said }
    }
}

impl Transport for Script<'_> {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let Some(Answer::Opened(Some(stream))) = self.answers.get_mut().next() else { return None };
        self.said.push(Said::Opened(stream, dir));
        Some(stream)
    }

    fn room(&self) -> usize {
        match self.answers.borrow_mut().next() {
            Some(Answer::Room(room)) => room,
            _ => 0,
        }
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let Some(Answer::Taken(taken)) = self.answers.get_mut().next() else { return 0 };
        let mut left = taken;
        for chunk in chunks {
            let part = chunk.slice(..chunk.len().min(left));
            left -= part.len();
            if !part.is_empty() {
                self.said.push(Said::Data(stream, part));
            }
        }
        taken - left
    }

    fn finish(&mut self, stream: StreamId) {
        self.said.push(Said::Finished(stream));
    }

    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.said.push(Said::Reset(stream, code));
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        self.said.push(Said::Stopped(stream, code));
    }

    fn datagram_room(&mut self) -> usize {
        match self.answers.get_mut().next() {
            Some(Answer::DatagramRoom(room)) => room,
            _ => 0,
        }
    }

    fn send_datagram(&mut self, data: Bytes) {
        self.said.push(Said::Datagram(data));
    }

    fn estimate(&mut self) -> Estimate {
        match self.answers.get_mut().next() {
            Some(Answer::Estimate(estimate)) => estimate,
            _ => Estimate::default(),
        }
    }

    fn close(&mut self, code: SessionCode, _: &str) {
        self.said.push(Said::Closed(code));
    }
}

//! A node that can write down what goes in and comes out.

use alloc::{boxed::Box, vec::Vec};
use core::{fmt::Debug, ops::Deref};

use bytes::Bytes;
use smoq_core::{
    Config, GroupReader, Groups, Heard, Id, Misuse, NextGroup, Node, Read, Reader, Session, Time,
    binding::{self, Transport},
};

use crate::{input, tap::Tap, tape::Tape, value::Value};

/// A node that can write down what goes in and comes out. It has the methods of a [`Node`] that change
/// something; reads need no recording, so it derefs to [`Node`] for them. Silent, it costs a look at an
/// empty place for each input.
///
/// What was written is taken out by [`take_recording`](Self::take_recording), as often as one likes.
#[derive(Clone)]
pub struct Recorder {
    pub(crate) node: Node,
    pub(crate) tape: Option<Box<Tape>>,
    /// What is left of a recording that has ended.
    rest: Vec<u8>,
}

impl Deref for Recorder {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Recorder {
    /// A node that records nothing.
    pub fn silent(config: Config) -> Self {
        Self { node: Node::new(config), tape: None, rest: Vec::new() }
    }

    /// A node that records from its beginning. The recording ends with the input by which it has more
    /// than `limit` bytes; `u64::MAX` is no limit.
    pub fn recording(config: Config, limit: u64) -> Self {
        let tape = Some(Box::new(Tape::new(&config, limit)));
        Self { tape, ..Self::silent(config) }
    }

    /// Whether it still records.
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// Ends the recording.
    pub fn stop_recording(&mut self) {
        if let Some(mut tape) = self.tape.take() {
            tape.end();
            self.rest = tape.take();
        }
    }

    /// What was recorded and not taken.
    pub fn recorded(&self) -> &[u8] {
        self.tape.as_ref().map_or(&self.rest, |tape| tape.bytes())
    }

    /// Takes what was recorded since this was asked last.
    pub fn take_recording(&mut self) -> Vec<u8> {
        match &mut self.tape {
            Some(tape) => tape.take(),
            None => core::mem::take(&mut self.rest),
        }
    }

    /// [`binding::pump`], recorded together with what the transport answers.
    pub fn pump<T: Transport>(
        &mut self,
        now: Time,
        session: Id<Session>,
        transport: &mut T,
        scratch: &mut Vec<Bytes>,
    ) {
        let Some(tape) = &mut self.tape else {
            return binding::pump(&mut self.node, now, session, transport, scratch);
        };
        tape.begin(input::PUMP);
        now.put(tape.out());
        session.put(tape.out());
        binding::pump(&mut self.node, now, session, &mut Tap::new(transport, tape), scratch);
        let more = tape.close();
        self.go_on(more);
    }

    /// Tells the node what the other end of a [`Link`](smoq_core::Link) says.
    pub fn hear(&mut self, now: Time, session: Id<Session>, heard: Heard) {
        match heard {
            Heard::Opened(stream, dir) => self.handle_opened(now, session, stream, dir),
            Heard::Received(stream, data, fin) => {
                self.handle_recv(now, session, stream, data, fin);
            }
            Heard::Reset(stream, code) => self.handle_reset(now, session, stream, code),
            Heard::Stopped(stream, code) => self.handle_stopped(now, session, stream, code),
            Heard::Acked(stream) => self.handle_acked(now, session, stream),
            Heard::Writable(stream) => self.handle_writable(now, session, stream),
            Heard::Datagram(data) => self.handle_datagram(now, session, data),
            Heard::Closed(closed) => self.handle_closed(now, session, closed),
        }
    }

    /// Writes down an input, before the node has it.
    pub(crate) fn note(&mut self, code: u8, arguments: impl FnOnce(&mut Vec<u8>)) {
        if let Some(tape) = &mut self.tape {
            tape.begin(code);
            arguments(tape.out());
            tape.seal();
        }
    }

    /// Writes down what came of it. A node that is asked for nothing over and over should not fill the
    /// tape: `idle` answers to such questions are left out. Such a question changes nothing but how late
    /// the node believes it is, and all that depends on that says itself how late it is.
    pub(crate) fn note_output(&mut self, output: &impl Debug, idle: bool) {
        if let Some(tape) = &mut self.tape {
            let more = tape.close_with(output);
            if idle {
                tape.drop_last();
            } else {
                self.go_on(more);
            }
        }
    }

    fn go_on(&mut self, more: bool) {
        if !more {
            self.stop_recording();
        }
    }
}

impl Groups for Recorder {
    fn next_group(&mut self, now: Time, reader: Id<Reader>) -> Result<NextGroup, Misuse> {
        self.next_group(now, reader)
    }

    fn read(&mut self, group: Id<GroupReader>, max: usize) -> Result<Read, Misuse> {
        self.read(group, max)
    }
}

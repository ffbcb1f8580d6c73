//! Recordings: everything that went into a node and came out of it, as lines of text.
//!
//! A [`Recorder`] stands in for a [`Node`] and has the same methods. What it writes down begins with
//! how the node was made; then each input is a line `> name arguments`, followed by a line `< output`.
//! What a transport answered while it was pumped is part of the input. [`replay`] feeds the inputs to
//! a new node and records again: a node that depends on nothing else gives the same text.

use std::{cell::RefCell, fmt::Write, ops::Deref};

use bytes::Bytes;
use smoq_core::{
    Announced, Broadcast, Closed, Command, Config, Dir, Event, Grant, Group, GroupReader, Id,
    Misuse, NextGroup, Node, Path, Read, Reader, Session, SessionConfig, StreamId,
    SubscribeOptions, Time, Track, Watcher,
    binding::{self, Transport},
    wire::{SessionCode, StreamCode, TrackInfo},
};
use thiserror::Error;

use crate::text::{Argument, Text, Words};

/// Why a recording cannot be replayed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReplayError {
    /// The text does not begin with how the node was made.
    #[error("line 1 does not say how the node was made: is this a recording?")]
    Beginning,
    /// A line is no input.
    #[error("line {0} is no input of a node: the recording is damaged or of another version")]
    Input(usize),
}

/// A node that can write down what goes in and comes out. Reads need no recording: it derefs to
/// [`Node`].
#[derive(Clone)]
pub struct Recorder {
    node: Node,
    tape: Option<String>,
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
        Self { node: Node::new(config), tape: None }
    }

    /// A node that records from its beginning.
    pub fn recording(config: Config) -> Self {
        let mut tape = String::from("> new");
        config.put(&mut tape);
        tape.push('\n');
        Self { node: Node::new(config), tape: Some(tape) }
    }

    /// What was recorded so far; empty if nothing is.
    pub fn tape(&self) -> &str {
        self.tape.as_deref().unwrap_or_default()
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
        let mut tap = Tap { transport, answers: RefCell::default(), calls: String::new() };
        binding::pump(&mut self.node, now, session, &mut tap, scratch);
        tape.push_str("> pump");
        now.put(tape);
        session.put(tape);
        let Tap { answers, calls, .. } = tap;
        writeln!(tape, "{}\n<{calls}", answers.into_inner()).expect("strings take everything");
    }

    fn note(&mut self, name: &str, arguments: impl FnOnce(&mut String)) {
        if let Some(tape) = &mut self.tape {
            tape.push_str("> ");
            tape.push_str(name);
            arguments(tape);
        }
    }

    fn note_output(&mut self, output: &impl std::fmt::Debug) {
        if let Some(tape) = &mut self.tape {
            writeln!(tape, "\n< {output:?}").expect("strings take everything");
            // A node that is asked for nothing over and over should not fill the tape.
            for idle in ["> poll_session\n< None\n", "> poll_event\n< None\n"] {
                tape.truncate(tape.strip_suffix(idle).unwrap_or(tape).len());
            }
        }
    }
}

/// The methods of a node with a mutable receiver, and how to find them by name.
macro_rules! inputs {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $output:ty)?;)*) => {
        impl Recorder {$(
            #[doc = concat!("[`Node::", stringify!($name), "`], recorded.")]
            pub fn $name(&mut self $(, $argument: $type)*) $(-> $output)? {
                self.note(stringify!($name), |_tape| {$( $argument.note(_tape); )*});
                let output = self.node.$name($($argument),*);
                self.note_output(&output);
                output
            }
        )*}

        /// Feeds one recorded input to a recorder; `None` if it is none.
        fn feed(recorder: &mut Recorder, name: &str, words: &mut Words<'_>) -> Option<()> {
            match name {
                $(stringify!($name) => {
                    $(let $argument = <$type as Argument<'_>>::Value::get(words)?;)*
                    _ = recorder.$name($(<$type as Argument<'_>>::lend(&$argument)),*);
                })*
                "pump" => {
                    let (now, session) = (Time::get(words)?, Id::get(words)?);
                    let mut script = Script(RefCell::new(&mut *words));
                    recorder.pump(now, session, &mut script, &mut Vec::new());
                    // A node that does something else may have asked for less.
                    words.for_each(drop);
                    return Some(());
                }
                _ => return None,
            }
            words.next().is_none().then_some(())
        }
    };
}

inputs! {
    add_session(now: Time, config: SessionConfig) -> Id<Session>;
    grant(now: Time, session: Id<Session>, grant: Grant) -> Result<(), Misuse>;
    close(now: Time, session: Id<Session>, code: SessionCode, reason: &str) -> Result<(), Misuse>;
    poll_event() -> Option<Event>;
    publish(now: Time, path: &Path) -> Result<Id<Broadcast>, Misuse>;
    create_broadcast(now: Time, path: &Path) -> Result<Id<Broadcast>, Misuse>;
    announce(now: Time, broadcast: Id<Broadcast>) -> Result<(), Misuse>;
    unpublish(now: Time, broadcast: Id<Broadcast>) -> Result<(), Misuse>;
    create_track(now: Time, broadcast: Id<Broadcast>, name: &str, info: TrackInfo)
        -> Result<Id<Track>, Misuse>;
    finish_track(now: Time, track: Id<Track>) -> Result<(), Misuse>;
    abort_track(now: Time, track: Id<Track>, code: StreamCode) -> Result<(), Misuse>;
    create_group(now: Time, track: Id<Track>, sequence: Option<u64>)
        -> Result<(Id<Group>, u64), Misuse>;
    write_frame(now: Time, group: Id<Group>, timestamp: u64, payload: Bytes) -> Result<(), Misuse>;
    start_frame(now: Time, group: Id<Group>, timestamp: u64, size: u64) -> Result<(), Misuse>;
    write_chunk(now: Time, group: Id<Group>, data: Bytes) -> Result<(), Misuse>;
    finish_group(now: Time, group: Id<Group>) -> Result<(), Misuse>;
    abort_group(now: Time, group: Id<Group>, code: StreamCode) -> Result<(), Misuse>;
    watch(now: Time, prefix: &Path) -> Id<Watcher>;
    unwatch(now: Time, watcher: Id<Watcher>) -> Result<(), Misuse>;
    poll_announced(watcher: Id<Watcher>) -> Result<Option<Announced>, Misuse>;
    subscribe(now: Time, path: &Path, track: &str, options: SubscribeOptions)
        -> Result<Id<Reader>, Misuse>;
    update_subscription(now: Time, reader: Id<Reader>, options: SubscribeOptions)
        -> Result<(), Misuse>;
    unsubscribe(now: Time, reader: Id<Reader>) -> Result<(), Misuse>;
    next_group(now: Time, reader: Id<Reader>) -> Result<NextGroup, Misuse>;
    read(group: Id<GroupReader>, max: usize) -> Result<Read, Misuse>;
    skip_group(now: Time, group: Id<GroupReader>) -> Result<(), Misuse>;
    handle_timeout(now: Time);
    handle_opened(now: Time, session: Id<Session>, stream: StreamId, dir: Dir);
    handle_recv(now: Time, session: Id<Session>, stream: StreamId, data: Bytes, fin: bool);
    handle_reset(now: Time, session: Id<Session>, stream: StreamId, code: StreamCode);
    handle_stopped(now: Time, session: Id<Session>, stream: StreamId, code: StreamCode);
    handle_acked(now: Time, session: Id<Session>, stream: StreamId);
    handle_writable(now: Time, session: Id<Session>, stream: StreamId);
    handle_closed(now: Time, session: Id<Session>, closed: Closed);
    poll_session() -> Option<Id<Session>>;
    poll_command(session: Id<Session>) -> Option<Command>;
}

/// Feeds the inputs of a recording to a new node, and returns the recording of that. The two are
/// equal if the node depends on its inputs alone; [`first_difference`] finds where they part.
pub fn replay(tape: &str) -> Result<String, ReplayError> {
    let mut lines = tape.lines().enumerate();
    let config = lines.next().and_then(|(_, line)| {
        let mut words = Words::new(line.strip_prefix("> new ")?);
        Config::get(&mut words)
    });
    let mut recorder = Recorder::recording(config.ok_or(ReplayError::Beginning)?);
    for (number, line) in lines {
        let Some(input) = line.strip_prefix("> ") else { continue };
        let mut words = Words::new(input);
        let name = words.next().unwrap_or_default();
        feed(&mut recorder, name, &mut words).ok_or(ReplayError::Input(number + 1))?;
    }
    Ok(recorder.tape.unwrap_or_default())
}

/// The number of the first line, from 1, in which two recordings differ.
pub fn first_difference(a: &str, b: &str) -> Option<usize> {
    let (mut a, mut b) = (a.lines(), b.lines());
    let mut number = 1;
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a != b => return Some(number),
            _ => number += 1,
        }
    }
}

/// Writes down what passes between a node and its transport.
struct Tap<'a, T> {
    transport: &'a mut T,
    answers: RefCell<String>,
    calls: String,
}

impl<T> Tap<'_, T> {
    fn call(&mut self, call: std::fmt::Arguments<'_>) {
        write!(self.calls, " {call}").expect("strings take everything");
    }
}

impl<T: Transport> Transport for Tap<'_, T> {
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let stream = self.transport.open(dir);
        stream.map(|stream| stream.0).put(self.answers.get_mut());
        stream
    }

    fn room(&self) -> usize {
        let room = self.transport.room();
        room.put(&mut self.answers.borrow_mut());
        room
    }

    fn write(&mut self, stream: StreamId, chunks: &mut [Bytes]) -> usize {
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let digest = chunks.iter().flatten().fold(FNV, |hash, byte| fnv(hash, *byte));
        let taken = self.transport.write(stream, chunks);
        taken.put(self.answers.get_mut());
        self.call(format_args!("write({},{offered},{digest:x})", stream.0));
        taken
    }

    fn finish(&mut self, stream: StreamId) {
        self.call(format_args!("finish({})", stream.0));
        self.transport.finish(stream);
    }

    fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.call(format_args!("priority({},{priority})", stream.0));
        self.transport.set_priority(stream, priority);
    }

    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.call(format_args!("reset({},{})", stream.0, code.0));
        self.transport.reset(stream, code);
    }

    fn stop(&mut self, stream: StreamId, code: StreamCode) {
        self.call(format_args!("stop({},{})", stream.0, code.0));
        self.transport.stop(stream, code);
    }

    fn close(&mut self, code: SessionCode, reason: &str) {
        self.call(format_args!("close({},{reason:?})", code.0));
        self.transport.close(code, reason);
    }
}

/// FNV-1a: the digest only has to notice differences.
pub(crate) const FNV: u64 = 0xcbf2_9ce4_8422_2325;

pub(crate) fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// Answers what a transport answered before. A script that is over, because the node asks for more
/// than it did, answers that nothing is possible.
struct Script<'a, 'b>(RefCell<&'a mut Words<'b>>);

impl Transport for Script<'_, '_> {
    fn open(&mut self, _: Dir) -> Option<StreamId> {
        Option::<u64>::get(self.0.get_mut())?.map(StreamId)
    }

    fn room(&self) -> usize {
        usize::get(&mut self.0.borrow_mut()).unwrap_or(0)
    }

    fn write(&mut self, _: StreamId, _: &mut [Bytes]) -> usize {
        usize::get(self.0.get_mut()).unwrap_or(0)
    }

    fn finish(&mut self, _: StreamId) {}

    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn reset(&mut self, _: StreamId, _: StreamCode) {}

    fn stop(&mut self, _: StreamId, _: StreamCode) {}

    fn close(&mut self, _: SessionCode, _: &str) {}
}

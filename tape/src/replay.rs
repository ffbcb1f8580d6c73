//! Feeding a recording to a new node.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use bytes::Bytes;
use smoq_core::{Config, Event, Id, Node, Session, Time};
use thiserror::Error;

use crate::{
    Recorder,
    input::{Input, Outcome},
    tap::{Said, Script},
    tape::{BEGIN, Digest, END, MAGIC, WORD},
    value::{Source, Value},
};

/// Why a recording cannot be replayed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReplayError {
    /// The bytes do not begin as a recording does.
    #[error(
        "this is no recording: it does not begin with \"smoq tape\"; `smoq relay --record` makes one"
    )]
    NoRecording,
    /// The recording has another format.
    #[error(
        "this recording has a format that this smoq does not know: replay it with the one that made it"
    )]
    Format,
    /// It does not say how the node was made.
    #[error(
        "the beginning of the recording is damaged or missing: without it nothing can be replayed"
    )]
    Beginning,
    /// A record is no input.
    #[error("input {number}, at byte {offset}, is none: the recording is damaged there")]
    Input {
        /// Which one, from 1.
        number: u64,
        /// Where it begins.
        offset: u64,
    },
}

/// How a recording ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was ended: it has reached its limit, or was told to stop.
    Ended,
    /// It stops between two inputs, or right after one: whoever wrote it was stopped.
    Stopped,
    /// It stops within a record: what is left of that is of no use.
    Cut,
}

/// One input, and what came of it this time.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Which one, from 1.
    pub number: u64,
    /// When, as the node counts it. For a question without a time, that of the input before.
    pub time: Time,
    /// The input.
    pub input: Input,
    /// What the node answered, and what it told its transport.
    pub output: String,
    /// The session that was added.
    pub session: Option<Id<Session>>,
    /// What the application was told.
    pub event: Option<Event>,
    /// What the transport was told.
    pub said: Vec<Said>,
    /// Whether input and output are what was recorded; `None` if the recording does not say, since it
    /// stops right after the input.
    pub same: Option<bool>,
}

/// A recording on its way through a new node.
pub struct Replay {
    recording: Bytes,
    offset: usize,
    number: u64,
    time: Time,
    version: String,
    recorder: Recorder,
    ending: Option<Ending>,
}

impl Replay {
    /// Makes the node that the recording begins with.
    ///
    /// # Errors
    /// [`ReplayError::NoRecording`], [`ReplayError::Format`] or [`ReplayError::Beginning`].
    pub fn new(recording: Bytes) -> Result<Self, ReplayError> {
        Self::with(recording, |_| {})
    }

    /// [`new`](Self::new) for a node that is made in another way than that of the recording, to see
    /// where it goes another way.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn with(recording: Bytes, change: impl FnOnce(&mut Config)) -> Result<Self, ReplayError> {
        if !recording.starts_with(MAGIC) {
            let known = recording.starts_with(b"smoq tape ");
            return Err(if known { ReplayError::Format } else { ReplayError::NoRecording });
        }
        let Some(Record { body, check: Some(check), end }) = record(&recording, MAGIC.len()) else {
            return Err(ReplayError::Beginning);
        };
        let (version, mut config) = beginning(body.clone())
            .filter(|_| check_of(&body) == check)
            .ok_or(ReplayError::Beginning)?;
        change(&mut config);
        Ok(Self {
            recording,
            offset: end,
            number: 0,
            time: Time::ZERO,
            version,
            recorder: Recorder::recording(config, u64::MAX),
            ending: None,
        })
    }

    /// The version of smoq that recorded.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The node as it is after the last step.
    pub fn node(&self) -> &Node {
        &self.recorder.node
    }

    /// How the recording ends, once [`step`](Self::step) has come there.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The time of the next input, as far as it can be read.
    pub fn next_time(&self) -> Option<Time> {
        let Record { body, .. } = record(&self.recording, self.offset)?;
        let input = Input::get(&mut Source::new(body))?;
        Some(self.time.max(input.time().unwrap_or_default()))
    }

    /// Feeds the next input; `None` at the end.
    ///
    /// # Errors
    /// [`ReplayError::Input`], and again each time.
    ///
    /// # Panics
    /// As the node did, if it has a bug.
    pub fn step(&mut self) -> Result<Option<Step>, ReplayError> {
        let Some(Record { body, check, end }) = record(&self.recording, self.offset) else {
            let left = self.offset < self.recording.len();
            self.ending.get_or_insert(if left { Ending::Cut } else { Ending::Stopped });
            return Ok(None);
        };
        let number = self.number + 1;
        let error = ReplayError::Input { number, offset: self.offset as u64 };
        if *body == [END] {
            self.ending = Some(Ending::Ended);
            return if check == Some(check_of(&body)) { Ok(None) } else { Err(error) };
        }
        let input = Input::get(&mut Source::new(body)).ok_or(error)?;
        self.offset = end;
        self.number = number;
        self.time = self.time.max(input.time().unwrap_or_default());
        let answers = match &input {
            Input::Pump { answers, .. } => answers.clone(),
            _ => Vec::new(),
        };
        let mut said = Vec::new();
        let outcome = input.apply(&mut self.recorder, &mut Script::new(answers, &mut said));
        let (session, event) = match outcome {
            Outcome::Session(session) => (Some(session), None),
            Outcome::Event(event) => (None, Some(event)),
            Outcome::Other => (None, None),
        };
        let Some(tape) = &mut self.recorder.tape else { return Ok(None) };
        tape.take();
        let (output, now) = tape.last();
        let same = check.map(|check| check == now);
        let output = output.trim_end().to_owned();
        Ok(Some(Step { number, time: self.time, input, output, session, event, said, same }))
    }
}

/// A record, its check if that is there, and where the next one begins.
struct Record {
    body: Bytes,
    check: Option<u32>,
    end: usize,
}

/// The record that begins at an offset; `None` if there is no whole one.
fn record(recording: &Bytes, offset: usize) -> Option<Record> {
    let word = |at: usize| {
        let bytes = recording.get(at..at.checked_add(WORD)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let start = offset + WORD;
    let end = start.checked_add(usize::try_from(word(offset)?).ok()?)?;
    if end == start || end > recording.len() {
        return None;
    }
    let check = word(end);
    let next = if check.is_some() { end + WORD } else { recording.len() };
    Some(Record { body: recording.slice(start..end), check, end: next })
}

fn beginning(body: Bytes) -> Option<(String, Config)> {
    let mut from = Source::new(body);
    if from.byte()? != BEGIN {
        return None;
    }
    let version = String::get(&mut from)?;
    let config = Config::get(&mut from)?;
    from.is_empty().then_some((version, config))
}

/// The check of a record of which nothing comes.
fn check_of(body: &[u8]) -> u32 {
    Digest::default().update(body).update(&[]).short()
}

/// Where two recordings, each replayed, part: their inputs or what came of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// The number of the input, from 1.
    pub number: u64,
    /// What the first has there; `None` if it is over.
    pub one: Option<Step>,
    /// What the second has there; `None` if it is over.
    pub other: Option<Step>,
}

/// Replays two recordings side by side, up to the first difference or the time `until`.
///
/// # Errors
/// As those of [`Replay::step`], of either.
pub fn first_difference(
    one: &mut Replay,
    other: &mut Replay,
    until: Option<Time>,
) -> Result<Option<Difference>, ReplayError> {
    let mut number = 1;
    loop {
        let (a, b) = (one.step()?, other.step()?);
        let late = |step: &Option<Step>| {
            step.as_ref().is_none_or(|step| until.is_some_and(|until| step.time > until))
        };
        if late(&a) && late(&b) {
            return Ok(None);
        }
        let same = match (&a, &b) {
            (Some(a), Some(b)) => (a.time, &a.input, &a.output) == (b.time, &b.input, &b.output),
            _ => false,
        };
        if !same {
            return Ok(Some(Difference { number, one: a, other: b }));
        }
        number += 1;
    }
}

impl Step {
    /// Input and output on one line.
    pub fn line(&self) -> String {
        let input = alloc::format!("{:?}", self.input);
        if self.output == "()" || self.output.is_empty() {
            input
        } else {
            input + " => " + &self.output
        }
    }
}

impl core::fmt::Display for Ending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Ended => "the recording ends here: it has reached its limit",
            Self::Stopped => "the recording ends here: whoever wrote it has ended or was stopped",
            Self::Cut => {
                "the recording ends within a record: whoever wrote it was stopped, or it is damaged here"
            }
        })
    }
}

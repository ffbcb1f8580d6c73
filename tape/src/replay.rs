//! Feeding a recording to a new node.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use bytes::Bytes;
use smoq_core::{Config, Event, Id, Node, Session, Time};
use thiserror::Error;

use crate::{
    Recorder,
    input::{Input, Outcome},
    tap::{Said, Script},
    tape::{BEGIN, Digest, END, HEAD, MAGIC, WORD},
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
    /// It stops within a record: whoever wrote it was stopped; what is left of that is of no use.
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
        let Next::Record { body, check: Some(check), end } = next(&recording, MAGIC.len()) else {
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
        let Next::Record { body, .. } = next(&self.recording, self.offset) else { return None };
        let input = Input::get(&mut Source::new(body))?;
        Some(self.time.max(input.time().unwrap_or_default()))
    }

    /// [`step`](Self::step), unless what comes next is later than `until`: `None` then, too.
    ///
    /// # Errors
    /// As those of [`step`](Self::step).
    pub fn step_until(&mut self, until: Option<Time>) -> Result<Option<Step>, ReplayError> {
        let late = |until| self.next_time().is_some_and(|next| next > until);
        if until.is_some_and(late) { Ok(None) } else { self.step() }
    }

    /// Feeds the next input; `None` at the end.
    ///
    /// # Errors
    /// [`ReplayError::Input`], and again each time.
    ///
    /// # Panics
    /// As the node did, if it has a bug.
    pub fn step(&mut self) -> Result<Option<Step>, ReplayError> {
        let number = self.number + 1;
        let error = ReplayError::Input { number, offset: self.offset as u64 };
        let (body, check, end) = match next(&self.recording, self.offset) {
            Next::Record { body, check, end } => (body, check, end),
            Next::Damaged => return Err(error),
            Next::Cut => {
                self.ending = Some(Ending::Cut);
                return Ok(None);
            }
            Next::Nothing => {
                self.ending = Some(Ending::Stopped);
                return Ok(None);
            }
        };
        if *body == [END] {
            if check != Some(check_of(&body)) {
                return Err(error);
            }
            self.ending = Some(Ending::Ended);
            return Ok(None);
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

/// What is at a place of a recording.
enum Next {
    /// A record, its check if that is there, and where the next one begins.
    Record { body: Bytes, check: Option<u32>, end: usize },
    /// The recording is over.
    Nothing,
    /// It stops within a record.
    Cut,
    /// No record.
    Damaged,
}

fn next(recording: &Bytes, offset: usize) -> Next {
    let word = |at: usize| {
        let bytes = recording.get(at..at.checked_add(WORD)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    if offset >= recording.len() {
        return Next::Nothing;
    }
    let (Some(length), Some(again)) = (word(offset), word(offset + WORD)) else { return Next::Cut };
    if length == 0 || length != !again {
        return Next::Damaged;
    }
    let start = offset + HEAD;
    let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
    let Some(end) = end.filter(|end| *end <= recording.len()) else { return Next::Cut };
    let check = word(end);
    let next = if check.is_some() { end + WORD } else { recording.len() };
    Next::Record { body: recording.slice(start..end), check, end: next }
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

/// What has come of two recordings side by side.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// Where they part; `None` if they do not, as far as they were replayed.
    pub difference: Option<Difference>,
    /// The first input of each that was not as recorded: what comes of it is not what came of it when it
    /// was recorded.
    pub unlike: [Option<u64>; 2],
}

/// Replays two recordings side by side, up to the first difference. Nothing later than `until` is looked
/// at.
///
/// # Errors
/// As those of [`Replay::step`], of either.
///
/// # Panics
/// As [`Replay::step`].
pub fn compare(
    one: &mut Replay,
    other: &mut Replay,
    until: Option<Time>,
) -> Result<Comparison, ReplayError> {
    let mut unlike = [None; 2];
    let mut number = 1;
    loop {
        let steps = [one.step_until(until)?, other.step_until(until)?];
        for (unlike, step) in unlike.iter_mut().zip(&steps) {
            if step.as_ref().is_some_and(|step| step.same == Some(false)) {
                unlike.get_or_insert(number);
            }
        }
        let difference = match steps {
            [None, None] => None,
            [Some(a), Some(b)]
                if (a.time, &a.input, &a.output) == (b.time, &b.input, &b.output) =>
            {
                number += 1;
                continue;
            }
            [one, other] => Some(Difference { number, one, other }),
        };
        return Ok(Comparison { difference, unlike });
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
            Self::Cut => "the recording ends within an input: whoever wrote it was stopped",
        })
    }
}

//! The inputs of a node, each under its number.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use smoq_core::{
    Announced, Broadcast, Closed, Command, Dir, Estimate, Event, Grant, Group, GroupReader, Id,
    Misuse, NextGroup, Path, Probed, Read, Reader, Requests, Serve, Session, SessionConfig,
    StreamId, SubscribeOptions, Time, Track, Wanted, Watcher,
    wire::{SessionCode, StreamCode, TrackInfo},
};

use crate::{
    Recorder,
    tap::{Answer, Script},
    value::{Argument, Source, Value},
};

/// The number of [`Input::Pump`].
pub(crate) const PUMP: u8 = 1;

/// What an argument is where it is kept.
macro_rules! owned {
    ($type:ty => $owned:ty) => {
        $owned
    };
    ($type:ty) => {
        $type
    };
}

/// The methods of a node with a mutable receiver. A number stays what it is; one that means something
/// else would need another format.
macro_rules! inputs {
    ($($code:literal $variant:ident
        $name:ident($($argument:ident: $type:ty $(=> $owned:ty)?),*) $(-> $output:ty)?
        $(, idle $idle:ident)?;)*) => {
        /// One input of a node: a method and its arguments.
        #[derive(Clone, PartialEq, Debug)]
        #[expect(missing_docs, reason = "each is a method of the node, and its arguments are there")]
        pub enum Input {
            /// [`binding::pump`](smoq_core::binding::pump), with what the transport answered.
            Pump { now: Time, session: Id<Session>, answers: Vec<Answer> },
            $(
                #[doc = concat!("[`Node::", stringify!($name), "`](smoq_core::Node::", stringify!($name), ")")]
                $variant { $($argument: owned!($type $(=> $owned)?)),* },
            )*
        }

        impl Input {
            /// Reads one; `None` if the bytes are none.
            pub(crate) fn get(from: &mut Source) -> Option<Self> {
                let input = match from.byte()? {
                    PUMP => {
                        let (now, session) = (Time::get(from)?, Id::get(from)?);
                        let mut answers = Vec::new();
                        while !from.is_empty() {
                            answers.push(Answer::get(from)?);
                        }
                        Self::Pump { now, session, answers }
                    }
                    $($code => {
                        $(let $argument = Value::get(from)?;)*
                        Self::$variant { $($argument),* }
                    })*
                    _ => return None,
                };
                from.is_empty().then_some(input)
            }

            /// When it came, if it says so.
            pub fn time(&self) -> Option<Time> {
                match self {
                    Self::Pump { now, .. } => Some(*now),
                    $(Self::$variant { $($argument),* } => {
                        let times: &[Option<Time>] = &[$($argument.time()),*];
                        times.iter().flatten().next().copied()
                    })*
                }
            }

            /// Gives it to a node whose transport is `script`.
            pub(crate) fn apply(&self, recorder: &mut Recorder, script: &mut Script<'_>) -> Outcome {
                match self {
                    Self::Pump { now, session, .. } => {
                        recorder.pump(*now, *session, script, &mut Vec::new());
                        Outcome::Other
                    }
                    $(Self::$variant { $($argument),* } => Outcome::from(
                        recorder.$name($(<$type as Argument<'_>>::lend($argument)),*)
                    ),)*
                }
            }
        }

        impl Recorder {$(
            #[doc = concat!("[`Node::", stringify!($name), "`](smoq_core::Node::", stringify!($name), "), recorded.")]
            pub fn $name(&mut self $(, $argument: $type)*) $(-> $output)? {
                self.note($code, |_out| {$( $argument.note(_out); )*});
                let output = self.node.$name($($argument),*);
                self.note_output(&output, false $(|| output.$idle())?);
                output
            }
        )*}
    };
}

inputs! {
    2 AddSession add_session(now: Time, config: SessionConfig) -> Id<Session>;
    3 Grant grant(now: Time, session: Id<Session>, grant: Grant) -> Result<(), Misuse>;
    4 Close close(now: Time, session: Id<Session>, code: SessionCode, reason: &str => String)
        -> Result<(), Misuse>;
    5 PollEvent poll_event() -> Option<Event>, idle is_none;
    6 Publish publish(now: Time, path: &Path => Path) -> Result<Id<Broadcast>, Misuse>;
    7 CreateBroadcast create_broadcast(now: Time, path: &Path => Path) -> Result<Id<Broadcast>, Misuse>;
    8 Announce announce(now: Time, broadcast: Id<Broadcast>) -> Result<(), Misuse>;
    9 Unpublish unpublish(now: Time, broadcast: Id<Broadcast>) -> Result<(), Misuse>;
    10 CreateTrack create_track(now: Time, broadcast: Id<Broadcast>, name: &str => String, info: TrackInfo)
        -> Result<Id<Track>, Misuse>;
    11 FinishTrack finish_track(now: Time, track: Id<Track>) -> Result<(), Misuse>;
    12 AbortTrack abort_track(now: Time, track: Id<Track>, code: StreamCode) -> Result<(), Misuse>;
    13 CreateGroup create_group(now: Time, track: Id<Track>, sequence: Option<u64>)
        -> Result<(Id<Group>, u64), Misuse>;
    14 WriteFrame write_frame(now: Time, group: Id<Group>, timestamp: u64, payload: Bytes)
        -> Result<(), Misuse>;
    15 StartFrame start_frame(now: Time, group: Id<Group>, timestamp: u64, size: u64)
        -> Result<(), Misuse>;
    16 WriteChunk write_chunk(now: Time, group: Id<Group>, data: Bytes) -> Result<(), Misuse>;
    17 FinishGroup finish_group(now: Time, group: Id<Group>) -> Result<(), Misuse>;
    18 AbortGroup abort_group(now: Time, group: Id<Group>, code: StreamCode) -> Result<(), Misuse>;
    19 Watch watch(now: Time, prefix: &Path => Path) -> Id<Watcher>;
    20 Unwatch unwatch(now: Time, watcher: Id<Watcher>) -> Result<(), Misuse>;
    21 PollAnnounced poll_announced(watcher: Id<Watcher>) -> Result<Option<Announced>, Misuse>;
    22 Subscribe subscribe(now: Time, path: &Path => Path, track: &str => String, options: SubscribeOptions)
        -> Result<Id<Reader>, Misuse>;
    23 UpdateSubscription update_subscription(now: Time, reader: Id<Reader>, options: SubscribeOptions)
        -> Result<(), Misuse>;
    24 Unsubscribe unsubscribe(now: Time, reader: Id<Reader>) -> Result<(), Misuse>;
    25 NextGroup next_group(now: Time, reader: Id<Reader>) -> Result<NextGroup, Misuse>;
    26 Read read(group: Id<GroupReader>, max: usize) -> Result<Read, Misuse>;
    27 SkipGroup skip_group(now: Time, group: Id<GroupReader>) -> Result<(), Misuse>;
    28 HandleTimeout handle_timeout(now: Time);
    29 HandleOpened handle_opened(now: Time, session: Id<Session>, stream: StreamId, dir: Dir);
    30 HandleRecv handle_recv(now: Time, session: Id<Session>, stream: StreamId, data: Bytes, fin: bool);
    31 HandleReset handle_reset(now: Time, session: Id<Session>, stream: StreamId, code: StreamCode);
    32 HandleStopped handle_stopped(now: Time, session: Id<Session>, stream: StreamId, code: StreamCode);
    33 HandleAcked handle_acked(now: Time, session: Id<Session>, stream: StreamId);
    34 HandleWritable handle_writable(now: Time, session: Id<Session>, stream: StreamId);
    35 HandleClosed handle_closed(now: Time, session: Id<Session>, closed: Closed);
    36 PollSession poll_session() -> Option<Id<Session>>, idle is_none;
    37 PollCommand poll_command(session: Id<Session>) -> Option<Command>;
    38 Goaway goaway(now: Time, session: Id<Session>, uri: &str => String) -> Result<(), Misuse>;
    39 HandlePaused handle_paused(now: Time, session: Id<Session>);
    40 HandleResumed handle_resumed(now: Time, session: Id<Session>);
    41 Fetch fetch(now: Time, path: &Path => Path, track: &str => String, group: u64, priority: u8)
        -> Result<Id<Reader>, Misuse>;
    42 Probe probe(now: Time, session: Id<Session>) -> Result<(), Misuse>;
    43 Unprobe unprobe(now: Time, session: Id<Session>) -> Result<(), Misuse>;
    44 PollProbe poll_probe(session: Id<Session>) -> Result<Probed, Misuse>;
    45 HandleEstimate handle_estimate(now: Time, session: Id<Session>, estimate: Estimate);
    46 WriteDatagram write_datagram(now: Time, track: Id<Track>, sequence: Option<u64>, timestamp: u64, payload: Bytes)
        -> Result<u64, Misuse>;
    47 HandleDatagram handle_datagram(now: Time, session: Id<Session>, data: Bytes);
    48 Serve serve(now: Time, place: Serve) -> Result<Id<Requests>, Misuse>;
    49 Unserve unserve(now: Time, requests: Id<Requests>) -> Result<(), Misuse>;
    50 PollWanted poll_wanted(requests: Id<Requests>) -> Result<Option<Wanted>, Misuse>;
    51 Accept accept(now: Time, track: Id<Track>, info: TrackInfo) -> Result<(), Misuse>;
    52 Decline decline(now: Time, track: Id<Track>, code: StreamCode) -> Result<(), Misuse>;
}

/// What came of an input, as far as somebody who tells the story wants to know it.
pub(crate) enum Outcome {
    Session(Id<Session>),
    Event(Event),
    Other,
}

impl From<Id<Session>> for Outcome {
    fn from(session: Id<Session>) -> Self {
        Self::Session(session)
    }
}

impl From<Option<Event>> for Outcome {
    fn from(event: Option<Event>) -> Self {
        event.map_or(Self::Other, Self::Event)
    }
}

/// Outputs that are of no interest.
macro_rules! others {
    ($($type:ty)*) => {$(
        impl From<$type> for Outcome {
            fn from(_: $type) -> Self {
                Self::Other
            }
        }
    )*};
}

others! {
    () Id<Watcher> Option<Id<Session>> Option<Command>
    Result<(), Misuse> Result<Id<Broadcast>, Misuse> Result<Id<Track>, Misuse>
    Result<Id<Reader>, Misuse> Result<(Id<Group>, u64), Misuse> Result<Option<Announced>, Misuse>
    Result<NextGroup, Misuse> Result<Read, Misuse> Result<Probed, Misuse> Result<u64, Misuse>
    Result<Id<Requests>, Misuse> Result<Option<Wanted>, Misuse>
}

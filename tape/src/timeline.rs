//! What happens on a node, by name.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::mem;

use smoq_core::{
    Carrier, ClosedBy, Event, Id, Session, SessionConfig, Side, StreamId, Time, Version,
    wire::{DatagramHeader, StreamCode},
};

use crate::{
    Input, Said, Step,
    flow::{Flow, Names},
};

/// Tells the story of a replay: sessions, announcements and subscriptions, as they pass on the wire.
///
/// ```text
///     0.004310 3v0 <- subscribes to "video" of "room/cam", as 0
/// ```
///
/// A line has the seconds since the node was made, the session, and `<-` for what its peer says or `->`
/// for what the node says. Names come from peers: they are in quotes and escaped as Rust does, other
/// texts are as they came.
#[derive(Debug)]
pub struct Timeline {
    groups: bool,
    sessions: BTreeMap<Id<Session>, Talk>,
    lines: Vec<String>,
}

/// One session.
#[derive(Debug)]
struct Talk {
    version: Version,
    streams: BTreeMap<StreamId, Flow>,
    names: Names,
}

/// Who says something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    In,
    Out,
}

impl Timeline {
    /// `groups`: whether each group has lines of its own.
    pub fn new(groups: bool) -> Self {
        Self { groups, sessions: BTreeMap::new(), lines: Vec::new() }
    }

    /// What is to be told of a step, a line each. Steps come in order, and none is left out.
    pub fn note(&mut self, step: &Step) -> Vec<String> {
        let time = step.time;
        if let (Input::AddSession { config, .. }, Some(session)) = (&step.input, step.session) {
            self.begin(time, session, config);
        }
        match &step.input {
            Input::HandleRecv { session, stream, data, fin, .. } => {
                self.data(time, *session, *stream, Way::In, data, *fin);
            }
            Input::HandleReset { session, stream, code, .. } => {
                self.reset(time, *session, *stream, Way::In, *code);
            }
            Input::HandleStopped { session, stream, code, .. } => {
                self.cut(time, *session, *stream, Way::In, &format!("refused with {code}"));
            }
            Input::HandleDatagram { session, data, .. } => {
                self.datagram(time, *session, Way::In, data);
            }
            Input::HandlePaused { session, .. } => {
                self.tell(time, *session, None, "is not read for now");
            }
            Input::HandleResumed { session, .. } => {
                self.tell(time, *session, None, "is read again");
            }
            Input::Pump { session, .. } => {
                for said in &step.said {
                    self.said(time, *session, said);
                }
            }
            _ => {}
        }
        if let Some(event) = &step.event {
            self.event(time, event);
        }
        mem::take(&mut self.lines)
    }

    fn tell(&mut self, time: Time, session: Id<Session>, way: Option<Way>, text: &str) {
        let (seconds, micros) = (time.as_micros() / 1_000_000, time.as_micros() % 1_000_000);
        let way = match way {
            None => "--",
            Some(Way::In) => "<-",
            Some(Way::Out) => "->",
        };
        self.lines.push(format!("{seconds:>6}.{micros:06} {session} {way} {text}"));
    }

    fn begin(&mut self, time: Time, session: Id<Session>, config: &SessionConfig) {
        let SessionConfig { side, version, carrier, path, .. } = config;
        let talk = Talk { version: *version, streams: BTreeMap::new(), names: Names::default() };
        self.sessions.insert(session, talk);
        let text = match (carrier, side) {
            (Carrier::Link, _) => "a link to another shard".to_string(),
            (_, Side::Client) => format!("we connect by {version} over {carrier}, path {path:?}"),
            (_, Side::Server) => {
                format!("a peer connects by {version} over {carrier}, path {path:?}")
            }
        };
        self.tell(time, session, None, &text);
    }

    fn event(&mut self, time: Time, event: &Event) {
        match event {
            Event::Request { session, path } => {
                self.tell(time, *session, None, &format!("asks to come in, path {path:?}"));
            }
            Event::Ready { session, .. } => self.tell(time, *session, None, "is up"),
            Event::Violation { session, stream, error } => {
                let place = stream.map(|stream| format!(" on stream {}", stream.0));
                let place = place.unwrap_or_default();
                self.tell(time, *session, None, &format!("broke a rule{place}: {error}"));
            }
            Event::Closed { session, closed } => {
                let by = match closed.by {
                    ClosedBy::Local => "by us",
                    ClosedBy::Peer => "by the peer",
                    ClosedBy::Transport => "by the transport",
                };
                let text = format!("is closed {by}: {}, {:?}", closed.code, closed.reason);
                self.tell(time, *session, None, &text);
                self.sessions.remove(session);
            }
            // What a peer asks for is told as it comes.
            Event::Announced { .. }
            | Event::Readable { .. }
            | Event::Demand { .. }
            | Event::Wanted { .. }
            | Event::Unread { .. }
            | Event::Probed { .. }
            | Event::Goaway { .. } => {}
        }
    }

    fn said(&mut self, time: Time, session: Id<Session>, said: &Said) {
        match said {
            Said::Data(stream, data) => self.data(time, session, *stream, Way::Out, data, false),
            Said::Finished(stream) => self.data(time, session, *stream, Way::Out, &[], true),
            Said::Reset(stream, code) => {
                self.reset(time, session, *stream, Way::Out, *code);
            }
            Said::Stopped(stream, code) => {
                self.cut(time, session, *stream, Way::Out, &format!("refused with {code}"));
            }
            Said::Opened(stream, _) => {
                if let Some(talk) = self.sessions.get_mut(&session) {
                    talk.streams.insert(*stream, Flow::new(*stream, true));
                }
            }
            Said::Datagram(data) => self.datagram(time, session, Way::Out, data),
            Said::Closed(code) => {
                self.tell(time, session, Some(Way::Out), &format!("closes with {code}"));
            }
        }
    }

    fn data(
        &mut self,
        time: Time,
        session: Id<Session>,
        stream: StreamId,
        way: Way,
        data: &[u8],
        fin: bool,
    ) {
        let Some(talk) = self.sessions.get_mut(&session) else { return };
        let flow = talk.streams.entry(stream).or_insert_with(|| Flow::new(stream, false));
        let mut texts = flow.read(way == Way::Out, data, talk.version, &mut talk.names);
        if fin {
            texts.extend(flow.fin(way == Way::Out));
        }
        let quiet = flow.is_group() && !self.groups;
        if flow.is_over() {
            talk.streams.remove(&stream);
        }
        for text in texts.iter().filter(|_| !quiet) {
            self.tell(time, session, Some(way), text);
        }
    }

    fn datagram(&mut self, time: Time, session: Id<Session>, way: Way, data: &[u8]) {
        let Some(talk) = self.sessions.get(&session).filter(|_| self.groups) else { return };
        let Ok((DatagramHeader { subscribe, sequence, .. }, at)) = DatagramHeader::take(data)
        else {
            return self.tell(time, session, Some(way), "a datagram that cannot be understood");
        };
        // Who sends groups is who was asked.
        let name = talk.names.get(&(way == Way::In, subscribe));
        let name = name.map_or("no subscription", |name| name);
        let bytes = data.len() - at;
        let text = format!("group {sequence} of {name}: a datagram of {bytes} bytes");
        self.tell(time, session, Some(way), &text);
    }

    fn cut(&mut self, time: Time, session: Id<Session>, stream: StreamId, way: Way, how: &str) {
        let flow = self.sessions.get(&session).and_then(|talk| talk.streams.get(&stream));
        let Some(flow) = flow.filter(|flow| self.groups || !flow.is_group()) else { return };
        let text = format!("{}: {how}", flow.topic());
        self.tell(time, session, Some(way), &text);
    }

    fn reset(
        &mut self,
        time: Time,
        session: Id<Session>,
        stream: StreamId,
        way: Way,
        code: StreamCode,
    ) {
        self.cut(time, session, stream, way, &format!("reset with {code}"));
        let Some(talk) = self.sessions.get_mut(&session) else { return };
        let Some(flow) = talk.streams.get_mut(&stream) else { return };
        flow.end(way == Way::Out);
        if flow.is_over() {
            talk.streams.remove(&stream);
        }
    }
}

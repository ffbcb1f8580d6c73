//! Drives a connection by a script and watches over what it says.

use std::collections::BTreeSet;

use bytes::Bytes;
use smoq_h3::{
    Code, Connection, Dir, End, Limits, Output, Received, Side, StreamId, capsule::Close, frame,
    stream, varint,
};

use super::script::Step;

/// What came of a script, in a form that does not show the pieces in which its bytes came.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// What was said, without the session's bytes.
    pub(super) said: Vec<Output>,
    /// The bytes of each stream that belongs to the session, and whether it ended.
    streams: Vec<(StreamId, Vec<u8>, bool)>,
    session: Option<StreamId>,
}

/// A stream that the peer sends on.
struct Stream {
    id: StreamId,
    /// The peer can still send, and is still listened to.
    live: bool,
    /// What it has sent, whether that was all, and whether it gave up.
    sent: Vec<u8>,
    ended: bool,
    reset: bool,
    /// It belongs to the session.
    opened: bool,
    data: Vec<u8>,
    fin: bool,
}

/// One connection, its streams, and what it has said.
pub(super) struct Model {
    side: Side,
    limits: Limits,
    connection: Connection,
    /// Bytes of a step are given in pieces of this size.
    piece: usize,
    streams: Vec<Stream>,
    control: Option<StreamId>,
    /// Streams on which nothing more is sent.
    silent: BTreeSet<StreamId>,
    stopped: BTreeSet<StreamId>,
    closed: bool,
    failed: bool,
    said: Vec<Output>,
}

impl Model {
    pub(super) fn new(connection: Connection, side: Side, limits: Limits, piece: usize) -> Self {
        Self {
            side,
            limits,
            connection,
            piece,
            streams: Vec::new(),
            control: None,
            silent: BTreeSet::new(),
            stopped: BTreeSet::new(),
            closed: false,
            failed: false,
            said: Vec::new(),
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        self.compare();
        let opened = self.streams.into_iter().filter(|stream| stream.opened);
        Outcome {
            said: self.said,
            streams: opened.map(|stream| (stream.id, stream.data, stream.fin)).collect(),
            session: self.connection.session(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Open(dir) => {
                let peer = if self.side == Side::Client { Side::Server } else { Side::Client };
                let id = self.next_id(peer, *dir);
                self.connection.handle_opened(id);
                self.know(id);
            }
            Step::Give => self.give(),
            Step::Bytes { stream, data, fin } => self.bytes(*stream, data, *fin),
            Step::Reset { stream, code } => self.reset(*stream, (*code).into()),
            Step::Stop { stream, code } => self.stop(*stream, (*code).into()),
            Step::Accept(with) => self.connection.accept(with.then_some("moq-lite-05")),
            Step::Refuse => self.connection.refuse(403),
            Step::Close => {
                self.connection.close(&Close { code: 7, reason: "bye".into() });
                self.closed = true;
            }
        }
        self.watch();
    }

    /// The next id of a stream, of those that the peer sends on.
    fn next_id(&self, opener: Side, dir: Dir) -> StreamId {
        let alike = |stream: &&Stream| stream.id.opener() == opener && stream.id.dir() == dir;
        let index = self.streams.iter().filter(alike).count() as u64;
        StreamId(index * 4 + u64::from(opener == Side::Server) + 2 * u64::from(dir == Dir::Uni))
    }

    fn know(&mut self, id: StreamId) {
        self.streams.push(Stream {
            id,
            live: true,
            sent: Vec::new(),
            ended: false,
            reset: false,
            opened: false,
            data: Vec::new(),
            fin: false,
        });
    }

    fn give(&mut self) {
        let Some(dir) = self.connection.wants_open() else { return };
        let id = self.next_id(self.side, dir);
        match dir {
            Dir::Uni => assert_eq!(self.control.replace(id), None, "one control stream"),
            Dir::Bi => self.know(id),
        }
        self.connection.handle_opened_ours(id);
    }

    fn bytes(&mut self, stream: u8, data: &[u8], fin: bool) {
        let Some(index) = usize::from(stream).checked_rem(self.streams.len()) else { return };
        let mut rest = Bytes::copy_from_slice(data);
        while self.streams[index].live {
            let piece = rest.split_to(self.piece.min(rest.len()));
            let stream = &mut self.streams[index];
            let ends = fin && rest.is_empty();
            stream.live = !ends;
            stream.ended = ends;
            stream.sent.extend_from_slice(&piece);
            if let Received::Session(bytes) = self.connection.handle_recv(stream.id, piece, ends) {
                assert!(stream.opened, "bytes of a stream that is not the session's");
                stream.data.extend_from_slice(&bytes);
                stream.fin = ends;
            }
            self.watch();
            if rest.is_empty() {
                break;
            }
        }
    }

    fn reset(&mut self, stream: u8, code: u64) {
        let Some(index) = usize::from(stream).checked_rem(self.streams.len()) else { return };
        let stream = &mut self.streams[index];
        if core::mem::replace(&mut stream.live, false) {
            stream.reset = true;
            let told = self.connection.handle_reset(stream.id, Code(code));
            assert!(!told || stream.opened);
        }
    }

    fn stop(&mut self, stream: u8, code: u64) {
        let code = if code == 0 { Code::NO_ERROR } else { Code(code) };
        let index = usize::from(stream) % (self.streams.len() + 1);
        match self.streams.get(index) {
            Some(stream) if stream.id.dir() == Dir::Bi && !self.silent.contains(&stream.id) => {
                let told = self.connection.handle_stopped(stream.id, code);
                assert!(!told || stream.opened);
            }
            Some(_) => {}
            None => {
                let told = self.control.map(|id| self.connection.handle_stopped(id, code));
                assert_ne!(told, Some(true));
            }
        }
    }

    /// Drains what there is and holds it against the rules.
    fn watch(&mut self) {
        while let Some(output) = self.connection.poll_output() {
            assert!(!self.failed, "{output:?} behind a failure");
            self.judge(&output);
            if !matches!(output, Output::Received { .. }) {
                self.said.push(output);
            }
        }
        assert!(self.connection.buffered() <= self.limits.buffered);
        if self.failed {
            assert_eq!(self.connection.wants_open(), None);
            assert_eq!((self.connection.session(), self.connection.buffered()), (None, 0));
        }
    }

    fn judge(&mut self, output: &Output) {
        match output {
            Output::Send { stream, fin, .. } => {
                assert!(!self.silent.contains(stream), "bytes behind the end of {stream}");
                if *fin {
                    self.silent.insert(*stream);
                }
            }
            Output::Reset { stream, .. } => {
                assert_eq!(stream.dir(), Dir::Bi);
                assert!(self.silent.insert(*stream), "{stream} is over and is reset");
            }
            Output::Stop { stream, .. } => {
                assert!(self.stopped.insert(*stream), "{stream} is stopped twice");
                self.find(*stream).live = false;
            }
            Output::Fail(_) => self.failed = true,
            Output::Request(request) => {
                assert_eq!(self.side, Side::Server);
                assert!(!request.path.is_empty());
                self.first(|output| matches!(output, Output::Request(_)));
            }
            Output::Accepted { .. } | Output::Refused(_) => {
                assert_eq!(self.side, Side::Client);
                let answer =
                    |output: &_| matches!(output, Output::Accepted { .. } | Output::Refused(_));
                self.first(answer);
            }
            Output::Opened(id) => {
                assert!(!self.stopped.contains(id), "{id} is stopped and the session's");
                let stream = self.find(*id);
                assert!(!core::mem::replace(&mut stream.opened, true), "{id} is opened twice");
            }
            Output::Received { stream: id, data, fin } => {
                assert!(!self.stopped.contains(id), "bytes of {id}, which is stopped");
                let stream = self.find(*id);
                assert!(stream.opened && !stream.fin);
                stream.data.extend_from_slice(data);
                stream.fin = *fin;
            }
            Output::Abandoned { stream, .. } | Output::Unwanted { stream, .. } => {
                assert!(self.find(*stream).opened, "{stream} is not the session's");
            }
            Output::Ended(End::Closed(_) | End::Reset(_)) => {
                assert!(!self.closed, "the application has ended it");
                self.first(|output| matches!(output, Output::Ended(_)));
            }
            Output::Done => {
                assert!(self.closed);
                self.first(|output| matches!(output, Output::Done));
            }
        }
    }

    /// While the session runs, its streams are those that name it, and it has all that came behind the
    /// name.
    fn compare(&self) {
        let Some(session) = self.connection.session() else { return };
        for stream in &self.streams {
            if stream.reset || self.stopped.contains(&stream.id) {
                continue;
            }
            let ty = match stream.id.dir() {
                Dir::Bi => frame::WT_STREAM,
                Dir::Uni => stream::WEBTRANSPORT,
            };
            let mut rest = &stream.sent[..];
            let names = varint::decode(&mut rest) == Some(ty)
                && varint::decode(&mut rest) == Some(session.0);
            assert_eq!(stream.opened, names, "{}", stream.id);
            if names {
                assert_eq!((&stream.data[..], stream.fin), (rest, stream.ended), "{}", stream.id);
            }
        }
    }

    /// Nothing of this kind has been said before.
    fn first(&self, kind: impl Fn(&Output) -> bool) {
        assert!(!self.said.iter().any(kind), "{:?}", self.said);
    }

    fn find(&mut self, id: StreamId) -> &mut Stream {
        let known = self.streams.iter_mut().find(|stream| stream.id == id);
        known.expect("only streams that came are spoken of")
    }
}

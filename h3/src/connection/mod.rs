//! One end of a connection with one session.

mod control;
mod exchange;
mod output;
mod streams;
#[cfg(test)]
mod tests;

use alloc::{collections::VecDeque, string::ToString};

use bytes::{Bytes, BytesMut};

pub use self::output::{End, Limits, Output, Received};
use self::{
    control::{Control, Said},
    exchange::{Exchange, Found},
    streams::{Early, New, Stream, Streams},
};
use crate::{
    Code, Dir, Error, Request, Settings, Side, StreamId,
    capsule::Close,
    frame::{self, Pair},
    qpack,
    request::{Asked, PROTOCOL, PROTOCOL_H3, Response},
    stream, varint,
};

/// What a stream turns out to be by its first bytes.
enum Kind {
    Control,
    Qpack(usize),
    Push,
    /// It belongs to the session that is named.
    Session(u64),
    /// The first frame of a request.
    Frame(u64, u64),
    /// RFC 9114, section 6.2: a type that is not known is not wanted.
    Unknown,
}

/// How far the session has come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Session {
    /// Nobody has asked.
    None,
    /// Asked for on this stream, and not answered.
    Asked(StreamId),
    /// Running on this stream.
    Open(StreamId),
    /// Closed by us, and not yet by the peer.
    Closing(StreamId),
    /// Over, refused, or the connection failed.
    Over,
}

/// One end of an HTTP/3 connection that carries one WebTransport session.
///
/// # How to drive it
///
/// Tell it what happens to the streams that the peer opens and to those it was given
/// (`handle_*`), open a stream whenever [`wants_open`](Self::wants_open) says so, and carry out what
/// [`poll_output`](Self::poll_output) has, in order. The order of inputs does not matter, except within
/// a stream. What is the session's passes at once, unless outputs wait: then it waits with them, so
/// that nothing overtakes.
///
/// Streams of the session that this end opens are not its business: they begin with
/// [`stream::encode_prefix`] and the id that [`session`](Self::session) has.
#[derive(Clone, Debug)]
pub struct Connection {
    side: Side,
    limits: Limits,
    /// A client's: what it will ask for. A server's: what it was asked for, before the client's
    /// settings have come.
    request: Option<Request>,
    /// Our control stream.
    control: Option<StreamId>,
    peer_settings: Option<Settings>,
    /// The peer has a control stream.
    peer_control: bool,
    /// The peer has a QPACK encoder and a decoder stream.
    peer_qpack: [bool; 2],
    session: Session,
    streams: Streams,
    failed: bool,
    outputs: VecDeque<Output>,
}

impl Connection {
    /// The end that asks for a session, as soon as the server's settings have come.
    pub fn client(request: Request, limits: Limits) -> Self {
        Self::new(Side::Client, Some(request), limits)
    }

    /// The end that is asked.
    pub fn server(limits: Limits) -> Self {
        Self::new(Side::Server, None, limits)
    }

    fn new(side: Side, request: Option<Request>, limits: Limits) -> Self {
        Self {
            side,
            limits,
            request,
            control: None,
            peer_settings: None,
            peer_control: false,
            peer_qpack: [false; 2],
            session: Session::None,
            streams: Streams::default(),
            failed: false,
            outputs: VecDeque::new(),
        }
    }

    /// The direction of a stream that is wanted: one for our control stream, then a client's CONNECT.
    pub fn wants_open(&self) -> Option<Dir> {
        if self.failed {
            return None;
        }
        let asks =
            self.side == Side::Client && self.request.is_some() && self.peer_settings.is_some();
        match self.control {
            None => Some(Dir::Uni),
            Some(_) => asks.then_some(Dir::Bi),
        }
    }

    /// Gives it the stream that it wanted, of the direction that it wanted.
    pub fn handle_opened_ours(&mut self, stream: StreamId) {
        match self.wants_open() {
            Some(Dir::Uni) => {
                self.control = Some(stream);
                let mut data = BytesMut::new();
                varint::encode(stream::CONTROL, &mut data);
                Settings::ours(self.limits.field_section as u64).encode(&mut data);
                self.send(stream, data, false);
            }
            Some(Dir::Bi) => self.ask(stream),
            None => {}
        }
    }

    /// The peer opened a stream.
    pub fn handle_opened(&mut self, stream: StreamId) {
        if self.failed {
            return;
        }
        if self.streams.new_count() < self.limits.new_streams {
            self.streams.insert(stream, Stream::New(New::default()));
        } else {
            self.refuse_stream(stream, Code::EXCESSIVE_LOAD);
        }
    }

    /// Whether what happens to a stream of the session can be told at once.
    fn passes(&self) -> bool {
        self.session().is_some() && self.outputs.is_empty()
    }

    /// What happens to a stream of the session waits for its turn.
    fn wait(&mut self, output: Output) {
        if self.session().is_some() {
            self.outputs.push_back(output);
        }
    }

    /// Bytes of a stream have come, in order; `fin` with the last of them, which may be none.
    pub fn handle_recv(&mut self, stream: StreamId, data: Bytes, fin: bool) -> Received {
        if !self.streams.contains(stream) {
            if self.passes() {
                return Received::Session(data);
            }
            self.wait(Output::Received { stream, data, fin });
            return Received::Taken;
        }
        let result = self.receive(stream, data, fin);
        self.streams.charge(stream);
        match result {
            Ok(()) => self.make_room(),
            // RFC 9114, section 4.1.2: the stream's error, not the connection's.
            Err(Error::Message) => {
                self.abandon(stream, Code::MESSAGE_ERROR, Code::MESSAGE_ERROR);
            }
            Err(error) => self.fail(error),
        }
        Received::Taken
    }

    /// The peer abandoned sending on a stream (RESET_STREAM). Says whether that is for the session to
    /// know, now.
    #[must_use]
    pub fn handle_reset(&mut self, stream: StreamId, code: Code) -> bool {
        match self.streams.get(stream) {
            None if self.passes() => return true,
            None => self.wait(Output::Abandoned { stream, code }),
            Some(Stream::Control(_) | Stream::Qpack) => self.fail(Error::CriticalStreamEnded),
            Some(Stream::Exchange(_)) => self.abandon(stream, Code::REQUEST_CANCELLED, code),
            Some(Stream::New(_) | Stream::Early(_)) => {
                self.refuse_stream(stream, Code::REQUEST_CANCELLED);
            }
        }
        false
    }

    /// The peer wants no more of what is sent on a stream (STOP_SENDING). Says whether that is for the
    /// session to know, now.
    #[must_use]
    pub fn handle_stopped(&mut self, stream: StreamId, code: Code) -> bool {
        if self.control == Some(stream) {
            self.fail(Error::CriticalStreamEnded);
            return false;
        }
        let passes = self.passes();
        match self.streams.get_mut(stream) {
            None if passes => return true,
            None => self.wait(Output::Unwanted { stream, code }),
            // RFC 9114, section 4.1: the answer is whole and does not need the rest of the request.
            Some(Stream::Exchange(_)) if code == Code::NO_ERROR => {}
            Some(Stream::Exchange(_)) => self.abandon(stream, Code::REQUEST_CANCELLED, code),
            // What it says itself may still count.
            Some(Stream::New(New { stopped, .. }) | Stream::Early(Early { stopped, .. })) => {
                *stopped = Some(code);
            }
            Some(Stream::Control(_) | Stream::Qpack) => {}
        }
        false
    }

    /// Says yes to [`Output::Request`], and which of its protocols is spoken. Streams that came early
    /// follow. Does nothing if the client has gone.
    pub fn accept(&mut self, protocol: Option<&str>) {
        let Session::Asked(stream) = self.session else { return };
        if self.side == Side::Server {
            self.respond(stream, 200, protocol, false);
            self.start(stream);
        }
    }

    /// Says no to [`Output::Request`], with an HTTP status. Does nothing if the client has gone.
    pub fn refuse(&mut self, status: u16) {
        let Session::Asked(stream) = self.session else { return };
        if self.side == Side::Server {
            self.respond(stream, status, None, true);
            self.stop(stream, Code::NO_ERROR);
            self.end();
        }
    }

    /// Ends the session and tells the peer why. There is no [`Output::Ended`] after it, but an
    /// [`Output::Done`] if the session ran.
    pub fn close(&mut self, close: &Close) {
        match self.session {
            Session::Open(stream) => {
                let mut body = BytesMut::new();
                close.encode(&mut body);
                let mut data = BytesMut::new();
                frame::encode(frame::DATA, &body, &mut data);
                self.send(stream, data, true);
                self.end();
                self.session = Session::Closing(stream);
            }
            Session::Asked(stream) => {
                self.refuse_stream(stream, Code::REQUEST_CANCELLED);
                self.end();
            }
            Session::None => self.end(),
            Session::Closing(_) | Session::Over => {}
        }
    }

    /// The stream that names the session, while it runs.
    pub fn session(&self) -> Option<StreamId> {
        match self.session {
            Session::Open(stream) => Some(stream),
            Session::None | Session::Asked(_) | Session::Closing(_) | Session::Over => None,
        }
    }

    /// Whether the peer takes datagrams, as its settings say (RFC 9297, section 2.1.1).
    pub fn takes_datagrams(&self) -> bool {
        self.peer_settings.is_some_and(|settings| settings.datagrams)
    }

    /// The next thing to do or to know.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Bytes kept for the peer: never more than [`Limits::buffered`].
    pub fn buffered(&self) -> usize {
        self.streams.buffered()
    }

    fn send(&mut self, stream: StreamId, data: BytesMut, fin: bool) {
        self.outputs.push_back(Output::Send { stream, data: data.freeze(), fin });
    }

    /// Hands over a stream that the session has just got.
    fn pass(&mut self, stream: StreamId, data: Bytes, fin: bool, stopped: Option<Code>) {
        self.outputs.push_back(Output::Opened(stream));
        if fin || !data.is_empty() {
            self.outputs.push_back(Output::Received { stream, data, fin });
        }
        let unwanted = stopped.map(|code| Output::Unwanted { stream, code });
        self.outputs.extend(unwanted);
    }

    /// Looks at bytes of a stream that is known.
    fn receive(&mut self, stream: StreamId, mut data: Bytes, fin: bool) -> Result<(), Error> {
        let Limits { field_section, buffered, .. } = self.limits;
        loop {
            match self.streams.get_mut(stream) {
                None => return Ok(()),
                Some(Stream::New(New { pair, stopped })) => {
                    let stopped = *stopped;
                    let kind = match stream.dir() {
                        Dir::Uni => uni_kind(pair, &mut data),
                        Dir::Bi => pair.both(&mut data).map(|(ty, value)| match ty {
                            frame::WT_STREAM => Kind::Session(value),
                            _ => Kind::Frame(ty, value),
                        }),
                    };
                    match kind {
                        Some(Kind::Session(id)) if self.is_session(id)? => {
                            self.streams.remove(stream);
                            self.pass(stream, data, fin, stopped);
                            return Ok(());
                        }
                        Some(kind) => self.settle(stream, kind, stopped)?,
                        None if fin => {
                            // RFC 9114, section 6.2: a stream without a whole type is no fault.
                            self.refuse_stream(stream, Code::REQUEST_INCOMPLETE);
                            return Ok(());
                        }
                        None => return Ok(()),
                    }
                }
                Some(Stream::Control(control)) => match control.read(&mut data, buffered)? {
                    Some(Said::Settings(settings)) => self.learn(settings)?,
                    // RFC 9114, section 5.2: there will be no session any more.
                    Some(Said::Goaway) if self.request.is_some() => return Err(Error::Goaway),
                    Some(Said::Goaway) => {}
                    None if fin => return Err(Error::CriticalStreamEnded),
                    None => return Ok(()),
                },
                Some(Stream::Qpack) => {
                    return if fin { Err(Error::CriticalStreamEnded) } else { Ok(()) };
                }
                Some(Stream::Early(early)) => {
                    early.data.extend_from_slice(&data);
                    early.fin = fin;
                    return Ok(());
                }
                Some(Stream::Exchange(exchange)) => {
                    match exchange.read(&mut data, field_section)? {
                        Some(Found::Fields(fields)) => self.understand(stream, &fields)?,
                        Some(Found::Close(close)) => {
                            self.finish(stream, close);
                            return Ok(());
                        }
                        None => return if fin { self.finish_exchange(stream) } else { Ok(()) },
                    }
                }
            }
        }
    }

    /// It is known what a stream is; the session's own are not for here.
    fn settle(&mut self, stream: StreamId, kind: Kind, stopped: Option<Code>) -> Result<(), Error> {
        let known = match kind {
            Kind::Control if core::mem::replace(&mut self.peer_control, true) => {
                return Err(Error::SecondControlStream);
            }
            Kind::Control => Stream::Control(Control::new(self.side)),
            Kind::Qpack(which) if core::mem::replace(&mut self.peer_qpack[which], true) => {
                return Err(Error::SecondQpackStream);
            }
            Kind::Qpack(_) => Stream::Qpack,
            Kind::Push => return Err(Error::Push),
            Kind::Session(id) => {
                self.keep(stream, StreamId(id), stopped);
                return Ok(());
            }
            Kind::Frame(..) if stream.opener() == Side::Server => return Err(Error::ServerRequest),
            Kind::Frame(ty, len) => {
                Stream::Exchange(Exchange::begun(ty, len, self.limits.field_section)?)
            }
            Kind::Unknown => {
                self.refuse_stream(stream, Code::STREAM_CREATION_ERROR);
                return Ok(());
            }
        };
        self.streams.insert(stream, known);
        Ok(())
    }

    /// Whether the id that a stream names is that of the session, which runs.
    fn is_session(&self, id: u64) -> Result<bool, Error> {
        // draft-ietf-webtrans-http3, section 4: others can never be one.
        if !StreamId(id).is_request() {
            return Err(Error::SessionId(id));
        }
        Ok(self.session == Session::Open(StreamId(id)))
    }

    /// A stream names a session that is not there: it is kept if that can still come
    /// (draft-ietf-webtrans-http3, section 4.5).
    fn keep(&mut self, stream: StreamId, session: StreamId, stopped: Option<Code>) {
        let can_come = match self.session {
            // A client knows what it asked for.
            Session::None => self.side == Side::Server,
            Session::Asked(asked) => asked == session,
            Session::Open(_) => false,
            Session::Closing(_) | Session::Over => {
                return self.refuse_stream(stream, Code::SESSION_GONE);
            }
        };
        if can_come && self.streams.early_count() < self.limits.early_streams {
            let early = Early { session, data: BytesMut::new(), fin: false, stopped };
            self.streams.insert(stream, Stream::Early(early));
        } else {
            self.refuse_stream(stream, Code::BUFFERED_STREAM_REJECTED);
        }
    }

    /// The peer's settings are there.
    fn learn(&mut self, settings: Settings) -> Result<(), Error> {
        self.peer_settings = Some(settings);
        match self.side {
            Side::Client => {
                let offered = settings.webtransport || settings.webtransport_h3;
                if !(offered && settings.connect) {
                    return Err(Error::NoWebTransport);
                }
            }
            // draft-ietf-webtrans-http3, section 3.1: requests wait for the settings.
            Side::Server => {
                let request = self.request.take().map(Output::Request);
                self.outputs.extend(request);
            }
        }
        Ok(())
    }

    /// The client's CONNECT gets its stream.
    fn ask(&mut self, stream: StreamId) {
        let (Some(request), Some(settings)) = (self.request.take(), self.peer_settings) else {
            return;
        };
        // The name that has been understood for longer, where both are.
        let protocol = if settings.webtransport { PROTOCOL } else { PROTOCOL_H3 };
        let mut data = BytesMut::new();
        request.encode(protocol, &mut data);
        self.session = Session::Asked(stream);
        self.streams.insert(stream, Stream::Exchange(Exchange::new()));
        self.send(stream, data, false);
    }

    /// The fields of a request or a response are there.
    fn understand(&mut self, stream: StreamId, fields: &[u8]) -> Result<(), Error> {
        let fields = qpack::decode(fields, self.limits.field_section)?;
        match self.side {
            Side::Server => match Request::from_fields(fields)? {
                Asked::Session(request) if self.session == Session::None => {
                    self.session = Session::Asked(stream);
                    match self.peer_settings {
                        Some(_) => self.outputs.push_back(Output::Request(request)),
                        None => self.request = Some(request),
                    }
                }
                Asked::Session(_) => self.refuse_stream(stream, Code::REQUEST_REJECTED),
                Asked::Other => {
                    self.respond(stream, 404, None, true);
                    self.stop(stream, Code::NO_ERROR);
                }
            },
            Side::Client => {
                let response = Response::from_fields(fields)?;
                match response.status {
                    100..200 => {
                        if let Some(Stream::Exchange(exchange)) = self.streams.get_mut(stream) {
                            exchange.interim();
                        }
                    }
                    200..300 => {
                        self.outputs.push_back(Output::Accepted { protocol: response.protocol });
                        self.start(stream);
                    }
                    status => {
                        self.refuse_stream(stream, Code::NO_ERROR);
                        self.outputs.push_back(Output::Refused(status));
                        self.end();
                    }
                }
            }
        }
        Ok(())
    }

    fn respond(&mut self, stream: StreamId, status: u16, protocol: Option<&str>, fin: bool) {
        let mut data = BytesMut::new();
        Response { status, protocol: protocol.map(str::to_string) }.encode(&mut data);
        self.send(stream, data, fin);
    }

    /// The session runs, and what came early is its.
    fn start(&mut self, session: StreamId) {
        self.session = Session::Open(session);
        for stream in self.streams.early() {
            match self.streams.remove(stream) {
                Some(Stream::Early(early)) if early.session == session => {
                    self.pass(stream, early.data.freeze(), early.fin, early.stopped);
                }
                _ => self.refuse_stream(stream, Code::BUFFERED_STREAM_REJECTED),
            }
        }
    }

    /// The session is over, for whatever reason.
    fn end(&mut self) {
        self.session = Session::Over;
        self.request = None;
        for stream in self.streams.early() {
            self.refuse_stream(stream, Code::SESSION_GONE);
        }
    }

    /// A request stream ends.
    fn finish_exchange(&mut self, stream: StreamId) -> Result<(), Error> {
        let Some(Stream::Exchange(exchange)) = self.streams.get(stream) else { return Ok(()) };
        exchange.finish()?;
        match (self.side, exchange.is_headed()) {
            // draft-ietf-webtrans-http3, section 6: like code 0 without words.
            (_, true) => self.finish(stream, Close::default()),
            (Side::Server, false) => self.refuse_stream(stream, Code::REQUEST_INCOMPLETE),
            (Side::Client, false) => return Err(Error::Message),
        }
        Ok(())
    }

    /// The peer's application ended the session.
    fn finish(&mut self, stream: StreamId, close: Close) {
        if self.session == Session::Closing(stream) {
            return self.done(stream);
        }
        self.send(stream, BytesMut::new(), true);
        self.stop(stream, Code::NO_ERROR);
        self.outputs.push_back(Output::Ended(End::Closed(close)));
        self.end();
    }

    /// The peer has ended the session that we have ended.
    fn done(&mut self, stream: StreamId) {
        self.streams.remove(stream);
        self.session = Session::Over;
        self.outputs.push_back(Output::Done);
    }

    /// Gives up a request stream, and tells the peer with one code and this end with another.
    fn abandon(&mut self, stream: StreamId, told: Code, why: Code) {
        if self.session == Session::Closing(stream) {
            return self.done(stream);
        }
        self.refuse_stream(stream, told);
        if self.session == Session::Asked(stream) || self.session == Session::Open(stream) {
            self.outputs.push_back(Output::Ended(End::Reset(why)));
            self.end();
        }
    }

    /// Keeps no more than may be kept: streams that came early go first.
    fn make_room(&mut self) {
        if self.streams.buffered() <= self.limits.buffered {
            return;
        }
        for stream in self.streams.early().into_iter().rev() {
            self.refuse_stream(stream, Code::BUFFERED_STREAM_REJECTED);
            if self.streams.buffered() <= self.limits.buffered {
                return;
            }
        }
        self.fail(Error::TooMuch);
    }

    /// Wants no more of a stream, in both directions.
    fn refuse_stream(&mut self, stream: StreamId, code: Code) {
        if stream.dir() == Dir::Bi {
            self.outputs.push_back(Output::Reset { stream, code });
        }
        self.stop(stream, code);
    }

    /// Wants no more of what the peer sends on a stream.
    fn stop(&mut self, stream: StreamId, code: Code) {
        self.outputs.push_back(Output::Stop { stream, code });
        self.streams.remove(stream);
    }

    fn fail(&mut self, error: Error) {
        self.failed = true;
        self.session = Session::Over;
        self.request = None;
        self.control = None;
        self.streams = Streams::default();
        self.outputs.push_back(Output::Fail(error));
    }
}

/// What a unidirectional stream is.
fn uni_kind(pair: &mut Pair, data: &mut Bytes) -> Option<Kind> {
    Some(match pair.first(data)? {
        stream::CONTROL => Kind::Control,
        stream::PUSH => Kind::Push,
        stream::QPACK_ENCODER => Kind::Qpack(0),
        stream::QPACK_DECODER => Kind::Qpack(1),
        stream::WEBTRANSPORT => Kind::Session(pair.both(data)?.1),
        _ => Kind::Unknown,
    })
}

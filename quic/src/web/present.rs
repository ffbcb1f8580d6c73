//! HTTP/3 on the streams of quinn-proto.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use quinn_proto::{self as quic, VarInt};
use smoq_core::{
    Closed, ClosedBy, StreamId, Version,
    wire::{SessionCode, StreamCode},
};
use smoq_h3::{
    self as h3, Code, Connection, End, Limits, Output, Received, Request, capsule::Close, datagram,
    stream,
};

use super::{News, StreamNews};
use crate::connection::{dir_of, to_core, to_quic, varint};

/// HTTP/3 on one connection.
pub(crate) struct Web {
    h3: Connection,
    /// What this end speaks.
    versions: Vec<Version>,
    /// What has to be sent on a stream before anything else.
    leads: BTreeMap<quic::StreamId, Lead>,
    /// What streams of the session begin with: those of both directions, and those of one.
    prefixes: [Option<Bytes>; 2],
    /// What datagrams of the session begin with.
    datagram_lead: Option<Bytes>,
    /// With what this end has closed the session.
    end: Option<Close>,
}

/// Bytes that quinn-proto has not taken yet.
#[derive(Default)]
struct Lead {
    data: Vec<Bytes>,
    /// The stream ends behind them.
    fin: bool,
}

impl Web {
    pub(crate) const AVAILABLE: bool = true;

    pub(crate) fn server(versions: Vec<Version>) -> Option<Self> {
        Some(Self::new(Connection::server(Limits::default()), versions))
    }

    /// Asks for a session at `path`, with its query.
    pub(crate) fn client(authority: String, path: String, versions: &[Version]) -> Option<Self> {
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let protocols = versions.iter().map(|version| version.alpn().to_owned()).collect();
        let request = Request { authority, path, origin: None, protocols };
        Some(Self::new(Connection::client(request, Limits::default()), versions.to_vec()))
    }

    fn new(h3: Connection, versions: Vec<Version>) -> Self {
        let (leads, prefixes) = (BTreeMap::new(), [None, None]);
        Self { h3, versions, leads, prefixes, datagram_lead: None, end: None }
    }

    pub(crate) fn opened(&mut self, stream: StreamId) {
        self.h3.handle_opened(h3::StreamId(stream.0));
    }

    /// Gives back what is the session's.
    pub(crate) fn received(&mut self, stream: StreamId, data: Bytes, fin: bool) -> Option<Bytes> {
        match self.h3.handle_recv(h3::StreamId(stream.0), data, fin) {
            Received::Taken => None,
            Received::Session(data) => Some(data),
        }
    }

    pub(crate) fn reset(&mut self, stream: StreamId, code: StreamCode) -> Option<StreamCode> {
        let code = Code(code.0);
        self.h3.handle_reset(h3::StreamId(stream.0), code).then(|| meaning(code))
    }

    pub(crate) fn stopped(&mut self, stream: StreamId, code: StreamCode) -> Option<StreamCode> {
        self.leads.remove(&to_quic(stream));
        let code = Code(code.0);
        self.h3.handle_stopped(h3::StreamId(stream.0), code).then(|| meaning(code))
    }

    /// Does what HTTP/3 wants to do, until there is something to know.
    pub(crate) fn step(&mut self, quic: &mut quic::Connection) -> Option<News> {
        loop {
            while let Some(dir) = self.h3.wants_open() {
                let dir = match dir {
                    h3::Dir::Bi => quic::Dir::Bi,
                    h3::Dir::Uni => quic::Dir::Uni,
                };
                let Some(id) = quic.streams().open(dir) else { break };
                self.h3.handle_opened_ours(h3::StreamId(id.into()));
            }
            match self.h3.poll_output()? {
                Output::Send { stream, data, fin } => {
                    let id = varint(stream.0).into();
                    // Before all that the session has to say: it is little, and all else hangs on it.
                    let _ = quic.send_stream(id).set_priority(i32::MAX);
                    let lead = self.leads.entry(id).or_default();
                    lead.data.push(data);
                    lead.fin |= fin;
                    self.flush(quic, id);
                }
                // The errors of the calls below say that the stream has ended already.
                Output::Reset { stream, code } => {
                    let id = varint(stream.0).into();
                    self.leads.remove(&id);
                    let _ = quic.send_stream(id).reset(varint(code.0));
                }
                Output::Stop { stream, code } => {
                    let _ = quic.recv_stream(varint(stream.0).into()).stop(varint(code.0));
                }
                Output::Request(request) => {
                    let version = request
                        .protocols
                        .iter()
                        .filter_map(|name| Version::from_alpn(name.as_bytes()))
                        .find(|version| self.versions.contains(version));
                    let Request { path, origin, .. } = request;
                    return Some(News::Asked { path, origin, version });
                }
                Output::Accepted { protocol } => {
                    let version = protocol
                        .and_then(|name| Version::from_alpn(name.as_bytes()))
                        .filter(|version| self.versions.contains(version));
                    return Some(News::Accepted(version));
                }
                Output::Refused(status) => return Some(News::Refused(status)),
                Output::Opened(stream) => {
                    let id = varint(stream.0).into();
                    return Some(News::Stream(StreamNews::Opened(to_core(id), dir_of(id))));
                }
                Output::Received { stream, data, fin } => {
                    let news = StreamNews::Received(StreamId(stream.0), data, fin);
                    return Some(News::Stream(news));
                }
                Output::Abandoned { stream, code } => {
                    let news = StreamNews::Reset(StreamId(stream.0), meaning(code));
                    return Some(News::Stream(news));
                }
                Output::Unwanted { stream, code } => {
                    self.leads.remove(&varint(stream.0).into());
                    let news = StreamNews::Stopped(StreamId(stream.0), meaning(code));
                    return Some(News::Stream(news));
                }
                Output::Ended(end) => return Some(News::Ended(closed(end))),
                // The peer's stack has seen the end, but its application need not have been told: a
                // browser forgets the reason when the connection goes first. So the peer closes it, or
                // it goes when the time is up.
                Output::Done => {}
                Output::Fail(h3::Error::NoWebTransport) => return Some(News::NoWebTransport),
                Output::Fail(error) => {
                    let code = error.code();
                    return Some(News::Failed(varint(code.0), format!("HTTP/3: {error}")));
                }
            }
        }
    }

    /// Says yes to [`News::Asked`].
    pub(crate) fn accept(&mut self, version: Version) {
        self.h3.accept(Some(version.alpn()));
    }

    /// Says no to [`News::Asked`].
    pub(crate) fn refuse(&mut self, status: u16) {
        self.h3.refuse(status);
    }

    /// Ends the session.
    pub(crate) fn close(&mut self, code: SessionCode, reason: &str) {
        let code = u32::try_from(code.0).unwrap_or(u32::MAX);
        let close = Close { code, reason: reason.to_owned() };
        self.h3.close(&close);
        self.end = Some(close);
    }

    /// With what this end has closed the session, as a connection closes with it.
    pub(crate) fn take_end(&mut self) -> Option<(VarInt, String)> {
        let Close { code, reason } = self.end.take()?;
        Some((varint(Code::from_application(code).0), reason))
    }

    /// A stream that was opened for the session begins with the session's name. It is sent with the
    /// first bytes, which have the stream's priority.
    pub(crate) fn begin_stream(&mut self, id: quic::StreamId) {
        let Some(session) = self.h3.session() else { return };
        let dir = h3::StreamId(id.into()).dir();
        let prefix = self.prefixes[usize::from(dir == h3::Dir::Uni)].get_or_insert_with(|| {
            let mut prefix = BytesMut::new();
            stream::encode_prefix(dir, session, &mut prefix);
            prefix.freeze()
        });
        self.leads.insert(id, Lead { data: vec![prefix.clone()], fin: false });
    }

    /// A stream ends, but not before what [`flush`](Self::flush) could not send.
    pub(crate) fn finish_stream(&mut self, id: quic::StreamId) {
        self.leads.entry(id).or_default().fin = true;
    }

    /// A stream was reset: nothing more is sent on it.
    pub(crate) fn forget_stream(&mut self, id: quic::StreamId) {
        self.leads.remove(&id);
    }

    /// Sends what goes before everything else on a stream. Whether all of it is sent; if not, quinn-proto
    /// tells when there is room.
    pub(crate) fn flush(&mut self, quic: &mut quic::Connection, id: quic::StreamId) -> bool {
        let Some(lead) = self.leads.get_mut(&id) else { return true };
        let mut stream = quic.send_stream(id);
        while lead.data.iter().any(|chunk| !chunk.is_empty()) {
            match stream.write_chunks(&mut lead.data) {
                Ok(_) => {}
                Err(quic::WriteError::Blocked) => return false,
                // The peer has stopped it, which its event tells.
                Err(_) => break,
            }
        }
        if lead.fin {
            let _ = stream.finish();
        }
        self.leads.remove(&id);
        true
    }

    /// Whether the peer takes datagrams.
    pub(crate) fn has_datagrams(&self) -> bool {
        self.h3.takes_datagrams()
    }

    /// What the session's datagrams begin with.
    pub(crate) fn datagram_lead(&mut self) -> Bytes {
        let Some(session) = self.h3.session() else { return Bytes::new() };
        let lead = self.datagram_lead.get_or_insert_with(|| {
            let mut lead = BytesMut::new();
            datagram::encode_prefix(session, &mut lead);
            lead.freeze()
        });
        lead.clone()
    }

    /// What a datagram says, if it is the session's.
    pub(crate) fn datagram(&self, data: Bytes) -> Option<Bytes> {
        let (session, data) = datagram::decode(data).ok()?;
        (self.h3.session() == Some(session)).then_some(data)
    }

    /// The code with which a connection closes that has done its work.
    pub(crate) fn no_error(&self) -> VarInt {
        varint(Code::NO_ERROR.0)
    }

    /// What the peer means by closing the connection rather than the session; `None` if its HTTP/3 has
    /// failed.
    pub(crate) fn session_code(&self, code: VarInt) -> Option<SessionCode> {
        let code = Code(code.into_inner());
        match code {
            Code::NO_ERROR => Some(SessionCode::NO_ERROR),
            code => code.to_application().map(|code| SessionCode(code.into())),
        }
    }
}

/// A code that is none of an application's says no more than that nobody wants the stream.
fn meaning(code: Code) -> StreamCode {
    code.to_application().map_or(StreamCode::CANCEL, |code| StreamCode(code.into()))
}

fn closed(end: End) -> Closed {
    match end {
        End::Closed(Close { code, reason }) => {
            Closed { by: ClosedBy::Peer, code: SessionCode(code.into()), reason }
        }
        End::Reset(code) => Closed {
            by: ClosedBy::Transport,
            code: SessionCode::INTERNAL,
            reason: format!("HTTP/3: the stream of the session was reset: {code}"),
        },
    }
}

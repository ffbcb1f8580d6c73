//! Requests and responses, field by field.

use bytes::{Bytes, BytesMut};
use smoq_h3::{
    Code, Connection, Limits, Output, Request, StreamId, frame, qpack,
    request::{PROTOCOL, PROTOCOL_H3, Response},
};

use super::connection::control;
use crate::Input;

/// Names that mean something; a field names one by its number. Behind them is the name that the bytes
/// say.
pub const NAMES: &[&str] = &[
    ":method",
    ":protocol",
    ":scheme",
    ":authority",
    ":path",
    ":status",
    "origin",
    "wt-available-protocols",
    "wt-protocol",
];

/// Field by field: the number of its name (or the name itself), then its value. They are a request to a
/// server and a response to a client, and what is understood is understood again.
pub fn h3_request(data: &[u8]) {
    let mut input = Input(data);
    let fields: Vec<_> = core::iter::from_fn(|| field(&mut input)).collect();
    let mut section = BytesMut::new();
    qpack::encode(fields.iter().map(|(name, value)| (&**name, &**value)), &mut section);
    let mut headers = BytesMut::new();
    frame::encode(frame::HEADERS, &section, &mut headers);
    let headers = headers.freeze();
    if let Some(request) = ask(headers.clone()) {
        assert!(!request.path.is_empty() && !request.authority.is_empty());
        // The first five are the pseudo-header fields of a request.
        let pseudo = fields.iter().filter(|(name, _)| name.starts_with(':'));
        assert!(pseudo.clone().all(|(name, _)| NAMES[..5].contains(&&**name)), "{fields:?}");
        let texts = [&request.authority, &request.path].into_iter().chain(&request.origin);
        assert!(!texts.clone().any(|text| text.contains(['\0', '\r', '\n'])), "{request:?}");
        for protocol in [PROTOCOL, PROTOCOL_H3] {
            let mut again = BytesMut::new();
            request.encode(protocol, &mut again);
            assert_eq!(ask(again.freeze()).as_ref(), Some(&request));
        }
    }
    if let Some(protocol) = answer(headers) {
        let mut again = BytesMut::new();
        Response { status: 200, protocol: protocol.clone() }.encode(&mut again);
        assert_eq!(answer(again.freeze()), Some(protocol));
    }
}

fn field(input: &mut Input<'_>) -> Option<(String, String)> {
    let number = usize::from(input.byte()?) % (NAMES.len() + 1);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let name = match NAMES.get(number) {
        Some(name) => (*name).into(),
        None => text(input.counted()?),
    };
    Some((name, text(input.counted()?)))
}

/// What a server makes of a HEADERS frame: the session that it asks for, if it does.
pub fn ask(headers: Bytes) -> Option<Request> {
    let (settings, stream) = (StreamId(2), StreamId(0));
    let mut server = Connection::server(Limits::default());
    server.handle_opened(settings);
    let _ = server.handle_recv(settings, control().into(), false);
    server.handle_opened(stream);
    let _ = server.handle_recv(stream, headers, false);
    match server.poll_output() {
        Some(Output::Request(request)) => Some(request),
        // No session, or a field too many.
        Some(Output::Send { fin: true, .. } | Output::Fail(_)) => None,
        Some(Output::Reset { code: Code::MESSAGE_ERROR, .. }) => None,
        other => panic!("{other:?} for a request"),
    }
}

/// What a client makes of a HEADERS frame: if it is a yes, the protocol that was chosen, if any.
pub fn answer(headers: Bytes) -> Option<Option<String>> {
    let mut client = Connection::client(Request::default(), Limits::default());
    client.handle_opened_ours(StreamId(2));
    client.handle_opened(StreamId(3));
    let _ = client.handle_recv(StreamId(3), control().into(), false);
    client.handle_opened_ours(StreamId(0));
    while client.poll_output().is_some() {}
    let _ = client.handle_recv(StreamId(0), headers, false);
    match client.poll_output() {
        Some(Output::Accepted { protocol }) => Some(protocol),
        // A no, no response, or a field too many; or one that is not the last.
        Some(Output::Reset { .. } | Output::Fail(_)) | None => None,
        other => panic!("{other:?} for a response"),
    }
}

//! The request that asks for a session, and its answer (draft-ietf-webtrans-http3, section 3).

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use bytes::BytesMut;

use crate::{
    Error, frame,
    qpack::{self, Field},
};

/// `:protocol` of drafts 02 to 14.
pub const PROTOCOL: &str = "webtransport";
/// `:protocol` of drafts from 15 on.
pub const PROTOCOL_H3: &str = "webtransport-h3";

// Which protocol is spoken inside the session (draft-ietf-webtrans-http3, section 3.3).
const AVAILABLE_PROTOCOLS: &str = "wt-available-protocols";
const CHOSEN_PROTOCOL: &str = "wt-protocol";

/// What a client asks for: CONNECT with `:protocol`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// Host and port, as in the URL.
    pub authority: String,
    /// Path and query, as in the URL; at least `/`.
    pub path: String,
    /// Where the page comes from that asks; browsers always say so.
    pub origin: Option<String>,
    /// Protocols that the client can speak inside the session, most wanted first.
    pub protocols: Vec<String>,
}

/// What a request is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// A session.
    Session(Request),
    /// Anything else that HTTP has.
    Other,
}

impl Request {
    /// Appends the HEADERS frame. `protocol` is [`PROTOCOL`] or [`PROTOCOL_H3`].
    pub fn encode(&self, protocol: &str, out: &mut BytesMut) {
        let available = encode_list(&self.protocols);
        let path = if self.path.is_empty() { "/" } else { &self.path };
        let mut fields = Vec::from([
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":authority", &self.authority),
            (":path", path),
        ]);
        if protocol == PROTOCOL {
            // What draft 02 has instead of a version.
            fields.push(("sec-webtransport-http3-draft02", "1"));
        }
        fields.extend(self.origin.as_deref().map(|origin| ("origin", origin)));
        if !self.protocols.is_empty() {
            fields.push((AVAILABLE_PROTOCOLS, &available));
        }
        headers(fields, out);
    }

    /// Understands the fields of a request.
    pub(crate) fn from_fields(fields: Vec<Field>) -> Result<Asked, Error> {
        let pseudo = [":method", ":scheme", ":authority", ":path", ":protocol"];
        let fields = Fields::new(fields, &pseudo)?;
        let method = fields.only(":method")?.ok_or(Error::Message)?;
        let protocol = fields.only(":protocol")?;
        if method != "CONNECT" || !matches!(protocol, Some(PROTOCOL | PROTOCOL_H3)) {
            return Ok(Asked::Other);
        }
        // RFC 9220, section 3: unlike a plain CONNECT, this one has a scheme and a path.
        // Neither is ever empty for https (RFC 9114, section 4.3.1).
        let needed = |name| fields.only(name)?.filter(|v| !v.is_empty()).ok_or(Error::Message);
        if needed(":scheme")? != "https" {
            return Err(Error::Message);
        }
        Ok(Asked::Session(Self {
            authority: needed(":authority")?.to_string(),
            path: needed(":path")?.to_string(),
            origin: fields.only("origin")?.map(str::to_string),
            // A list that is none is passed over (draft-ietf-webtrans-http3, section 3.3).
            protocols: decode_list(&fields.joined(AVAILABLE_PROTOCOLS)).unwrap_or_default(),
        }))
    }
}

/// A server's answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// 200 if the session is there.
    pub status: u16,
    /// The protocol that the server chose.
    pub protocol: Option<String>,
}

impl Response {
    /// Appends the HEADERS frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let status = self.status.to_string();
        let protocol = self.protocol.as_ref().map(|chosen| encode_list([chosen]));
        let mut fields = Vec::from([(":status", &*status)]);
        if self.status == 200 {
            // What draft 02 has instead of a version.
            fields.push(("sec-webtransport-http3-draft", "draft02"));
        }
        fields.extend(protocol.as_deref().map(|chosen| (CHOSEN_PROTOCOL, chosen)));
        headers(fields, out);
    }

    pub(crate) fn from_fields(fields: Vec<Field>) -> Result<Self, Error> {
        let fields = Fields::new(fields, &[":status"])?;
        let status = fields.only(":status")?.ok_or(Error::Message)?;
        if status.len() != 3 || !status.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(Error::Message);
        }
        let status = status.parse().map_err(|_| Error::Message)?;
        let protocols = decode_list(&fields.joined(CHOSEN_PROTOCOL)).unwrap_or_default();
        Ok(Self { status, protocol: protocols.into_iter().next() })
    }
}

fn headers<'a>(fields: Vec<(&'a str, &'a str)>, out: &mut BytesMut) {
    let mut section = BytesMut::new();
    qpack::encode(fields, &mut section);
    frame::encode(frame::HEADERS, &section, out);
}

/// Fields that keep to the rules of RFC 9114, sections 4.2, 4.3 and 10.3.
struct Fields(Vec<Field>);

impl Fields {
    /// `pseudo` are the pseudo-header fields that there can be. They come first.
    fn new(fields: Vec<Field>, pseudo: &[&str]) -> Result<Self, Error> {
        let regular = fields.iter().skip_while(|field| pseudo.contains(&&*field.name));
        let names = regular.map(|field| &*field.name).all(is_name);
        let values = fields.iter().all(|field| !field.value.contains(['\0', '\r', '\n']));
        if names && values { Ok(Self(fields)) } else { Err(Error::Message) }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |field| field.name == name).map(|field| &*field.value)
    }

    /// The value of a field that may be there once.
    fn only(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(Error::Message) } else { Ok(value) }
    }

    /// The value of a list, which may be spread over several fields.
    fn joined(&self, name: &str) -> String {
        self.all(name).collect::<Vec<_>>().join(",")
    }
}

/// Whether the name of a regular field has only characters that it may have (RFC 9114, sections 4.2 and
/// 10.3): those of a token (RFC 9110, section 5.6.2), in lower case.
fn is_name(name: &str) -> bool {
    let allowed =
        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

/// A list of strings (RFC 8941, sections 3.1 and 3.3.3).
fn encode_list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let mut list = String::new();
    for item in items {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push('"');
        for c in item.as_ref().chars() {
            if matches!(c, '"' | '\\') {
                list.push('\\');
            }
            list.push(c);
        }
        list.push('"');
    }
    list
}

/// The strings of a list, without their parameters. Tokens are taken too: a single one is what some
/// servers answer with. `None` if it is no list of those.
fn decode_list(text: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = text.trim_matches([' ', '\t']);
    while !rest.is_empty() {
        let item;
        (item, rest) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted)?,
            None => {
                let end = rest.find([',', ';', ' ', '\t']).unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                (rest[..end].into(), &rest[end..])
            }
        };
        items.push(item);
        rest = after_parameters(rest)?.trim_start_matches([' ', '\t']);
    }
    Some(items)
}

/// What follows the comma behind an item. Parameters have no meaning here.
fn after_parameters(mut text: &str) -> Option<&str> {
    loop {
        let Some(end) = text.find([',', '"']) else { return Some("") };
        let (found, rest) = (text.as_bytes()[end], &text[end + 1..]);
        match found {
            b',' => return Some(rest),
            _ => (_, text) = take_quoted(rest)?,
        }
    }
}

/// The string up to its closing quote, and what follows.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut item = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (end, '"') => return Some((item, &text[end + 1..])),
            (_, '\\') => item.push(chars.next().map(|(_, c)| c).filter(|c| "\"\\".contains(*c))?),
            (_, c) => item.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(frame: &[u8]) -> Vec<Field> {
        assert_eq!(u64::from(frame[0]), frame::HEADERS);
        let header = if frame[1] < 0x40 { 2 } else { 3 };
        qpack::decode(&frame[header..], 16 << 10).unwrap()
    }

    fn field(name: &str, value: &str) -> Field {
        Field { name: name.into(), value: value.into() }
    }

    fn request() -> Request {
        Request {
            authority: "localhost:4443".into(),
            path: "/room?jwt=x".into(),
            origin: Some("https://example.com".into()),
            protocols: ["moq-lite-06".into(), r#"odd"\one"#.into()].into(),
        }
    }

    #[test]
    fn requests_go_both_ways() {
        for protocol in [PROTOCOL, PROTOCOL_H3] {
            let mut frame = BytesMut::new();
            request().encode(protocol, &mut frame);
            assert_eq!(Request::from_fields(fields(&frame)), Ok(Asked::Session(request())));
        }
    }

    #[test]
    fn an_empty_path_is_a_slash() {
        let mut frame = BytesMut::new();
        Request { path: String::new(), ..request() }.encode(PROTOCOL, &mut frame);
        let Ok(Asked::Session(decoded)) = Request::from_fields(fields(&frame)) else {
            panic!("no session")
        };
        assert_eq!(decoded.path, "/");
    }

    #[test]
    fn responses_go_both_ways() {
        for (status, protocol) in [(200, Some("moq-lite-05")), (200, None), (403, None)] {
            let response = Response { status, protocol: protocol.map(str::to_string) };
            let mut frame = BytesMut::new();
            response.encode(&mut frame);
            assert_eq!(Response::from_fields(fields(&frame)), Ok(response));
        }
    }

    #[test]
    fn what_is_no_session_is_told_apart() {
        let get = Vec::from([
            field(":method", "GET"),
            field(":scheme", "https"),
            field(":authority", "a"),
            field(":path", "/"),
        ]);
        assert_eq!(Request::from_fields(get), Ok(Asked::Other));
        let plain = Vec::from([field(":method", "CONNECT"), field(":authority", "a")]);
        assert_eq!(Request::from_fields(plain), Ok(Asked::Other));
    }

    #[test]
    fn malformed_requests_are_refused() {
        let good = || {
            Vec::from([
                field(":method", "CONNECT"),
                field(":protocol", "webtransport"),
                field(":scheme", "https"),
                field(":authority", "a"),
                field(":path", "/"),
                field("origin", "https://a"),
            ])
        };
        assert!(matches!(Request::from_fields(good()), Ok(Asked::Session(_))));
        for missing in [0, 2, 3, 4] {
            let mut fields = good();
            fields.remove(missing);
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "{missing}");
        }
        for extra in [field(":path", "/"), field("Origin", ""), field("origin", "b")] {
            let mut fields = good();
            fields.push(extra.clone());
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "{extra:?}");
        }
        for at in [3, 4] {
            let mut fields = good();
            fields[at].value.clear();
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "empty {at}");
        }
        let mut fields = good();
        fields[2].value = "http".into();
        assert_eq!(Request::from_fields(fields), Err(Error::Message), "no https");
        for pseudo in [field(":foo", "x"), field(":status", "200")] {
            let fields = [[pseudo.clone()].into(), good()].concat();
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "{pseudo:?}");
        }
        let both = [field(":status", "200"), field(":method", "GET")];
        assert_eq!(Response::from_fields(both.into()), Err(Error::Message));
        for extra in [field("", "x"), field(":", "x"), field("a b", "x"), field("é", "x")] {
            let fields = [good(), [extra.clone()].into()].concat();
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "{extra:?}");
        }
        for pseudo in [":status", ":odd"] {
            let fields = [[field(pseudo, "200")].into(), good()].concat();
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "{pseudo}");
        }
        let response = [field(":status", "200"), field(":path", "/")];
        assert_eq!(Response::from_fields(response.into()), Err(Error::Message));
        for value in ["a\0", "a\rb", "\n"] {
            let fields = [good(), [field("x", value)].into()].concat();
            assert_eq!(Request::from_fields(fields), Err(Error::Message), "{value:?}");
        }
        for status in ["", "20", "2000", "abc", "+20"] {
            let response = Response::from_fields([field(":status", status)].into());
            assert_eq!(response, Err(Error::Message), "{status}");
        }
    }

    #[test]
    fn lists_are_read_as_the_standard_says() {
        let list = |text| decode_list(text).map(|items| items.join("|"));
        assert_eq!(list(r#""a", "b";q=1 , "c""#).as_deref(), Some("a|b|c"));
        assert_eq!(list(r#""a";x="b,\"c";y, "d""#).as_deref(), Some("a|d"));
        assert_eq!(list(r#""", "a""#).as_deref(), Some("|a"));
        assert_eq!(list(r#" "a\"\\" "#).as_deref(), Some(r#"a"\"#));
        assert_eq!(list("moq-lite-05").as_deref(), Some("moq-lite-05"));
        assert_eq!(list("").as_deref(), Some(""));
        for bad in [r#"""#, r#""a"#, r#""a\b""#, ",a", "a,,b"] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }
}

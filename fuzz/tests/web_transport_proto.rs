//! Beside web-transport-proto, which moq-dev's clients and relays use: what one end encodes the other
//! decodes, and where they differ, why.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smoq_fuzz::h3::{answer, ask};
use smoq_h3::{
    Code, Connection, Dir, Error, Limits, Request, Settings, StreamId,
    capsule::{Close, MAX_REASON, Reader},
    frame, qpack,
    request::{PROTOCOL, PROTOCOL_H3, Response},
    stream, varint,
};
use web_transport_proto as theirs;

const PROTOCOLS: [&str; 3] = ["moq-lite-06", "moqt-19", r#"odd"\one, two"#];

fn control(settings: &Settings) -> Bytes {
    let mut out = BytesMut::new();
    varint::encode(stream::CONTROL, &mut out);
    settings.encode(&mut out);
    out.freeze()
}

#[test]
fn settings_are_understood_by_both() {
    let ours = Settings::ours(16384);
    let read = theirs::Settings::decode(&mut control(&ours)).unwrap();
    assert_eq!(read.supports_webtransport(), 1);

    let mut sent = theirs::Settings::default();
    sent.enable_webtransport(3);
    let mut control = BytesMut::new();
    sent.encode(&mut control);
    let mut client = Connection::client(Request::default(), Limits::default());
    client.handle_opened_ours(StreamId(2));
    client.handle_opened(StreamId(3));
    let _ = client.handle_recv(StreamId(3), control.freeze(), false);
    assert_eq!(client.wants_open(), Some(Dir::Bi));
}

/// Drafts from 13 on have other settings, which they do not know. So ours are of all drafts.
#[test]
fn they_know_no_settings_of_newer_drafts() {
    let newer = Settings { webtransport: false, ..Settings::ours(16384) };
    let read = theirs::Settings::decode(&mut control(&newer)).unwrap();
    assert_eq!(read.supports_webtransport(), 0);
}

/// A setting given twice, or one of HTTP/2, is an error of the connection (RFC 9114, sections 7.2.4
/// and 7.2.4.1). They take the last, and all.
#[test]
fn they_take_settings_that_are_errors() {
    for payload in [&[0x33, 0, 0x33, 1][..], &[2, 1]] {
        let mut control = BytesMut::from(&[0][..]);
        frame::encode(frame::SETTINGS, payload, &mut control);
        assert!(theirs::Settings::decode(&mut control.freeze()).is_ok());
        assert!(matches!(Settings::decode(payload), Err(Error::Settings(_))));
    }
}

#[test]
fn requests_are_understood_by_both() {
    for count in 0..=PROTOCOLS.len() {
        let protocols: Vec<String> = PROTOCOLS[..count].iter().map(|&p| p.into()).collect();
        let request = Request {
            authority: "relay.example:4443".into(),
            path: "/room/a?jwt=x&y=%20".into(),
            origin: Some("https://example.com".into()),
            protocols: protocols.clone(),
        };
        let mut sent = BytesMut::new();
        request.encode(PROTOCOL, &mut sent);
        let read = theirs::ConnectRequest::decode(&mut sent).unwrap();
        assert_eq!(read.url.as_str(), "https://relay.example:4443/room/a?jwt=x&y=%20");
        assert_eq!(read.protocols, protocols);
        assert_eq!(read.headers["origin"], "https://example.com");

        let mut again = BytesMut::new();
        read.encode(&mut again).unwrap();
        assert_eq!(ask(again.freeze()), Some(request));
    }
}

/// The name of drafts from 15 on. A client of ours says it only to servers that know no other.
#[test]
fn they_do_not_know_the_newer_name() {
    let request =
        Request { authority: "a".into(), path: "/".into(), origin: None, protocols: Vec::new() };
    let mut sent = BytesMut::new();
    request.encode(PROTOCOL_H3, &mut sent);
    let read = theirs::ConnectRequest::decode(&mut sent);
    assert!(matches!(read, Err(theirs::ConnectError::WrongProtocol(_))));
}

#[test]
fn responses_are_understood_by_both() {
    for protocol in [None].into_iter().chain(PROTOCOLS.map(Some)) {
        let protocol = protocol.map(String::from);
        let mut sent = BytesMut::new();
        Response { status: 200, protocol: protocol.clone() }.encode(&mut sent);
        let read = theirs::ConnectResponse::decode(&mut sent).unwrap();
        assert_eq!((read.status.as_u16(), &read.protocol), (200, &protocol));

        let mut again = BytesMut::new();
        read.encode(&mut again).unwrap();
        assert_eq!(answer(again.freeze()), Some(protocol));
    }
    let mut refused = BytesMut::new();
    Response { status: 403, protocol: None }.encode(&mut refused);
    let read = theirs::ConnectResponse::decode(&mut refused);
    assert!(matches!(read, Err(theirs::ConnectError::WrongStatus(Some(status))) if status == 403));
    let refusal = theirs::ConnectResponse::new(theirs::http::StatusCode::NOT_FOUND);
    let mut refused = BytesMut::new();
    refusal.encode(&mut refused).unwrap();
    assert_eq!(answer(refused.freeze()), None);
}

#[test]
fn streams_begin_alike() {
    for session in [0, 4, 64, 1 << 14, 1 << 32, varint::MAX - 3] {
        for (dir, ty) in [
            (Dir::Bi, theirs::Frame::WEBTRANSPORT.0),
            (Dir::Uni, theirs::StreamUni::WEBTRANSPORT.0),
        ] {
            let (mut ours, mut other) = (BytesMut::new(), BytesMut::new());
            stream::encode_prefix(dir, StreamId(session), &mut ours);
            ty.encode(&mut other);
            theirs::VarInt::from_u64(session).unwrap().encode(&mut other);
            assert_eq!(ours, other);
        }
    }
}

#[test]
fn the_end_of_a_session_is_understood_by_both() {
    for (code, reason) in [(0, ""), (7, "bye"), (u32::MAX, &"é".repeat(512))] {
        let close = Close { code, reason: reason.into() };
        let mut sent = BytesMut::new();
        close.encode(&mut sent);
        let read = theirs::Capsule::decode(&mut sent).unwrap();
        let reason = reason.to_owned();
        assert_eq!(read, theirs::Capsule::CloseWebTransportSession { code, reason });
        assert!(!sent.has_remaining());

        let mut again = BytesMut::new();
        theirs::Capsule::Grease { num: 9 }.encode(&mut again);
        read.encode(&mut again);
        assert_eq!(Reader::default().read(&mut again.freeze()), Ok(Some(close)));
    }
}

/// A reason has 1024 bytes at most (draft-ietf-webtrans-http3, section 6). They do not count. One that
/// is no UTF-8 they refuse; ours is mended, since the code is what matters.
#[test]
fn they_take_any_length_and_not_any_text() {
    let mut long = BytesMut::new();
    let reason = "x".repeat(MAX_REASON + 1);
    theirs::Capsule::CloseWebTransportSession { code: 1, reason }.encode(&mut long);
    assert!(theirs::Capsule::decode(&mut long.clone()).is_ok());
    assert_eq!(Reader::default().read(&mut long.freeze()), Err(Error::Message));

    let mut odd = BytesMut::new();
    frame::encode(smoq_h3::capsule::CLOSE, b"\0\0\0\x01\xff", &mut odd);
    let refused = theirs::Capsule::decode(&mut odd.clone());
    assert!(matches!(refused, Err(theirs::CapsuleError::InvalidUtf8)));
    let mended = Close { code: 1, reason: char::REPLACEMENT_CHARACTER.into() };
    assert_eq!(Reader::default().read(&mut odd.freeze()), Ok(Some(mended)));
}

/// Over the whole range, ends included. Codes that HTTP/3 reserves (RFC 9114, section 8.1) stand for
/// no application's (draft-ietf-webtrans-http3, section 4.4); they take them for the next one.
#[test]
fn codes_of_applications_are_mapped_alike() {
    for code in (0..=u32::MAX).step_by(65_521).chain(0..100).chain(u32::MAX - 100..=u32::MAX) {
        let ours = Code::from_application(code);
        assert_eq!(ours.0, theirs::error_to_http3(code));
        assert_eq!(theirs::error_from_http3(ours.0), Some(code));
        assert_eq!(ours.to_application(), Some(code));
    }
    let first = Code::from_application(0).0;
    let last = Code::from_application(u32::MAX).0;
    for code in (first..=last).step_by(65_521).chain(first..first + 100).chain(last - 100..=last) {
        let ours = Code(code).to_application();
        match (code - 0x21) % 0x1f {
            0 => assert_eq!(ours, None),
            _ => assert_eq!(ours, theirs::error_from_http3(code)),
        }
    }
    for code in [0, 0x100, first - 1, last + 1, u64::MAX] {
        assert_eq!((Code(code).to_application(), theirs::error_from_http3(code)), (None, None));
    }
}

#[test]
fn integers_are_encoded_alike() {
    for value in (0..62).flat_map(|bit| [1 << bit, (1 << bit) - 1]).chain([varint::MAX]) {
        let (mut ours, mut other) = (BytesMut::new(), BytesMut::new());
        varint::encode(value, &mut ours);
        theirs::VarInt::from_u64(value).unwrap().encode(&mut other);
        assert_eq!(ours, other);
        ours.put_u8(7);
        assert_eq!(varint::decode(&mut other), Some(value));
        assert_eq!(theirs::VarInt::decode(&mut ours).map(theirs::VarInt::into_inner), Ok(value));
    }
}

/// Every list of these pieces that they understand, ours understands in the same way (RFC 8941, section
/// 4.2.1). Ours takes more: tokens, which some peers say instead of strings, and careless commas.
#[test]
fn lists_are_understood_alike() {
    const PIECES: [&str; 9] = [r#""a""#, r#"""#, r"\", ",", " ", ";q", r#"=""#, "=1", "b"];
    let mut understood = 0;
    for number in 0..PIECES.len().pow(5) {
        let digits = (0..5).map(|digit| number / PIECES.len().pow(digit) % PIECES.len());
        let list = format!(r#""first"{}"#, digits.map(|piece| PIECES[piece]).collect::<String>());
        let fields = [
            (":method", "CONNECT"),
            (":protocol", PROTOCOL),
            (":scheme", "https"),
            (":authority", "a"),
            (":path", "/"),
            ("wt-available-protocols", &list),
        ];
        let (mut section, mut sent) = (BytesMut::new(), BytesMut::new());
        qpack::encode(fields, &mut section);
        frame::encode(frame::HEADERS, &section, &mut sent);
        let sent = sent.freeze();
        if let Ok(read) = theirs::ConnectRequest::decode(&mut sent.clone()) {
            understood += 1;
            assert_eq!(ask(sent).map(|request| request.protocols), Some(read.protocols), "{list}");
        }
    }
    assert!(understood > 400, "{understood}");
}

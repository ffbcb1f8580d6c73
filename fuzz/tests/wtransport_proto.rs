//! Beside wtransport-proto: what one end encodes the other decodes, and where they differ, why. Its
//! QPACK uses Huffman codes.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use smoq_fuzz::h3::{answer, ask};
use smoq_h3::{
    Code, Dir, Error, Request, Settings, StreamId,
    capsule::{Close, MAX_REASON},
    datagram, frame, qpack,
    request::{PROTOCOL, Response},
    stream, varint,
};
use wtransport_proto::{
    capsule::{Capsule, capsules::CloseWebTransportSession},
    datagram::Datagram,
    error::ErrorCode,
    frame::Frame,
    headers::Headers,
    ids::{QStreamId, SessionId, StreamId as TheirStreamId},
    qpack::{Decoder, Encoder},
    session::{SessionRequest, SessionResponse},
    settings::{SettingId, Settings as TheirSettings},
    stream_header::StreamHeader,
    varint::VarInt,
};

fn integer(value: u64) -> VarInt {
    VarInt::try_from_u64(value).unwrap()
}

fn session(id: u64) -> SessionId {
    SessionId::try_from_session_stream(TheirStreamId::new(integer(id))).unwrap()
}

/// A frame of ours, read by them.
fn read(frame: &BytesMut) -> Frame<'_> {
    let mut bytes = &frame[..];
    let frame = Frame::read(&mut bytes).unwrap().expect("a whole frame");
    assert!(bytes.is_empty());
    frame
}

/// A frame of theirs, as bytes.
fn written(frame: &Frame<'_>) -> Bytes {
    let mut out = Vec::new();
    frame.write(&mut out).unwrap();
    out.into()
}

#[test]
fn settings_are_understood_by_both() {
    let mut sent = BytesMut::new();
    Settings::ours(16384).encode(&mut sent);
    let settings = TheirSettings::with_frame(&read(&sent)).unwrap();
    for (id, value) in [
        (SettingId::MaxFieldSectionSize, 16384),
        (SettingId::EnableConnectProtocol, 1),
        (SettingId::H3Datagram, 1),
        (SettingId::EnableWebTransport, 1),
        (SettingId::WebTransportMaxSessions, 1),
    ] {
        assert_eq!(settings.get(id), Some(integer(value)), "{id:?}");
    }

    let sent = TheirSettings::builder()
        .qpack_max_table_capacity(integer(0))
        .qpack_blocked_streams(integer(0))
        .enable_connect_protocol()
        .enable_webtransport()
        .enable_h3_datagrams()
        .webtransport_max_sessions(integer(1))
        .build();
    let expected =
        Settings { webtransport_h3: false, max_field_section: None, ..Settings::ours(0) };
    assert_eq!(Settings::decode(sent.generate_frame().payload()), Ok(expected));
}

/// A setting given twice is an error even if nobody knows it (RFC 9114, section 7.2.4); they count only
/// those that they know. Identifier 0 is reserved (section 11.2.2) but was no setting of HTTP/2, so it
/// is no error (section 7.2.4.1); they refuse it.
#[test]
fn they_do_not_count_unknown_settings_and_refuse_zero() {
    for (payload, ours, their) in [
        (&[0x33, 1, 0x33, 1][..], Err(Error::Settings(0x33)), false),
        (&[2, 1], Err(Error::Settings(2)), false),
        (&[0, 1], Ok(Settings::default()), false),
        (&[0x22, 1, 0x22, 1], Err(Error::Settings(0x22)), true),
    ] {
        let mut sent = BytesMut::new();
        frame::encode(frame::SETTINGS, payload, &mut sent);
        assert_eq!(TheirSettings::with_frame(&read(&sent)).is_ok(), their, "{payload:?}");
        assert_eq!(Settings::decode(payload), ours, "{payload:?}");
    }
}

#[test]
fn requests_are_understood_by_both() {
    let request = Request {
        authority: "relay.example:4443".into(),
        path: "/room?jwt=x".into(),
        origin: Some("https://example.com".into()),
        protocols: vec!["moq-lite-06".into(), r#"odd"\one"#.into()],
    };
    let mut sent = BytesMut::new();
    request.encode(PROTOCOL, &mut sent);
    let understood = SessionRequest::try_from(Headers::with_frame(&read(&sent)).unwrap()).unwrap();
    assert_eq!(understood.authority(), request.authority);
    assert_eq!(understood.path(), request.path);
    assert_eq!(understood.origin(), request.origin.as_deref());

    let mut asked = SessionRequest::new("https://relay.example:4443/room?jwt=x").unwrap();
    asked.insert("origin", "https://example.com").unwrap();
    // They pass the lists of drafts from 13 on through as they are.
    let list = understood.get("wt-available-protocols").unwrap();
    asked.insert("wt-available-protocols", list).unwrap();
    assert_eq!(ask(written(&asked.headers().generate_frame())), Some(request));
}

#[test]
fn responses_are_understood_by_both() {
    for status in [200, 403, 404, 429] {
        let mut sent = BytesMut::new();
        Response { status, protocol: None }.encode(&mut sent);
        let headers = Headers::with_frame(&read(&sent)).unwrap();
        let response = SessionResponse::try_from(headers).unwrap();
        assert_eq!(response.code().is_successful(), status == 200);
    }
    let mut yes = SessionResponse::ok();
    yes.add("wt-protocol", "\"moq-lite-05\"");
    let chosen = answer(written(&yes.headers().generate_frame()));
    assert_eq!(chosen, Some(Some("moq-lite-05".into())));
    assert_eq!(answer(written(&SessionResponse::ok().headers().generate_frame())), Some(None));
    let no = SessionResponse::too_many_requests();
    assert_eq!(answer(written(&no.headers().generate_frame())), None);
}

/// Each character alone, then all in one string, as a name and as a value.
#[test]
fn huffman_codes_of_theirs_are_understood() {
    let characters: Vec<String> = (0..0x250).filter_map(char::from_u32).map(String::from).collect();
    let long = characters.concat();
    let texts = characters.iter().map(|c| c.repeat(3)).chain([long, "www.example.com".into()]);
    for text in texts {
        let section = Encoder::encode([(&*text, "x"), ("x", &*text), (":path", &*text)]);
        let fields = qpack::decode(&section, 16 << 10).unwrap();
        let pairs: Vec<_> = fields.iter().map(|f| (&*f.name, &*f.value)).collect();
        assert_eq!(pairs, [(&*text, "x"), ("x", &text), (":path", &text)]);
    }
    // They do use it.
    let section = Encoder::encode([(":path", "www.example.com")]);
    assert!(section.ends_with(b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"));
}

#[test]
fn field_sections_of_ours_are_understood() {
    let long = "x".repeat(3000);
    let fields = [(":method", "CONNECT"), (":path", "/"), ("origin", "a"), ("none-of", &long)];
    let mut section = BytesMut::new();
    qpack::encode(fields, &mut section);
    let expected = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Decoder::decode(&section[..]).unwrap(), HashMap::from(expected));
    // The whole static table of theirs is ours.
    for index in 0..99u8 {
        let section: &[u8] =
            if index < 63 { &[0, 0, 0xc0 | index] } else { &[0, 0, 0xff, index - 63] };
        let ours = qpack::decode(section, 1000).unwrap();
        let pairs = ours.into_iter().map(|field| (field.name, field.value));
        assert_eq!(Decoder::decode(section).unwrap(), pairs.collect(), "{index}");
    }
}

#[test]
fn streams_begin_alike() {
    for id in [0, 4, 64, 1 << 14, 1 << 32, varint::MAX - 3] {
        let mut bi = BytesMut::new();
        stream::encode_prefix(Dir::Bi, StreamId(id), &mut bi);
        assert_eq!(read(&bi).session_id().map(SessionId::into_u64), Some(id));
        assert_eq!(written(&Frame::new_webtransport(session(id))), bi);

        let mut uni = BytesMut::new();
        stream::encode_prefix(Dir::Uni, StreamId(id), &mut uni);
        let header = StreamHeader::read(&mut &uni[..]).unwrap().unwrap();
        assert_eq!(header.session_id().map(SessionId::into_u64), Some(id));
        let mut theirs = Vec::new();
        StreamHeader::new_webtransport(session(id)).write(&mut theirs).unwrap();
        assert_eq!(theirs, uni);
    }
}

#[test]
fn datagrams_begin_alike() {
    for id in [0, 4, 64, 256, 1 << 16, 1 << 34, varint::MAX - 3] {
        let mut ours = BytesMut::new();
        datagram::encode_prefix(StreamId(id), &mut ours);
        ours.extend_from_slice(b"payload");
        let understood = Datagram::read(&ours).unwrap();
        assert_eq!(understood.qstream_id().into_session_id().into_u64(), id);
        assert_eq!(understood.payload(), b"payload");

        let sent = Datagram::new(QStreamId::from_session_id(session(id)), b"payload");
        let mut theirs = vec![0; sent.write_size()];
        sent.write(&mut theirs).unwrap();
        assert_eq!(theirs, ours);
        let payload = Bytes::from_static(b"payload");
        assert_eq!(datagram::decode(theirs.into()), Ok((StreamId(id), payload)));
    }
    // No stream has four times this id.
    let mut beyond = BytesMut::new();
    varint::encode(varint::MAX / 4 + 1, &mut beyond);
    assert!(Datagram::read(&beyond).is_err());
    assert!(datagram::decode(beyond.freeze()).is_err());
}

/// They only read it. It has to be the first capsule of its DATA frame and whole in it; RFC 9297,
/// section 3.1, has capsules as one stream over all DATA frames, so ours may be cut anywhere.
#[test]
fn the_end_of_a_session_is_understood() {
    for reason in ["", "bye", &"x".repeat(MAX_REASON)] {
        let mut capsule = BytesMut::new();
        Close { code: u32::MAX, reason: reason.into() }.encode(&mut capsule);
        let mut data = BytesMut::new();
        frame::encode(frame::DATA, &capsule, &mut data);
        let frame = read(&data);
        let close = Capsule::with_frame(&frame).unwrap();
        let close = CloseWebTransportSession::with_capsule(&close).unwrap();
        assert_eq!((close.error_code().into_inner(), close.reason()), (u32::MAX.into(), reason));
    }
}

#[test]
fn codes_have_the_same_numbers() {
    for (ours, theirs) in [
        (Code::NO_ERROR, ErrorCode::NoError),
        (Code::STREAM_CREATION_ERROR, ErrorCode::StreamCreation),
        (Code::CLOSED_CRITICAL_STREAM, ErrorCode::ClosedCriticalStream),
        (Code::FRAME_UNEXPECTED, ErrorCode::FrameUnexpected),
        (Code::FRAME_ERROR, ErrorCode::Frame),
        (Code::EXCESSIVE_LOAD, ErrorCode::ExcessiveLoad),
        (Code::ID_ERROR, ErrorCode::Id),
        (Code::SETTINGS_ERROR, ErrorCode::Settings),
        (Code::MISSING_SETTINGS, ErrorCode::MissingSettings),
        (Code::REQUEST_REJECTED, ErrorCode::RequestRejected),
        (Code::MESSAGE_ERROR, ErrorCode::Message),
        (Code::QPACK_DECOMPRESSION_FAILED, ErrorCode::Decompression),
        (Code::BUFFERED_STREAM_REJECTED, ErrorCode::BufferedStreamRejected),
        (Code::SESSION_GONE, ErrorCode::SessionGone),
    ] {
        assert_eq!(ours.0, theirs.to_code().into_inner(), "{theirs}");
    }
}

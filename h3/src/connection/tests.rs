use alloc::{format, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

const LIMITS: Limits =
    Limits { field_section: 2000, buffered: 4000, early_streams: 4, new_streams: 50 };

fn request() -> Request {
    Request {
        authority: "localhost:4443".into(),
        path: "/room".into(),
        origin: None,
        protocols: vec!["moq-lite-05".into(), "moq-lite-04".into()],
    }
}

fn server() -> Connection {
    Connection::server(LIMITS)
}

fn client() -> Connection {
    Connection::client(request(), LIMITS)
}

fn outputs(connection: &mut Connection) -> Vec<Output> {
    core::iter::from_fn(|| connection.poll_output()).collect()
}

/// Streams of the peer by their index.
fn bi(index: u64) -> StreamId {
    StreamId(index * 4)
}

fn uni(index: u64) -> StreamId {
    StreamId(index * 4 + 2)
}

fn of_server(stream: StreamId) -> StreamId {
    StreamId(stream.0 + 1)
}

fn frames(frames: &[(u64, &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    for (ty, payload) in frames {
        frame::encode(*ty, payload, &mut out);
    }
    out
}

fn fields(fields: &[(&str, &str)]) -> BytesMut {
    let mut section = BytesMut::new();
    qpack::encode(fields.iter().copied(), &mut section);
    frames(&[(frame::HEADERS, &section)])
}

fn connect() -> BytesMut {
    let mut out = BytesMut::new();
    request().encode(PROTOCOL, &mut out);
    out
}

fn prefixed(stream: StreamId, session: StreamId, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    stream::encode_prefix(stream.dir(), session, &mut out);
    out.extend_from_slice(payload);
    out
}

fn control() -> BytesMut {
    let mut out = BytesMut::from(&[0][..]);
    Settings::ours(1000).encode(&mut out);
    out
}

/// A stream of the peer's with all that is on it.
fn stream(connection: &mut Connection, stream: StreamId, data: &[u8], fin: bool) -> Received {
    connection.handle_opened(stream);
    connection.handle_recv(stream, Bytes::copy_from_slice(data), fin)
}

/// A server that has the client's settings and request.
fn asked() -> Connection {
    let mut server = server();
    let _ = stream(&mut server, uni(0), &control(), false);
    let _ = stream(&mut server, bi(0), &connect(), false);
    assert_eq!(outputs(&mut server), [Output::Request(request())]);
    server
}

/// A server whose session runs.
fn open() -> Connection {
    let mut server = asked();
    server.accept(Some("moq-lite-05"));
    let outputs = outputs(&mut server);
    assert!(matches!(&outputs[..], [Output::Send { stream, fin: false, .. }] if *stream == bi(0)));
    server
}

/// The rule that a peer broke.
fn failure(connection: &mut Connection) -> Option<Error> {
    outputs(connection).into_iter().find_map(|output| match output {
        Output::Fail(error) => Some(error),
        _ => None,
    })
}

/// Carries what one end has to the other. Gives what is to be known at the first, and whether there was
/// anything.
fn carry(from: &mut Connection, to: &mut Connection, known: &mut Vec<Output>) -> bool {
    let mut moved = false;
    if let Some(dir) = from.wants_open() {
        let id = if dir == Dir::Uni { uni(0) } else { bi(0) };
        let id = if from.side == Side::Server { of_server(id) } else { id };
        from.handle_opened_ours(id);
        to.handle_opened(id);
        moved = true;
    }
    while let Some(output) = from.poll_output() {
        moved = true;
        match output {
            Output::Send { stream, data, fin } => {
                let _ = to.handle_recv(stream, data, fin);
            }
            output => known.push(output),
        }
    }
    moved
}

/// Lets both ends speak until neither has more to say.
fn exchange(client: &mut Connection, server: &mut Connection) -> [Vec<Output>; 2] {
    let [mut first, mut second] = [Vec::new(), Vec::new()];
    while carry(client, server, &mut first) | carry(server, client, &mut second) {}
    [first, second]
}

#[test]
fn a_session_is_asked_for_and_answered() {
    let (mut client, mut server) = (client(), server());
    let [told, asked] = exchange(&mut client, &mut server);
    assert_eq!((told, asked), (vec![], vec![Output::Request(request())]));
    server.accept(Some("moq-lite-04"));
    let [told, _] = exchange(&mut client, &mut server);
    assert_eq!(told, [Output::Accepted { protocol: Some("moq-lite-04".into()) }]);
    assert_eq!((client.session(), server.session()), (Some(bi(0)), Some(bi(0))));

    // Streams of both directions pass.
    let payload = Received::Session(Bytes::from_static(b"hello"));
    for id in [uni(3), bi(3)] {
        let prefixed = prefixed(id, bi(0), b"first");
        assert_eq!(stream(&mut server, id, &prefixed, false), Received::Taken);
        let data = Bytes::from_static(b"first");
        let opened = [Output::Opened(id), Output::Received { stream: id, data, fin: false }];
        assert_eq!(outputs(&mut server), opened);
        assert_eq!(server.handle_recv(id, Bytes::from_static(b"hello"), true), payload);
        assert!(server.handle_reset(id, Code(1)) && server.handle_stopped(id, Code(1)));
    }

    let close = Close { code: 7, reason: "bye".into() };
    client.close(&close);
    let [told, ended] = exchange(&mut client, &mut server);
    assert_eq!(ended.last(), Some(&Output::Ended(End::Closed(close))));
    assert_eq!(told, [Output::Done]);
    assert_eq!((client.session(), server.session()), (None, None));
    assert_eq!(server.buffered(), 0);
}

#[test]
fn a_session_is_refused() {
    let (mut client, mut server) = (client(), server());
    exchange(&mut client, &mut server);
    server.refuse(403);
    let [told, _] = exchange(&mut client, &mut server);
    assert_eq!(told.last(), Some(&Output::Refused(403)));
    assert_eq!(client.session(), None);
}

#[test]
fn an_answer_counts_even_if_the_request_is_stopped_before_it() {
    let mut client = client();
    client.handle_opened_ours(uni(0));
    let _ = stream(&mut client, of_server(uni(0)), &control(), false);
    client.handle_opened_ours(bi(0));
    outputs(&mut client);
    assert!(!client.handle_stopped(bi(0), Code::NO_ERROR));
    assert_eq!(outputs(&mut client), []);
    let _ = client.handle_recv(bi(0), fields(&[(":status", "429")]).freeze(), true);
    assert_eq!(outputs(&mut client).pop(), Some(Output::Refused(429)));
}

#[test]
fn requests_wait_for_settings() {
    let mut server = server();
    let _ = stream(&mut server, bi(0), &connect(), false);
    assert_eq!(outputs(&mut server), []);
    let _ = stream(&mut server, uni(0), &control(), false);
    assert_eq!(outputs(&mut server), [Output::Request(request())]);
}

#[test]
fn the_older_name_is_used_where_it_is_known() {
    for (settings, name) in [
        (&[8, 1, 0xab, 0x60, 0x37, 0x42, 1][..], PROTOCOL),
        (&[8, 1, 0xac, 0x7c, 0xf0, 0, 1], PROTOCOL_H3),
    ] {
        let mut client = client();
        client.handle_opened_ours(uni(0));
        let mut control = BytesMut::from(&[0][..]);
        frame::encode(frame::SETTINGS, settings, &mut control);
        let _ = stream(&mut client, of_server(uni(0)), &control, false);
        assert_eq!(client.wants_open(), Some(Dir::Bi));
        client.handle_opened_ours(bi(0));
        let mut expected = BytesMut::new();
        request().encode(name, &mut expected);
        let sent = outputs(&mut client).pop();
        assert!(matches!(sent, Some(Output::Send { data, .. }) if data == expected), "{name}");
    }
}

#[test]
fn a_server_without_webtransport_is_noticed() {
    for settings in [&[][..], &[8, 1], &[0xab, 0x60, 0x37, 0x42, 1]] {
        let mut client = client();
        client.handle_opened_ours(uni(0));
        let mut control = BytesMut::from(&[0][..]);
        frame::encode(frame::SETTINGS, settings, &mut control);
        let _ = stream(&mut client, of_server(uni(0)), &control, false);
        assert_eq!(failure(&mut client), Some(Error::NoWebTransport));
        assert_eq!(client.wants_open(), None);
    }
}

#[test]
fn settings_count_before_what_follows_them() {
    let mut client = client();
    client.handle_opened_ours(uni(0));
    let mut control = BytesMut::from(&[0][..]);
    control.extend_from_slice(&frames(&[(frame::SETTINGS, b""), (frame::DATA, b"")]));
    let _ = stream(&mut client, of_server(uni(0)), &control, false);
    assert_eq!(failure(&mut client), Some(Error::NoWebTransport));
}

#[test]
fn interim_responses_are_passed_over() {
    let mut client = client();
    client.handle_opened_ours(uni(0));
    let _ = stream(&mut client, of_server(uni(0)), &control(), false);
    client.handle_opened_ours(bi(0));
    outputs(&mut client);
    let mut answer = fields(&[(":status", "103"), ("link", "</a>")]);
    answer.extend_from_slice(&fields(&[(":status", "200"), ("wt-protocol", "\"moq-lite-04\"")]));
    let _ = client.handle_recv(bi(0), answer.freeze(), false);
    let accepted = Output::Accepted { protocol: Some("moq-lite-04".into()) };
    assert_eq!(outputs(&mut client), [accepted]);
}

#[test]
fn early_streams_are_kept_and_the_rest_rejected() {
    let mut server = server();
    let _ = stream(&mut server, uni(0), &control(), false);
    for index in 1..=5 {
        let _ = stream(&mut server, uni(index), &prefixed(uni(0), bi(0), &[7; 10]), index == 1);
    }
    let rejected = |stream| Output::Stop { stream, code: Code::BUFFERED_STREAM_REJECTED };
    assert_eq!(outputs(&mut server), [rejected(uni(5))]);
    assert_eq!(server.buffered(), 40);
    // One that has too many bytes.
    let _ = server.handle_recv(uni(4), Bytes::from(vec![0; 4000]), false);
    assert_eq!(outputs(&mut server), [rejected(uni(4))]);
    // One of another session.
    let _ = stream(&mut server, bi(7), &prefixed(bi(7), bi(1), b""), false);
    let _ = stream(&mut server, bi(0), &connect(), false);
    server.accept(None);
    let outputs: Vec<_> = outputs(&mut server)
        .into_iter()
        .filter(|output| !matches!(output, Output::Request(_) | Output::Send { .. }))
        .collect();
    let mut expected = Vec::new();
    let data = Bytes::from_static(&[7; 10]);
    expected.push(Output::Opened(uni(1)));
    expected.push(Output::Received { stream: uni(1), data: data.clone(), fin: true });
    expected.push(Output::Opened(uni(2)));
    expected.push(Output::Received { stream: uni(2), data: data.clone(), fin: false });
    expected.push(Output::Opened(uni(3)));
    expected.push(Output::Received { stream: uni(3), data, fin: false });
    expected.push(Output::Reset { stream: bi(7), code: Code::BUFFERED_STREAM_REJECTED });
    expected.push(rejected(bi(7)));
    expected.sort_by_key(|output| format!("{output:?}"));
    let mut found = outputs;
    found.sort_by_key(|output| format!("{output:?}"));
    assert_eq!(found, expected);
    assert_eq!(server.buffered(), 0);
}

#[test]
fn nothing_overtakes_what_waits_to_be_told() {
    let mut server = open();
    // Several pieces of a stream at once, as a packet that was late sets them free.
    let _ = stream(&mut server, bi(1), &prefixed(bi(1), bi(0), b"first"), false);
    let second = server.handle_recv(bi(1), Bytes::from_static(b"second"), true);
    assert_eq!(second, Received::Taken);
    assert!(!server.handle_stopped(bi(1), Code(7)));
    assert!(!server.handle_reset(bi(1), Code(8)));
    let received = |data: &'static [u8], fin| Output::Received {
        stream: bi(1),
        data: Bytes::from_static(data),
        fin,
    };
    assert_eq!(
        outputs(&mut server),
        [
            Output::Opened(bi(1)),
            received(b"first", false),
            received(b"second", true),
            Output::Unwanted { stream: bi(1), code: Code(7) },
            Output::Abandoned { stream: bi(1), code: Code(8) },
        ]
    );
}

#[test]
fn a_stream_may_be_stopped_before_it_says_what_it_is() {
    let mut server = server();
    let _ = stream(&mut server, uni(0), &control(), false);
    for (index, cut) in [(1, 0), (2, 2), (3, 3)] {
        let data = prefixed(bi(0), bi(0), b"");
        server.handle_opened(bi(index));
        let _ = server.handle_recv(bi(index), Bytes::copy_from_slice(&data[..cut]), false);
        assert!(!server.handle_stopped(bi(index), Code(7)));
        let _ = server.handle_recv(bi(index), Bytes::copy_from_slice(&data[cut..]), true);
    }
    let _ = stream(&mut server, bi(0), &connect(), false);
    server.accept(None);
    let outputs = outputs(&mut server);
    for index in 1..=3 {
        let unwanted = Output::Unwanted { stream: bi(index), code: Code(7) };
        assert!(outputs.contains(&Output::Opened(bi(index))), "{outputs:?}");
        assert!(outputs.contains(&unwanted), "{outputs:?}");
    }
}

#[test]
fn early_streams_give_way_to_the_request() {
    let mut server = server();
    let _ = stream(&mut server, uni(0), &control(), false);
    for index in 1..=4 {
        let _ = stream(&mut server, uni(index), &prefixed(uni(0), bi(0), &[7; 1000]), false);
    }
    assert_eq!(server.buffered(), LIMITS.buffered);
    let connect = connect();
    let _ = stream(&mut server, bi(0), &connect[..10], false);
    let code = Code::BUFFERED_STREAM_REJECTED;
    assert_eq!(outputs(&mut server), [Output::Stop { stream: uni(4), code }]);
    let _ = server.handle_recv(bi(0), Bytes::copy_from_slice(&connect[10..]), false);
    assert_eq!(outputs(&mut server), [Output::Request(request())]);
}

#[test]
fn streams_that_say_nothing_are_bounded() {
    let mut server = open();
    for index in 1..=50 {
        server.handle_opened(uni(index));
    }
    assert_eq!(outputs(&mut server), []);
    server.handle_opened(uni(51));
    let code = Code::EXCESSIVE_LOAD;
    assert_eq!(outputs(&mut server), [Output::Stop { stream: uni(51), code }]);
    // One that speaks makes room.
    let _ = server.handle_recv(uni(1), Bytes::from_static(&[0x21]), false);
    outputs(&mut server);
    server.handle_opened(uni(52));
    assert_eq!(outputs(&mut server), []);
}

#[test]
fn a_server_that_goes_is_not_asked() {
    let mut client = client();
    client.handle_opened_ours(uni(0));
    let mut data = control();
    frame::encode(frame::GOAWAY, &[0], &mut data);
    let _ = stream(&mut client, of_server(uni(0)), &data, false);
    assert_eq!(failure(&mut client), Some(Error::Goaway));
    assert_eq!(client.wants_open(), None);

    // A session that runs goes on.
    let mut server = open();
    let _ = server.handle_recv(uni(0), frames(&[(frame::GOAWAY, &[0])]).freeze(), false);
    assert_eq!((outputs(&mut server), server.session()), (vec![], Some(bi(0))));
}

#[test]
fn streams_of_another_session_are_rejected() {
    let mut server = open();
    let _ = stream(&mut server, uni(1), &prefixed(uni(0), bi(9), b"x"), false);
    let code = Code::BUFFERED_STREAM_REJECTED;
    assert_eq!(outputs(&mut server), [Output::Stop { stream: uni(1), code }]);
    let _ = server.handle_reset(bi(0), Code(1));
    outputs(&mut server);
    let _ = stream(&mut server, uni(2), &prefixed(uni(0), bi(0), b"x"), false);
    let code = Code::SESSION_GONE;
    assert_eq!(outputs(&mut server), [Output::Stop { stream: uni(2), code }]);
}

#[test]
fn a_second_request_is_rejected_and_harms_nothing() {
    let mut server = open();
    let _ = stream(&mut server, bi(1), &connect(), false);
    let code = Code::REQUEST_REJECTED;
    let rejected = [Output::Reset { stream: bi(1), code }, Output::Stop { stream: bi(1), code }];
    assert_eq!(outputs(&mut server), rejected);
    assert_eq!(server.session(), Some(bi(0)));
}

#[test]
fn plain_requests_are_answered() {
    let mut server = open();
    let get = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];
    let _ = stream(&mut server, bi(1), &fields(&get), true);
    let mut answer = BytesMut::new();
    Response { status: 404, protocol: None }.encode(&mut answer);
    let sent = Output::Send { stream: bi(1), data: answer.freeze(), fin: true };
    let stopped = Output::Stop { stream: bi(1), code: Code::NO_ERROR };
    assert_eq!(outputs(&mut server), [sent, stopped]);
    assert_eq!(server.session(), Some(bi(0)));
}

#[test]
fn every_way_to_end_a_session_is_told() {
    let ended = |server: &mut Connection| {
        let mut all = outputs(server);
        match all.pop() {
            Some(Output::Ended(end)) => end,
            other => panic!("{all:?} {other:?}"),
        }
    };
    let mut server = open();
    let _ = server.handle_recv(bi(0), Bytes::new(), true);
    assert_eq!(ended(&mut server), End::Closed(Close::default()));

    let mut server = open();
    assert!(!server.handle_reset(bi(0), Code(9)));
    assert_eq!(ended(&mut server), End::Reset(Code(9)));

    let mut server = open();
    assert!(!server.handle_stopped(bi(0), Code(9)));
    assert_eq!(ended(&mut server), End::Reset(Code(9)));

    let mut server = open();
    let capsule = frames(&[(0x2843, &[0, 0])]);
    let _ = server.handle_recv(bi(0), frames(&[(0, &capsule)]).freeze(), false);
    assert_eq!(ended(&mut server), End::Reset(Code::MESSAGE_ERROR));

    // Cut in the middle of a capsule.
    let mut server = open();
    let _ = server.handle_recv(bi(0), frames(&[(0, &[0x68, 0x43])]).freeze(), true);
    assert_eq!(ended(&mut server), End::Reset(Code::MESSAGE_ERROR));
}

#[test]
fn a_close_capsule_is_understood_cut_anywhere() {
    let close = Close { code: 0x1234, reason: "done".into() };
    let mut capsule = BytesMut::new();
    close.encode(&mut capsule);
    // Over two frames, with others between.
    for split in 0..=capsule.len() {
        let (first, second) = capsule.split_at(split);
        let stream = frames(&[(0, first), (0x21, b"grease"), (0, second)]).freeze();
        for cut in 0..=stream.len() {
            let mut server = open();
            for part in [stream.slice(..cut), stream.slice(cut..)] {
                let _ = server.handle_recv(bi(0), part, false);
            }
            let ended = outputs(&mut server).pop();
            assert_eq!(ended, Some(Output::Ended(End::Closed(close.clone()))));
        }
    }
}

#[test]
fn broken_rules_have_names() {
    let get = fields(&[(":method", "GET")]);
    let cases: [(StreamId, &[u8], bool, Error); 15] = [
        (bi(1), &frames(&[(frame::DATA, b"x")]), false, Error::UnexpectedFrame(0)),
        (bi(1), &frames(&[(frame::SETTINGS, b"")]), false, Error::UnexpectedFrame(4)),
        (bi(1), &frames(&[(frame::PUSH_PROMISE, b"")]), false, Error::UnexpectedFrame(5)),
        (bi(1), &frames(&[(frame::HEADERS, &[0; 2001])])[..5], false, Error::TooMuch),
        (bi(1), &frames(&[(frame::HEADERS, b"\x80")]), false, Error::Qpack),
        (bi(1), &get[..get.len() - 1], true, Error::Frame),
        (bi(1), &prefixed(bi(1), StreamId(1), b""), false, Error::SessionId(1)),
        (uni(1), &prefixed(uni(1), StreamId(2), b""), false, Error::SessionId(2)),
        (uni(1), &control(), false, Error::SecondControlStream),
        (uni(1), &[1], false, Error::Push),
        (uni(1), &[2], true, Error::CriticalStreamEnded),
        (uni(1), &[3], true, Error::CriticalStreamEnded),
        (of_server(bi(0)), &[1, 0], false, Error::ServerRequest),
        (bi(0), &frames(&[(frame::HEADERS, b"")]), false, Error::UnexpectedFrame(1)),
        (uni(0), &[], true, Error::CriticalStreamEnded),
    ];
    for (id, data, fin, error) in cases {
        let mut server = open();
        if ![uni(0), bi(0)].contains(&id) {
            server.handle_opened(id);
        }
        let _ = server.handle_recv(id, Bytes::copy_from_slice(data), fin);
        assert_eq!(failure(&mut server), Some(error), "{id} {data:?}");
        assert_eq!((server.session(), server.buffered()), (None, 0));
    }

    let mut server = open();
    assert!(!server.handle_reset(uni(0), Code(1)));
    assert_eq!(failure(&mut server), Some(Error::CriticalStreamEnded));
    let mut server = open();
    server.handle_opened_ours(of_server(uni(0)));
    assert!(!server.handle_stopped(of_server(uni(0)), Code(1)));
    assert_eq!(failure(&mut server), Some(Error::CriticalStreamEnded));
    assert!(!server.handle_stopped(of_server(uni(0)), Code(1)));
    assert_eq!(outputs(&mut server), [], "a failure is the last thing to be said");
    for kind in [2, 3] {
        let mut server = open();
        let _ = stream(&mut server, uni(1), &[kind], false);
        let _ = stream(&mut server, uni(2), &[kind], false);
        assert_eq!(failure(&mut server), Some(Error::SecondQpackStream));
    }
}

#[test]
fn malformed_requests_end_only_themselves() {
    let mut server = open();
    let _ = stream(&mut server, bi(1), &fields(&[(":method", "CONNECT"), ("A", "b")]), false);
    let code = Code::MESSAGE_ERROR;
    let expected = [Output::Reset { stream: bi(1), code }, Output::Stop { stream: bi(1), code }];
    assert_eq!(outputs(&mut server), expected);
    let _ = stream(&mut server, bi(2), &[1], true);
    let code = Code::REQUEST_INCOMPLETE;
    let expected = [Output::Reset { stream: bi(2), code }, Output::Stop { stream: bi(2), code }];
    assert_eq!(outputs(&mut server), expected);
    assert_eq!(server.session(), Some(bi(0)));
}

#[test]
fn streams_of_unknown_types_are_stopped_and_others_forgotten() {
    let mut server = open();
    let _ = stream(&mut server, uni(1), &[0x21, 1, 2, 3], false);
    let code = Code::STREAM_CREATION_ERROR;
    assert_eq!(outputs(&mut server), [Output::Stop { stream: uni(1), code }]);
    let _ = stream(&mut server, uni(2), &[], true);
    assert_eq!(failure(&mut server), None);
    let kept = server.streams.count();
    for index in 3..1000 {
        let _ = stream(&mut server, uni(index), &[0x40, 0x21], false);
    }
    assert_eq!(server.streams.count(), kept);
}

#[test]
fn grease_is_passed_over_without_being_kept() {
    let mut server = open();
    for target in [uni(0), bi(0)] {
        for _ in 0..100_000 {
            let _ = server.handle_recv(target, frames(&[(0x21, &[7; 20])]).freeze(), false);
            assert_eq!(server.buffered(), 0);
        }
        // One without an end.
        let mut endless = BytesMut::new();
        varint::encode(0x21, &mut endless);
        varint::encode(varint::MAX, &mut endless);
        let _ = server.handle_recv(target, endless.freeze(), false);
        for _ in 0..1000 {
            let _ = server.handle_recv(target, Bytes::from_static(&[1; 1000]), false);
            assert_eq!(server.buffered(), 0);
        }
    }
    assert_eq!(outputs(&mut server), []);
}

#[test]
fn endless_fields_and_settings_are_bounded() {
    let mut server = server();
    let mut huge = BytesMut::new();
    for value in [0, frame::SETTINGS, varint::MAX] {
        varint::encode(value, &mut huge);
    }
    let _ = stream(&mut server, uni(0), &huge, false);
    assert_eq!(failure(&mut server), Some(Error::TooMuch));

    // Many that are each within their bound.
    let mut server = open();
    let mut header = BytesMut::new();
    varint::encode(frame::HEADERS, &mut header);
    varint::encode(2000, &mut header);
    header.resize(header.len() + 1500, 0);
    let mut failed = None;
    for index in 1..10 {
        let _ = stream(&mut server, bi(index), &header, false);
        failed = failed.or(failure(&mut server).map(|error| (index, error)));
        assert!(server.buffered() <= LIMITS.buffered);
    }
    assert_eq!(failed, Some((3, Error::TooMuch)));
}

/// Bytes that look like what is on a stream.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let frame = (0u64..0x50, prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(ty, payload)| frames(&[(ty, &payload)]).to_vec());
    prop_oneof![
        frame,
        Just(connect().to_vec()),
        Just(control().to_vec()),
        (0u64..3).prop_map(|session| prefixed(bi(0), bi(session), b"data").to_vec()),
        (0u64..3).prop_map(|session| prefixed(uni(0), bi(session), b"data").to_vec()),
        prop::collection::vec(any::<u8>(), 0..30),
        Just(fields(&[(":status", "200")]).to_vec()),
        Just({
            let mut capsule = BytesMut::new();
            Close { code: 1, reason: "x".into() }.encode(&mut capsule);
            frames(&[(0, &capsule)]).to_vec()
        }),
    ]
}

proptest! {
    #[test]
    fn nothing_that_a_peer_does_panics_or_piles_up(
        steps in prop::collection::vec((0u64..12, 0u8..8, piece(), any::<bool>()), 0..60),
        is_client in any::<bool>(),
    ) {
        let mut connection = if is_client { client() } else { server() };
        let mut live = alloc::collections::BTreeSet::new();
        let mut seen = alloc::collections::BTreeSet::new();
        for (id, step, data, fin) in steps {
            let mut id = StreamId(id);
            if let Some(dir) = connection.wants_open() {
                let ours = if dir == Dir::Uni { StreamId(18) } else { StreamId(16) };
                let ours = if is_client { ours } else { of_server(ours) };
                connection.handle_opened_ours(ours);
                if dir == Dir::Bi {
                    live.insert(ours);
                    seen.insert(ours);
                }
            }
            if is_client && id.opener() == Side::Client {
                id = StreamId(16);
            } else if seen.insert(id) {
                connection.handle_opened(id);
                live.insert(id);
            }
            if !live.contains(&id) {
                continue;
            }
            match step {
                0 => {
                    let _ = connection.handle_reset(id, Code(1));
                    live.remove(&id);
                }
                1 if id.dir() == Dir::Bi => {
                    let _ = connection.handle_stopped(id, Code(1));
                }
                2 => connection.accept(None),
                3 => connection.refuse(404),
                4 if data.len() > 28 => connection.close(&Close::default()),
                _ => {
                    let _ = connection.handle_recv(id, data.into(), fin);
                    if fin {
                        live.remove(&id);
                    }
                }
            }
            for output in outputs(&mut connection) {
                match output {
                    Output::Stop { stream, .. } => {
                        live.remove(&stream);
                    }
                    Output::Fail(_) => live.clear(),
                    _ => {}
                }
            }
            prop_assert!(connection.buffered() <= LIMITS.buffered);
        }
    }

    #[test]
    fn pieces_do_not_matter(
        data in prop::collection::vec(piece(), 0..4),
        cuts in prop::collection::vec(1usize..20, 1..20),
        id in prop_oneof![Just(uni(0)), Just(uni(1)), Just(bi(0)), Just(bi(1))],
    ) {
        let data = Bytes::from(data.concat());
        let start = || {
            let mut server = open();
            if [uni(1), bi(1)].contains(&id) {
                server.handle_opened(id);
            }
            server
        };
        let drive = |pieces: Vec<Bytes>| {
            let mut server = start();
            let mut told = Vec::new();
            let mut payload = Vec::new();
            for piece in pieces {
                if let Received::Session(bytes) = server.handle_recv(id, piece, false) {
                    payload.extend_from_slice(&bytes);
                }
                for output in outputs(&mut server) {
                    match output {
                        Output::Received { data, .. } => payload.extend_from_slice(&data),
                        output => told.push(output),
                    }
                }
                let over = |output: &Output| matches!(
                    output,
                    Output::Fail(_) | Output::Ended(_) | Output::Stop { .. }
                );
                if told.iter().any(over) {
                    break;
                }
            }
            (told, payload)
        };
        let mut rest = data.clone();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            pieces.push(rest.split_to((*cut).min(rest.len())));
        }
        prop_assert_eq!(drive(vec![data]), drive(pieces));
    }
}

//! Seeds of HTTP/3 and WebTransport.

use std::io;

use smoq_fuzz::h3::{NAMES, script::Step};
use smoq_h3::{
    Code, Dir, Request, Settings, StreamId,
    capsule::Close,
    datagram, frame, qpack,
    request::{PROTOCOL, PROTOCOL_H3, Response},
    stream, varint,
};

use crate::{made, write};

pub(crate) fn seeds() -> io::Result<()> {
    for (value, name) in [(5, "one"), (300, "two"), (70_000, "four"), (varint::MAX, "eight")] {
        write("h3_varint", name, &made(|out| varint::encode(value, out)))?;
    }
    for (name, settings) in [
        ("ours", Settings::ours(16384)),
        ("older", Settings { webtransport_h3: false, ..Settings::ours(100) }),
        ("newer", Settings { webtransport: false, max_field_section: None, ..Settings::ours(1) }),
    ] {
        let frame = made(|out| settings.encode(out));
        // Without the type and the length, of one byte each.
        write("h3_settings", name, &frame[2..])?;
    }
    write_fields()?;
    write_pieces()?;
    for (name, session) in [("first", 0), ("later", 4000), ("last", varint::MAX - 3)] {
        let datagram = made(|out| {
            datagram::encode_prefix(StreamId(session), out);
            out.extend_from_slice(b"payload");
        });
        write("h3_datagram", name, &datagram)?;
        write("h3_oracle", name, &datagram)?;
    }
    write_connections()?;
    write_signalling()
}

/// Two clients of each form, who call each other.
fn write_signalling() -> io::Result<()> {
    let said = |who: u8, text: &str| [&[1, who, text.len() as u8], text.as_bytes()].concat();
    let begin = [0, 0, 0, 0, 1];
    let envelopes = [
        said(0, r#"{"type":"register_request","data":{"client_id":"a"}}"#),
        said(1, r#"{"type":"register_request","data":{"client_id":"b"}}"#),
        said(0, r#"{"type":"join_request","data":{"room":"r"}}"#),
        said(1, r#"{"type":"join_request","data":{"room":"r"}}"#),
        said(
            0,
            r#"{"id":"1","type":"sdp","data":{"from_id":"a","to_id":"b","session_description":{"type":"offer","sdp":"v=0"}}}"#,
        ),
        vec![3, 0, 6, 200, 5, 0],
    ];
    write("signal_hub", "envelopes", &[&begin[..], &envelopes.concat()].concat())?;
    let raw = [
        said(0, r#"{"type":"register"}"#),
        said(1, r#"{"type":"register","raw":"{\"ID\":\"b\"}"}"#),
        said(
            1,
            r#"{"type":"data_channel","raw":"{\"ID\":\"b\",\"TargetID\":\"b\",\"Label\":\"x\",\"Data\":\"aGk=\"}"}"#,
        ),
        said(1, r#"{"type":"unregister","raw":"{\"ID\":\"b\"}"}"#),
    ];
    write("signal_hub", "raw", &[&begin[..], &raw.concat()].concat())?;
    let heard = |text: &str| [&[1, text.len() as u8], text.as_bytes()].concat();
    let client = [
        vec![0, 0],
        heard(r#"{"type":"register_response","data":{"client_id":"b","success":true}}"#),
        heard(r#"{"type":"join_response","data":{"room":"room","peers":["a"]}}"#),
        vec![5, 0],
        heard(
            r#"{"type":"sdp","data":{"from_id":"a","to_id":"b","session_description":{"type":"offer","sdp":"v=0"}}}"#,
        ),
        vec![5, 1, 5, 2, 3, 255, 4, 0, 3, 255, 0],
    ];
    write("signal_client", "called", &client.concat())
}

fn write_fields() -> io::Result<()> {
    let section = |fields: &[_]| made(|out| qpack::encode(fields.iter().copied(), out));
    let request = [(":method", "CONNECT"), (":path", "/room"), ("x", "y")];
    write("h3_qpack", "request", &section(&request))?;
    write("h3_qpack", "response", &section(&[(":status", "200"), ("wt-protocol", "\"a\"")]))?;
    // "www.example.com" (RFC 7541, section C.4.1), and a literal name, both in Huffman code.
    let huffman = b"\0\0\x51\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\x2f\x01\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x82\x64\x02";
    write("h3_qpack", "huffman", huffman)?;
    write("h3_oracle", "code", &Code::from_application(1000).0.to_be_bytes())?;

    let named = |fields: &[(&str, &str)]| {
        let mut out = Vec::new();
        for (name, value) in fields {
            let number = NAMES.iter().position(|known| known == name);
            out.push(number.unwrap_or(NAMES.len()) as u8);
            for text in number.is_none().then_some(name).into_iter().chain([value]) {
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    };
    let connect = |protocol, last| {
        named(&[
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":authority", "a:1"),
            (":path", "/r?jwt=x"),
            last,
        ])
    };
    let list = ("wt-available-protocols", r#""moq-lite-05", "b\"\\";q=1"#);
    write("h3_request", "connect", &connect(PROTOCOL, list))?;
    write("h3_request", "newer", &connect(PROTOCOL_H3, ("origin", "https://a")))?;
    write("h3_request", "get", &named(&[(":method", "GET"), ("x", "y")]))?;
    write("h3_request", "yes", &named(&[(":status", "200"), ("wt-protocol", r#""moq-lite-05""#)]))?;
    write("h3_request", "no", &named(&[(":status", "403")]))
}

/// Bytes in pieces: those of capsules, and of each stream of a server.
fn write_pieces() -> io::Result<()> {
    let capsules = made(|out| {
        frame::encode(0x78ae, b"", out);
        frame::encode(0x17, b"grease", out);
        out.extend_from_slice(&close());
    });
    write("h3_capsule", "close", &[&[0], &close()[..]].concat())?;
    write("h3_capsule", "behind_others", &[&[4], &capsules[..]].concat())?;
    write(
        "h3_capsule",
        "only_others",
        &[&[4], &capsules[..capsules.len() - close().len()]].concat(),
    )?;

    let goaway = made(|out| {
        frame::encode(frame::GOAWAY, &[0], out);
        frame::encode(0x21, b"grease", out);
        frame::encode(frame::MAX_PUSH_ID, &[0x40, 9], out);
    });
    let body = made(|out| frame::encode(frame::DATA, &capsules, out));
    let prefixed = |dir| {
        made(|out| {
            stream::encode_prefix(dir, StreamId(0), out);
            out.extend_from_slice(b"payload");
        })
    };
    let frames: [(&str, u8, Vec<u8>); 7] = [
        ("control", 0, goaway),
        ("close", 1, body),
        ("end", 0x81, Vec::new()),
        ("request", 2, connect()),
        ("bi", 2, prefixed(Dir::Bi)),
        ("uni", 0x83, prefixed(Dir::Uni)),
        ("qpack", 3, vec![2, 0x20, 0]),
    ];
    for (name, target, bytes) in frames {
        write("h3_frames", name, &[&[target, 2], &bytes[..]].concat())?;
    }
    Ok(())
}

fn write_connections() -> io::Result<()> {
    use Step::{Accept, Close, Give, Open, Refuse, Reset, Stop};
    let say = |stream, data, fin| Step::Bytes { stream, data, fin };
    let prefixed = |dir, session| {
        made(|out| {
            stream::encode_prefix(dir, StreamId(session), out);
            out.extend_from_slice(b"early");
        })
    };
    let answer = |status, protocol: Option<&str>| {
        made(|out| Response { status, protocol: protocol.map(Into::into) }.encode(out))
    };
    let ending = || made(|out| frame::encode(frame::DATA, &close(), out));
    let server = "h3_connection_server";
    let asked = || {
        vec![
            Give,
            Open(Dir::Uni),
            say(0, control(), false),
            Open(Dir::Bi),
            say(1, connect(), false),
        ]
    };
    let early = || {
        vec![
            Open(Dir::Uni),
            say(2, prefixed(Dir::Uni, 0), true),
            Open(Dir::Bi),
            say(3, prefixed(Dir::Bi, 0), false),
            Open(Dir::Uni),
            say(4, prefixed(Dir::Uni, 4), false),
        ]
    };
    script(server, "accepted", [asked(), vec![Accept(true)], early()])?;
    let unwanted = Stop { stream: 3, code: 4 };
    let answered = vec![unwanted, Accept(false), say(3, vec![7; 9], true)];
    script(server, "early", [asked(), early(), answered])?;
    let long = vec![
        Open(Dir::Uni),
        say(2, prefixed(Dir::Uni, 0), false),
        say(2, vec![7; 255], false),
        say(2, vec![7; 70], true),
    ];
    script(server, "long", [asked(), long, vec![Accept(false)]])?;
    script(server, "refused", [asked(), early(), vec![Refuse]])?;
    script(server, "closed", [asked(), vec![Accept(true), Close, say(1, ending(), true)], vec![]])?;
    script(server, "ended", [asked(), vec![Accept(true), say(1, ending(), true)], early()])?;
    let broken = vec![Reset { stream: 1, code: 9 }, Stop { stream: 1, code: 0 }];
    script(server, "broken", [asked(), vec![Accept(true)], broken])?;
    let failed = vec![say(0, vec![0, 0], false), Stop { stream: 2, code: 1 }];
    script(server, "failed", [asked(), failed, early()])?;

    let client = "h3_connection_client";
    let asking = || vec![Give, Open(Dir::Uni), say(0, control(), false), Give];
    let early = || {
        vec![
            Open(Dir::Uni),
            say(2, prefixed(Dir::Uni, 0), false),
            Open(Dir::Bi),
            say(3, prefixed(Dir::Bi, 0), true),
        ]
    };
    let yes = || say(1, answer(200, Some("moq-lite-05")), false);
    script(client, "accepted", [asking(), vec![yes()], early()])?;
    script(client, "early", [asking(), early(), vec![say(1, answer(103, None), false), yes()]])?;
    script(client, "refused", [asking(), early(), vec![say(1, answer(429, None), true)]])?;
    script(client, "closed", [asking(), vec![yes(), Close, say(1, ending(), true)], vec![]])?;
    script(client, "ended", [asking(), early(), vec![yes(), say(1, ending(), true)]])?;
    let stopped = vec![Stop { stream: 1, code: 0 }, yes(), Stop { stream: 1, code: 3 }];
    script(client, "stopped", [asking(), early(), stopped])?;
    script(client, "reset", [asking(), vec![yes(), Reset { stream: 1, code: 3 }], early()])
}

fn script(body: &str, name: &str, parts: [Vec<Step>; 3]) -> io::Result<()> {
    let mut out = vec![2];
    parts.concat().iter().for_each(|step| step.put(&mut out));
    write(body, name, &out)
}

fn control() -> Vec<u8> {
    made(|out| {
        varint::encode(stream::CONTROL, out);
        Settings::ours(400).encode(out);
    })
}

fn connect() -> Vec<u8> {
    let request = Request {
        authority: "a".into(),
        path: "/r".into(),
        origin: None,
        protocols: vec!["moq-lite-05".into()],
    };
    made(|out| request.encode(PROTOCOL, out))
}

fn close() -> Vec<u8> {
    made(|out| Close { code: 7, reason: "bye".into() }.encode(out))
}

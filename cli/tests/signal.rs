//! `smoq signal` as a process. What its server does is tested beside it.
#![cfg(unix)]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use support::{Running, User};

fn start(user: &User, args: &[&str]) -> (Running, String) {
    let mut running = user.start(&[&["signal", "--listen", "127.0.0.1:0"], args].concat());
    let url = running.line();
    (running, url)
}

fn connect(url: &str) -> TcpStream {
    let (_, rest) = url.split_once("://").unwrap();
    let socket = TcpStream::connect(rest.strip_suffix("/ws").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

fn get(url: &str, path: &str) -> String {
    let mut socket = connect(url);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// What comes, up to and with `end`.
fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn open(url: &str) -> TcpStream {
    let mut socket = connect(url);
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let head = read_until(&mut socket, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    socket
}

/// A text frame with a mask of zeros, which changes nothing.
fn say(socket: &mut TcpStream, text: &str) {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let frame = [&[0x81, 0xfe], &length[..], &[0; 4], text.as_bytes()].concat();
    socket.write_all(&frame).unwrap();
}

#[test]
fn it_prints_its_url_answers_and_ends_cleanly() {
    let (running, url) = start(&User::new(), &[]);
    assert!(url.starts_with("ws://127.0.0.1:") && !url.contains(":0/"), "{url}");
    assert!(get(&url, "/healthz").ends_with("\r\n\r\nok\n"));
    let mut client = open(&url);
    running.interrupt();
    read_until(&mut client, "the hub shuts down");
    drop(client);
    assert!(running.done().expect(0).stdout.is_empty(), "one line only");
}

#[test]
fn the_log_names_who_comes_and_never_what_is_said() {
    let (running, url) = start(&User::new(), &["--log", "trace", "--log-format", "json"]);
    let mut client = open(&url);
    say(&mut client, r#"{"type":"register_request","data":{"client_id":"ann"}}"#);
    let answer = read_until(&mut client, "}}");
    let token = answer.split(r#""token":""#).nth(1).unwrap().trim_end_matches("\"}}").to_owned();
    let description = r#"{"type":"offer","sdp":"a=ice-pwd:swordfish"}"#;
    say(
        &mut client,
        &format!(
            r#"{{"type":"sdp","data":{{"from_id":"ann","to_id":"ann","session_description":{description}}}}}"#
        ),
    );
    read_until(&mut client, "swordfish");
    say(&mut client, "swordfish");
    read_until(&mut client, "bad_message");
    running.interrupt();
    let log = running.done().expect(0).stderr;
    for part in [r#""conn":"0""#, r#""remote":"127.0.0.1:"#, r#""peer":"ann""#, r#""kind":"sdp""#] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    assert!(log.contains(r#""level":"INFO""#) && log.contains(r#""code":"bad_message""#), "{log}");
    assert!(!log.contains("swordfish") && !log.contains(&token), "{log}");
}

#[test]
fn a_token_is_asked_for_and_not_shown() {
    let user = User::new();
    let (running, url) = start(&user, &["--token", "correct-horse", "--log", "trace"]);
    assert!(get(&url, "/stats").starts_with("HTTP/1.1 401 "));
    assert!(get(&url, "/stats?token=correct-horse").starts_with("HTTP/1.1 200 "));
    running.interrupt();
    assert!(!running.done().expect(0).stderr.contains("correct-horse"));
    user.run(&["signal", "--token", "short"]).expect(2).says("8 to 128 letters");
    user.run(&["signal", "--origin", "https://app.example/"]).expect(2).says("without a slash");
}

#[test]
fn with_a_certificate_it_speaks_tls() {
    let user = User::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".into()]).unwrap().self_signed(&key);
    let chain = user.write("cert.pem", &certificate.unwrap().pem());
    let key = user.write("key.pem", &key.serialize_pem());
    let (running, url) = start(&user, &["--tls-cert", &chain, "--tls-key", &key]);
    assert!(url.starts_with("wss://127.0.0.1:"), "{url}");
    running.interrupt();
    running.done().expect(0);
    let missing = ["signal", "--tls-cert", "/nonexistent", "--tls-key", &key];
    user.run(&missing).expect(1).says("/nonexistent");
}

#[cfg(all(feature = "smol", target_os = "linux"))]
#[test]
fn it_runs_on_smol() {
    let (running, url) = start(&User::new(), &["--runtime", "smol"]);
    let mut client = open(&url);
    assert!(running.threads().iter().any(|name| name.starts_with("smol-")));
    say(&mut client, r#"{"type":"register","raw":"{\"ID\":\"ann\"}"}"#);
    assert!(read_until(&mut client, "}").contains(r#""ID":"ann""#));
    running.interrupt();
    read_until(&mut client, "the hub shuts down");
    running.done().expect(0);
}

#[test]
fn an_address_in_use_is_named() {
    let user = User::new();
    let (_running, url) = start(&user, &[]);
    let address = url.trim_start_matches("ws://").trim_end_matches("/ws");
    user.run(&["signal", "--listen", address]).expect(1).says(address);
}

/// What the files in `deploy` start, on a port of its own, and how the image finds out that it is well.
#[test]
fn what_is_deployed_starts_and_is_healthy() {
    let docker = include_str!("../../deploy/Dockerfile");
    let unit = include_str!("../../deploy/smoq-signal.service");
    let compose = include_str!("../../deploy/compose.yml");
    // Lists of strings in JSON, without quotes in them.
    let list = |text: &str, begin: &str| -> Vec<String> {
        let list = text.lines().find_map(|line| line.trim().strip_prefix(begin)).unwrap();
        list.trim_matches(['[', ']']).split(", ").map(|it| it.trim_matches('"').into()).collect()
    };
    let entry = list(docker, "ENTRYPOINT ");
    let image = [entry, list(compose, "command: ")].concat();
    let service = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let more = "Environment=\"SMOQ_ARGS=";
    let more = unit.lines().find_map(|line| line.strip_prefix(more)?.strip_suffix('"')).unwrap();
    let service = service.replace("$SMOQ_ARGS", more);
    let service: Vec<String> = service.split(' ').map(Into::into).collect();
    let check = list(docker, "CMD ").join(" ").replace(r"\\", r"\");
    let check = check.strip_prefix("bash -c ").unwrap();
    for start in [image, service] {
        let args = start[1..].iter().map(|it| match it.as_str() {
            "0.0.0.0:3000" | "127.0.0.1:3000" => "127.0.0.1:0",
            other => other,
        });
        assert!(start.iter().any(|it| it.ends_with(":3000")), "{start:?}");
        let mut running = User::new().start(&args.collect::<Vec<_>>());
        let url = running.line();
        let port = url.rsplit([':', '/']).nth(1).unwrap().to_owned();
        let healthy = |port: &str| {
            let check = check.replace("/3000", &format!("/{port}"));
            let mut bash = Command::new("bash");
            bash.arg("-c").arg(check).stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(healthy(&port) && !healthy("1"));
    }
}

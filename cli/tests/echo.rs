//! The echo, with real processes, sockets and terminals.
#![cfg(unix)]

mod support;

use std::{net::UdpSocket, thread};

use support::{Relay, Running, User, noise};

/// How a URL of the server may begin.
const SCHEMES: [&str; 2] = ["moqt", "https"];

/// What the server logs of one client while it listens, and while it answers.
const LISTEN_STEPS: [&str; 7] = [
    "connected",
    "asks for announcements",
    "the client announces",
    "subscribes",
    "the client accepts the subscription",
    "the first group arrives",
    "closed",
];
const ANSWER_STEPS: [&str; 6] = [
    "connected",
    "announces the echo",
    "the client subscribes",
    "sends the first group back",
    "the client's track has ended: ends the echo",
    "closed",
];

/// What a client logs while it says something, and while it hears it.
const SAY_STEPS: [&str; 5] = [
    "connected",
    "announces",
    "the server subscribes",
    "sends the first group",
    "the input has ended: ends the track",
];
const HEAR_STEPS: [&str; 7] = [
    "connected",
    "asks for announcements",
    "the server announces",
    "subscribes",
    "the server accepts the subscription",
    "the first group arrives",
    "the echo has ended",
];

fn echo_server(user: &User, args: &[&str]) -> Relay {
    user.server(&["echo", "server"], args)
}

/// The URLs of one server.
fn urls(server: &Relay) -> impl Iterator<Item = String> {
    let (_, rest) = server.url.split_once("://").unwrap();
    SCHEMES.iter().map(move |scheme| format!("{scheme}://{rest}"))
}

/// These steps stand in the log, in this order; each line has all of `marks`.
#[track_caller]
fn assert_steps(log: &str, steps: &[&str], marks: &[&str]) {
    let mut lines = log.lines().filter(|line| marks.iter().all(|mark| line.contains(mark)));
    for step in steps {
        // Where the message begins: after the module in text, as a value in JSON.
        let begins = [format!(": {step}"), format!("\"message\":\"{step}\"")];
        let found = lines.any(|line| begins.iter().any(|begin| line.contains(begin)));
        assert!(found, "{step:?} is not at its place with {marks:?} in the log: {log}");
    }
}

/// The client's address, from the line that tells of its coming.
fn remote_of(log: &str, place: &str) -> String {
    let line = log.lines().find(|line| line.contains("connected") && line.contains(place));
    let line = line.unwrap_or_else(|| panic!("{place} is not in the log: {log}"));
    let start = line.find("127.0.0.1:").unwrap();
    line[start..].split([' ', '"']).next().unwrap().to_owned()
}

fn stop(server: Running) -> String {
    server.interrupt();
    server.done().expect(0).stderr
}

#[cfg(target_os = "linux")]
#[test]
fn lines_typed_on_terminals_come_back_to_who_typed_them() {
    const LINES: usize = 1000;
    const AT_ONCE: usize = 20;
    let user = User::new();
    let server = echo_server(&user, &[]);
    for url in urls(&server) {
        let logs = ["one", "two"].map(|name| (name, user.path(name)));
        thread::scope(|scope| {
            for (name, log) in &logs {
                let args = ["--log", "smoq=debug", "echo", "client", &url];
                let mut terminal = user.start_on_terminal(&args, log);
                scope.spawn(move || {
                    let lines: Vec<_> =
                        (0..LINES).map(|line| format!("{name} says {line}")).collect();
                    for lines in lines.chunks(AT_ONCE) {
                        terminal.write((lines.join("\n") + "\n").as_bytes());
                        for line in lines {
                            assert_eq!(terminal.line(), *line);
                        }
                    }
                    // Ctrl-D
                    terminal.write(b"\x04");
                    assert_eq!(terminal.done().expect(0).stdout, b"");
                });
            }
        });
        for (_, log) in &logs {
            let log = std::fs::read_to_string(log).unwrap();
            let (_, rest) = server.url.split_once("://").unwrap();
            let remote = format!("remote={}", rest.trim_end_matches("/echo"));
            assert_steps(&log, &SAY_STEPS, &[&remote, "version=moq-lite-06"]);
            assert_steps(&log, &HEAR_STEPS, &[&remote, "version=moq-lite-06"]);
            let groups = log.lines().filter(|line| line.contains(": sends ")).count();
            assert_eq!(groups, LINES, "each line is a group");
        }
    }
    let log = stop(server.running);
    for client in 1..=2 * SCHEMES.len() {
        let remote = remote_of(&log, &format!("publish=\"/client/{client}\""));
        let marks = [&format!("remote={remote}"), "session=", "version=moq-lite-06"];
        assert_steps(&log, &LISTEN_STEPS, &marks);
        assert_steps(&log, &ANSWER_STEPS, &marks);
    }
}

#[test]
fn what_goes_through_a_pipe_comes_back_byte_for_byte() {
    let user = User::new();
    let server = echo_server(&user, &["--log-format", "json"]);
    let input = noise(700_000);
    for url in urls(&server) {
        for version in ["moq-lite-06", "moq-lite-05"] {
            let mut client = user.start(&["echo", "client", "--moq-version", version, &url]);
            client.write(&input);
            let done = client.done().expect(0);
            assert!(done.stdout == input, "{url} {version}: {} bytes", done.stdout.len());
            assert_eq!(done.stderr, "");
        }
        user.run(&["echo", "client", &url]).expect(0);
    }
    let log = stop(server.running);
    let remote = remote_of(&log, "\"publish\":\"/client/1\"");
    let marks =
        [&format!("\"remote\":\"{remote}\""), "\"session\":", "\"version\":\"moq-lite-06\""];
    assert_steps(&log, &LISTEN_STEPS, &marks);
    assert_steps(&log, &ANSWER_STEPS, &marks);
}

#[test]
fn nothing_is_lost_while_nobody_reads() {
    let user = User::new();
    let server = echo_server(&user, &[]);
    let mut client = user.start(&["echo", "client", &server.url]);
    // More than either side goes ahead of its reader, less than both do.
    let input = noise(12_000_000);
    client.write(&input);
    assert!(client.done().expect(0).stdout == input);
}

#[test]
fn a_client_that_goes_takes_nobody_with_it() {
    let user = User::new();
    let server = echo_server(&user, &[]);
    let start = || user.start(&["echo", "client", &server.url]);
    let (mut stays, mut goes) = (start(), start());
    for client in [&mut stays, &mut goes] {
        client.write(b"hello");
        assert_eq!(client.read(5), b"hello");
    }
    goes.interrupt();
    goes.done().expect(0);
    stays.write(b"world");
    assert_eq!(stays.read(5), b"world");
    // A reader that has had enough is no error.
    drop(stays.stdout.take());
    stays.write(b"!");
    assert_eq!(stays.done().expect(0).stderr, "");
}

#[test]
fn the_server_has_one_path() {
    let user = User::new();
    let server = echo_server(&user, &[]);
    for url in urls(&server) {
        for path in ["", "/", "/echoes", "/echo/deeper", "/room?jwt=x"] {
            let url = url.replace("/echo", path);
            let done = user.run(&["echo", "client", &url]).expect(1);
            done.says("this is an echo server, end the URL with /echo");
        }
    }
    let old = ["echo", "client", "--moq-version", "moq-lite-04", &server.url];
    user.run(&old).expect(2).says("--moq-version");
}

#[test]
fn a_server_that_is_not_there_or_goes_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("moqt://{}/echo", socket.local_addr().unwrap());
    drop(socket);
    let user = User::new();
    user.run(&["echo", "client", &url]).expect(1).says("nobody listens").says("smoq echo server");

    let server = echo_server(&user, &[]);
    let mut client = user.start(&["echo", "client", &server.url]);
    client.write(b"hello");
    assert_eq!(client.read(5), b"hello");
    stop(server.running);
    client.done().expect(1).says("the echo server shuts down");
}

#[test]
fn a_relay_is_no_echo() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut client = user.start(&["echo", "client", &format!("{}/echo", relay.url)]);
    client.told("`smoq echo server`");
    client.interrupt();
    client.done().expect(0);
}

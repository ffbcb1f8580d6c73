//! What a person sees of the commands, with real processes and sockets.
#![cfg(unix)]

mod support;

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::{User, noise};

const VERSIONS: [&str; 4] = ["moq-lite-06", "moq-lite-05", "moq-lite-04", "moq-lite-03"];

#[test]
fn a_relay_prints_its_url_and_fingerprint_and_ends_cleanly() {
    let relay = User::new().relay(&[]);
    assert!(relay.url.starts_with("moqt://127.0.0.1:"), "{}", relay.url);
    assert!(!relay.url.ends_with(":0"), "the port that was chosen");
    assert_eq!(relay.fingerprint.len(), 64);
    assert!(relay.fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    relay.running.interrupt();
    let done = relay.running.done().expect(0);
    assert!(done.stdout.is_empty(), "one line only");
}

#[test]
fn what_goes_in_comes_out() {
    let user = User::new();
    let relay = user.relay(&[]);
    let input = noise(3_000_000);
    for version in VERSIONS {
        let args = ["--moq-version", version, &relay.url, "a/b"];
        let done = user.transfer(&[&["--all"], &args[..]].concat(), &args, &input);
        assert!(done.expect(0).stdout == input, "{version}");
    }
}

#[test]
#[cfg(feature = "smol")]
fn both_runtimes_serve_each_other() {
    const RUNTIMES: [[&str; 2]; 2] = [["--runtime", "tokio"], ["--runtime", "smol"]];
    let user = User::new();
    let input = noise(300_000);
    for [option, name] in RUNTIMES {
        let relay = user.relay(&[option, name]);
        for own in RUNTIMES {
            let args = [&own[..], &[&relay.url, "a"]].concat();
            let done = user.transfer(&[&["--all"], &args[..]].concat(), &args, &input);
            assert!(done.expect(0).stdout == input, "{name}, {own:?}");
        }
        #[cfg(target_os = "linux")]
        assert_eq!(
            relay.running.threads().iter().any(|thread| thread.starts_with("smol")),
            name == "smol"
        );
    }
    user.run(&["relay", "--runtime", "none"]).expect(2).says("tokio, smol");
}

#[test]
fn a_group_may_be_larger_than_what_may_wait() {
    let user = User::new();
    let relay = user.relay(&[]);
    let input = noise(20_000_000);
    let large = ["--frame-size", "1048576", "--group-frames", "30", &relay.url, "big"];
    let done = user.transfer(&["--all", &relay.url, "big"], &large, &input);
    assert!(done.expect(0).stdout == input);
}

#[test]
fn live_output_begins_at_the_latest_group() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut first = user.start(&["subscribe", &relay.url, "tv"]);
    let frames = ["--frame-size", "4", "--group-frames", "2"];
    let args = [&["publish", "--wait"], &frames[..], &[&relay.url, "tv"]].concat();
    let mut publisher = user.start(&args);
    for part in [&b"aaaabbbb"[..], b"ccccdddd", b"eeee"] {
        publisher.write(part);
        assert_eq!(first.read(part.len()), part);
    }
    let mut late = user.start(&["subscribe", &relay.url, "tv"]);
    assert_eq!(late.read(4), b"eeee", "where the latest group begins");
    publisher.write(b"ffff");
    publisher.done().expect(0);
    assert_eq!(late.done().expect(0).stdout, b"ffff");
    assert_eq!(first.done().expect(0).stdout, b"ffff");
}

#[test]
fn all_begins_at_the_oldest_group_held() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut first = user.start(&["subscribe", "--all", &relay.url, "tv"]);
    let frames = ["--frame-size", "10", "--group-frames", "1"];
    let args = [&["publish", "--wait"], &frames[..], &[&relay.url, "tv"]].concat();
    let mut publisher = user.start(&args);
    let (early, rest) = (noise(400), noise(100));
    publisher.write(&early);
    assert!(first.read(early.len()) == early);

    let mut late = user.start(&["subscribe", "--all", &relay.url, "tv"]);
    assert!(late.read(early.len()) == early);
    publisher.write(&rest);
    publisher.done().expect(0);
    assert!(late.done().expect(0).stdout == rest);
}

#[test]
fn one_group_is_fetched() {
    let user = User::new();
    let relay = user.relay(&[]);
    let frames = ["--frame-size", "4", "--group-frames", "2"];
    let mut watching = user.start(&["subscribe", "--all", &relay.url, "tv"]);
    let mut publisher =
        user.start(&[&["publish", "--wait"], &frames[..], &[&relay.url, "tv"]].concat());
    publisher.write(b"aaaabbbbccccddddeeee");
    watching.read(20);
    let fetch = |args: &[&str]| user.run(&[&["fetch"], args].concat());
    assert_eq!(fetch(&[&relay.url, "tv", "data", "1"]).expect(0).stdout, b"ccccdddd");
    // Nobody watches: the publisher has it still.
    watching.interrupt();
    watching.done().expect(0);
    let file = user.path("group");
    let done = fetch(&["--output", &file, &relay.url, "tv", "data", "0"]).expect(0);
    assert_eq!((done.stdout, std::fs::read(&file).unwrap()), (vec![], b"aaaabbbb".to_vec()));

    let failed = |args: &[&str], code, words: &str| fetch(args).expect(code).says(words);
    failed(&[&relay.url, "tv", "data", "9"], 1, "still held");
    failed(&[&relay.url, "tv", "other", "0"], 1, "check the names");
    failed(&[&relay.url, "nothing", "data", "0"], 1, "nobody publishes");
    let old = ["--moq-version", "moq-lite-04", &relay.url, "tv", "data", "0"];
    failed(&old, 1, "moq-lite-05 or later");
    failed(&["--output", "/dev/null/x", &relay.url, "tv", "data", "0"], 1, "--output");
    // A group that goes on, and no further.
    let slow = ["--timeout", "5s", &relay.url, "tv", "data", "2"];
    let done = failed(&slow, 1, "group 2 is not whole");
    assert_eq!(done.stdout, b"eeee");
    let mut cut = user.start(&["fetch", &relay.url, "tv", "data", "2"]);
    assert_eq!(cut.read(4), b"eeee");
    cut.interrupt();
    cut.done().expect(1).says("group 2 is not whole");
}

#[test]
fn a_gap_is_told_and_is_the_exit_status() {
    let user = User::new();
    let relay = user.relay(&["--store", "1"]);
    // Nobody reads what this one writes until the relay has given up most of it.
    let slow = user.start(&["subscribe", "--all", &relay.url, "file"]);
    let input = noise(50_000_000);
    let fast = user.transfer(&[&relay.url, "file"], &[&relay.url, "file"], &input);
    fast.expect(0);
    #[cfg(target_os = "linux")]
    assert!(relay.running.memory() < 40_000_000, "{}", relay.running.memory());
    let done = slow.done().expect(3).says("gap: groups").says("missing");
    assert!(done.stdout.len() < input.len());
}

#[test]
fn noise_on_the_socket_is_ignored() {
    let user = User::new();
    let relay = user.relay(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(relay.url.trim_start_matches("moqt://")).unwrap();
    let garbage = noise(1500);
    let input = noise(1_000_000);
    for _ in 0..3 {
        for size in 0..garbage.len() {
            socket.send(&garbage[..size]).unwrap();
        }
        let done = user.transfer(&["--all", &relay.url, "a"], &[&relay.url, "a"], &input);
        assert!(done.expect(0).stdout == input);
    }
}

#[test]
fn announced_writes_a_line_for_each_change() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut all = user.start(&["announced", &relay.url]);
    let mut below = user.start(&["announced", &relay.url, "room"]);
    let other = user.start(&["publish", &relay.url, "other/a"]);
    assert_eq!(all.line(), "+ other/a");
    let publisher = user.start(&["publish", &format!("{}/room", relay.url), "cam"]);
    assert_eq!(all.line(), "+ room/cam");
    assert_eq!(below.line(), "+ room/cam", "nothing of other/a");
    publisher.done().expect(0);
    assert_eq!(all.line(), "- room/cam");
    assert_eq!(below.line(), "- room/cam");
    other.interrupt();
    other.done().expect(0);
    assert_eq!(all.line(), "- other/a");
    all.interrupt();
    assert!(all.done().expect(0).stdout.is_empty());
}

#[test]
fn a_path_that_cannot_travel_is_put_before_the_names() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut watch = user.start(&["announced", &relay.url]);
    let room = format!("{}/room?jwt=secret", relay.url);
    for version in VERSIONS {
        let publisher = user.start(&["publish", "--moq-version", version, &room, "cam"]);
        assert_eq!(watch.line(), "+ room/cam");
        let done = publisher.done().expect(0);
        assert_eq!(watch.line(), "- room/cam");
        let told = done.stderr.contains("put in front of the names");
        assert_eq!(told, ["moq-lite-04", "moq-lite-03"].contains(&version), "{version}");
        assert!(!done.stderr.contains("secret"));
    }
}

#[test]
fn nobody_listens_is_told_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("moqt://{}", socket.local_addr().unwrap());
    drop(socket);
    let start = Instant::now();
    let done = User::new().run(&["announced", &url]).expect(1);
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    done.says("nobody listens").says("smoq relay");
}

#[test]
fn a_relay_of_another_user_is_not_trusted() {
    let relay = User::new().relay(&[]);
    let other = User::new();
    let done = other.run(&["announced", &relay.url]).expect(1);
    done.says("certificate is not trusted").says("--tls-root").says("--tls-fingerprint");
    let wrong = "0".repeat(64);
    let done = other.run(&["announced", "--tls-fingerprint", &wrong, &relay.url]).expect(1);
    done.says("fingerprint");

    let pinned = ["--tls-fingerprint", &relay.fingerprint];
    other.run(&[&["publish"], &pinned[..], &[&relay.url, "a"]].concat()).expect(0);
    let done = other.run(&["publish", "--insecure", &relay.url, "a"]).expect(0);
    done.says("WARNING");
}

#[test]
fn certificates_come_from_files() {
    let user = User::new();
    let mut root = CertificateParams::new([]).unwrap();
    root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(["127.0.0.1".into()]).unwrap().signed_by(&key, &root).unwrap();
    let (ca, cert) = (user.write("ca.pem", &root.pem()), user.write("cert.pem", &leaf.pem()));
    let key = user.write("key.pem", &key.serialize_pem());
    let relay = user.relay(&["--tls-cert", &cert, "--tls-key", &key]);

    user.run(&["publish", "--tls-root", &ca, &relay.url, "a"]).expect(0);
    user.run(&["publish", &relay.url, "a"]).expect(1).says("no trusted root");
    user.run(&["publish", "--tls-root", &key, &relay.url, "a"]).expect(1).says("key.pem");
    let missing = user.path("missing.pem");
    let done = user.run(&["relay", "--tls-cert", &missing, "--tls-key", &key]).expect(1);
    done.says("missing.pem");
    user.run(&["relay", "--tls-cert", &key, "--tls-key", &key]).expect(1).says("a certificate");
    user.run(&["relay", "--tls-cert", &cert]).expect(2).says("--tls-key");
}

#[test]
fn a_taken_port_is_told() {
    let user = User::new();
    let relay = user.relay(&[]);
    let address = relay.url.trim_start_matches("moqt://");
    user.run(&["relay", "--listen", address]).expect(1).says(address).says("--listen");
}

#[test]
fn a_wrong_command_line_is_told() {
    let user = User::new();
    for (args, part) in [
        (&["announced", "--moq-version", "moq-lite-99", "moqt://h"][..], "moq-lite-06"),
        (&["announced", "localhost:4443"], "moqt://"),
        (&["announced", "moqt://host:99999"], "port"),
        (&["announced", "--tls-fingerprint", "abc", "moqt://h"], "64 hexadecimal digits"),
        (&["publish", "moqt://h", "a", "--max-age", "soon"], "--max-age"),
        (&["publish", "moqt://h", "a", "--frame-size", "1000000"], "--group-frames"),
        (&["subscribe", "moqt://h", "a", "--all", "--max-latency", "1s"], "--all"),
        (&["subscribe", "moqt://h", "a", "--log-format", "loud"], "--log-format"),
    ] {
        user.run(args).expect(2).says(part);
    }
}

#[test]
fn publishing_to_nobody_ends_at_once_with_a_note() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut publisher = user.start(&["publish", &relay.url, "a"]);
    publisher.write(b"hello");
    publisher.done().expect(0).says("nobody subscribes").says("--wait");
}

#[test]
fn an_unknown_broadcast_is_waited_for_with_a_note() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut subscriber = user.start(&["subscribe", &relay.url, "missing"]);
    let note = subscriber.told("not announced yet");
    assert!(note.contains(&format!("smoq announced {}", relay.url)), "{note}");
    subscriber.interrupt();
    subscriber.done().expect(0);
}

#[test]
fn an_unknown_track_is_told() {
    let user = User::new();
    let relay = user.relay(&[]);
    let _publisher = user.start(&["publish", "--wait", &relay.url, "a"]);
    let done = user.run(&["subscribe", "--track", "nope", &relay.url, "a"]).expect(1);
    done.says("nope").says("check the names");
}

#[test]
fn an_interrupted_publisher_ends_its_track() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut subscriber = user.start(&["subscribe", &relay.url, "a"]);
    let mut publisher = user.start(&["publish", "--wait", &relay.url, "a"]);
    publisher.write(b"hello");
    assert_eq!(subscriber.read(5), b"hello");
    publisher.interrupt();
    publisher.done().expect(0);
    subscriber.done().expect(0);
}

#[test]
fn a_lost_relay_is_told() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut watch = user.start(&["announced", &relay.url]);
    let mut publisher = user.start(&["publish", "--reconnect", "0s", "--wait", &relay.url, "a"]);
    assert_eq!(watch.line(), "+ a");
    let mut subscriber = user.start(&["subscribe", "--reconnect", "0s", &relay.url, "a"]);
    publisher.write(b"hello");
    assert_eq!(subscriber.read(5), b"hello");
    let mut waiting = user.start(&["subscribe", "--reconnect", "0s", &relay.url, "missing"]);
    waiting.told("not announced yet");
    relay.running.interrupt();
    relay.running.done().expect(0);
    for command in [watch, subscriber, waiting, publisher] {
        command.done().expect(1).says("the relay shuts down");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let user = User::new();
    let relay = user.relay(&[]);
    let mut subscriber = user.start(&["subscribe", &relay.url, "a"]);
    let mut publisher = user.start(&["publish", "--wait", &relay.url, "a"]);
    publisher.write(b"hello");
    assert_eq!(subscriber.read(5), b"hello");
    drop(subscriber.stdout.take());
    publisher.write(b"world");
    assert_eq!(subscriber.done().expect(0).stderr, "");
}

#[test]
fn each_line_of_the_log_says_who_it_was() {
    let user = User::new();
    let mut relay = user.relay(&["--log-format", "json"]);
    let room = format!("{}/room", relay.url);
    user.run(&["publish", &room, "cam"]).expect(0);
    for event in ["\"connected\"", "\"closed\""] {
        let line = relay.running.told(event);
        for part in [
            "\"session\":",
            "\"remote\":\"127.0.0.1:",
            "\"version\":\"moq-lite-06\"",
            "\"publish\":\"/room\"",
            "\"subscribe\":\"/room\"",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(event == "\"connected\"" || line.contains("no error (0x0)"), "{line}");
    }
}

#[test]
fn the_demo_ends_by_itself() {
    let done = User::new().run(&["demo", "--duration", "3s"]).expect(0);
    let text = String::from_utf8(done.stdout).unwrap();
    for part in ["subscribe moqt://127.0.0.1:", "publisher", "subscriber 3", "lost 0", "latency"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_reason_to_panic() {
    let user = User::new();
    let mut demo = user.start(&["demo"]);
    drop(demo.stdout.take());
    assert_eq!(demo.done().expect(0).stderr, "");

    let mut relay = user.relay(&[]);
    drop(relay.running.stderr.take());
    let mut publisher = user.start(&["publish", "--insecure", &relay.url, "a"]);
    drop(publisher.stderr.take());
    publisher.write(b"hello");
    publisher.done().expect(0);
    relay.running.interrupt();
    relay.running.done().expect(0);
}

#[test]
fn elsewhere_a_fingerprint_is_what_clients_need() {
    let user = User::new();
    let done = user.run(&["demo", "--listen", "0.0.0.0:0", "--duration", "1s"]);
    let text = String::from_utf8(done.expect(0).stdout).unwrap();
    assert!(text.contains("subscribe --tls-fingerprint "), "{text}");
    let mut relay = user.start(&["relay", "--listen", "0.0.0.0:0"]);
    let line = relay.line();
    let (_, fingerprint) = line.split_once(' ').unwrap();
    assert!(relay.told("--tls-fingerprint").ends_with(fingerprint));
}

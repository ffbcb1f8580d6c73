//! `smoq interop` with itself, and with a peer that is not what it should be.

mod support;

use std::thread;

use support::{Done, User};

/// What the client tells of.
const CLIENT: [&str; 14] = [
    "connect",
    "probe",
    "announce",
    "small",
    "empty",
    "big",
    "many",
    "end",
    "live",
    "unknown",
    "fetch",
    "unsubscribe",
    "served",
    "unannounce",
];

fn lines(done: &Done) -> Vec<String> {
    String::from_utf8(done.stdout.clone()).unwrap().lines().map(String::from).collect()
}

#[track_caller]
fn assert_has(lines: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(lines.iter().any(|told| told == line), "{line:?} is not in {lines:?}");
    }
}

/// These steps, in this order, all passed, but for those that `version` does not have.
#[track_caller]
fn assert_passed(lines: &[String], steps: &[&str], version: &str) {
    let old = matches!(version, "moq-lite-03" | "moq-lite-04");
    assert_eq!(lines.len(), steps.len(), "{lines:?}");
    for (line, step) in lines.iter().zip(steps) {
        let absent = match *step {
            "fetch" => old,
            "goaway" | "leave" => version == "moq-lite-03",
            _ => false,
        };
        let verdict = line.strip_prefix(&format!("{step}: ")).unwrap_or_else(|| panic!("{line}"));
        match absent {
            true => assert!(verdict.starts_with("not offered: "), "{version}: {line}"),
            false => assert_eq!(verdict, "pass", "{version}: {line}"),
        }
    }
}

#[test]
fn the_two_sides_understand_each_other() {
    for version in ["moq-lite-03", "moq-lite-04", "moq-lite-05", "moq-lite-06"] {
        for scheme in ["moqt", "https"] {
            let user = User::new();
            let server = user.server(&["interop", "server"], &["--once"]);
            let url = server.url.replace("moqt:", &format!("{scheme}:"));
            let client = user
                .run(&["interop", "client", "--goaway", "--moq-version", version, &url])
                .expect(0);
            assert_passed(&lines(&client), &[&CLIENT[..], &["goaway"]].concat(), version);
            let server = server.running.done().expect(0);
            let steps = CLIENT.iter().copied().filter(|step| *step != "probe");
            let steps: Vec<_> = steps.chain(["leave"]).collect();
            assert_passed(&lines(&server), &steps, version);
        }
    }
}

#[test]
fn a_relay_may_be_between_them() {
    let user = User::new();
    let relay = user.relay(&[]);
    let other = user.start(&["interop", "client", "--as", "server", &relay.url]);
    let other = thread::spawn(|| other.done());
    let client = user.run(&["interop", "client", &relay.url]).expect(0);
    assert_passed(&lines(&client), &CLIENT, "moq-lite-06");
    assert_passed(&lines(&other.join().unwrap().expect(0)), &CLIENT, "moq-lite-06");
}

#[test]
fn what_is_wrong_is_told() {
    let user = User::new();
    let relay = user.relay(&[]);
    let args = ["publish", "--wait", "--track", "small", &relay.url, "interop/server"];
    let mut publisher = user.start(&args);
    publisher.write(b"something else");
    let client = user.run(&["interop", "client", "--patience", "3s", &relay.url]).expect(1);
    let lines = lines(&client);
    assert_has(
        &lines,
        &[
            "announce: pass",
            "small: fail: frame 0 of group 0 is not as it was sent",
            "served: fail: the peer takes no track \"done\"",
            "unsubscribe: fail: the peer takes no track \"live\"",
        ],
    );
    assert!(lines.iter().any(|line| line.starts_with("big: fail: ")), "{lines:?}");
    client.says("steps failed");
}

#[test]
fn silence_fails() {
    let user = User::new();
    let relay = user.relay(&[]);
    let client = user.run(&["interop", "client", "--patience", "1s", &relay.url]).expect(1);
    let lines = lines(&client);
    assert_has(
        &lines,
        &[
            "connect: pass",
            "announce: fail: the peer announces no \"interop/server\"",
            "served: fail: the peer takes no track \"done\"",
            "unsubscribe: fail: the peer takes no track \"live\"",
        ],
    );
}

//! `smoq p2p` as a process: two of them, and a hub.
#![cfg(unix)]

mod support;

use support::{Running, User, noise};

fn hub(user: &User) -> (Running, String) {
    let mut running = user.start(&["signal", "--listen", "127.0.0.1:0"]);
    let url = running.line();
    (running, url)
}

/// A peer that is known to the hub.
fn peer(user: &User, url: &str, name: &str, args: &[&str]) -> Running {
    let base = ["p2p", "--signal", url, "--name", name, "--bind", "127.0.0.1"];
    let mut running = user.start(&[&base, args].concat());
    assert_eq!(running.line(), format!("id {name}"));
    running
}

/// The next line that has this in it.
#[track_caller]
fn until(running: &mut Running, part: &str) -> String {
    loop {
        let line = running.line();
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn two_peers_talk_and_send_a_file_directly() {
    let user = User::new();
    let (_hub, url) = hub(&user);
    let bytes = noise(3 << 20);
    let path = user.path("noise.bin");
    std::fs::write(&path, &bytes).unwrap();
    std::fs::create_dir(user.path("in")).unwrap();

    let mut bob = peer(&user, &url, "bob", &["--role", "answer", "--save", &user.path("in")]);
    let mut ann = peer(&user, &url, "ann", &[]);
    // All at once, as a script does it: what is sent waits for the way.
    ann.write(b"offer bob\nsend chat good  morning\n");
    assert_eq!(until(&mut bob, "morning"), "[ann chat] good  morning");
    bob.write(b"send chat and to you\n");
    assert_eq!(until(&mut ann, "to you"), "[bob chat] and to you");

    ann.write(format!("sendfile chat {path}\n").as_bytes());
    let here = until(&mut bob, "noise.bin is here");
    let sent = until(&mut ann, "noise.bin is sent");
    let hash = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    assert!(here.contains("3145728 bytes") && hash(&here) == hash(&sent), "{here}\n{sent}");
    assert_eq!(std::fs::read(user.path("in/noise.bin")).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(user.path("in")).unwrap().count(), 1, "and no parts");

    ann.write(b"channel extra\nlist\npeers\nstats\nhelp\nnonsense\n");
    for part in ["connected directly; channels: chat", "here: bob", "bytes sent", "sendfile LABEL"]
    {
        until(&mut ann, part);
    }
    until(&mut ann, "no command `nonsense`");
    until(&mut bob, "channel extra is open");
    ann.write(b"send extra bye\n");
    assert_eq!(until(&mut bob, "bye"), "[ann extra] bye");
    ann.write(b"hangup bob\nhangup bob\nquit\n");
    until(&mut ann, "bob: the call is over");
    until(&mut ann, "there is no call with bob");
    until(&mut bob, "the peer has hung up");
    ann.done().expect(1).says("no command `nonsense`");
    bob.interrupt();
    bob.done().expect(0);
}

#[test]
fn a_script_ends_when_all_is_sent() {
    let user = User::new();
    let (_hub, url) = hub(&user);
    let mut bob = peer(&user, &url, "bob", &["--role", "answer"]);
    let mut ann = peer(&user, &url, "ann", &["--role", "offer"]);
    // The first line answers the question whom to call.
    ann.write(b"bob\nsend chat one\nsend chat two\n");
    ann.done().expect(0);
    assert_eq!(until(&mut bob, "one"), "[ann chat] one");
    assert_eq!(until(&mut bob, "two"), "[ann chat] two");
}

#[test]
fn what_is_refused_is_told() {
    let user = User::new();
    let (hub, url) = hub(&user);
    let path = user.write("x.txt", "x");
    let mut bob = peer(&user, &url, "bob", &["--role", "answer"]);
    bob.write(b"offer ann\n");
    until(&mut bob, "this side waits to be called");
    let mut ann = peer(&user, &url, "ann", &[]);
    ann.write(b"send chat x\noffer ann\noffer nobody\n");
    for part in ["there is no call", "this is your own id", "nobody has that id"] {
        until(&mut ann, part);
    }
    ann.write(b"offer bob\nsend other x\n");
    until(&mut ann, "`channel other` opens one");
    ann.write(format!("sendfile chat {path}\nsendfile chat {path}.none\n").as_bytes());
    until(&mut ann, "cannot read");
    until(&mut ann, "x.txt is not taken: this peer takes no files");
    ann.done().expect(1).says("there is no call");

    let taken = user.run(&["p2p", "--signal", &url, "--name", "bob"]);
    taken.expect(1).says("choose another id");
    drop(hub);
    user.run(&["p2p", "--signal", &url]).expect(1).says("`smoq signal` starts one");
    let film = user.path("none.webm");
    user.run(&["p2p", "--signal", &url, "--video", &film]).expect(1).says(&film);
    user.run(&["p2p", "--signal", "http://x/"]).expect(2).says("ws://127.0.0.1:3000/ws");
}

/// The quick start, as a person does it: three terminals.
#[cfg(target_os = "linux")]
#[test]
fn the_quick_start_in_three_terminals() {
    let user = User::new();
    let errors = ["1", "2", "3"].map(|name| user.path(name));
    let mut hub = user.start_on_terminal(&["signal", "--listen", "127.0.0.1:0"], &errors[0]);
    let url = hub.line();
    let start = |name: &str, role: &str, errors: &str| {
        let args = ["p2p", "--signal", &url, "--name", name, "--role", role, "--bind", "127.0.0.1"];
        let mut running = user.start_on_terminal(&args, errors);
        until(&mut running, &format!("id {name}"));
        running
    };
    let mut bob = start("bob", "answer", &errors[2]);
    let mut ann = start("ann", "offer", &errors[1]);
    ann.write(b"offer bob\r");
    until(&mut ann, "bob: channel chat is open");
    until(&mut bob, "ann: channel chat is open");
    ann.write(b"send chat hello\r");
    until(&mut bob, "[ann chat] hello");
    bob.write(b"send chat good day\r");
    until(&mut ann, "[bob chat] good day");
    // The last line again, from the history.
    bob.write(b"\x1b[A\r");
    until(&mut ann, "[bob chat] good day");
    ann.write(b"quit\r");
    until(&mut bob, "the peer has hung up");
    bob.write(b"quit\r");
    ann.done().expect(0);
    bob.done().expect(0);
}

//! Relays with one certificate, and who connects to them.

use std::{
    thread,
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{PATIENCE, Running, User};

/// A user, and a certificate that every relay of theirs has.
pub(crate) struct Host {
    user: User,
    pub(crate) chain: String,
    key: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        let user = User::new();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let chain = user.write("chain.pem", &cert.pem());
        let key = user.write("key.pem", &signing_key.serialize_pem());
        Self { user, chain, key }
    }

    /// A relay on any port, and its URL.
    pub(crate) fn relay(&self, options: &[&str]) -> (Running, String) {
        let mut running = self.start("127.0.0.1:0", options);
        let url = url(&running.line());
        (running, url)
    }

    /// Another one on the port of the one before, which a stranger may have meanwhile.
    #[expect(clippy::disallowed_methods, reason = "a port does not tell when it is free")]
    pub(crate) fn again(&self, before: &str, options: &[&str]) -> Running {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            let mut running = self.start(before.trim_start_matches("moqt://"), options);
            if let Some(line) = running.next_line() {
                assert_eq!(url(&line), before);
                return running;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the port of {before} is not free")
    }

    fn start(&self, listen: &str, options: &[&str]) -> Running {
        let args = ["relay", "--listen", listen, "--tls-cert", &self.chain, "--tls-key", &self.key];
        self.user.start(&[&args, options].concat())
    }

    pub(crate) fn publish(&self, url: &str, frame_size: &str, group_frames: &str) -> Running {
        let sizes = ["--frame-size", frame_size, "--group-frames", group_frames];
        let args = ["publish", "--wait", "--tls-root", &self.chain, url, "a"];
        self.user.start(&[&args[..], &sizes].concat())
    }

    pub(crate) fn announced(&self, url: &str) -> Running {
        self.user.start(&["announced", "--tls-root", &self.chain, url])
    }

    pub(crate) fn subscribe(&self, url: &str) -> Running {
        self.user.start(&["subscribe", "--all", "--tls-root", &self.chain, url, "a"])
    }
}

/// What a relay says first.
fn url(line: &str) -> String {
    line.split(' ').next().expect("a URL").to_owned()
}

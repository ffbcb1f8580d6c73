//! The relay of `smoq relay`, on loopback, and an end for tests that hang.

use std::{
    future,
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use smoq_relay::{CertificateSource, Config, Relay, hex};
use tempfile::TempDir;

/// No test takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A relay that runs until the tests end.
pub(crate) struct RelayForTests {
    pub(crate) address: SocketAddr,
    /// In hexadecimal digits.
    pub(crate) fingerprint: String,
}

impl RelayForTests {
    pub(crate) fn start() -> Self {
        let (sender, started) = sync_channel(1);
        thread::spawn(move || {
            let folder = tempfile::tempdir().unwrap();
            let config = Config {
                listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
                certificate: certificate(&folder),
                ..Config::default()
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let relay = Relay::bind(config).unwrap();
                let fingerprint = hex(&relay.fingerprint());
                sender.send(Self { address: relay.local_addr(), fingerprint }).unwrap();
                relay.run(future::pending()).await.unwrap();
            });
        });
        started.recv_timeout(PATIENCE).expect("the relay starts")
    }
}

fn certificate(folder: &TempDir) -> CertificateSource {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    CertificateSource::Files { chain, key }
}

/// Runs `work` on a thread, and fails the test if it takes too long.
pub(crate) fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).expect("it hangs, or its thread has panicked")
}

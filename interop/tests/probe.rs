//! PROBE with moq-tokio: each side tells the other how fast it could send.

use std::{fmt::Display, time::Duration};

use moq_peer::{Dial, Role, Server, Sink, Source, Trust, Version};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use smoq_tokio::{
    ClientOptions, ServerOptions, connect, core,
    core::wire::Probe,
    listen,
    quic::{
        ServerTls, Trust as Roots, fingerprint, parse_fingerprint,
        rustls::pki_types::{CertificateDer, PrivateKeyDer},
    },
};

/// Nothing waits for a clock, so only a hang comes near it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs one step, or says which one failed or never ended.
async fn step<T, E: Display>(what: &str, step: impl Future<Output = Result<T, E>>) -> T {
    match tokio::time::timeout(TIMEOUT, step).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("{what}: nothing for {TIMEOUT:?}"),
    }
}

/// Between nothing and what loopback could be taken for.
fn assert_plausible(bits: u64, version: &str) {
    assert!((10_000..1 << 50).contains(&bits), "{version}: {bits} bit/s");
}

/// What both speak, by its two names.
fn versions() -> impl Iterator<Item = (core::Version, Version)> {
    core::Version::ALL
        .into_iter()
        .map(|version| (version, version.to_string().parse().expect("a version of moq-net")))
}

#[tokio::test]
async fn the_peer_hears_how_fast_smoq_is() {
    for (ours, theirs) in versions() {
        for scheme in ["moqt", "https"] {
            let names = vec!["127.0.0.1".to_owned()];
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(names).expect("a certificate");
            let certificate = CertificateDer::from(cert);
            let hash: String =
                fingerprint(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
            let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
            let tls = ServerTls::new(vec![certificate], key).expect("a TLS configuration");
            let loopback = ([127, 0, 0, 1], 0).into();
            let server = listen(ServerOptions::new(loopback, tls)).expect("a port");
            let dial = Dial {
                url: format!("{scheme}://{}", server.local_addr()).parse().expect("a URL"),
                version: Some(theirs),
                trust: Trust::Fingerprint(hash),
            };
            let sink = Sink::new();
            let link = step("the peer to connect", dial.connect(Role::Subscribe(&sink))).await;
            let bits = step("an estimate of smoq's", link.estimate()).await;
            assert_plausible(bits, &format!("{ours} over {scheme}"));
        }
    }
}

#[tokio::test]
async fn smoq_hears_how_fast_the_peer_is() {
    for (ours, theirs) in versions() {
        for scheme in ["moqt", "https"] {
            let source = Source::new("room/cam", "video").expect("announce the broadcast");
            let start = Server::start(Some(theirs), Role::Publish(&source));
            let server = step("the peer to listen", start).await;
            let url = format!("{scheme}://{}", server.url().authority());
            let hash = parse_fingerprint(server.fingerprint()).expect("a fingerprint");
            let trust = Roots::Fingerprints(vec![hash]);
            let options = ClientOptions { versions: vec![ours], ..ClientOptions::new(trust) };
            let url = url.parse().expect("a URL");
            let client = step("smoq to connect", connect(&url, options)).await;
            let mut estimates = step("smoq to ask", client.estimates()).await;
            let next = async { estimates.next().await.ok_or("the peer gives none") };
            let Probe { bitrate, rtt_ms } = step("an estimate of the peer's", next).await;
            let name = format!("{ours} over {scheme}");
            assert_plausible(bitrate.expect("a bitrate"), &name);
            assert_eq!(rtt_ms.is_some(), ours.has_probe_rtt(), "{name}");
        }
    }
}

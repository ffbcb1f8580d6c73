//! smoq and moq-tokio in one process, over QUIC.

use std::{fmt::Display, time::Duration};

use moq_peer::{Dial, Trust, Version};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use smoq_tokio::{
    ClientOptions, Connection, Server, ServerOptions, connect, core, listen,
    quic::{
        ServerTls, Trust as Roots, fingerprint, parse_fingerprint,
        rustls::pki_types::{CertificateDer, PrivateKeyDer},
    },
};

/// Nothing waits for a clock, so only a hang comes near it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs one step, or says which one failed or never ended.
pub(crate) async fn step<T, E: Display>(what: &str, step: impl Future<Output = Result<T, E>>) -> T {
    match tokio::time::timeout(TIMEOUT, step).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("{what}: nothing for {TIMEOUT:?}"),
    }
}

/// What both speak, by its two names.
pub(crate) fn versions() -> impl Iterator<Item = (core::Version, Version)> {
    core::Version::ALL
        .into_iter()
        .map(|version| (version, version.to_string().parse().expect("a version of moq-net")))
}

/// A server of ours, and how the peer gets there.
pub(crate) fn ours(scheme: &str, version: Version) -> (Server, Dial) {
    let names = vec!["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    let certificate = CertificateDer::from(cert);
    let hash: String = fingerprint(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let tls = ServerTls::new(vec![certificate], key).expect("a TLS configuration");
    let loopback = ([127, 0, 0, 1], 0).into();
    let server = listen(ServerOptions::new(loopback, tls)).expect("a port");
    let dial = Dial {
        url: format!("{scheme}://{}", server.local_addr()).parse().expect("a URL"),
        version: Some(version),
        trust: Trust::Fingerprint(hash),
    };
    (server, dial)
}

/// A client of ours at a server of the peer's.
pub(crate) async fn dial(
    scheme: &str,
    server: &moq_peer::Server,
    version: core::Version,
) -> Connection {
    let url = format!("{scheme}://{}", server.url().authority());
    let hash = parse_fingerprint(server.fingerprint()).expect("a fingerprint");
    let trust = Roots::Fingerprints(vec![hash]);
    let options = ClientOptions { versions: vec![version], ..ClientOptions::new(trust) };
    let url = url.parse().expect("a URL");
    step("smoq to connect", connect(&url, options)).await
}

//! smoq's library beside moq-tokio, without the binary.

use moq_peer::{Dial, Link, Role, Trust};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use smoq_tokio::{
    ClientOptions, Connection, Server, ServerOptions,
    quic::{
        ServerTls, Trust as Roots, fingerprint, parse_fingerprint,
        rustls::pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use crate::support::{Case, Deadline};

/// A server of smoq's on loopback, and the SHA-256 of its certificate in hex.
pub(crate) fn listen() -> (Server, String) {
    let names = vec!["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    let certificate = CertificateDer::from(cert);
    let hash = fingerprint(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let tls = ServerTls::new(vec![certificate], key).expect("a TLS configuration");
    let loopback = ([127, 0, 0, 1], 0).into();
    (smoq_tokio::listen(ServerOptions::new(loopback, tls)).expect("a port"), hash)
}

/// The peer, as a client of such a server.
pub(crate) async fn dial(
    deadline: &Deadline,
    (server, hash): &(Server, String),
    case: Case,
    role: Role<'_>,
) -> Link {
    let dial = Dial {
        url: format!("{}://{}", case.scheme, server.local_addr()).parse().expect("a URL"),
        version: Some(case.version.parse().expect("a version of moq-net")),
        trust: Trust::Fingerprint(hash.clone()),
    };
    deadline.step("the peer to connect", dial.connect(role)).await
}

/// smoq, as a client of the peer's server.
pub(crate) async fn connect(
    deadline: &Deadline,
    case: Case,
    role: Role<'_>,
) -> (Connection, moq_peer::Server) {
    let version = case.version.parse().expect("a version of moq-net");
    let start = moq_peer::Server::start(Some(version), role);
    let server = deadline.step("the peer to listen", start).await;
    let url = format!("{}://{}", case.scheme, server.url().authority());
    let hash = parse_fingerprint(server.fingerprint()).expect("a fingerprint");
    let options = ClientOptions {
        versions: vec![case.version.parse().expect("a version of smoq")],
        ..ClientOptions::new(Roots::Fingerprints(vec![hash]))
    };
    let url = url.parse().expect("a URL");
    (deadline.step("smoq to connect", smoq_tokio::connect(&url, options)).await, server)
}

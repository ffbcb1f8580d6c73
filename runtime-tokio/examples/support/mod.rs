//! What every example needs and none is about: a server on loopback with a certificate for this run.

use std::{error, net::Ipv4Addr};

use smoq_tokio::{
    Server, ServerOptions, Url, listen,
    quic::{ServerTls, Trust, fingerprint, rustls::pki_types::PrivateKeyDer},
};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn error::Error + Send + Sync>>;

/// A server, which relays for as long as it is there; where it is; and how clients know it.
pub(crate) fn server() -> Result<(Server, Url, Trust)> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = made.cert.der().clone();
    let trust = Trust::Fingerprints(vec![fingerprint(&certificate)]);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = ServerTls::new(vec![certificate], key)?;
    let server = listen(ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), tls))?;
    let url = format!("moqt://{}", server.local_addr()).parse()?;
    Ok((server, url, trust))
}

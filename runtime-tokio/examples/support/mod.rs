//! What the examples need and none is about: a server on loopback with a certificate for this run.
//! `native_quic` has all of it in one file.

use std::{error, net::Ipv4Addr};

use smoq_tokio::{
    Server, ServerOptions, Url, listen,
    quic::{ServerTls, Trust, fingerprint, rustls::pki_types::PrivateKeyDer},
};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn error::Error + Send + Sync>>;

/// A server, which relays for as long as it is there; where it is, with a path; and how clients know it.
/// `change` decides what is not as usual.
pub(crate) fn server(
    path: &str,
    change: impl FnOnce(&mut ServerOptions),
) -> Result<(Server, Url, Trust)> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = made.cert.der().clone();
    let trust = Trust::Fingerprints(vec![fingerprint(&certificate)]);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = ServerTls::new(vec![certificate], key)?;
    let mut options = ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), tls);
    change(&mut options);
    let server = listen(options)?;
    let url = format!("moqt://{}{path}", server.local_addr()).parse()?;
    Ok((server, url, trust))
}

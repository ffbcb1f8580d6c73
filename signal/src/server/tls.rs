//! TLS for the server.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use thiserror::Error;

/// The certificate does not work.
#[derive(Debug, Error)]
#[error("the certificate cannot be used: {0}; give a chain, leaf first, and the key of the leaf")]
pub struct TlsError(#[from] rustls::Error);

/// TLS with a certificate chain, leaf first, and the key of the leaf.
pub fn tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

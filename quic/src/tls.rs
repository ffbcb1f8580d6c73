//! TLS for both ends, always with the ring provider named: another crate's features must not choose.

use std::{fmt, sync::Arc};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ParsedCertificate, ResolvesServerCert},
};
use smoq_core::{Carrier, Version};

use crate::{TlsError, fingerprint::fingerprint, web::Web};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// ALPN of HTTP/3 (RFC 9114, section 3.1).
pub(crate) const HTTP3: &str = "h3";

/// What to offer or to take, most wanted first.
pub(crate) fn alpn(versions: &[Version], carriers: &[Carrier]) -> Vec<Vec<u8>> {
    let names = carriers.iter().flat_map(|carrier| match carrier {
        Carrier::Raw => versions.iter().map(|version| version.alpn()).collect(),
        Carrier::WebTransport if Web::AVAILABLE => vec![HTTP3],
        Carrier::WebTransport | Carrier::Link => Vec::new(),
    });
    names.map(Into::into).collect()
}

/// What a server shows. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls(Arc<rustls::ServerConfig>);

impl ServerTls {
    /// One certificate chain, its own certificate first, and its private key.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if they do not parse or do not fit together.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let config = server().with_single_cert(chain, key).map_err(TlsError::Certificate)?;
        Ok(Self(Arc::new(config)))
    }

    /// Certificates chosen at each handshake, by name say, or reloaded behind the scenes.
    pub fn with_resolver(resolver: Arc<dyn ResolvesServerCert>) -> Self {
        Self(Arc::new(server().with_cert_resolver(resolver)))
    }

    /// For whoever drives quinn-proto without an [`Endpoint`](crate::Endpoint). The first of `alpn` that the
    /// client offers too is chosen.
    pub fn accepting(&self, alpn: Vec<Vec<u8>>) -> Arc<QuicServerConfig> {
        let mut config = rustls::ServerConfig::clone(&self.0);
        config.alpn_protocols = alpn;
        Arc::new(config.try_into().expect("the ring provider has the initial cipher suite"))
    }
}

fn server() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::server::WantsServerCert> {
    rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the ring provider has TLS 1.3")
        .with_no_client_auth()
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Which servers a client believes.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those whose certificate one of these roots has signed, for the name in the target. System roots
    /// and extra ones go into one store.
    Roots(RootCertStore),
    /// Those that show a certificate with one of these SHA-256 fingerprints ([`fingerprint`]), within
    /// its time of validity, whatever its name and issuer: as `serverCertificateHashes` of
    /// WebTransport. Several are for the days in which a certificate changes.
    Fingerprints(Vec<[u8; 32]>),
    /// Everybody. For experiments: whoever is on the path can read and change everything.
    Insecure,
}

/// The roots in a PEM text, for [`Trust::Roots`].
///
/// # Errors
/// [`TlsError::Roots`] if one of them cannot be read, [`TlsError::NoRoots`] if there is none.
pub fn roots_from_pem(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsError::Roots(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::Roots(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    Ok(roots)
}

/// How a client meets a server. Cheap to clone; make it once and use it for all connections, which
/// then resume earlier TLS sessions.
#[derive(Clone)]
pub struct ClientTls(Arc<rustls::ClientConfig>);

impl ClientTls {
    /// # Errors
    /// [`TlsError::NoRoots`] or [`TlsError::NoFingerprints`] if nothing is trusted.
    pub fn new(trust: Trust) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Roots(roots) => {
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
                    .build()
                    .map_err(|_| TlsError::NoRoots)?
            }
            Trust::Fingerprints(pins) if pins.is_empty() => return Err(TlsError::NoFingerprints),
            Trust::Fingerprints(pins) => {
                Arc::new(Unchained { pins: Some(pins), provider: provider.clone() })
            }
            Trust::Insecure => Arc::new(Unchained { pins: None, provider: provider.clone() }),
        };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the ring provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// For whoever drives quinn-proto without an [`Endpoint`](crate::Endpoint): a client that offers `alpn`,
    /// most wanted first.
    pub fn offering(&self, alpn: Vec<Vec<u8>>) -> Arc<QuicClientConfig> {
        let mut config = rustls::ClientConfig::clone(&self.0);
        config.alpn_protocols = alpn;
        Arc::new(config.try_into().expect("the ring provider has the initial cipher suite"))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Looks at the server's own certificate only. That the server holds its key is checked all the same.
#[derive(Debug)]
struct Unchained {
    /// `None` believes every certificate.
    pins: Option<Vec<[u8; 32]>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unchained {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(pins) = &self.pins {
            if !pins.contains(&fingerprint(certificate)) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
            within_validity(certificate, now, &self.provider)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// webpki looks at the dates of a certificate before it looks for its issuer, of which there is none.
fn within_validity(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(), rustls::Error> {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let parsed = ParsedCertificate::try_from(certificate)?;
    let verdict = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        now,
        provider.signature_verification_algorithms.all,
    );
    match verdict {
        Err(rustls::Error::InvalidCertificate(
            error @ (Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }),
        )) => Err(error.into()),
        _ => Ok(()),
    }
}

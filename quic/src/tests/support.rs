//! A certificate, and a world of endpoints and links.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{ServerTls, fingerprint};

pub(super) const CLIENT: SocketAddr = v4(1);
pub(super) const SERVER: SocketAddr = v4(2);

/// The host with this number.
pub(super) const fn v4(host: u8) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 4443))
}

/// A self-signed certificate and its key. Ed25519 signatures always have the same length, which keeps
/// runs alike.
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) fn new(names: &[&str]) -> Self {
        Self::valid_until(names, 2200)
    }

    pub(super) fn valid_until(names: &[&str], year: i32) -> Self {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from(1));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: key.into(),
        }
    }

    pub(super) fn server_tls(&self) -> ServerTls {
        ServerTls::new(vec![self.certificate.clone()], self.key.clone_key()).unwrap()
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }
}

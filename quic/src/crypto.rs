//! Everything random or secret of the QUIC layer, out of one seed.

use std::sync::Arc;

use quinn_proto::{
    ConnectionId, ConnectionIdGenerator,
    crypto::{HandshakeTokenKey, HmacKey},
};
use ring::{
    hkdf, hmac,
    rand::{SecureRandom, SystemRandom},
};

/// Length of our connection ids: as quinn-proto's, enough to be unique and not to be guessed.
const CID_BYTES: usize = 8;

/// Keys for the purposes that quinn-proto has.
pub(crate) struct Secrets {
    seed: hmac::Key,
}

impl Secrets {
    pub(crate) fn new(seed: Option<[u8; 32]>) -> Self {
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 32];
            SystemRandom::new().fill(&mut bytes).expect("the operating system has randomness");
            bytes
        });
        Self { seed: hmac::Key::new(hmac::HMAC_SHA256, &seed) }
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.seed, purpose.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    pub(crate) fn rng(&self) -> [u8; 32] {
        self.derive("rng")
    }

    /// Signs stateless resets.
    pub(crate) fn reset_key(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.derive("reset")))
    }

    /// Seals Retry tokens.
    pub(crate) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.derive("token")))
    }

    /// The ids that we give ourselves.
    pub(crate) fn local_ids(&self) -> Ids {
        Ids::new(&self.derive("local ids"))
    }

    /// The ids that a client gives a server until that chooses its own.
    pub(crate) fn initial_ids(&self) -> Ids {
        Ids::new(&self.derive("initial ids"))
    }
}

/// An endless list of connection ids that nobody without the key can foresee or link.
#[derive(Clone)]
pub(crate) struct Ids {
    key: hmac::Key,
    next: u64,
}

impl Ids {
    fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), next: 0 }
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let tag = hmac::sign(&self.key, &self.next.to_be_bytes());
        self.next += 1;
        ConnectionId::new(&tag.as_ref()[..CID_BYTES])
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

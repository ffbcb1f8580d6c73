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

use crate::Shard;

/// Length of our connection ids: as quinn-proto's, enough to be unique and not to be guessed.
pub(crate) const CID_BYTES: usize = 8;

/// A seed that nobody knows, from the operating system.
pub fn random_seed() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// Keys for the purposes that quinn-proto has. Those that a peer may meet on another shard of the same
/// server follow from the seed alone.
pub(crate) struct Secrets {
    seed: hmac::Key,
    shard: Option<Shard>,
}

impl Secrets {
    pub(crate) fn new(seed: Option<[u8; 32]>, shard: Option<Shard>) -> Self {
        let seed = seed.unwrap_or_else(random_seed);
        Self { seed: hmac::Key::new(hmac::HMAC_SHA256, &seed), shard }
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.seed, purpose.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    /// What differs from shard to shard.
    fn derive_here(&self, purpose: &str) -> [u8; 32] {
        match self.shard {
            Some(Shard { index, .. }) => self.derive(&format!("{purpose} of shard {index}")),
            None => self.derive(purpose),
        }
    }

    pub(crate) fn rng(&self) -> [u8; 32] {
        self.derive_here("rng")
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
        Ids::new(&self.derive_here("local ids"), self.shard)
    }

    /// The ids that a client gives a server until that chooses its own.
    pub(crate) fn initial_ids(&self) -> Ids {
        Ids::new(&self.derive_here("initial ids"), None)
    }
}

/// An endless list of connection ids that nobody without the key can foresee or link, but for the
/// shard that the last byte names.
#[derive(Clone)]
pub(crate) struct Ids {
    key: hmac::Key,
    next: u64,
    shard: Option<Shard>,
}

impl Ids {
    fn new(key: &[u8], shard: Option<Shard>) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), next: 0, shard }
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let tag = hmac::sign(&self.key, &self.next.to_be_bytes());
        self.next += 1;
        let mut id = [0; CID_BYTES];
        id.copy_from_slice(&tag.as_ref()[..CID_BYTES]);
        if let Some(Shard { index, .. }) = self.shard {
            id[CID_BYTES - 1] = index;
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

//! The probe stream: how fast the connection is.

use bytes::BytesMut;

use super::{Body, DecodeError, Message, varint};
use crate::Version;

/// PROBE: what a publisher estimates, or what a subscriber would like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Probe {
    /// Bits per second, `None` if unknown (`Some(0)` is written as 1).
    pub bitrate: Option<u64>,
    /// From 04: the round trip time in milliseconds, `None` if unknown (`Some(0)` is written as 1).
    pub rtt_ms: Option<u64>,
}

impl Message for Probe {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        let known = |value| Some(value).filter(|value| *value != 0);
        let bitrate = known(body.varint()?);
        let rtt_ms = if version.has_probe_rtt() { known(body.varint()?) } else { None };
        Ok(Self { bitrate, rtt_ms })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        let number = |value: Option<u64>| value.map_or(0, |value| value.max(1));
        varint::encode(number(self.bitrate), out);
        if version.has_probe_rtt() {
            varint::encode(number(self.rtt_ms), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_zero_stays_known() {
        let mut out = BytesMut::new();
        Probe { bitrate: Some(0), rtt_ms: Some(0) }.encode_body(&mut out, Version::Lite06);
        assert_eq!(out, [1, 1][..]);
    }
}

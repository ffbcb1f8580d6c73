//! Stream codes as they travel.
//!
//! moq-dev's stack sends the codes of RESET_STREAM and STOP_SENDING in the form that WebTransport
//! has for them, on raw QUIC too, and takes a plain one for a fault of the transport. So codes are
//! sent in that form and taken in both. Session codes travel plain everywhere.

use quinn_proto::VarInt;
use smoq_core::wire::StreamCode;

/// First and last code of the range that WebTransport over HTTP/3 has for applications
/// (draft-ietf-webtrans-http3, section 4.4).
const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

/// Every 31st code of the range is reserved by HTTP/3 (RFC 9114, section 8.1).
const STEP: u64 = 0x1e;

pub(crate) fn to_wire(code: StreamCode) -> VarInt {
    let code = code.0.min(u64::from(u32::MAX));
    VarInt::try_from(FIRST + code + code / STEP).unwrap_or(VarInt::MAX)
}

pub(crate) fn from_wire(code: VarInt) -> StreamCode {
    let code = code.into_inner();
    if !(FIRST..=LAST).contains(&code) {
        return StreamCode(code);
    }
    let shifted = code - FIRST;
    if shifted % (STEP + 1) == STEP {
        return StreamCode(code);
    }
    StreamCode(shifted - shifted / (STEP + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        for code in (0..200).chain([u64::from(u32::MAX) - 1, u64::from(u32::MAX)]) {
            let wire = to_wire(StreamCode(code));
            assert!((FIRST..=LAST).contains(&wire.into_inner()));
            assert_ne!((wire.into_inner() - 0x21) % 0x1f, 0, "reserved by HTTP/3");
            assert_eq!(from_wire(wire), StreamCode(code));
        }
        assert_eq!(to_wire(StreamCode(u64::from(u32::MAX))).into_inner(), LAST);
    }

    #[cfg(feature = "h3")]
    #[test]
    fn webtransport_has_the_same_form() {
        for code in (0..200).chain([u32::MAX - 1, u32::MAX]) {
            let wire = smoq_h3::Code::from_application(code);
            assert_eq!(to_wire(StreamCode(code.into())).into_inner(), wire.0);
        }
    }

    #[test]
    fn plain_codes_are_taken_as_they_are() {
        assert_eq!(from_wire(VarInt::from_u32(0x33)), StreamCode::NOT_FOUND);
        assert_eq!(from_wire(VarInt::MAX), StreamCode(VarInt::MAX.into_inner()));
        let reserved = FIRST + STEP;
        assert_eq!(from_wire(VarInt::try_from(reserved).unwrap()), StreamCode(reserved));
    }
}

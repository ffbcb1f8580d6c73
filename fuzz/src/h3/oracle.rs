//! Beside other implementations: what both can read, both read alike. Not field sections: wtransport-proto
//! 0.7.2 panics at integers that are too long, so it is asked about those in tests only.

use bytes::Bytes;
use smoq_h3::{Code, datagram, varint};

/// Any bytes as an integer, a code and a datagram.
pub fn h3_oracle(data: &[u8]) {
    let integer = web_transport_proto::VarInt::decode(&mut &data[..]).ok();
    assert_eq!(varint::decode(&mut &data[..]), integer.map(|integer| integer.into_inner()));

    if let Some(bytes) = data.first_chunk() {
        let code = u64::from_be_bytes(*bytes);
        let (ours, theirs) =
            (Code(code).to_application(), web_transport_proto::error_from_http3(code));
        // Codes that HTTP/3 reserves (RFC 9114, section 8.1) are an application's for them.
        let is_reserved = code >= 0x21 && (code - 0x21) % 0x1f == 0;
        assert!(ours == theirs || (ours, is_reserved) == (None, true), "{code:#x}: {theirs:?}");
    }

    let ours = datagram::decode(Bytes::copy_from_slice(data)).ok();
    let theirs = wtransport_proto::datagram::Datagram::read(data).ok();
    assert_eq!(
        ours.as_ref().map(|(session, payload)| (session.0 / 4, &payload[..])),
        theirs.as_ref().map(|read| (read.qstream_id().into_u64(), read.payload()))
    );
}

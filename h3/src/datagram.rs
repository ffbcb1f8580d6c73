//! HTTP datagrams (RFC 9297, section 2.1): which session a QUIC datagram belongs to.

use bytes::{Bytes, BytesMut};

use crate::{Error, StreamId, varint};

/// Appends what a datagram of this session begins with: a quarter of its stream id.
pub fn encode_prefix(session: StreamId, out: &mut BytesMut) {
    varint::encode(session.0 / 4, out);
}

/// The session of a datagram, and its payload.
///
/// # Errors
/// [`Error::Frame`] if it is too short, [`Error::SessionId`] if no stream can have that id.
pub fn decode(mut datagram: Bytes) -> Result<(StreamId, Bytes), Error> {
    let quarter = varint::decode(&mut datagram).ok_or(Error::Frame)?;
    if quarter > varint::MAX / 4 {
        return Err(Error::SessionId(quarter));
    }
    Ok((StreamId(quarter * 4), datagram))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_name_their_session() {
        for session in [0, 4, 400, varint::MAX - 3] {
            let mut datagram = BytesMut::new();
            encode_prefix(StreamId(session), &mut datagram);
            datagram.extend_from_slice(b"payload");
            let decoded = decode(datagram.freeze());
            assert_eq!(decoded, Ok((StreamId(session), Bytes::from_static(b"payload"))));
        }
        assert_eq!(decode(Bytes::new()), Err(Error::Frame));
        assert_eq!(decode(Bytes::from_static(&[0x40])), Err(Error::Frame));
        let all_ones = decode(Bytes::from_static(&[0xff; 8]));
        assert_eq!(all_ones, Err(Error::SessionId(varint::MAX)));
    }
}

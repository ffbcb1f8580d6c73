//! What is decoded at once: what decodes is encoded again, and decodes to the same.

use bytes::{Bytes, BytesMut};
use smoq_h3::{
    Error, Settings,
    capsule::{Close, MAX_REASON, Reader},
    datagram, qpack, varint,
};

use crate::Input;

/// Integers.
pub fn h3_varint(data: &[u8]) {
    let mut rest = data;
    let Some(value) = varint::decode(&mut rest) else {
        assert!(data.len() < varint::MAX_LEN, "the longest form is all there");
        return;
    };
    let mut shortest = Vec::new();
    varint::encode(value, &mut shortest);
    assert!(shortest.len() <= data.len() - rest.len());
    assert_eq!(varint::decode(&mut &shortest[..]), Some(value));
    if let Some(bytes) = data.first_chunk() {
        let any = u64::from_be_bytes(*bytes);
        let mut out = Vec::new();
        varint::encode(any, &mut out);
        assert_eq!(varint::decode(&mut &out[..]), Some(any.min(varint::MAX)));
    }
}

/// The payload of SETTINGS.
pub fn h3_settings(data: &[u8]) {
    let Ok(settings) = Settings::decode(data) else { return };
    let mut frame = BytesMut::new();
    settings.encode(&mut frame);
    let mut payload = &frame[..];
    assert_eq!(varint::decode(&mut payload), Some(smoq_h3::frame::SETTINGS));
    assert_eq!(varint::decode(&mut payload), Some(payload.len() as u64));
    assert_eq!(Settings::decode(payload), Ok(settings));
}

/// Field sections.
pub fn h3_qpack(data: &[u8]) {
    const LIMIT: usize = 4000;
    let Ok(fields) = qpack::decode(data, LIMIT) else { return };
    let cost = fields.iter().map(|field| 32 + field.name.len() + field.value.len()).sum();
    assert!(cost <= LIMIT);
    let mut section = BytesMut::new();
    qpack::encode(fields.iter().map(|field| (&*field.name, &*field.value)), &mut section);
    assert_eq!(qpack::decode(&section, cost), Ok(fields));
    if let Some(less) = cost.checked_sub(1) {
        assert_eq!(qpack::decode(&section, less), Err(Error::TooMuch));
    }
}

/// Capsules: the size of the pieces, then the bytes.
pub fn h3_capsule(data: &[u8]) {
    let mut input = Input(data);
    let piece = input.piece();
    let found = read_capsules(input.0.len().max(1), input.0);
    assert_eq!(read_capsules(piece, input.0), found, "pieces of {piece}");
    let Ok(Some(close)) = found else { return };
    let mut capsule = BytesMut::new();
    close.encode(&mut capsule);
    let Ok(Some(again)) = read_capsules(capsule.len(), &capsule) else { panic!("{close:?}") };
    // A reason that is no UTF-8 grows when it is mended.
    let whole = close.reason.len() <= MAX_REASON;
    assert!(if whole { again == close } else { close.reason.starts_with(&again.reason) });
}

fn read_capsules(piece: usize, data: &[u8]) -> Result<Option<Close>, Error> {
    let mut reader = Reader::default();
    for piece in data.chunks(piece) {
        let found = reader.read(&mut Bytes::copy_from_slice(piece))?;
        assert!(reader.buffered() <= 4 + MAX_REASON);
        if found.is_some() {
            return Ok(found);
        }
    }
    reader.finish().map(|()| None)
}

/// Datagrams.
pub fn h3_datagram(data: &[u8]) {
    match datagram::decode(Bytes::copy_from_slice(data)) {
        Ok((session, payload)) => {
            assert!(session.is_request() && session.0 <= varint::MAX);
            let mut again = BytesMut::new();
            datagram::encode_prefix(session, &mut again);
            again.extend_from_slice(&payload);
            assert!(again.len() <= data.len());
            assert_eq!(datagram::decode(again.freeze()), Ok((session, payload)));
        }
        Err(Error::SessionId(quarter)) => assert!(quarter > varint::MAX / 4),
        Err(error) => {
            assert_eq!((error, varint::decode(&mut &data[..])), (Error::Frame, None));
        }
    }
}

//! Every message in every version: what decodes is encoded again, and decodes to the same; cuts do not
//! matter.

use bytes::BytesMut;
use smoq_core::wire::Announce;

#[path = "../../../core/tests/vectors/item.rs"]
mod item;

use item::{Item, KINDS, take};

use crate::Input;

/// A version, a kind of message, then its bytes.
pub fn core_wire(data: &[u8]) {
    let mut input = Input(data);
    let Some(version) = input.version() else { return };
    let Some(kind) = input.one_of(&KINDS) else { return };
    let bytes = input.0;
    let whole = take(kind, bytes, version);
    // A datagram ends with its packet.
    if kind != "datagram" {
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
            let part = take(kind, &bytes[..cut], version);
            assert!(part == Ok(None) || part == whole, "{cut} bytes are {part:?}, all {whole:?}");
        }
    }
    let Ok(Some((item, used))) = whole else { return };
    assert!(used <= bytes.len() && item.kind() == kind);
    if !matches!(item, Item::Announce(Announce::Other { .. })) {
        let mut again = BytesMut::new();
        item.encode(&mut again, version);
        assert_eq!(take(kind, &again, version), Ok(Some((item, again.len()))));
    }
}

/// The byte that stands for a kind of message.
pub fn kind(name: &str) -> u8 {
    let at = KINDS.iter().position(|kind| *kind == name).expect("a kind of the vectors");
    at.try_into().expect("there are few kinds")
}

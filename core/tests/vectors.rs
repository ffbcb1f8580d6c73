//! The golden vectors in `vectors/`: what every implementation of moq-lite writes, accepts and refuses.

use std::collections::BTreeSet;

use bytes::BytesMut;
use smoq_core::{
    Version,
    wire::{DecodeError, take_message, take_typed_message, varint},
};

#[path = "vectors/describe.rs"]
mod describe;
#[path = "vectors/item.rs"]
mod item;
#[path = "vectors/rows.rs"]
mod rows;

use describe::describe;
use item::{Item, KINDS, LIMIT};
use rows::{ACCEPTED, CANONICAL, REJECTED, Row, rows};

/// Reads all of `bytes` as items of `kinds`; `None` while bytes are missing.
fn decode(
    kinds: &[&str],
    bytes: &[u8],
    version: Version,
) -> Result<Option<Vec<Item>>, DecodeError> {
    let mut items = Vec::new();
    let mut at = 0;
    for kind in kinds {
        let Some((item, used)) = item::take(kind, &bytes[at..], version)? else {
            return Ok(None);
        };
        at += used;
        assert_eq!(item.kind(), *kind);
        items.push(item);
    }
    assert_eq!(at, bytes.len(), "bytes are left");
    Ok(Some(items))
}

fn meaning(items: &[Item]) -> String {
    items.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn encode(items: &[Item], version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    for item in items {
        item.encode(&mut out, version);
    }
    out
}

/// Whether a type stands in front of the length; `None` if there is no length.
fn framing(kind: &str, version: Version) -> Option<bool> {
    match kind {
        "bidi" | "uni" | "frame_header" | "frame" | "datagram" => None,
        "announce" => Some(version.has_announce_ids()),
        "response" => Some(true),
        _ => Some(false),
    }
}

#[test]
fn canonical_rows_go_both_ways() {
    for Row { version, kinds, meaning, bytes, text } in rows(CANONICAL) {
        let items = decode(&kinds, &bytes, version).unwrap().expect(text);
        assert_eq!(self::meaning(&items), meaning, "{version}: {text}");
        assert_eq!(encode(&items, version), bytes, "{version}: {text}");
    }
}

#[test]
fn accepted_rows_mean_what_they_say() {
    for Row { version, kinds, meaning, bytes, text } in rows(ACCEPTED) {
        let items = decode(&kinds, &bytes, version).unwrap().expect(text);
        assert_eq!(self::meaning(&items), meaning, "{version}: {text}");
        if !meaning.contains("other kind") {
            assert_ne!(encode(&items, version), bytes, "this row is canonical, move it: {text}");
        }
    }
}

#[test]
fn rejected_rows_break_the_rule_that_they_name() {
    for Row { version, kinds, meaning, bytes, text } in rows(REJECTED) {
        let error = decode(&kinds, &bytes, version).expect_err(text);
        assert_eq!(format!("{error:?}"), meaning, "{version}: {text}");
    }
}

#[test]
fn a_cut_row_asks_for_more() {
    for Row { version, kinds, meaning, bytes, text } in
        rows(CANONICAL).into_iter().chain(rows(ACCEPTED))
    {
        for cut in 0..bytes.len() {
            match decode(&kinds, &bytes[..cut], version) {
                Ok(None) => assert_ne!(kinds, ["datagram"], "{version} at {cut}: {text}"),
                // Nothing follows a datagram: a cut one is broken, or has a shorter payload.
                Ok(Some(items)) => {
                    assert_eq!(kinds, ["datagram"], "{version} at {cut}: {text}");
                    assert_ne!(self::meaning(&items), meaning);
                }
                Err(error) => {
                    assert_eq!(error, DecodeError::Truncated);
                    assert_eq!(kinds, ["datagram"], "{version} at {cut}: {text}");
                }
            }
        }
    }
}

#[test]
fn a_cut_refusal_never_passes() {
    for Row { version, kinds, bytes, text, .. } in rows(REJECTED) {
        for cut in 0..bytes.len() {
            let cut = decode(&kinds, &bytes[..cut], version);
            assert!(matches!(cut, Ok(None) | Err(_)), "{version}: {text}");
        }
    }
}

#[test]
fn a_body_of_another_length_is_refused() {
    for Row { version, kinds, bytes, text, .. } in rows(CANONICAL) {
        let ([kind], Some(typed)) = (&kinds[..], framing(kinds[0], version)) else {
            continue;
        };
        let (prefix, body) = if typed {
            let framed = take_typed_message(&bytes, LIMIT).unwrap().unwrap();
            (&bytes[..varint::len(framed.kind)], &bytes[framed.body])
        } else {
            (&bytes[..0], &bytes[take_message(&bytes, LIMIT).unwrap().unwrap().body])
        };
        let framed = |body: &[u8]| {
            let mut out = prefix.to_vec();
            varint::encode(body.len() as u64, &mut out);
            out.extend_from_slice(body);
            item::take(kind, &out, version)
        };
        for cut in 0..body.len() {
            assert_eq!(
                framed(&body[..cut]),
                Err(DecodeError::Truncated),
                "{version} at {cut}: {text}"
            );
        }
        let longer = [body, &[0, 0]].concat();
        assert_eq!(framed(&longer), Err(DecodeError::TrailingBytes(2)), "{version}: {text}");
    }
}

#[test]
fn every_message_of_every_version_has_a_vector() {
    let present: BTreeSet<_> = rows(CANONICAL)
        .into_iter()
        .flat_map(|row| row.kinds.into_iter().map(move |kind| (row.version, kind)))
        .collect();
    for version in Version::ALL {
        for kind in KINDS {
            let exists = match kind {
                "setup" => version.has_setup(),
                "announce_ok" => version.has_announce_ok(),
                "track" | "track_info" => version.has_track(),
                "goaway" => version.has_goaway(),
                "datagram" => version.has_datagrams(),
                _ => true,
            };
            assert_eq!(present.contains(&(version, kind)), exists, "{version} {kind}");
        }
    }
}

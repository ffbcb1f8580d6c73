//! Field sections (RFC 9204) without a dynamic table.

use alloc::{string::String, vec::Vec};

use bytes::{BufMut, BytesMut};

use crate::{Error, huffman, static_table::STATIC_TABLE};

/// One field: its name in lower case, and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// As in `:path`.
    pub name: String,
    /// As in `/`.
    pub value: String,
}

/// What a field counts besides its bytes (RFC 9114, section 4.2.2).
const FIELD_OVERHEAD: usize = 32;

/// Appends a field section. Fields that the static table has are references, all others literals.
pub fn encode<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>, out: &mut BytesMut) {
    // Required insert count and base: no dynamic table.
    out.put_slice(&[0, 0]);
    for (name, value) in fields {
        let position =
            |wanted: &dyn Fn(&(&str, &str)) -> bool| STATIC_TABLE.iter().position(wanted);
        if let Some(index) = position(&|entry| *entry == (name, value)) {
            put_integer(0b1100_0000, 6, index as u64, out);
            continue;
        }
        match position(&|entry| entry.0 == name) {
            Some(index) => put_integer(0b0101_0000, 4, index as u64, out),
            None => {
                put_integer(0b0010_0000, 3, name.len() as u64, out);
                out.put_slice(name.as_bytes());
            }
        }
        put_integer(0, 7, value.len() as u64, out);
        out.put_slice(value.as_bytes());
    }
}

/// Understands a field section whose fields count at most `limit` bytes, 32 for each field included.
///
/// # Errors
/// [`Error::TooMuch`], [`Error::Qpack`] for a reference to a dynamic table and for what is no encoding
/// at all, and [`Error::Message`] for names and values that are no UTF-8.
pub fn decode(mut data: &[u8], limit: usize) -> Result<Vec<Field>, Error> {
    let data = &mut data;
    if take_integer(8, data)? != 0 {
        return Err(Error::Qpack);
    }
    take_integer(7, data)?;
    let mut fields = Vec::new();
    let mut left = limit;
    while let Some(&first) = data.first() {
        let field = match first {
            // Indexed, static.
            0b1100_0000.. => {
                let (name, value) = entry(take_integer(6, data)?)?;
                Field { name: name.into(), value: value.into() }
            }
            // Literal with the name of an entry, static.
            _ if first & 0b1101_0000 == 0b0101_0000 => {
                let (name, _) = entry(take_integer(4, data)?)?;
                Field { name: name.into(), value: take_string(7, data)? }
            }
            // Literal.
            _ if first & 0b1110_0000 == 0b0010_0000 => {
                Field { name: take_string(3, data)?, value: take_string(7, data)? }
            }
            // Everything else refers to a dynamic table.
            _ => return Err(Error::Qpack),
        };
        let cost = FIELD_OVERHEAD + field.name.len() + field.value.len();
        left = left.checked_sub(cost).ok_or(Error::TooMuch)?;
        fields.push(field);
    }
    Ok(fields)
}

fn entry(index: u64) -> Result<(&'static str, &'static str), Error> {
    let index = usize::try_from(index).map_err(|_| Error::Qpack)?;
    STATIC_TABLE.get(index).copied().ok_or(Error::Qpack)
}

/// Appends an integer whose first byte has `bits` bits of room below `first` (RFC 7541, section 5.1).
fn put_integer(first: u8, bits: u32, value: u64, out: &mut BytesMut) {
    let most = (1 << bits) - 1;
    if value < most {
        return out.put_u8(first | value as u8);
    }
    out.put_u8(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn take_byte(data: &mut &[u8]) -> Result<u8, Error> {
    let (&first, rest) = data.split_first().ok_or(Error::Qpack)?;
    *data = rest;
    Ok(first)
}

fn take_integer(bits: u32, data: &mut &[u8]) -> Result<u64, Error> {
    let most = (1 << bits) - 1;
    let mut value = u64::from(take_byte(data)?) & most;
    if value < most {
        return Ok(value);
    }
    for shift in (0..62).step_by(7) {
        let byte = take_byte(data)?;
        let more = u64::from(byte & 0x7f).checked_mul(1 << shift).ok_or(Error::Qpack)?;
        value = value.checked_add(more).ok_or(Error::Qpack)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::Qpack)
}

/// A string whose length has `bits` bits in the first byte; the bit above says Huffman.
fn take_string(bits: u32, data: &mut &[u8]) -> Result<String, Error> {
    let huffman = data.first().ok_or(Error::Qpack)? >> bits & 1 == 1;
    let len = usize::try_from(take_integer(bits, data)?).map_err(|_| Error::Qpack)?;
    if len > data.len() {
        return Err(Error::Qpack);
    }
    let (bytes, rest) = data.split_at(len);
    *data = rest;
    let bytes = if huffman { huffman::decode(bytes).ok_or(Error::Qpack)? } else { bytes.into() };
    String::from_utf8(bytes).map_err(|_| Error::Message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 << 10;

    fn pairs(fields: &[Field]) -> Vec<(&str, &str)> {
        fields.iter().map(|field| (&*field.name, &*field.value)).collect()
    }

    #[test]
    fn fields_go_both_ways() {
        let long = "x".repeat(5000);
        let fields = [
            (":method", "CONNECT"),
            (":path", "/room?jwt=x"),
            (":protocol", "webtransport"),
            ("wt-available-protocols", r#""moq-lite-06""#),
            ("x", &long),
            ("", ""),
        ];
        let mut section = BytesMut::new();
        encode(fields, &mut section);
        let decoded = decode(&section, LIMIT).unwrap();
        assert_eq!(pairs(&decoded), fields);
        for cut in 0..section.len() {
            // A cut between fields is a shorter section.
            if let Ok(fewer) = decode(&section[..cut], LIMIT) {
                assert!(decoded.starts_with(&fewer));
            }
        }
    }

    #[test]
    fn huffman_is_understood() {
        // ":path" of the static table and "www.example.com" (RFC 7541, section C.4.1).
        let coded = [
            0, 0, 0x51, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4,
            0xff,
        ];
        assert_eq!(pairs(&decode(&coded, LIMIT).unwrap()), [(":path", "www.example.com")]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        let bad: [&[u8]; 10] = [
            &[],
            &[0],
            &[1, 0],
            &[0, 0, 0x80],
            &[0, 0, 0x10],
            &[0, 0, 0x00],
            &[0, 0, 0xff, 0x30],
            &[0, 0, 0x51],
            &[0, 0, 0x51, 5],
            &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for section in bad {
            assert_eq!(decode(section, LIMIT), Err(Error::Qpack), "{section:x?}");
        }
        // What is well encoded and no text is the fault of one message.
        assert_eq!(decode(&[0, 0, 0x51, 1, 0xff], LIMIT), Err(Error::Message));
    }

    #[test]
    fn many_small_references_are_bounded() {
        // One byte each, which counts 42 bytes.
        let mut section = BytesMut::from(&[0, 0][..]);
        section.resize(1000, 0xd1);
        assert_eq!(decode(&section, LIMIT), Err(Error::TooMuch));
        assert_eq!(decode(&section[..380], LIMIT).map(|fields| fields.len()), Ok(378));
    }
}

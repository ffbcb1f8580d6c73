//! The Huffman code of HPACK and QPACK (RFC 7541, appendix B).
//!
//! It is canonical: codes of one length are consecutive, in the order of their symbols, and follow
//! those of the length before. So the lengths alone say everything.

use alloc::vec::Vec;

/// Bits of the code of each byte, and of the end mark.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LONGEST: usize = 30;

/// What is known of the codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// The first code.
    code: u32,
    /// How many there are.
    count: u32,
    /// Where their symbols begin in [`SYMBOLS`].
    symbols: u32,
}

/// Symbols in the order of their codes.
const SYMBOLS: [u16; 257] = {
    let mut symbols = [0; 257];
    let mut next = 0;
    let mut length = 1;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[next] = symbol as u16;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

/// By length.
const CODES: [Length; LONGEST + 1] = {
    let mut codes = [Length { code: 0, count: 0, symbols: 0 }; LONGEST + 1];
    let mut length = 1;
    while length <= LONGEST {
        let before = codes[length - 1];
        let mut count = 0;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            count += (LENGTHS[symbol] as usize == length) as u32;
            symbol += 1;
        }
        let code = (before.code + before.count) << 1;
        codes[length] = Length { code, count, symbols: before.symbols + before.count };
        length += 1;
    }
    codes
};

/// The end mark: it may not be in a string.
const END: u16 = 256;

/// Decodes a string. `None` if it is not well-formed: a code that is none, the end mark, or padding
/// that is longer than seven bits or has a zero in it (RFC 7541, section 5.2).
pub(crate) fn decode(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 2);
    let (mut code, mut length) = (0, 0);
    for byte in data {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            let known = CODES.get(length)?;
            if let Some(index) = code.checked_sub(known.code).filter(|index| *index < known.count) {
                let symbol = SYMBOLS[(known.symbols + index) as usize];
                if symbol == END {
                    return None;
                }
                out.push(symbol as u8);
                (code, length) = (0, 0);
            }
        }
    }
    let padding = code == (1 << length) - 1;
    (length < 8 && padding).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_standard_decode() {
        // RFC 7541, sections C.4 and C.6.
        let examples: [(&[u8], &[u8]); 4] = [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
                b"www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], b"no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], b"custom-key"),
            (&[0x64, 0x02], b"302"),
        ];
        for (coded, plain) in examples {
            assert_eq!(decode(coded).as_deref(), Some(plain));
        }
        assert_eq!(decode(&[]).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn the_code_is_complete() {
        let last = CODES[LONGEST];
        assert_eq!(last.code + last.count, 1 << LONGEST);
        assert_eq!(SYMBOLS[256], END);
    }

    #[test]
    fn wrong_padding_is_refused() {
        // "0" is 00000: three bits of padding.
        assert_eq!(decode(&[0b0000_0111]).as_deref(), Some(&b"0"[..]));
        assert_eq!(decode(&[0b0000_0110]), None);
        assert_eq!(decode(&[0b0000_0111, 0xff]), None, "more than seven bits");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), None, "the end mark");
    }
}

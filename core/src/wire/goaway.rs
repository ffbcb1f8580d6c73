//! The goaway stream: the session is about to end (04 and later).

use alloc::{borrow::ToOwned, string::String};

use bytes::BytesMut;

use super::{Body, DecodeError, Message, writer};
use crate::Version;

/// GOAWAY: no new requests, please connect elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Goaway {
    /// Where to connect to, empty for the same place. At most [`MAX_URI`](Self::MAX_URI) bytes.
    pub uri: String,
}

impl Goaway {
    /// The longest URI, in bytes.
    pub const MAX_URI: usize = 8192;
}

impl Message for Goaway {
    fn decode_body(body: &mut Body<'_>, _: Version) -> Result<Self, DecodeError> {
        let uri = body.str()?;
        if uri.len() > Self::MAX_URI {
            return Err(DecodeError::UriTooLong(uri.len()));
        }
        Ok(Self { uri: uri.to_owned() })
    }

    fn encode_body(&self, out: &mut BytesMut, _: Version) {
        writer::bytes(self.uri.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_uri_passes() {
        let goaway = Goaway { uri: "a".repeat(Goaway::MAX_URI) };
        let mut out = BytesMut::new();
        goaway.encode_body(&mut out, Version::Lite06);
        assert_eq!(Goaway::decode(&out, Version::Lite06), Ok(goaway));
    }
}

//! Capsules (RFC 9297, section 3): what is said on the CONNECT stream of a session.

use alloc::string::String;

use bytes::{Bytes, BytesMut};

use crate::{
    Error, frame,
    frame::{Piece, Units},
};

/// WT_CLOSE_SESSION (draft-ietf-webtrans-http3, section 6).
pub const CLOSE: u64 = 0x2843;

/// Bytes of a reason, at most (draft-ietf-webtrans-http3, section 6).
pub const MAX_REASON: usize = 1024;

/// How an application ended its session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Close {
    /// Its code.
    pub code: u32,
    /// Its words.
    pub reason: String,
}

impl Close {
    /// Appends the capsule. A longer reason is cut to [`MAX_REASON`], between characters.
    pub fn encode(&self, out: &mut BytesMut) {
        let end = (0..=MAX_REASON.min(self.reason.len()))
            .rev()
            .find(|&end| self.reason.is_char_boundary(end))
            .unwrap_or(0);
        let mut body = BytesMut::with_capacity(4 + end);
        body.extend_from_slice(&self.code.to_be_bytes());
        body.extend_from_slice(&self.reason.as_bytes()[..end]);
        // Capsules have the form of frames.
        frame::encode(CLOSE, &body, out);
    }

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let (code, reason) = body.split_first_chunk().ok_or(Error::Message)?;
        let reason = String::from_utf8_lossy(reason).into_owned();
        Ok(Self { code: u32::from_be_bytes(*code), reason })
    }
}

/// Finds the end of a session in its capsules, in whatever pieces they come. Capsules that mean
/// nothing here (DATAGRAM, DRAIN, GREASE) are passed over without being kept.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    units: Units,
    /// Inside WT_CLOSE_SESSION: what of it has come.
    body: Option<BytesMut>,
}

impl Reader {
    /// Looks at the next bytes; what comes behind the end is left out.
    ///
    /// # Errors
    /// [`Error::Message`] if the capsule that ends a session is too long or too short.
    pub fn read(&mut self, data: &mut Bytes) -> Result<Option<Close>, Error> {
        while let Some(piece) = self.units.next(data) {
            match piece {
                Piece::Start { ty: CLOSE, len } => {
                    if len > 4 + MAX_REASON as u64 {
                        return Err(Error::Message);
                    }
                    self.body = Some(BytesMut::new());
                }
                Piece::Start { .. } => {}
                Piece::Payload(bytes) => {
                    if let Some(body) = &mut self.body {
                        body.extend_from_slice(&bytes);
                    }
                }
                Piece::End => {
                    if let Some(body) = self.body.take() {
                        return Close::decode(&body).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The stream ends.
    ///
    /// # Errors
    /// [`Error::Message`] if it ends inside a capsule (RFC 9297, section 3.3).
    pub fn finish(&self) -> Result<(), Error> {
        self.units.finish().map_err(|_| Error::Message)
    }

    /// Bytes kept, at most 4 and [`MAX_REASON`].
    pub fn buffered(&self) -> usize {
        self.body.as_ref().map_or(0, BytesMut::len)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn close(code: u32, reason: &str) -> Close {
        Close { code, reason: reason.to_string() }
    }

    #[test]
    fn the_end_is_found_however_it_comes() {
        let mut stream = BytesMut::new();
        frame::encode(0x78ae, b"", &mut stream);
        frame::encode(0x17, &[1; 300], &mut stream);
        let end = close(u32::MAX, "good bye");
        end.encode(&mut stream);
        let stream = stream.freeze();
        for cut in 0..=stream.len() {
            let mut reader = Reader::default();
            let (mut first, mut second) = (stream.slice(..cut), stream.slice(cut..));
            let found = reader.read(&mut first).unwrap();
            let found = found.or_else(|| {
                assert_eq!(reader.finish().is_ok(), [0, 5, 308].contains(&cut), "{cut}");
                reader.read(&mut second).unwrap()
            });
            assert_eq!(found, Some(end.clone()));
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let mut capsule = BytesMut::new();
        close(1, &"€".repeat(400)).encode(&mut capsule);
        let found = Reader::default().read(&mut capsule.freeze()).unwrap().unwrap();
        assert_eq!(found.reason.len(), 1023);
    }

    #[test]
    fn a_bad_end_is_refused() {
        for body in [&[0; 3][..], &[0; 1029]] {
            let mut capsule = BytesMut::new();
            frame::encode(CLOSE, body, &mut capsule);
            let read = Reader::default().read(&mut capsule.freeze());
            assert_eq!(read, Err(Error::Message), "{}", body.len());
        }
    }

    #[test]
    fn endless_capsules_keep_nothing() {
        let mut reader = Reader::default();
        let mut data =
            Bytes::from_static(&[0x17, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(reader.read(&mut data), Ok(None));
        assert!(reader.body.is_none() && data.is_empty());
    }
}

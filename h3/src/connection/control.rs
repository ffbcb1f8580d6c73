//! What the peer says on its control stream (RFC 9114, section 6.2.1).

use bytes::{Bytes, BytesMut};

use crate::{
    Error, Settings, Side, frame,
    frame::{Piece, Units},
    varint,
};

/// Reads the peer's control stream: SETTINGS first, then little that matters to one session.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// The reader's end.
    side: Side,
    units: Units,
    at: At,
}

/// What was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    Settings(Settings),
    /// No more requests are answered.
    Goaway,
}

#[derive(Clone, Debug)]
enum At {
    /// Nothing has come.
    Begin,
    /// Inside SETTINGS.
    Settings(BytesMut),
    /// Inside GOAWAY, which is one integer.
    Goaway(BytesMut),
    /// Inside MAX_PUSH_ID, which is one too.
    MaxPushId(BytesMut),
    /// Behind SETTINGS, between frames or inside one that is passed over.
    Rest,
}

impl Control {
    pub(super) fn new(side: Side) -> Self {
        Self { side, units: Units::default(), at: At::Begin }
    }

    /// Reads on until there is something to know. The rest of `data` is for the next call. SETTINGS may
    /// have at most `limit` bytes.
    pub(super) fn read(&mut self, data: &mut Bytes, limit: usize) -> Result<Option<Said>, Error> {
        while let Some(piece) = self.units.next(data) {
            match piece {
                Piece::Start { ty, len } => self.begin(ty, len, limit)?,
                Piece::Payload(bytes) => match &mut self.at {
                    At::Settings(body) | At::Goaway(body) | At::MaxPushId(body) => {
                        body.extend_from_slice(&bytes);
                    }
                    At::Begin | At::Rest => {}
                },
                Piece::End => match core::mem::replace(&mut self.at, At::Rest) {
                    At::Settings(body) => {
                        return Settings::decode(&body).map(Said::Settings).map(Some);
                    }
                    At::Goaway(body) => {
                        integer(body)?;
                        return Ok(Some(Said::Goaway));
                    }
                    At::MaxPushId(body) => integer(body)?,
                    At::Begin | At::Rest => {}
                },
            }
        }
        Ok(None)
    }

    fn begin(&mut self, ty: u64, len: u64, limit: usize) -> Result<(), Error> {
        self.at = match (&self.at, ty) {
            (At::Begin, frame::SETTINGS) if len > limit as u64 => return Err(Error::TooMuch),
            (At::Begin, frame::SETTINGS) => At::Settings(BytesMut::new()),
            (At::Begin, _) => return Err(Error::MissingSettings),
            (_, frame::CANCEL_PUSH) => return Err(Error::PushId),
            (_, frame::GOAWAY | frame::MAX_PUSH_ID) if len > varint::MAX_LEN as u64 => {
                return Err(Error::Frame);
            }
            (_, frame::GOAWAY) => At::Goaway(BytesMut::new()),
            // A push is never made.
            (_, frame::MAX_PUSH_ID) if self.side == Side::Server => At::MaxPushId(BytesMut::new()),
            _ if frame::is_known(ty) => return Err(Error::UnexpectedFrame(ty)),
            _ => At::Rest,
        };
        Ok(())
    }

    /// Bytes kept.
    pub(super) fn buffered(&self) -> usize {
        match &self.at {
            At::Settings(body) | At::Goaway(body) | At::MaxPushId(body) => body.len(),
            At::Begin | At::Rest => 0,
        }
    }
}

/// A body that is one integer.
fn integer(mut body: BytesMut) -> Result<(), Error> {
    varint::decode(&mut body).ok_or(Error::Frame)?;
    if body.is_empty() { Ok(()) } else { Err(Error::Frame) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const LIMIT: usize = 1000;

    fn read(side: Side, frames: &[(u64, &[u8])]) -> Result<Vec<Said>, Error> {
        let mut stream = BytesMut::new();
        for (ty, payload) in frames {
            frame::encode(*ty, payload, &mut stream);
        }
        let stream = stream.freeze();
        let read = |size: usize| {
            let (mut control, mut said) = (Control::new(side), Vec::new());
            for piece in stream.chunks(size) {
                let mut piece = Bytes::copy_from_slice(piece);
                while let Some(what) = control.read(&mut piece, LIMIT)? {
                    said.push(what);
                }
            }
            Ok(said)
        };
        let whole = read(stream.len());
        assert_eq!(read(1), whole, "in single bytes it is the same");
        whole
    }

    const SETTINGS: (u64, &[u8]) = (frame::SETTINGS, &[8, 1]);

    #[test]
    fn settings_come_first_and_once() {
        let read = |frames: &[_]| read(Side::Server, frames);
        let said = read(&[SETTINGS]).unwrap();
        assert!(matches!(said[..], [Said::Settings(Settings { connect: true, .. })]));
        assert_eq!(read(&[(0x21, b"grease"), SETTINGS]), Err(Error::MissingSettings));
        assert_eq!(read(&[SETTINGS, SETTINGS]), Err(Error::UnexpectedFrame(4)));
        assert_eq!(read(&[(frame::SETTINGS, &[0; LIMIT + 1])]), Err(Error::TooMuch));
    }

    #[test]
    fn what_follows_is_checked_and_passed_over() {
        let read = |frame| read(Side::Server, &[SETTINGS, frame, (0x21, &[7; 300])]);
        for good in [(frame::MAX_PUSH_ID, &[0x40, 0][..]), (0x40, &[])] {
            assert_eq!(read(good).map(|said| said.len()), Ok(1));
        }
        assert_eq!(read((frame::GOAWAY, &[4])).unwrap()[1], Said::Goaway);
        for (bad, error) in [
            ((frame::GOAWAY, &[][..]), Error::Frame),
            ((frame::GOAWAY, &[0; 2]), Error::Frame),
            ((frame::GOAWAY, &[0; 9]), Error::Frame),
            ((frame::CANCEL_PUSH, &[0]), Error::PushId),
            ((frame::DATA, &[0]), Error::UnexpectedFrame(frame::DATA)),
            ((frame::HEADERS, &[]), Error::UnexpectedFrame(frame::HEADERS)),
            ((0x6, &[]), Error::UnexpectedFrame(6)),
        ] {
            assert_eq!(read(bad), Err(error));
        }
    }

    #[test]
    fn only_a_client_allows_pushes() {
        let frames = [SETTINGS, (frame::MAX_PUSH_ID, &[0][..])];
        assert_eq!(read(Side::Client, &frames), Err(Error::UnexpectedFrame(frame::MAX_PUSH_ID)));
    }
}

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

#[derive(Clone, Debug)]
enum At {
    /// Nothing has come.
    Begin,
    /// Inside SETTINGS.
    Settings(BytesMut),
    /// Inside a frame that is one integer.
    Integer(BytesMut),
    /// Behind SETTINGS, between frames or inside one that is passed over.
    Rest,
}

impl Control {
    pub(super) fn new(side: Side) -> Self {
        Self { side, units: Units::default(), at: At::Begin }
    }

    /// Reads all of `data`. Gives the settings when they are whole; those may have at most `limit`
    /// bytes.
    pub(super) fn read(
        &mut self,
        data: &mut Bytes,
        limit: usize,
    ) -> Result<Option<Settings>, Error> {
        let mut settings = None;
        while let Some(piece) = self.units.next(data) {
            match piece {
                Piece::Start { ty, len } => self.begin(ty, len, limit)?,
                Piece::Payload(bytes) => match &mut self.at {
                    At::Settings(body) | At::Integer(body) => body.extend_from_slice(&bytes),
                    At::Begin | At::Rest => {}
                },
                Piece::End => match core::mem::replace(&mut self.at, At::Rest) {
                    At::Settings(body) => settings = Some(Settings::decode(&body)?),
                    At::Integer(mut body) => {
                        varint::decode(&mut body).ok_or(Error::Frame)?;
                        if !body.is_empty() {
                            return Err(Error::Frame);
                        }
                    }
                    At::Begin | At::Rest => {}
                },
            }
        }
        Ok(settings)
    }

    fn begin(&mut self, ty: u64, len: u64, limit: usize) -> Result<(), Error> {
        self.at = match (&self.at, ty) {
            (At::Begin, frame::SETTINGS) if len > limit as u64 => return Err(Error::TooMuch),
            (At::Begin, frame::SETTINGS) => At::Settings(BytesMut::new()),
            (At::Begin, _) => return Err(Error::MissingSettings),
            (_, frame::CANCEL_PUSH) => return Err(Error::PushId),
            // Neither changes anything for a session that is there: after GOAWAY there are no new ones
            // (RFC 9114, section 5.2), and a push is never made.
            (_, frame::GOAWAY) => At::integer(len)?,
            (_, frame::MAX_PUSH_ID) if self.side == Side::Server => At::integer(len)?,
            _ if frame::is_known(ty) => return Err(Error::UnexpectedFrame(ty)),
            _ => At::Rest,
        };
        Ok(())
    }

    /// Bytes kept.
    pub(super) fn buffered(&self) -> usize {
        match &self.at {
            At::Settings(body) | At::Integer(body) => body.len(),
            At::Begin | At::Rest => 0,
        }
    }
}

impl At {
    fn integer(len: u64) -> Result<Self, Error> {
        if len > varint::MAX_LEN as u64 {
            Err(Error::Frame)
        } else {
            Ok(Self::Integer(BytesMut::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn read(side: Side, frames: &[(u64, &[u8])]) -> Result<Option<Settings>, Error> {
        let mut stream = BytesMut::new();
        for (ty, payload) in frames {
            frame::encode(*ty, payload, &mut stream);
        }
        let stream = stream.freeze();
        let whole = Control::new(side).read(&mut stream.clone(), LIMIT);
        // In single bytes it is the same.
        let mut control = Control::new(side);
        let mut found = Ok(None);
        for byte in stream.chunks(1) {
            match control.read(&mut Bytes::copy_from_slice(byte), LIMIT) {
                Ok(None) => {}
                Ok(settings) => found = Ok(settings),
                Err(error) => {
                    found = Err(error);
                    break;
                }
            }
        }
        assert_eq!(found, whole);
        whole
    }

    const SETTINGS: (u64, &[u8]) = (frame::SETTINGS, &[8, 1]);

    #[test]
    fn settings_come_first_and_once() {
        let read = |frames: &[_]| read(Side::Server, frames);
        assert!(read(&[SETTINGS]).unwrap().unwrap().connect);
        assert_eq!(read(&[(0x21, b"grease"), SETTINGS]), Err(Error::MissingSettings));
        assert_eq!(read(&[SETTINGS, SETTINGS]), Err(Error::UnexpectedFrame(4)));
        assert_eq!(read(&[(frame::SETTINGS, &[0; LIMIT + 1])]), Err(Error::TooMuch));
    }

    #[test]
    fn what_follows_is_checked_and_passed_over() {
        let read = |frame| read(Side::Server, &[SETTINGS, frame, (0x21, &[7; 300])]);
        for good in [(frame::GOAWAY, &[4][..]), (frame::MAX_PUSH_ID, &[0x40, 0]), (0x40, &[])] {
            assert!(read(good).unwrap().is_some());
        }
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

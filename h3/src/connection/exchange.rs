//! A request stream: what the peer sends on it (RFC 9114, section 4).

use bytes::{Bytes, BytesMut};

use crate::{
    Error,
    capsule::{self, Close},
    frame::{self, Piece, Units},
};

/// Reads one direction of a request stream: HEADERS, then DATA with capsules in it.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    units: Units,
    at: At,
    /// The fields that say what the stream is are there.
    headed: bool,
    capsules: capsule::Reader,
}

#[derive(Clone, Debug)]
enum At {
    /// Between frames, or inside one that is passed over.
    Pass,
    /// Inside HEADERS.
    Fields(BytesMut),
    /// Inside DATA.
    Body,
}

/// What was found on the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// A whole field section.
    Fields(BytesMut),
    /// The end of the session.
    Close(Close),
}

impl Exchange {
    /// Nothing has come.
    pub(super) fn new() -> Self {
        Self {
            units: Units::default(),
            at: At::Pass,
            headed: false,
            capsules: capsule::Reader::default(),
        }
    }

    /// A frame has begun. Its fields may have at most `limit` bytes.
    pub(super) fn begun(ty: u64, len: u64, limit: usize) -> Result<Self, Error> {
        let mut exchange = Self { units: Units::inside(len), ..Self::new() };
        exchange.begin(ty, len, limit)?;
        Ok(exchange)
    }

    fn begin(&mut self, ty: u64, len: u64, limit: usize) -> Result<(), Error> {
        self.at = match ty {
            frame::HEADERS if !self.headed && len > limit as u64 => return Err(Error::TooMuch),
            frame::HEADERS if !self.headed => At::Fields(BytesMut::new()),
            frame::DATA if self.headed => At::Body,
            _ if frame::is_known(ty) => return Err(Error::UnexpectedFrame(ty)),
            _ => At::Pass,
        };
        Ok(())
    }

    /// Reads on until there is something to know. The rest of `data` is for the next call.
    pub(super) fn read(&mut self, data: &mut Bytes, limit: usize) -> Result<Option<Found>, Error> {
        while let Some(piece) = self.units.next(data) {
            match piece {
                Piece::Start { ty, len } => self.begin(ty, len, limit)?,
                Piece::Payload(mut bytes) => match &mut self.at {
                    At::Pass => {}
                    At::Fields(fields) => fields.extend_from_slice(&bytes),
                    At::Body => {
                        if let Some(close) = self.capsules.read(&mut bytes)? {
                            return Ok(Some(Found::Close(close)));
                        }
                    }
                },
                Piece::End => {
                    if let At::Fields(fields) = core::mem::replace(&mut self.at, At::Pass) {
                        self.headed = true;
                        return Ok(Some(Found::Fields(fields)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The fields were only an interim response (RFC 9114, section 4.1): others follow.
    pub(super) fn interim(&mut self) {
        self.headed = false;
    }

    /// Whether the fields are there.
    pub(super) fn is_headed(&self) -> bool {
        self.headed
    }

    /// The stream ends.
    pub(super) fn finish(&self) -> Result<(), Error> {
        self.units.finish()?;
        self.capsules.finish()
    }

    /// Bytes kept.
    pub(super) fn buffered(&self) -> usize {
        let fields = match &self.at {
            At::Fields(fields) => fields.len(),
            At::Pass | At::Body => 0,
        };
        fields + self.capsules.buffered()
    }
}

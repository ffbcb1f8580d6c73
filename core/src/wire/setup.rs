//! SETUP: the capabilities of a peer (05 and later).

use alloc::string::String;

use bytes::BytesMut;
use smallvec::SmallVec;

use super::{Body, DecodeError, Hop, Message, varint, writer};
use crate::Version;

const PROBE: u64 = 1;
const PATH: u64 = 2;
const ROLE: u64 = 3;
const COST: u64 = 4;
const HOP: u64 = 5;

/// What a publisher does with PROBE; each level includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum ProbeLevel {
    /// Nothing: no PROBE stream may be opened.
    #[default]
    None,
    /// It reports its estimates.
    Report,
    /// It also sends more to find out about a target.
    Increase,
}

/// What a client is going to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SetupRole {
    /// Publish and subscribe, or not known yet.
    #[default]
    Both,
    /// Publish only.
    Publisher,
    /// Subscribe only.
    Subscriber,
}

/// SETUP: sent once by each side, at once. Parameters with default values are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Setup {
    /// What the sender does with PROBE.
    pub probe: ProbeLevel,
    /// Client only: the requested path with its query, where the transport carries no URL.
    pub path: Option<String>,
    /// Client only: what it is going to do.
    pub role: SetupRole,
    /// Client only: the price of this link; the default is 1.
    pub cost: Option<u64>,
    /// The id of the sender, if it has one.
    pub hop: Option<Hop>,
}

impl Setup {
    /// A fitting limit for the body, in bytes.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// The most parameters that a peer may send.
    pub const MAX_PARAMETERS: u64 = 64;
}

impl Message for Setup {
    fn decode_body(body: &mut Body<'_>, _: Version) -> Result<Self, DecodeError> {
        let count = body.varint()?;
        if count > Self::MAX_PARAMETERS {
            return Err(DecodeError::TooManyParameters(count));
        }
        let mut setup = Self::default();
        let mut seen = SmallVec::<[u64; 8]>::new();
        for _ in 0..count {
            let id = body.varint()?;
            if seen.contains(&id) {
                return Err(DecodeError::DuplicateParameter(id));
            }
            seen.push(id);
            let mut value = Body::new(body.bytes()?);
            match id {
                PROBE => {
                    setup.probe = match value.varint()? {
                        0 => ProbeLevel::None,
                        1 => ProbeLevel::Report,
                        _ => ProbeLevel::Increase,
                    }
                }
                PATH => setup.path = Some(value.rest_as_str()?.into()),
                ROLE => {
                    setup.role = match value.varint()? {
                        1 => SetupRole::Publisher,
                        2 => SetupRole::Subscriber,
                        _ => SetupRole::Both,
                    }
                }
                COST => setup.cost = Some(value.varint()?),
                HOP => setup.hop = Some(Hop::decode(&mut value)?).filter(|hop| hop.is_known()),
                // Parameters of the future are skipped.
                _ => continue,
            }
            value.finish()?;
        }
        Ok(setup)
    }

    fn encode_body(&self, out: &mut BytesMut, _: Version) {
        let probe = match self.probe {
            ProbeLevel::None => None,
            ProbeLevel::Report => Some(1),
            ProbeLevel::Increase => Some(2),
        };
        let role = match self.role {
            SetupRole::Both => None,
            SetupRole::Publisher => Some(1),
            SetupRole::Subscriber => Some(2),
        };
        let hop = self.hop.filter(|hop| hop.is_known()).map(Hop::get);
        let numbers = [(PROBE, probe), (ROLE, role), (COST, self.cost), (HOP, hop)];
        let count = numbers.iter().filter(|(_, value)| value.is_some()).count()
            + usize::from(self.path.is_some());
        varint::encode(count as u64, out);
        for (id, value) in numbers {
            // Ids go up, so the path has its place before the role.
            if let (ROLE, Some(path)) = (id, &self.path) {
                varint::encode(PATH, out);
                writer::bytes(path.as_bytes(), out);
            }
            if let Some(value) = value {
                varint::encode(id, out);
                writer::framed(out, |out| varint::encode(value, out));
            }
        }
    }
}

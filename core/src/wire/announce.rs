//! The announce stream: which broadcasts there are.

use bytes::{BufMut, BytesMut};

use super::{
    Body, Cost, DecodeError, Framed, Hop, Hops, HopsError, MAX_HOPS, Message, TypedFramed,
    take_message, take_typed_message, varint, writer,
};
use crate::{Path, Version};

const STATUS_ENDED: u8 = 0;
const STATUS_ACTIVE: u8 = 1;
const STATUS_RESTART: u8 = 2;

const START: u64 = 0;
const END: u64 = 1;
const UPDATE: u64 = 2;

/// ANNOUNCE_REQUEST: the subscriber wants to know what is below a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceRequest {
    /// The prefix.
    pub prefix: Path,
    /// 04 and 05: leave out what passed through this hop.
    pub exclude_hop: Hop,
}

impl Message for AnnounceRequest {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        let prefix = body.path()?;
        let exclude_hop = if version.has_exclude_hop() { Hop::decode(body)? } else { Hop::UNKNOWN };
        Ok(Self { prefix, exclude_hop })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        writer::prefix(&self.prefix, out, version);
        if version.has_exclude_hop() {
            varint::encode(self.exclude_hop.get(), out);
        }
    }
}

/// ANNOUNCE_OK: the first answer of the publisher (05 and later).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceOk {
    /// The id of the publisher, which the receiver adds to the hops of each announcement.
    pub hop: Hop,
    /// How many announcements follow at once. Only a hint.
    pub active: u64,
}

impl Message for AnnounceOk {
    fn decode_body(body: &mut Body<'_>, _: Version) -> Result<Self, DecodeError> {
        Ok(Self { hop: Hop::decode(body)?, active: body.varint()? })
    }

    fn encode_body(&self, out: &mut BytesMut, _: Version) {
        varint::encode(self.hop.get(), out);
        varint::encode(self.active, out);
    }
}

/// One announcement. Paths are relative to the requested prefix and may be empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Announce {
    /// A broadcast is there. From 06, the n-th one on a stream has the id n, from 0; on 05, a
    /// second one for the same path replaces the first.
    Start {
        /// Which broadcast.
        suffix: Path,
        /// Who it passed through; 03 knows only how many, all [`Hop::UNKNOWN`].
        hops: Hops,
        /// What it costs; [`Cost::UNKNOWN`] before 06.
        cost: Cost,
    },
    /// Up to 05: a broadcast is gone.
    End {
        /// Which broadcast.
        suffix: Path,
    },
    /// From 06: a broadcast is gone, and its id is never used again.
    EndId {
        /// Which broadcast.
        id: u64,
    },
    /// From 06: a broadcast is reached by another route.
    Update {
        /// Which broadcast.
        id: u64,
        /// The new hops.
        hops: Hops,
        /// The new cost.
        cost: Cost,
    },
    /// From 06: something newer, to be ignored. It takes no id.
    Other {
        /// The unknown type.
        kind: u64,
    },
}

impl Announce {
    /// Reads the announcement at the start of `buffer` and says how many bytes it takes; `None`
    /// while some are missing. A body of more than `limit` bytes is an error.
    pub fn take(
        buffer: &[u8],
        limit: usize,
        version: Version,
    ) -> Result<Option<(Self, usize)>, DecodeError> {
        if version.has_announce_ids() {
            let Some(TypedFramed { kind, body, end }) = take_typed_message(buffer, limit)? else {
                return Ok(None);
            };
            Ok(Some((Self::decode_typed(kind, &buffer[body], version)?, end)))
        } else {
            let Some(Framed { body, end }) = take_message(buffer, limit)? else {
                return Ok(None);
            };
            Ok(Some((Self::decode_status(&buffer[body], version)?, end)))
        }
    }

    fn decode_typed(kind: u64, bytes: &[u8], version: Version) -> Result<Self, DecodeError> {
        let mut body = Body::new(bytes);
        let announce = match kind {
            START => Self::Start {
                suffix: body.path()?,
                hops: decode_hops(&mut body, version)?,
                cost: decode_cost(&mut body)?,
            },
            END => Self::EndId { id: body.varint()? },
            UPDATE => Self::Update {
                id: body.varint()?,
                hops: decode_hops(&mut body, version)?,
                cost: decode_cost(&mut body)?,
            },
            kind => return Ok(Self::Other { kind }),
        };
        body.finish()?;
        Ok(announce)
    }

    fn decode_status(bytes: &[u8], version: Version) -> Result<Self, DecodeError> {
        let mut body = Body::new(bytes);
        let status = body.byte()?;
        let suffix = body.path()?;
        let hops = decode_hops(&mut body, version)?;
        body.finish()?;
        match status {
            STATUS_ENDED => Ok(Self::End { suffix }),
            STATUS_ACTIVE => Ok(Self::Start { suffix, hops, cost: Cost::UNKNOWN }),
            // Defined on 05 only, and never sent there by moq-net.
            STATUS_RESTART if version >= Version::Lite05 => {
                Ok(Self::Start { suffix, hops, cost: Cost::UNKNOWN })
            }
            status => Err(DecodeError::InvalidStatus(status)),
        }
    }

    /// Writes the announcement.
    ///
    /// `version` must have it: [`End`](Self::End) is for up to 05, ids are for 06, and
    /// [`Other`](Self::Other) is never sent. Otherwise nothing is written.
    pub fn encode(&self, out: &mut BytesMut, version: Version) {
        match (self, version.has_announce_ids()) {
            (Self::Start { suffix, hops, .. }, false) => {
                encode_status(STATUS_ACTIVE, suffix, hops, out, version);
            }
            (Self::End { suffix }, false) => {
                encode_status(STATUS_ENDED, suffix, &Hops::new(), out, version);
            }
            (Self::Start { suffix, hops, cost }, true) => typed(START, out, |out| {
                writer::bytes(suffix.as_str().as_bytes(), out);
                encode_hops(hops, out, version);
                encode_cost(*cost, out);
            }),
            (Self::EndId { id }, true) => typed(END, out, |out| varint::encode(*id, out)),
            (Self::Update { id, hops, cost }, true) => typed(UPDATE, out, |out| {
                varint::encode(*id, out);
                encode_hops(hops, out, version);
                encode_cost(*cost, out);
            }),
            (Self::End { .. }, true)
            | (Self::EndId { .. } | Self::Update { .. }, false)
            | (Self::Other { .. }, _) => {
                debug_assert!(false, "{version} cannot say {self:?}");
            }
        }
    }
}

fn typed(kind: u64, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    varint::encode(kind, out);
    writer::framed(out, body);
}

fn encode_status(status: u8, suffix: &Path, hops: &Hops, out: &mut BytesMut, version: Version) {
    writer::framed(out, |out| {
        out.put_u8(status);
        // Never slashed: the Go peers append it to a prefix that ends with a slash.
        writer::bytes(suffix.as_str().as_bytes(), out);
        encode_hops(hops, out, version);
    });
}

fn decode_hops(body: &mut Body<'_>, version: Version) -> Result<Hops, DecodeError> {
    let count = body.varint()?;
    if count > MAX_HOPS as u64 {
        return Err(HopsError::TooMany.into());
    }
    let mut hops = Hops::new();
    for _ in 0..count {
        hops.push(if version.has_hop_ids() { Hop::decode(body)? } else { Hop::UNKNOWN })?;
    }
    Ok(hops)
}

fn encode_hops(hops: &Hops, out: &mut BytesMut, version: Version) {
    varint::encode(hops.len() as u64, out);
    if version.has_hop_ids() {
        for hop in hops.iter() {
            varint::encode(hop.get(), out);
        }
    }
}

fn decode_cost(body: &mut Body<'_>) -> Result<Cost, DecodeError> {
    Ok(Cost { warm: body.varint()?, cold: body.varint()? })
}

fn encode_cost(cost: Cost, out: &mut BytesMut) {
    varint::encode(cost.warm, out);
    varint::encode(cost.cold, out);
}

//! The subscribe stream: the live groups of a track.

use alloc::string::String;

use bytes::{BufMut, BytesMut};

use super::{Body, DecodeError, Message, TypedFramed, take_typed_message, varint, writer};
use crate::{Path, Version};

/// Which of several waiting groups goes first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum GroupOrder {
    /// The newest one: stay close to live.
    #[default]
    NewestFirst,
    /// The oldest one: leave no gaps.
    OldestFirst,
}

impl GroupOrder {
    /// Any byte but 0 counts as ordered: moq-net and gomoqt are that liberal too.
    pub(super) fn decode(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        Ok(if body.byte()? == 0 { Self::NewestFirst } else { Self::OldestFirst })
    }

    pub(super) fn encode(self, out: &mut BytesMut) {
        out.put_u8(match self {
            Self::NewestFirst => 0,
            Self::OldestFirst => 1,
        });
    }
}

/// SUBSCRIBE: opens a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// Chosen by the subscriber, never used twice in a session.
    pub id: u64,
    /// Which broadcast.
    pub broadcast: Path,
    /// Which track of it.
    pub track: String,
    /// What of the track, and how.
    pub params: SubscribeParams,
}

impl Message for Subscribe {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        Ok(Self {
            id: body.varint()?,
            broadcast: body.path()?,
            track: body.track_name()?,
            params: SubscribeParams::decode_body(body, version)?,
        })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        varint::encode(self.id, out);
        writer::path(&self.broadcast, out, version);
        writer::bytes(self.track.as_bytes(), out);
        self.params.encode_body(out, version);
    }
}

/// What a subscriber wants of a track. As a message of its own: SUBSCRIBE_UPDATE.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscribeParams {
    /// Higher goes first.
    pub priority: u8,
    /// Up to 05. From 06 it is always [`GroupOrder::NewestFirst`].
    pub order: GroupOrder,
    /// How long a group is worth sending after a newer one exists, in milliseconds.
    pub max_age_ms: u64,
    /// Up to 05: the group to start with, `None` for the latest one. From 06: no group before
    /// this one; `Some(0)` is the same as `None` and reads as `None`, unless `frame_start` counts
    /// from it.
    pub start: Option<u64>,
    /// The last group, inclusive.
    pub end: Option<u64>,
    /// From 06: the first frame of group `start`. Not written without `start`.
    pub frame_start: u64,
    /// From 06: the last frame of group `end`, inclusive. Not written without `end`.
    pub frame_end: Option<u64>,
}

impl Message for SubscribeParams {
    fn decode_body(body: &mut Body<'_>, version: Version) -> Result<Self, DecodeError> {
        let priority = body.byte()?;
        let order = if version.has_group_order() {
            GroupOrder::decode(body)?
        } else {
            GroupOrder::default()
        };
        let max_age_ms = body.varint()?;
        let start = if version.start_is_floor() { Some(body.varint()?) } else { body.option()? };
        let end = body.option()?;
        let (frame_start, frame_end) =
            if version.has_frame_bounds() { (body.varint()?, body.option()?) } else { (0, None) };
        if frame_end.is_some() && end.is_none() {
            return Err(DecodeError::FrameBoundWithoutGroupBound);
        }
        let no_floor = version.start_is_floor() && start == Some(0) && frame_start == 0;
        let start = if no_floor { None } else { start };
        Ok(Self { priority, order, max_age_ms, start, end, frame_start, frame_end })
    }

    fn encode_body(&self, out: &mut BytesMut, version: Version) {
        out.put_u8(self.priority);
        if version.has_group_order() {
            self.order.encode(out);
        }
        varint::encode(self.max_age_ms, out);
        if version.start_is_floor() {
            varint::encode(self.start.unwrap_or(0), out);
        } else {
            writer::option(self.start, out);
        }
        writer::option(self.end, out);
        if version.has_frame_bounds() {
            varint::encode(self.start.map_or(0, |_| self.frame_start), out);
            writer::option(self.end.and(self.frame_end), out);
        }
    }
}

/// SUBSCRIBE_OK: what the publisher is going to serve (03 and 04).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscribeOk {
    /// Higher goes first.
    pub priority: u8,
    /// Which group goes first.
    pub order: GroupOrder,
    /// How long a group is worth sending after a newer one exists, in milliseconds.
    pub max_age_ms: u64,
    /// The first group, if known.
    pub start: Option<u64>,
    /// The last group, inclusive, if known.
    pub end: Option<u64>,
}

/// What a publisher answers to SUBSCRIBE. A refusal is a reset of the stream instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubscribeResponse {
    /// 03 and 04: accepted. The first answer.
    Ok(SubscribeOk),
    /// From 05: the first group that is served; none before it follows.
    Start {
        /// Its sequence number.
        group: u64,
    },
    /// From 05: the first group that will never exist, so 0 means that there is none.
    ///
    /// Some `@moq/net` releases send the last existing group on 05.
    End {
        /// Its sequence number.
        group: u64,
    },
    /// These groups are not served. gomoqt 0.17 sends both numbers one too high.
    Drop {
        /// The first one.
        first: u64,
        /// The last one, inclusive.
        last: u64,
        /// Why: a stream code, 0 for no reason.
        code: u64,
    },
}

/// The type that stands in front of an answer.
enum Kind {
    Ok,
    Start,
    End,
    Drop,
}

impl Kind {
    fn from_varint(kind: u64, version: Version) -> Option<Self> {
        match (kind, version.has_subscribe_ok()) {
            (0, true) => Some(Self::Ok),
            (1, true) => Some(Self::Drop),
            (0, false) => Some(Self::Start),
            (1, false) => Some(Self::End),
            (2, false) => Some(Self::Drop),
            _ => None,
        }
    }
}

impl SubscribeResponse {
    /// Reads the answer at the start of `buffer` and says how many bytes it takes; `None` while some
    /// are missing. A body of more than `limit` bytes is an error.
    pub fn take(
        buffer: &[u8],
        limit: usize,
        version: Version,
    ) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some(TypedFramed { kind, body, end }) = take_typed_message(buffer, limit)? else {
            return Ok(None);
        };
        let kind = Kind::from_varint(kind, version).ok_or(DecodeError::UnknownType(kind))?;
        let mut body = Body::new(&buffer[body]);
        let response = match kind {
            Kind::Ok => Self::Ok(SubscribeOk {
                priority: body.byte()?,
                order: GroupOrder::decode(&mut body)?,
                max_age_ms: body.varint()?,
                start: body.option()?,
                end: body.option()?,
            }),
            Kind::Start => Self::Start { group: body.varint()? },
            Kind::End => Self::End { group: body.varint()? },
            Kind::Drop => {
                Self::Drop { first: body.varint()?, last: body.varint()?, code: body.varint()? }
            }
        };
        body.finish()?;
        Ok(Some((response, end)))
    }

    /// Writes the answer.
    ///
    /// `version` must have it: [`Ok`](Self::Ok) is for 03 and 04, [`Start`](Self::Start) and
    /// [`End`](Self::End) are for 05 and later. Otherwise nothing is written.
    pub fn encode(&self, out: &mut BytesMut, version: Version) {
        let kind = match (self, version.has_subscribe_ok()) {
            (Self::Ok(_), true) | (Self::Start { .. }, false) => 0,
            (Self::Drop { .. }, true) | (Self::End { .. }, false) => 1,
            (Self::Drop { .. }, false) => 2,
            (Self::Ok(_), false) | (Self::Start { .. } | Self::End { .. }, true) => {
                debug_assert!(false, "{version} cannot say {self:?}");
                return;
            }
        };
        varint::encode(kind, out);
        writer::framed(out, |out| match self {
            Self::Ok(ok) => {
                out.put_u8(ok.priority);
                ok.order.encode(out);
                varint::encode(ok.max_age_ms, out);
                writer::option(ok.start, out);
                writer::option(ok.end, out);
            }
            Self::Start { group } | Self::End { group } => varint::encode(*group, out),
            Self::Drop { first, last, code } => {
                for number in [*first, *last, *code] {
                    varint::encode(number, out);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_bound_is_not_written_without_its_group() {
        let params = SubscribeParams { frame_start: 3, frame_end: Some(4), ..Default::default() };
        let mut out = BytesMut::new();
        params.encode_body(&mut out, Version::Lite06);
        assert_eq!(out, [0; 6][..]);
    }
}

//! Bugs planted between a node and its peers: what a faulty implementation would say.

use std::collections::BTreeMap;

use bytes::Bytes;
use smoq_core::{
    StreamId, Version,
    wire::{Announce, BidiType, FrameHeader, Hop, Hops, StreamCode, SubscribeResponse, UniType},
};

use crate::dissect::Item;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)*) => {
        /// A known bug to plant into what honest nodes say.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Bug {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What is wrong, in words.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)* }
            }
        }
    };
}

bugs! {
    /// END names a group that was sent.
    WrongEnd = "wrong-end",
    /// START names the group after the first one.
    WrongStart = "wrong-start",
    /// A group is cut off, and its stream is not reset.
    LostReset = "lost-reset",
    /// A group is complete, and its stream is not ended.
    LostFin = "lost-fin",
    /// A group ends after its first frame.
    EarlyFin = "early-fin",
    /// A frame is left out.
    LostFrame = "lost-frame",
    /// A frame of no bytes is made up.
    MadeUpFrame = "made-up-frame",
    /// A cursor stands in the payload before.
    StaleCursor = "stale-cursor",
    /// A group has the number of the next one.
    WrongGroup = "wrong-group",
    /// A subscription that is over is not ended.
    LeakedSubscription = "leaked-subscription",
    /// Every subscription has the id 0.
    ReusedId = "reused-id",
    /// The end of a broadcast is not announced.
    LostUnannounce = "lost-unannounce",
    /// A broadcast is announced twice.
    TwiceAnnounce = "twice-announce",
    /// A relay forwards an announcement that has been with it.
    SkippedLoopCheck = "skipped-loop-check",
    /// The newest group is given up for lack of room.
    EarlyEviction = "early-eviction",
    /// A stream that is over gives no credit for another one.
    WrongCredit = "wrong-credit",
    /// A group that was cut off arrives with another code.
    WrongCode = "wrong-code",
    /// TRACK is not answered.
    LostTrackInfo = "lost-track-info",
    /// A group that is given up is not dropped by name.
    LostDrop = "lost-drop",
    /// A timestamp counts from the wrong frame.
    WrongTimestamp = "wrong-timestamp",
    /// A message is sent in the form of another version.
    Garbled = "garbled",
}

/// Where something is said.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// On which connection.
    pub link: usize,
    /// By which end: 0 is the client, which opened the connection.
    pub side: usize,
    /// On which stream.
    pub stream: StreamId,
    /// What is spoken.
    pub version: Version,
    /// The number that the stream begins with, if it is known.
    pub kind: Option<u64>,
    /// What that end calls itself.
    pub hop: Hop,
}

impl Place {
    fn is_group(&self) -> bool {
        self.stream.0 & 2 != 0 && self.kind == Some(UniType::Group.to_varint())
    }

    fn is(&self, kind: BidiType) -> bool {
        self.stream.0 & 2 == 0 && self.kind == Some(kind.to_varint())
    }

    fn opened_here(&self) -> bool {
        (self.stream.0 & 1 == 0) == (self.side == 0)
    }
}

/// Plants one bug wherever it fits.
#[derive(Clone, Debug)]
pub struct Saboteur {
    bug: Bug,
    /// The payload said last on any group stream.
    last: Option<Bytes>,
    /// Frames that the current item belongs to, by stream, counted from 1.
    frames: BTreeMap<(usize, usize, StreamId), u64>,
}

impl Saboteur {
    /// Plants this one.
    pub fn new(bug: Bug) -> Self {
        Self { bug, last: None, frames: Default::default() }
    }

    /// What is said instead of the next items of a stream, and whether FIN follows them.
    pub fn items(&mut self, at: &Place, items: Vec<Item>, fin: &mut bool) -> Vec<Item> {
        let mut said = Vec::new();
        for item in items {
            let frame = self.frames.entry((at.link, at.side, at.stream)).or_default();
            *frame += u64::from(matches!(item, Item::Frame(_)));
            let frame = *frame;
            self.item(at, item, frame, &mut said);
        }
        let frames = self.frames.get(&(at.link, at.side, at.stream)).copied().unwrap_or(0);
        match self.bug {
            Bug::LostFin if at.is_group() => *fin = false,
            Bug::EarlyFin if at.is_group() && frames > 1 => *fin = true,
            Bug::LeakedSubscription if at.is(BidiType::Subscribe) && at.opened_here() => {
                *fin = false;
            }
            Bug::LostTrackInfo if at.is(BidiType::Track) && !at.opened_here() => *fin = false,
            _ => {}
        }
        said
    }

    fn item(&mut self, at: &Place, item: Item, frame: u64, said: &mut Vec<Item>) {
        let item = match (self.bug, item) {
            (Bug::WrongEnd, Item::Answer(SubscribeResponse::End { group })) => {
                Item::Answer(SubscribeResponse::End { group: group.saturating_sub(1) })
            }
            (Bug::WrongStart, Item::Answer(SubscribeResponse::Start { group })) => {
                Item::Answer(SubscribeResponse::Start { group: group + 1 })
            }
            (Bug::LostDrop, Item::Answer(SubscribeResponse::Drop { .. }))
            | (
                Bug::LostUnannounce,
                Item::Announce(Announce::End { .. } | Announce::EndId { .. }),
            )
            | (Bug::LostTrackInfo, Item::TrackInfo(_)) => return,
            (Bug::EarlyFin, Item::Frame(_) | Item::Payload(_)) if frame > 1 => return,
            (Bug::LostFrame, Item::Frame(_) | Item::Payload(_)) if frame == 2 => return,
            (Bug::MadeUpFrame, Item::Frame(header)) if frame == 2 => {
                said.push(Item::Frame(FrameHeader { delta: 0, size: 0 }));
                Item::Frame(header)
            }
            (Bug::StaleCursor, Item::Payload(payload)) => {
                let before = self.last.replace(payload.clone());
                match before.filter(|before| before.len() >= payload.len()) {
                    Some(before) => Item::Payload(before.slice(..payload.len())),
                    None => Item::Payload(payload),
                }
            }
            (Bug::WrongGroup, Item::Group(mut header)) => {
                header.sequence += 1;
                Item::Group(header)
            }
            (Bug::WrongTimestamp, Item::Frame(header)) if frame > 1 => {
                Item::Frame(FrameHeader { delta: header.delta + 1, ..header })
            }
            (Bug::ReusedId, Item::Subscribe(mut subscribe)) => {
                subscribe.id = 0;
                Item::Subscribe(subscribe)
            }
            (Bug::TwiceAnnounce, Item::Announce(Announce::Start { suffix, hops, cost })) => {
                let again = Announce::Start { suffix: suffix.clone(), hops: hops.clone(), cost };
                said.push(Item::Announce(again));
                Item::Announce(Announce::Start { suffix, hops, cost })
            }
            (Bug::SkippedLoopCheck, Item::Announce(Announce::Start { suffix, hops, cost })) => {
                let mut circle = Hops::new();
                for hop in [at.hop].into_iter().filter(|hop| hop.is_known()).chain(hops.iter()) {
                    _ = circle.push(hop);
                }
                Item::Announce(Announce::Start { suffix, hops: circle, cost })
            }
            (Bug::Garbled, Item::Answer(_)) => Item::Raw(Bytes::from_static(&[0x1f, 1, 0])),
            (_, item) => item,
        };
        said.push(item);
    }

    /// The code with which a stream is reset instead; `None` if it is not.
    pub fn reset(&self, at: &Place, code: StreamCode) -> Option<StreamCode> {
        match self.bug {
            Bug::LostReset if at.is_group() => None,
            Bug::WrongCode if at.is_group() => Some(StreamCode(code.0 + 1)),
            _ => self.stops(at).then_some(code),
        }
    }

    /// Whether it is told that a stream is unwanted.
    pub fn stops(&self, at: &Place) -> bool {
        !(self.bug == Bug::LeakedSubscription && at.is(BidiType::Subscribe) && at.opened_here())
    }

    /// Whether the end of a stream gives credit for another one.
    pub(crate) fn gives_credit(&self) -> bool {
        self.bug != Bug::WrongCredit
    }

    /// Whether a group is given up instead of ended.
    pub fn evicts(&self, at: &Place, fin: bool) -> bool {
        self.bug == Bug::EarlyEviction && at.is_group() && fin
    }
}

//! Faults to plant between a client and the relay, to prove that the checks notice.

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Version,
    wire::{Announce, BidiType, GroupHeader, Message, StreamCode, UniType},
};
use smoq_sim::{Bug, Place, Saboteur, dissect::Item};

/// Something that a faulty relay does.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong, in words.
    pub what: &'static str,
    /// A check that notices it, on moq-lite-06 at least.
    pub noticed_by: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// One that the simulator has too.
    Planted(Bug),
    LostSetup,
    SetupTwice,
    SetupWithPath,
    HiddenAnnouncements,
    LostHops,
    EndlessAnswers,
    IgnoredUpdate,
    SwallowedRefusal,
    ToleratedViolation,
    WrongId,
    OldHeader,
    ChangedByte,
    HeadOfLine,
    LateDuplicate,
    FetchHeader,
    WrongTimescale,
    SilentProbe,
    FatalProbe,
    FatalUnsubscribe,
}

const fn planted(bug: Bug, noticed_by: &'static str) -> Fault {
    Fault { name: bug.name(), what: bug.what(), noticed_by, kind: Kind::Planted(bug) }
}

const fn own(
    kind: Kind,
    name: &'static str,
    noticed_by: &'static str,
    what: &'static str,
) -> Fault {
    Fault { name, what, noticed_by, kind }
}

/// Every fault.
pub const FAULTS: &[Fault] = &[
    own(Kind::LostSetup, "lost-setup", "setup/said-by-server", "SETUP is not sent."),
    own(Kind::SetupTwice, "setup-twice", "setup/said-once", "SETUP is sent twice."),
    own(
        Kind::SetupWithPath,
        "setup-with-path",
        "setup/server-says-no-path-or-role",
        "SETUP of the server has a Path.",
    ),
    own(
        Kind::HiddenAnnouncements,
        "hidden-announcements",
        "announce/what-is-there",
        "Broadcasts are not announced.",
    ),
    planted(Bug::TwiceAnnounce, "announce/once"),
    planted(Bug::LostUnannounce, "announce/end"),
    own(Kind::LostHops, "lost-hops", "announce/hops-kept", "Announcements have no hops."),
    planted(Bug::WrongStart, "subscribe/start"),
    planted(Bug::WrongEnd, "subscribe/end"),
    planted(Bug::Garbled, "subscribe/end-empty"),
    own(
        Kind::EndlessAnswers,
        "endless-answers",
        "subscribe/fin-at-the-end",
        "A subscription that has got everything is not ended.",
    ),
    own(
        Kind::IgnoredUpdate,
        "ignored-update",
        "subscribe/update-upstream",
        "SUBSCRIBE_UPDATE is read and changes nothing.",
    ),
    planted(Bug::LeakedSubscription, "subscribe/unsubscribe-upstream"),
    own(
        Kind::FatalUnsubscribe,
        "fatal-unsubscribe",
        "subscribe/unsubscribe",
        "A viewer that ends a subscription loses the session.",
    ),
    planted(Bug::ReusedId, "subscribe/two-tracks"),
    own(
        Kind::SwallowedRefusal,
        "swallowed-refusal",
        "subscribe/unknown-broadcast",
        "What is refused is left open instead of reset.",
    ),
    own(
        Kind::ToleratedViolation,
        "tolerated-violation",
        "setup/duplicate-parameter",
        "A session whose peer breaks a rule is left open.",
    ),
    own(Kind::WrongId, "wrong-id", "groups/header", "Groups name another subscription."),
    own(
        Kind::OldHeader,
        "old-header",
        "groups/whole",
        "The header of a group is that of another version.",
    ),
    planted(Bug::WrongGroup, "groups/gap"),
    planted(Bug::LostFrame, "groups/many-frames"),
    planted(Bug::MadeUpFrame, "groups/whole"),
    own(Kind::ChangedByte, "changed-byte", "groups/sizes", "A byte of a payload is another one."),
    planted(Bug::StaleCursor, "groups/whole"),
    planted(Bug::WrongTimestamp, "groups/timestamps"),
    planted(Bug::LostFin, "groups/whole"),
    planted(Bug::EarlyFin, "groups/live"),
    planted(Bug::LostReset, "groups/reset"),
    planted(Bug::EarlyEviction, "groups/whole"),
    own(
        Kind::HeadOfLine,
        "head-of-line",
        "groups/open-beside",
        "A group waits until the one before is complete.",
    ),
    own(
        Kind::LateDuplicate,
        "late-duplicate",
        "groups/twice",
        "A group is sent again after the next one.",
    ),
    own(
        Kind::FetchHeader,
        "fetch-header",
        "fetch/held",
        "FETCH is answered by a GROUP header before the frames.",
    ),
    planted(Bug::LostTrackInfo, "track/passed-on"),
    own(
        Kind::WrongTimescale,
        "wrong-timescale",
        "track/timescale",
        "TRACK_INFO has another timescale.",
    ),
    own(
        Kind::SilentProbe,
        "silent-probe",
        "probe/answered",
        "PROBE is neither answered nor reset.",
    ),
    own(Kind::FatalProbe, "fatal-probe", "probe/answered", "PROBE closes the session."),
];

/// What one session says and hears, with a fault in it; without one it is as it was.
pub(crate) struct Meddler {
    kind: Option<Kind>,
    saboteur: Option<Saboteur>,
}

/// What is said instead.
pub(crate) struct Said {
    pub(crate) items: Vec<Item>,
    pub(crate) fin: bool,
}

impl Meddler {
    pub(crate) fn new(kind: Option<Kind>) -> Self {
        let saboteur = match kind {
            Some(Kind::Planted(bug)) => Some(Saboteur::new(bug)),
            _ => None,
        };
        Self { kind, saboteur }
    }

    fn has(&self, kind: Kind) -> bool {
        self.kind == Some(kind)
    }

    /// Whether anything of a stream arrives.
    pub(crate) fn silences(&self, at: &Place) -> bool {
        at.side == 1
            && (self.has(Kind::SilentProbe) && is(at, BidiType::Probe)
                || self.has(Kind::LostSetup)
                    && at.stream.0 & 2 != 0
                    && at.kind == Some(UniType::Setup.to_varint()))
    }

    /// What an end says next on a stream, and whether it ends there.
    pub(crate) fn says(&mut self, at: &Place, item: Option<Item>, fin: bool) -> Said {
        let mut fin = fin;
        let items = match &mut self.saboteur {
            Some(saboteur) if at.side == 1 => {
                saboteur.items(at, item.into_iter().collect(), &mut fin)
            }
            _ => item.into_iter().flat_map(|item| self.item(at, item)).collect(),
        };
        let answers = at.side == 1 && at.stream.0 & 1 == 0 && is(at, BidiType::Subscribe);
        if self.has(Kind::EndlessAnswers) && answers {
            fin = false;
        }
        Said { items, fin }
    }

    fn item(&self, at: &Place, item: Item) -> Vec<Item> {
        let Some(kind) = self.kind else { return vec![item] };
        match (kind, at.side, item) {
            (Kind::IgnoredUpdate, 0, Item::Update(_)) => Vec::new(),
            (_, 0, item) => vec![item],
            (Kind::SetupWithPath, _, Item::Setup(mut setup)) => {
                setup.path = Some("/".into());
                vec![Item::Setup(setup)]
            }
            (Kind::HiddenAnnouncements, _, Item::Announce(_)) => Vec::new(),
            (Kind::LostHops, _, Item::Announce(Announce::Start { suffix, cost, .. })) => {
                let hops = Default::default();
                vec![Item::Announce(Announce::Start { suffix, hops, cost })]
            }
            (Kind::WrongId, _, Item::Group(header)) => {
                vec![Item::Group(GroupHeader { subscribe: header.subscribe + 1, ..header })]
            }
            (Kind::OldHeader, _, Item::Group(header)) => {
                let other = match at.version {
                    Version::Lite06 => Version::Lite05,
                    _ => Version::Lite06,
                };
                let mut out = BytesMut::new();
                header.encode(&mut out, other);
                vec![Item::Raw(out.freeze())]
            }
            (Kind::ChangedByte, _, Item::Payload(payload)) => {
                let mut changed = BytesMut::from(&payload[..]);
                changed.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                vec![Item::Payload(changed.freeze())]
            }
            (Kind::WrongTimescale, _, Item::TrackInfo(mut info)) => {
                info.timescale += 1;
                vec![Item::TrackInfo(info)]
            }
            (_, _, item) => vec![item],
        }
    }

    /// What stands in front of everything that an end says on a stream.
    pub(crate) fn preface(&self, at: &Place) -> Bytes {
        if self.has(Kind::FetchHeader) && at.side == 1 && is(at, BidiType::Fetch) {
            return Bytes::from_static(&[0, 3, 0, 0, 0]);
        }
        Bytes::new()
    }

    /// The code with which a reset arrives, if it does.
    pub(crate) fn resets(&self, at: &Place, code: StreamCode) -> Option<StreamCode> {
        let refuses = at.side == 1 && at.stream.0 & 1 == 0;
        match &self.saboteur {
            Some(saboteur) if at.side == 1 => saboteur.reset(at, code),
            _ if self.has(Kind::SwallowedRefusal) && refuses => None,
            _ => Some(code),
        }
    }

    /// Whether it arrives that an end wants no more of a stream.
    pub(crate) fn stops(&self, at: &Place) -> bool {
        let refuses = at.side == 1 && at.stream.0 & 1 == 0;
        match &self.saboteur {
            Some(saboteur) if at.side == 1 => saboteur.stops(at),
            _ => !(self.has(Kind::SwallowedRefusal) && refuses),
        }
    }

    /// Whether a stream that ends is reset instead.
    pub(crate) fn evicts(&self, at: &Place) -> bool {
        let saboteur = self.saboteur.as_ref().filter(|_| at.side == 1);
        saboteur.is_some_and(|saboteur| saboteur.evicts(at, true))
    }

    /// Whether the relay closes the session.
    pub(crate) fn closes(&self) -> bool {
        !self.has(Kind::ToleratedViolation)
    }

    /// Whether the client loses its session by what it says, and ends, if it does.
    pub(crate) fn kills(&self, at: &Place, fin: bool) -> bool {
        at.side == 0
            && (self.has(Kind::FatalProbe) && is(at, BidiType::Probe)
                || self.has(Kind::FatalUnsubscribe) && is(at, BidiType::Subscribe) && fin)
    }

    /// Whether groups wait for each other.
    pub(crate) fn queues(&self) -> bool {
        self.has(Kind::HeadOfLine)
    }

    /// Whether this is a group that is sent again.
    pub(crate) fn repeats(&self, at: &Place) -> bool {
        let group = at.side == 1 && at.stream.0 & 2 != 0;
        self.has(Kind::LateDuplicate) && group && at.kind == Some(UniType::Group.to_varint())
    }

    /// Whether SETUP is said again.
    pub(crate) fn repeats_setup(&self) -> bool {
        self.has(Kind::SetupTwice)
    }
}

fn is(at: &Place, kind: BidiType) -> bool {
    at.stream.0 & 2 == 0 && at.kind == Some(kind.to_varint())
}

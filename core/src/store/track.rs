//! One track: which groups are held, where they come from, who wants them.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use super::Group;
use crate::{
    Id, Path, Time,
    node::{Lost, Session, Sub},
    session::Stream,
    wire::{Hop, StreamCode, SubscribeParams, TrackInfo},
};

/// What a track is looked up by: the broadcast's path, the track's name, and where it comes from.
pub(crate) type TrackName = (Path, Arc<str>, Supplier);

/// Where a track comes from. Two publishers of one name are two tracks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Supplier {
    /// The application of this node.
    Application,
    /// A session, and behind it the one who published first; [`Hop::UNKNOWN`] if nobody has said who.
    Peer(Id<Session>, Hop),
    /// The same, asked for this one group.
    Fetched(Id<Session>, Hop, u64),
}

/// The one upstream subscription of a track, however many listen to it here.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) session: Id<Session>,
    /// The session is not with the publisher itself, but with a relay before it.
    pub(crate) relayed: bool,
    /// It goes on from here, for a track that has had another feed before.
    pub(crate) resumes: Option<u64>,
    /// The feed before is known to have come from the same publisher.
    pub(crate) same: bool,
    /// The one group that is asked for, instead of a subscription.
    pub(crate) fetches: Option<u64>,
    /// Our subscribe id, once SUBSCRIBE is on its way.
    pub(crate) subscribe: Option<u64>,
    /// The stream of SUBSCRIBE, once there is one.
    pub(crate) stream: Option<Id<Stream>>,
    /// The stream of TRACK, while the answer is awaited.
    pub(crate) asking: Option<Id<Stream>>,
    /// Since when it is wanted.
    pub(crate) since: Time,
    /// SUBSCRIBE has been asked for.
    pub(crate) requested: bool,
    /// What the publisher was last told that we want.
    pub(crate) told: SubscribeParams,
    /// Group streams of this feed that are still open.
    pub(crate) receiving: usize,
    /// The publisher has closed the subscription; groups on their way may still come until then.
    pub(crate) tail: Option<Time>,
}

impl Feed {
    pub(crate) fn new(session: Id<Session>, since: Time) -> Self {
        Self {
            session,
            since,
            relayed: false,
            resumes: None,
            same: false,
            fetches: None,
            subscribe: None,
            stream: None,
            asking: None,
            requested: false,
            told: SubscribeParams::default(),
            receiving: 0,
            tail: None,
        }
    }
}

/// Where the groups of a track come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The application.
    Local {
        /// Whether the application was told that somebody subscribes.
        wanted: bool,
        /// It was asked for before it was made: it goes when it is over and nobody reads it.
        on_demand: bool,
        /// Since when nobody reads it, if it was made on demand.
        unread: Option<Time>,
    },
    /// A peer.
    Peer(Feed),
}

/// Whether more groups come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// More may come.
    No,
    /// Everything that there will be is held.
    Finished,
    /// The source failed.
    Failed(StreamCode),
}

/// A track in the store. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Track {
    pub(crate) name: TrackName,
    pub(crate) source: Source,
    pub(crate) info: Option<TrackInfo>,
    /// The publisher has answered, by TRACK_INFO or SUBSCRIBE_OK.
    pub(crate) accepted: bool,
    /// The publisher speaks a version in which it says where it starts.
    pub(crate) says_start: bool,
    /// The first group that the source promised to serve.
    pub(crate) start: Option<u64>,
    /// The first group that will never exist, once known.
    pub(crate) end: Option<u64>,
    pub(crate) ended: Ended,
    /// Some of its groups are, or were, datagrams.
    pub(crate) has_datagrams: bool,
    /// Its source is lost, and nothing has come from another one so far.
    pub(crate) lost: Option<Lost>,
    /// When the first group came.
    pub(crate) begun: Option<Time>,
    /// Highest sequence there has been.
    pub(crate) latest: Option<u64>,
    /// The highest group that the source said will not come.
    pub(crate) dropped: Option<u64>,
    pub(crate) subs: Vec<Id<Sub>>,
    /// TRACK requests of peers that wait for `info`.
    pub(crate) askers: Vec<(Id<Session>, Id<Stream>)>,
    /// What the groups held cost, in bytes.
    pub(crate) bytes: usize,
    /// Groups held, by sequence. They come nearly sorted and leave at the front.
    groups: VecDeque<(u64, Id<Group>)>,
    /// Whether groups at the front have been given up.
    trimmed: bool,
}

impl Track {
    pub(crate) fn new(name: TrackName, source: Source) -> Self {
        Self {
            name,
            source,
            info: None,
            accepted: false,
            says_start: false,
            start: None,
            end: None,
            ended: Ended::No,
            has_datagrams: false,
            lost: None,
            begun: None,
            latest: None,
            dropped: None,
            subs: Vec::new(),
            askers: Vec::new(),
            bytes: 0,
            groups: VecDeque::new(),
            trimmed: false,
        }
    }

    pub(crate) fn feed(&self) -> Option<&Feed> {
        match &self.source {
            Source::Local { .. } => None,
            Source::Peer(feed) => Some(feed),
        }
    }

    pub(crate) fn feed_mut(&mut self) -> Option<&mut Feed> {
        match &mut self.source {
            Source::Local { .. } => None,
            Source::Peer(feed) => Some(feed),
        }
    }

    /// Whether it is one of the application.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.source, Source::Local { .. })
    }

    /// Whether it is one that was asked for before the application made it.
    pub(crate) fn is_on_demand(&self) -> bool {
        matches!(self.source, Source::Local { on_demand: true, .. })
    }

    /// Whether it is one group that was fetched.
    pub(crate) fn is_fetched(&self) -> bool {
        self.feed().is_some_and(|feed| feed.fetches.is_some())
    }

    /// The sequence that follows the highest one so far.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.latest.map_or(0, |latest| latest + 1)
    }

    /// Whether the source has come past a group: if it is not held it will not come.
    pub(crate) fn has_passed(&self, sequence: u64) -> bool {
        self.latest.max(self.dropped) >= Some(sequence)
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn holds(&self, sequence: u64) -> bool {
        self.position(sequence).is_ok()
    }

    /// The groups held from `sequence` on, in order.
    pub(crate) fn from(&self, sequence: u64) -> impl Iterator<Item = (u64, Id<Group>)> {
        let at = self.position(sequence).unwrap_or_else(|at| at);
        self.groups.range(at..).copied()
    }

    /// The groups held above `sequence`, in order, up to `last`.
    pub(super) fn between(
        &self,
        sequence: u64,
        last: Option<u64>,
    ) -> impl DoubleEndedIterator<Item = (u64, Id<Group>)> + Clone {
        let behind = |sequence| self.position(sequence).map_or_else(|at| at, |at| at + 1);
        let first = behind(sequence);
        let end = last.map_or(self.groups.len(), behind);
        self.groups.range(first.min(end)..end).copied()
    }

    /// The groups held, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (u64, Id<Group>)> {
        self.groups.iter().rev().copied()
    }

    /// Whether the source has accepted: a subscriber may be told that its subscription stands.
    pub(crate) fn is_resolved(&self) -> bool {
        match &self.source {
            Source::Local { .. } => self.info.is_some(),
            Source::Peer(_) => self.accepted || self.latest.is_some() || self.end.is_some(),
        }
    }

    /// Whether no lower group than those held, or promised, will come.
    pub(crate) fn knows_start(&self) -> bool {
        match &self.source {
            Source::Local { .. } => true,
            Source::Peer(_) => self.start.is_some() || !self.says_start || self.ended != Ended::No,
        }
    }

    /// Where the track begins for a new reader: the lowest group that is held, or that the source
    /// promised and that may still come. `None` while that is not known.
    pub(crate) fn begins(&self) -> Option<u64> {
        let held = self.groups.front().map(|(sequence, _)| *sequence)?;
        let promised = self.start.filter(|_| !self.trimmed);
        Some(promised.map_or(held, |start| start.min(held)))
    }

    /// Whether groups below those held may still come, and nobody will say which.
    pub(crate) fn may_begin_lower(&self) -> bool {
        let unsaid = self.feed().is_some() && !self.says_start && self.start.is_none();
        unsaid && !self.trimmed && self.ended == Ended::No
    }

    /// Whether every group from the start to the end is held, as far as the source has named them.
    pub(crate) fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| match self.start {
            Some(start) => self.from(start).count() as u64 == end.saturating_sub(start),
            None => self.groups.is_empty(),
        })
    }

    /// The lowest sequence from which on nothing is held up to `sequence`, and which the source
    /// promised: what lies between may have been overtaken.
    pub(super) fn awaited_below(&self, sequence: u64) -> u64 {
        let at = self.position(sequence).unwrap_or_else(|at| at);
        let below = at.checked_sub(1).map(|at| self.groups[at].0 + 1);
        let awaited = below.max(self.start.filter(|start| *start <= sequence));
        awaited.filter(|_| self.start.is_some()).unwrap_or(sequence)
    }

    pub(super) fn oldest(&self) -> Option<Id<Group>> {
        self.groups.front().map(|(_, id)| *id)
    }

    pub(super) fn oldest_but_newest(&self) -> Option<Id<Group>> {
        self.oldest().filter(|_| self.groups.len() > 1)
    }

    pub(super) fn all_but_newest(&self) -> impl Iterator<Item = Id<Group>> {
        let older = self.groups.len().saturating_sub(1);
        self.groups.range(..older).map(|(_, id)| *id)
    }

    pub(super) fn insert(&mut self, sequence: u64, id: Id<Group>) {
        if let Err(at) = self.position(sequence) {
            self.groups.insert(at, (sequence, id));
        }
        self.latest = self.latest.max(Some(sequence));
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        if let Ok(at) = self.position(sequence) {
            self.groups.remove(at);
            self.trimmed = true;
        }
    }

    fn position(&self, sequence: u64) -> Result<usize, usize> {
        match self.groups.back() {
            Some((newest, _)) if *newest < sequence => Err(self.groups.len()),
            _ => self.groups.binary_search_by_key(&sequence, |(sequence, _)| *sequence),
        }
    }
}

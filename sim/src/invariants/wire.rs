//! What two nodes say to each other, as somebody sees it who reads along.

use std::collections::{BTreeMap, BTreeSet};

use smoq_core::{
    StreamId, Version,
    wire::{Announce, Hop, Hops, StreamCode, Subscribe, SubscribeParams, SubscribeResponse},
};

use super::{Broken, Delivery, Invariant, Ledger};
use crate::{NodeId, dissect::Item};

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) node: NodeId,
    pub(crate) hop: Hop,
}

/// A subscription, from its SUBSCRIBE on.
#[derive(Clone, Debug)]
struct Subscription {
    path: String,
    track: String,
    delivery: Delivery,
    /// The earliest start and the latest end that were ever asked for.
    asked: (u64, Option<u64>),
    start: Option<u64>,
    end: Option<u64>,
    dropped: Vec<(u64, u64)>,
    /// The subscriber has neither left nor heard that it is over.
    live: bool,
}

/// Subscriptions to one track that a node has on a session at most, each of another publisher behind it.
const FEEDS: usize = 4;

/// Announcements below one prefix, which is that of everything: nobody here asks for less.
#[derive(Clone, Debug, Default)]
struct Announced {
    /// By suffix; the id where there is one.
    active: BTreeMap<String, u64>,
    next: u64,
    /// Who has published each broadcast, as far as is known.
    origins: BTreeMap<String, BTreeSet<u64>>,
}

/// What a stream is for.
#[derive(Clone, Debug)]
enum Purpose {
    Unknown,
    Other,
    Announcements(Announced),
    Subscription(u64),
    Track,
    Group { subscribe: u64, sequence: u64, timestamp: u64 },
}

/// A stream, and which of its halves have ended, by the end that sends it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    opener: usize,
    purpose: Purpose,
    over: [bool; 2],
}

impl Stream {
    fn new(id: StreamId) -> Self {
        let opener = usize::from(id.0 & 1 == 1);
        Self { opener, purpose: Purpose::Unknown, over: [false; 2] }
    }
}

/// One connection between honest nodes.
#[derive(Clone, Debug)]
pub(crate) struct Spy {
    version: Version,
    ends: [Who; 2],
    /// Frames carry the timestamps of their publisher here.
    stamped: bool,
    streams: BTreeMap<StreamId, Stream>,
    /// Subscriptions that each end has made, by their ids.
    subscriptions: [BTreeMap<u64, Subscription>; 2],
}

impl Spy {
    pub(crate) fn new(version: Version, ends: [Who; 2], stamped: bool) -> Self {
        let stamped = stamped && version.has_timestamps();
        let (streams, subscriptions) = Default::default();
        Self { version, ends, stamped, streams, subscriptions }
    }

    /// The streams that can be broken without breaking the session, and who opened them.
    pub(crate) fn breakable(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| match stream.purpose {
            Purpose::Subscription(_) | Purpose::Track | Purpose::Group { .. } => true,
            Purpose::Unknown | Purpose::Other | Purpose::Announcements(_) => false,
        })
    }

    /// An end says something.
    pub(crate) fn says(
        &mut self,
        ledger: &Ledger,
        side: usize,
        id: StreamId,
        item: &Item,
    ) -> Result<(), Broken> {
        let stream = self.streams.entry(id).or_insert_with(|| Stream::new(id));
        match item {
            Item::Subscribe(subscribe) => {
                stream.purpose = Purpose::Subscription(subscribe.id);
                // What it said on the way out may be overtaken by its request to stop.
                let live = !stream.over[1 - side];
                self.subscribes(side, subscribe, live)
            }
            Item::Ask(_) => {
                stream.purpose = Purpose::Announcements(Announced::default());
                Ok(())
            }
            Item::Track(_) => {
                stream.purpose = Purpose::Track;
                Ok(())
            }
            Item::Announce(announce) => {
                let Purpose::Announcements(announced) = &mut stream.purpose else { return Ok(()) };
                announced.says(announce, self.version)?;
                match announce {
                    Announce::Start { hops, .. } | Announce::Update { hops, .. } => {
                        has_no_loop(hops, self.ends[side].hop, self.version)
                    }
                    Announce::End { .. } | Announce::EndId { .. } | Announce::Other { .. } => {
                        Ok(())
                    }
                }
            }
            Item::Update(params) => {
                let Purpose::Subscription(id) = stream.purpose else { return Ok(()) };
                if let Some(subscription) = self.subscriptions[side].get_mut(&id) {
                    subscription.wants(params);
                }
                Ok(())
            }
            Item::Answer(answer) => {
                let Purpose::Subscription(id) = stream.purpose else { return Ok(()) };
                let subscription = self.subscriptions[1 - side].get_mut(&id);
                subscription.map_or(Ok(()), |subscription| subscription.answered(answer))
            }
            Item::Group(header) => {
                let (subscribe, sequence) = (header.subscribe, header.sequence);
                stream.purpose = Purpose::Group { subscribe, sequence, timestamp: 0 };
                let Some(subscription) = self.subscriptions[1 - side].get_mut(&subscribe) else {
                    let what = format!("group {sequence} for subscription {subscribe}, never made");
                    return Err(Invariant::NoInvention.broken(what));
                };
                subscription.gets(ledger, sequence, header.first_frame)
            }
            Item::Frame(header) => {
                let Purpose::Group { subscribe, sequence, timestamp } = &mut stream.purpose else {
                    return Ok(());
                };
                *timestamp = timestamp.saturating_add_signed(header.delta);
                let stamp = Some(*timestamp).filter(|_| self.stamped);
                let subscription = self.subscriptions[1 - side].get_mut(subscribe);
                subscription.map_or(Ok(()), |subscription| {
                    subscription.delivery.frame(ledger, *sequence, header.size, stamp)
                })
            }
            Item::Payload(payload) => {
                let Purpose::Group { subscribe, sequence, .. } = stream.purpose else {
                    return Ok(());
                };
                let subscription = self.subscriptions[1 - side].get_mut(&subscribe);
                subscription.map_or(Ok(()), |sub| sub.delivery.bytes(sequence, payload))
            }
            Item::Opens(_) | Item::Setup(_) | Item::Greeting(_) | Item::TrackInfo(_) => Ok(()),
            Item::Raw(bytes) => {
                stream.purpose = Purpose::Other;
                let what = format!("{} bytes that no rule has a place for", bytes.len());
                Err(Invariant::Isolation.broken(what))
            }
        }
    }

    /// An end's half of a stream is over: by FIN, or by a reset.
    pub(crate) fn ends(
        &mut self,
        ledger: &Ledger,
        side: usize,
        id: StreamId,
        end: Result<(), StreamCode>,
    ) -> Result<(), Broken> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.over[side] = true;
        match stream.purpose {
            Purpose::Group { subscribe, sequence, .. } => {
                let subscription = self.subscriptions[1 - side].get_mut(&subscribe);
                subscription.map_or(Ok(()), |sub| sub.delivery.end(ledger, sequence, end))
            }
            Purpose::Subscription(subscribe) if side == stream.opener => {
                self.leaves(side, subscribe);
                Ok(())
            }
            Purpose::Subscription(subscribe) if end.is_ok() => {
                let publisher = self.ends[side].node;
                let subscription = self.subscriptions[1 - side].get(&subscribe);
                subscription.map_or(Ok(()), |sub| sub.accounts(ledger, publisher, self.version))
            }
            _ => Ok(()),
        }
    }

    /// An end asks the other one to stop.
    pub(crate) fn stops(&mut self, side: usize, id: StreamId) {
        let stream = self.streams.entry(id).or_insert_with(|| Stream::new(id));
        stream.over[1 - side] = true;
        if let Stream { opener, purpose: Purpose::Subscription(subscribe), .. } = *stream {
            self.leaves(opener, subscribe);
        }
    }

    /// An end hears that the other's half of a stream is over.
    pub(crate) fn hears_end(&mut self, side: usize, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        if let Purpose::Subscription(subscribe) = stream.purpose
            && stream.opener == side
        {
            self.leaves(side, subscribe);
        }
    }

    /// The connection is gone.
    pub(crate) fn closes(&mut self) {
        self.streams.clear();
        self.subscriptions = Default::default();
    }

    /// What stays open although nothing is on its way.
    pub(crate) fn nothing_pending(&self, ledger: &Ledger) -> Result<(), Broken> {
        for stream in self.streams.values() {
            match stream.purpose {
                Purpose::Track => {
                    let answered = stream.over[1 - stream.opener];
                    Invariant::Answered.holds(answered, || "TRACK was never answered".into())?;
                }
                Purpose::Group { subscribe, sequence, .. } if !stream.over[stream.opener] => {
                    let subscription = self.subscriptions[1 - stream.opener].get(&subscribe);
                    let instance = subscription.and_then(|sub| sub.delivery.instance());
                    let group = instance.and_then(|at| ledger.group(at, sequence));
                    let ended = group.is_some_and(|group| group.end.is_some());
                    Invariant::Answered.holds(!ended, || {
                        format!("group {sequence} has ended, and its stream stays open")
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Who is served by whom, and with what.
    pub(crate) fn served(&self) -> impl Iterator<Item = (&str, NodeId, NodeId)> {
        (0..2).flat_map(move |side| {
            let live = self.subscriptions[side].values().filter(|sub| sub.live);
            live.map(move |sub| (sub.path.as_str(), self.ends[side].node, self.ends[1 - side].node))
        })
    }

    /// How many have published a broadcast one after the other, as the peer of an end has told it.
    fn publishers(&self, side: usize, path: &str) -> usize {
        let told = self.streams.values().filter_map(|stream| match &stream.purpose {
            Purpose::Announcements(announced) if stream.opener == side => {
                announced.origins.get(path)
            }
            _ => None,
        });
        told.flatten().collect::<BTreeSet<_>>().len()
    }

    fn subscribes(&mut self, side: usize, subscribe: &Subscribe, live: bool) -> Result<(), Broken> {
        let Subscribe { id, broadcast, track, params } = subscribe;
        let path = broadcast.as_str().to_owned();
        let may = self.publishers(side, &path).clamp(1, FEEDS);
        let made = &mut self.subscriptions[side];
        let same = |sub: &Subscription| sub.live && sub.path == path && sub.track == *track;
        let before = made.values().filter(|sub| same(sub)).count();
        let subscription = Subscription {
            delivery: Delivery::default(),
            path,
            track: track.clone(),
            asked: (params.start.unwrap_or(0), params.end),
            start: None,
            end: None,
            dropped: Vec::new(),
            live,
        };
        let reused = made.insert(*id, subscription).is_some();
        Invariant::Ids.holds(!reused, || format!("subscribe id {id} was used twice"))?;
        Invariant::FanIn.holds(!live || before < may, || {
            format!("{before} subscriptions to {broadcast:?} on one session, and one more")
        })
    }

    fn leaves(&mut self, side: usize, subscribe: u64) {
        if let Some(subscription) = self.subscriptions[side].get_mut(&subscribe) {
            subscription.live = false;
        }
    }
}

impl Subscription {
    fn wants(&mut self, params: &SubscribeParams) {
        let (start, end) = self.asked;
        let end = end.zip(params.end).map(|(before, now)| before.max(now));
        self.asked = (start.min(params.start.unwrap_or(0)), end);
    }

    fn gets(&mut self, ledger: &Ledger, sequence: u64, first: u64) -> Result<(), Broken> {
        let (from, to) = self.asked;
        let inside = sequence >= from && to.is_none_or(|to| sequence <= to);
        Invariant::NoInvention
            .holds(inside, || format!("group {sequence} is none of {from} to {to:?}, as asked"))?;
        self.delivery.begin(ledger, &self.path);
        self.delivery.open(ledger, sequence, first)?;
        self.is_between()
    }

    fn answered(&mut self, answer: &SubscribeResponse) -> Result<(), Broken> {
        match answer {
            SubscribeResponse::Ok(_) => Ok(()),
            SubscribeResponse::Start { group } => {
                self.start = Some(*group);
                self.is_between()
            }
            SubscribeResponse::End { group } => {
                self.end = Some(*group);
                self.is_between()
            }
            SubscribeResponse::Drop { first, last, .. } => {
                self.dropped.push((*first, *last));
                Ok(())
            }
        }
    }

    fn is_between(&self) -> Result<(), Broken> {
        let groups = &self.delivery.groups;
        let below = groups.keys().next().zip(self.start).filter(|(group, start)| *group < start);
        let beyond = groups.keys().next_back().zip(self.end).filter(|(group, end)| *group >= end);
        Invariant::NoInvention
            .holds(below.is_none(), || format!("a group below START: {below:?}"))?;
        Invariant::NoInvention
            .holds(beyond.is_none(), || format!("a group at or after END: {beyond:?}"))
    }

    fn accounts(&self, ledger: &Ledger, by: NodeId, version: Version) -> Result<(), Broken> {
        let (Some(start), Some(end), true) = (self.start, self.end, self.live) else {
            return Ok(());
        };
        let Some(instance) = self.delivery.instance().map(|at| ledger.instance(at)) else {
            return Ok(());
        };
        if instance.node != by || self.asked.1.is_some() || !version.has_end() {
            return Ok(());
        }
        let told = |group: &u64| {
            self.delivery.groups.contains_key(group)
                || self.dropped.iter().any(|(first, last)| (first..=last).contains(&group))
        };
        let published = instance.groups.range(start..end.max(start)).map(|(group, _)| group);
        let missing: Vec<_> = published.filter(|group| !told(group)).collect();
        Invariant::Accounting.holds(missing.is_empty(), || {
            format!("groups {missing:?} were neither sent nor dropped")
        })
    }
}

impl Announced {
    fn says(&mut self, announce: &Announce, version: Version) -> Result<(), Broken> {
        let told = match announce {
            Announce::Start { suffix, hops, .. } => Some((suffix.as_str(), hops)),
            Announce::Update { id, hops, .. } => {
                let known = self.active.iter().find(|(_, active)| *active == id);
                known.map(|(suffix, _)| (suffix.as_str(), hops))
            }
            Announce::End { .. } | Announce::EndId { .. } | Announce::Other { .. } => None,
        };
        if let Some((suffix, hops)) = told {
            self.origins.entry(suffix.into()).or_default().insert(hops.origin().get());
        }
        let ok = match announce {
            Announce::Start { suffix, .. } => {
                let id = self.next;
                self.next += 1;
                let before = self.active.insert(suffix.as_str().into(), id);
                // On 05 a second START takes the place of the first.
                before.is_none() || version.tolerates_inclusive_end()
            }
            Announce::End { suffix } => self.active.remove(suffix.as_str()).is_some(),
            Announce::EndId { id } => {
                let before = self.active.len();
                self.active.retain(|_, active| active != id);
                self.active.len() < before
            }
            Announce::Update { id, .. } => self.active.values().any(|active| active == id),
            Announce::Other { .. } => true,
        };
        Invariant::Ids.holds(ok, || format!("{announce:?} contradicts what was announced"))
    }
}

/// Nobody is twice in a list of hops, the sender included.
fn has_no_loop(hops: &Hops, own: Hop, version: Version) -> Result<(), Broken> {
    let mut seen: Vec<Hop> = hops.iter().filter(|hop| hop.is_known()).collect();
    if !version.sender_appends_hop() && own.is_known() {
        seen.push(own);
    }
    let all = seen.len();
    seen.sort_unstable_by_key(|hop| hop.get());
    seen.dedup();
    Invariant::LoopFreedom.holds(seen.len() == all, || format!("a hop is twice in {hops:?}"))
}

/// Follows who is served by whom: fails if somebody is served by itself in the end.
pub(crate) fn acyclic<'a>(
    served: impl Iterator<Item = (&'a str, NodeId, NodeId)>,
) -> Result<(), Broken> {
    let mut by: BTreeMap<(&str, NodeId), Vec<NodeId>> = BTreeMap::new();
    for (path, subscriber, publisher) in served {
        by.entry((path, subscriber)).or_default().push(publisher);
    }
    for (path, start) in by.keys() {
        let mut reached = vec![*start];
        let mut next = 0;
        while let Some(node) = reached.get(next).copied() {
            next += 1;
            for publisher in by.get(&(*path, node)).into_iter().flatten() {
                let circle = publisher == start;
                Invariant::LoopFreedom
                    .holds(!circle, || format!("{path:?} is served in a circle"))?;
                if !reached.contains(publisher) {
                    reached.push(*publisher);
                }
            }
        }
    }
    Ok(())
}

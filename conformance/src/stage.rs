//! A publisher, the relay between, and a viewer: what each of them says in the ordinary case.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use smoq_core::{
    Path, Version,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, Cost, GroupHeader, Hop, Hops, Message,
        StreamCode, Subscribe, SubscribeOk, SubscribeParams, SubscribeResponse, TrackInfo, UniType,
        varint,
    },
};

use crate::{
    check::Cx,
    peer::{Bi, Group, Peer},
    stream::{End, LIMIT, Send},
    verdict::{Result, Unmet, holds, same},
};

/// The track that most checks use.
pub(crate) const TRACK: &str = "video";

/// An age that no group of a check reaches: an hour.
pub(crate) const AGES: u64 = 3_600_000;

/// A hop with an identity.
pub(crate) fn hop(id: u64) -> Hop {
    Hop::new(id).unwrap_or_default()
}

/// A list of hops.
pub(crate) fn hops(ids: &[u64]) -> Hops {
    let mut hops = Hops::new();
    for id in ids {
        // Lists that break a rule are made by hand where they are wanted.
        let _ = hops.push(hop(*id));
    }
    hops
}

/// Everything that there is of a track, from its first group on.
pub(crate) fn everything() -> SubscribeParams {
    SubscribeParams { max_age_ms: AGES, start: Some(0), ..SubscribeParams::default() }
}

/// What a track is like if a check does not care.
pub(crate) fn info() -> TrackInfo {
    TrackInfo { max_age_ms: AGES, ..TrackInfo::default() }
}

/// A publisher's announcements to the relay.
pub(crate) struct Announcer {
    pub(crate) bi: Bi,
    prefix: Path,
    next: u64,
}

impl Announcer {
    /// Waits until the relay asks what there is, and answers that it begins.
    pub(crate) async fn new(peer: &Peer, own: Hop) -> Result<Self> {
        let mut bi = peer.accept(BidiType::Announce).await?;
        let request: AnnounceRequest = bi.recv.message("ANNOUNCE_REQUEST").await?;
        if peer.version().has_announce_ok() {
            bi.send.message(&AnnounceOk { hop: own, active: 0 }).await?;
        }
        Ok(Self { bi, prefix: request.prefix, next: 0 })
    }

    /// What the relay knows a broadcast as.
    pub(crate) fn suffix(&self, name: &Path) -> Path {
        name.strip_prefix(&self.prefix).unwrap_or_default()
    }

    /// Says something of announcements.
    pub(crate) async fn say(&mut self, announce: &Announce) -> Result {
        self.bi.send.put(|out, version| announce.encode(out, version)).await
    }

    /// Announces a broadcast of this publisher.
    pub(crate) async fn start(&mut self, name: &Path) -> Result<u64> {
        self.start_via(name, &[]).await
    }

    /// Announces a broadcast that has come over these hops.
    pub(crate) async fn start_via(&mut self, name: &Path, ids: &[u64]) -> Result<u64> {
        let cost = Cost { warm: 0, cold: 0 };
        let suffix = self.suffix(name);
        self.say(&Announce::Start { suffix, hops: hops(ids), cost }).await?;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Announces the end of a broadcast.
    pub(crate) async fn end(&mut self, peer: &Peer, name: &Path, id: u64) -> Result {
        let suffix = self.suffix(name);
        match peer.version().has_announce_ids() {
            true => self.say(&Announce::EndId { id }).await,
            false => self.say(&Announce::End { suffix }).await,
        }
    }
}

/// What a viewer is told of a broadcast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// It is there.
    Start { suffix: Path, hops: Hops, cost: Cost },
    /// It is reached in another way (05 on).
    Update { suffix: Path, hops: Hops, cost: Cost },
    /// It is gone.
    End { suffix: Path },
}

/// A viewer's request for announcements.
pub(crate) struct Watcher {
    pub(crate) bi: Bi,
    /// The first answer, from 05 on.
    pub(crate) ok: Option<AnnounceOk>,
    ids: BTreeMap<u64, Path>,
    next: u64,
    restarts: bool,
}

impl Watcher {
    pub(crate) async fn new(peer: &Peer, prefix: &Path) -> Result<Self> {
        Self::excluding(peer, prefix, Hop::UNKNOWN).await
    }

    pub(crate) async fn excluding(peer: &Peer, prefix: &Path, exclude_hop: Hop) -> Result<Self> {
        let request = AnnounceRequest { prefix: prefix.clone(), exclude_hop };
        let mut bi = peer.ask(BidiType::Announce, &request).await?;
        let ok = match peer.version().has_announce_ok() {
            true => Some(bi.recv.message("ANNOUNCE_OK").await?),
            false => None,
        };
        let restarts = peer.version() == Version::Lite05;
        Ok(Self { bi, ok, ids: BTreeMap::new(), next: 0, restarts })
    }

    /// What is said next, with names instead of ids. Each id has to be one that was given and not retired.
    pub(crate) async fn next(&mut self) -> Result<News> {
        loop {
            let take = |bytes: &[u8], version| Announce::take(bytes, LIMIT, version);
            match self.bi.recv.take("an announcement", take).await? {
                Announce::Start { suffix, hops, cost } => {
                    if self.ids.values().any(|path| *path == suffix) {
                        // Only 05 tells so that a route has changed.
                        holds("no second START", self.restarts, &suffix)?;
                        return Ok(News::Update { suffix, hops, cost });
                    }
                    self.ids.insert(self.next, suffix.clone());
                    self.next += 1;
                    return Ok(News::Start { suffix, hops, cost });
                }
                Announce::End { suffix } => {
                    self.ids.retain(|_, path| *path != suffix);
                    return Ok(News::End { suffix });
                }
                Announce::EndId { id } => {
                    let suffix = self.ids.remove(&id);
                    let suffix = suffix.ok_or_else(|| Unmet::failed("an id that lives", id))?;
                    return Ok(News::End { suffix });
                }
                Announce::Update { id, hops, cost } => {
                    let suffix = self.ids.get(&id).cloned();
                    let suffix = suffix.ok_or_else(|| Unmet::failed("an id that lives", id))?;
                    return Ok(News::Update { suffix, hops, cost });
                }
                Announce::Other { .. } => {}
            }
        }
    }

    /// Expects to be told of a broadcast next.
    pub(crate) async fn started(&mut self, suffix: &Path) -> Result<(Hops, Cost)> {
        match self.next().await? {
            News::Start { suffix: came, hops, cost } if came == *suffix => Ok((hops, cost)),
            news => {
                Err(Unmet::failed(format_args!("the start of {suffix:?}"), format!("{news:?}")))
            }
        }
    }

    /// Expects to be told that a broadcast is gone; its route may change before.
    pub(crate) async fn ended(&mut self, suffix: &Path) -> Result {
        loop {
            match self.next().await? {
                News::Update { suffix: came, .. } if came == *suffix => {}
                news => return same("news", news, News::End { suffix: suffix.clone() }),
            }
        }
    }

    /// Expects to be told of these, in any order.
    pub(crate) async fn started_all(&mut self, names: &[Path]) -> Result {
        let mut missing: BTreeSet<_> = names.iter().cloned().collect();
        while !missing.is_empty() {
            match self.next().await? {
                News::Start { suffix, .. } if missing.remove(&suffix) => {}
                news => {
                    let wanted = format_args!("the start of one of {missing:?}");
                    return Err(Unmet::failed(wanted, format!("{news:?}")));
                }
            }
        }
        Ok(())
    }
}

/// A viewer's subscription.
pub(crate) struct Sub {
    pub(crate) id: u64,
    pub(crate) bi: Bi,
    pub(crate) peer: Peer,
}

impl Sub {
    pub(crate) async fn new(
        peer: &Peer,
        name: &Path,
        track: &str,
        params: SubscribeParams,
    ) -> Result<Self> {
        let id = peer.subscribe_id();
        let subscribe = Subscribe { id, broadcast: name.clone(), track: track.into(), params };
        let bi = peer.ask(BidiType::Subscribe, &subscribe).await?;
        Ok(Self { id, bi, peer: peer.clone() })
    }

    /// What the relay answers next.
    pub(crate) async fn response(&mut self) -> Result<SubscribeResponse> {
        let take = |bytes: &[u8], version| SubscribeResponse::take(bytes, LIMIT, version);
        self.bi.recv.take("an answer to SUBSCRIBE", take).await
    }

    /// Expects the answer that a subscription begins with; from 05 on it names the first group.
    pub(crate) async fn started(&mut self) -> Result<Option<u64>> {
        match self.response().await? {
            SubscribeResponse::Ok(_) => Ok(None),
            SubscribeResponse::Start { group } => Ok(Some(group)),
            response => Err(Unmet::failed("SUBSCRIBE_OK or START", format!("{response:?}"))),
        }
    }

    /// The next group.
    pub(crate) async fn group(&self) -> Result<Group> {
        self.peer.group(self.id).await
    }

    /// Expects this group next, and reads it to its end.
    pub(crate) async fn expect(&self, sequence: u64, payloads: &[&[u8]]) -> Result {
        let mut group = self.group().await?;
        same("the number of the group", group.header.sequence, sequence)?;
        for payload in payloads {
            group.recv.expect(payload).await?;
        }
        group.recv.fin().await
    }

    /// The next `count` groups with their frames and ends, in the order of their numbers.
    pub(crate) async fn collect(&self, count: usize) -> Result<BTreeMap<u64, (Vec<Bytes>, End)>> {
        let mut groups = BTreeMap::new();
        for _ in 0..count {
            let mut group = self.group().await?;
            let mut frames = Vec::new();
            let end = loop {
                match group.recv.end().await {
                    Ok(end) => break end,
                    Err(_) => frames.push(group.recv.frame().await?.payload),
                }
            };
            let before = groups.insert(group.header.sequence, (frames, end));
            holds("each group once", before.is_none(), group.header)?;
        }
        Ok(groups)
    }

    /// Expects that no further group has come before what is said now, as far as [`Peer::alive`] can tell.
    pub(crate) async fn nothing_more(&self) -> Result {
        self.peer.alive().await?;
        same("a further group", self.peer.group_now(self.id).map(|group| group.header), None)
    }

    /// Wants something else from now on.
    pub(crate) async fn update(&mut self, params: SubscribeParams) -> Result {
        self.bi.send.message(&params).await
    }
}

/// The relay's subscription at a publisher.
pub(crate) struct Feed {
    pub(crate) subscribe: Subscribe,
    pub(crate) bi: Bi,
    pub(crate) peer: Peer,
    started: bool,
}

impl Feed {
    /// Waits until the relay subscribes. TRACK is answered meanwhile, unless the check does it.
    pub(crate) async fn new(peer: &Peer) -> Result<Self> {
        let mut bi = peer.accept(BidiType::Subscribe).await?;
        let subscribe = bi.recv.message("SUBSCRIBE").await?;
        let mut feed = Self { subscribe, bi, peer: peer.clone(), started: false };
        if peer.version().has_subscribe_ok() {
            feed.answer(&SubscribeResponse::Ok(SubscribeOk::default())).await?;
            feed.started = true;
        }
        Ok(feed)
    }

    /// Answers something.
    pub(crate) async fn answer(&mut self, response: &SubscribeResponse) -> Result {
        self.bi.send.put(|out, version| response.encode(out, version)).await
    }

    /// Says where it begins, where the version has that.
    pub(crate) async fn start(&mut self, group: u64) -> Result {
        if !std::mem::replace(&mut self.started, true) {
            self.answer(&SubscribeResponse::Start { group }).await?;
        }
        Ok(())
    }

    /// Opens a group. The first one is where it begins, unless [`start`](Self::start) said so.
    pub(crate) async fn open(&mut self, sequence: u64) -> Result<Send> {
        self.start(sequence).await?;
        let mut out = bytes::BytesMut::new();
        varint::encode(UniType::Group.to_varint(), &mut out);
        let header = GroupHeader { subscribe: self.subscribe.id, sequence, first_frame: 0 };
        header.encode(&mut out, self.peer.version());
        self.peer.say_uni(&out).await
    }

    /// Sends a whole group. Its frames are a millisecond apart, groups are ten.
    pub(crate) async fn send(&mut self, sequence: u64, payloads: &[&[u8]]) -> Result<Send> {
        let mut group = self.open(sequence).await?;
        for (timestamp, payload) in (sequence * 10..).zip(payloads) {
            group.frame(timestamp, payload).await?;
        }
        group.fin();
        Ok(group)
    }

    /// Ends the track before this group.
    pub(crate) async fn end(&mut self, group: u64) -> Result {
        if self.peer.version().has_end() {
            self.answer(&SubscribeResponse::End { group }).await?;
        }
        self.bi.send.fin();
        Ok(())
    }

    /// What the relay wants from now on.
    pub(crate) async fn update(&mut self) -> Result<SubscribeParams> {
        self.bi.recv.message("SUBSCRIBE_UPDATE").await
    }
}

/// A publisher with one broadcast, and a viewer that has been told of it.
pub(crate) struct Stage {
    pub(crate) name: Path,
    pub(crate) publisher: Peer,
    pub(crate) announcer: Announcer,
    pub(crate) viewer: Peer,
    pub(crate) watcher: Watcher,
}

impl Stage {
    pub(crate) async fn new(cx: &Cx, publisher: Peer, viewer: Peer) -> Result<Self> {
        publisher.answer_tracks(Some(info()));
        let name = cx.name();
        let mut announcer = Announcer::new(&publisher, Hop::UNKNOWN).await?;
        announcer.start(&name).await?;
        let mut watcher = Watcher::new(&viewer, &name).await?;
        watcher.started(&Path::root()).await?;
        Ok(Self { name, publisher, announcer, viewer, watcher })
    }

    /// The viewer subscribes to everything, and the relay does at the publisher.
    pub(crate) async fn subscribe(&self) -> Result<(Sub, Feed)> {
        self.subscribe_to(TRACK, everything()).await
    }

    /// The same for any track and wishes.
    pub(crate) async fn subscribe_to(
        &self,
        track: &str,
        params: SubscribeParams,
    ) -> Result<(Sub, Feed)> {
        let sub = self.watch(track, params).await?;
        let feed = Feed::new(&self.publisher).await?;
        same("the track that the relay wants", feed.subscribe.track.as_str(), track)?;
        Ok((sub, feed))
    }

    /// The viewer subscribes.
    pub(crate) async fn watch(&self, track: &str, params: SubscribeParams) -> Result<Sub> {
        Sub::new(&self.viewer, &self.name, track, params).await
    }
}

/// Whether a code says that there is no such thing: nobody has it, or nobody leads there.
pub(crate) fn is_absent(code: StreamCode) -> bool {
    // The third and fourth are those of the registry before moq-net 0.3.
    matches!(code, StreamCode::NOT_FOUND | StreamCode::UNROUTABLE | StreamCode(13) | StreamCode(30))
}

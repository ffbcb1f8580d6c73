//! The watchers, subscriptions and groups behind the handles that read.

use std::collections::{HashMap, VecDeque};

use smoq_core::{
    Announced, GroupReader, Id, Misuse, NextGroup, Path, Read, Reader, SubscribeOptions, Time,
    Watcher, wire::StreamCode,
};
use smoq_quic::tape::Recorder;

use super::rejoin::{Ids, Rejoin, Standing};
use crate::{
    error::{Error, GroupError, Reason, SubscribeError},
    mailbox::Key,
    op::Part,
    slot::{Far, slot},
    state::{ANNOUNCED_AHEAD, Inbox, NewGroup, SubscriptionState, WatchState, weight},
};

/// Whether a handle waits for more than the driver could give so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Appetite {
    /// It asks again when it wants more.
    Fed,
    /// What comes next is for it.
    Hungry,
}

struct WatchEntry {
    id: Id<Watcher>,
    far: Far<WatchState>,
    appetite: Appetite,
}

pub(super) struct GroupEntry {
    id: Id<GroupReader>,
    /// The subscription that it is of: the handle's may have another one by now.
    pub(super) reader: Id<Reader>,
    far: Far<Inbox>,
    appetite: Appetite,
}

pub(super) struct SubscriptionEntry {
    pub(super) id: Id<Reader>,
    pub(super) path: Path,
    pub(super) track: String,
    pub(super) part: Part,
    pub(super) far: Far<SubscriptionState>,
    appetite: Appetite,
    /// Its handle was dropped: it lives as long as the handles of its groups.
    pub(super) orphan: bool,
    pub(super) groups: HashMap<Key, GroupEntry>,
    /// The highest group that was given.
    pub(super) last: Option<u64>,
    /// Lower groups were given, or are lost, with a connection before this one.
    pub(super) floor: u64,
    pub(super) rejoin: Option<Rejoin>,
}

/// Handles that read, by their keys. Nothing is taken out of the node for a handle that did not ask.
#[derive(Default)]
pub(super) struct Readers {
    watches: HashMap<Key, WatchEntry>,
    watch_keys: HashMap<Id<Watcher>, Key>,
    subscriptions: HashMap<Key, SubscriptionEntry>,
    ids: Ids,
    /// Subscriptions outlive their connection.
    resume: bool,
    /// A connection is being made.
    away: Option<Standing>,
    /// The new connection may still lack what the one before had.
    settling: bool,
    /// Why the only connection is over: what is announced ends, and then nothing follows.
    lost: Option<Reason>,
    /// Groups are told apart by these.
    next_group: Key,
}

impl Part {
    pub(super) fn ask(
        &self,
        node: &mut Recorder,
        now: Time,
        path: &Path,
        track: &str,
    ) -> Result<Id<Reader>, Misuse> {
        match self {
            Self::Subscription(options) => node.subscribe(now, path, track, options.clone()),
            Self::Group { sequence, priority } => {
                node.fetch(now, path, track, *sequence, *priority)
            }
        }
    }
}

impl Readers {
    pub(super) fn new(resume: bool) -> Self {
        Self { resume, ..Self::default() }
    }

    pub(super) fn watch(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        prefix: &Path,
        far: Far<WatchState>,
    ) {
        let id = node.watch(now, prefix);
        self.watch_keys.insert(id, key);
        self.watches.insert(key, WatchEntry { id, far, appetite: Appetite::Fed });
    }

    pub(super) fn more_announced(&mut self, node: &mut Recorder, key: Key) {
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.appetite = Appetite::Hungry;
            watch.feed(node, self.lost.as_ref());
        }
    }

    pub(super) fn announced(&mut self, node: &mut Recorder, now: Time, watcher: Id<Watcher>) {
        if let Some(&key) = self.ids.watchers.get(&watcher) {
            let Some(entry) = self.subscriptions.get_mut(&key) else { return };
            // It comes at every change, also where there was a worse way before, and below the path too.
            let mut found = false;
            while let Ok(Some(announced)) = node.poll_announced(watcher) {
                found |= matches!(announced, Announced::Active { path, .. } if path == entry.path);
            }
            if found && self.away.is_none() {
                entry.retry(node, now, key, &mut self.ids);
            }
            return;
        }
        let key = self.watch_keys.get(&watcher);
        if let Some(watch) = key.and_then(|key| self.watches.get_mut(key))
            && watch.appetite == Appetite::Hungry
        {
            watch.feed(node, self.lost.as_ref());
        }
    }

    /// Another connection has to be made.
    pub(super) fn away(&mut self, node: &mut Recorder, now: Time, standing: Standing) {
        self.away = Some(standing);
        self.settling = true;
        for (key, subscription) in &mut self.subscriptions {
            subscription.away(node, now, *key, standing, &mut self.ids);
        }
    }

    /// There is another connection.
    pub(super) fn back(&mut self, node: &mut Recorder, now: Time) {
        self.away = None;
        for (key, subscription) in &mut self.subscriptions {
            subscription.retry(node, now, *key, &mut self.ids);
        }
    }

    /// What has not come back is not waited for.
    pub(super) fn settle(&mut self, node: &mut Recorder, now: Time) {
        (self.away, self.settling) = (None, false);
        for subscription in self.subscriptions.values_mut() {
            subscription.settle();
            if subscription.appetite == Appetite::Hungry {
                subscription.feed(node, now, &mut self.next_group, &mut self.ids);
            }
        }
    }

    /// The only connection is over. To be settled when its end is known: who sees a subscription fail can be
    /// told why.
    pub(super) fn lose(&mut self, node: &mut Recorder, reason: &Reason) {
        self.lost = Some(reason.clone());
        self.resume = false;
        for watch in self.watches.values_mut() {
            if watch.appetite == Appetite::Hungry {
                watch.feed(node, Some(reason));
            }
        }
    }

    pub(super) fn unwatch(&mut self, node: &mut Recorder, now: Time, key: Key) {
        if let Some(watch) = self.watches.remove(&key) {
            self.watch_keys.remove(&watch.id);
            let _ = node.unwatch(now, watch.id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn subscribe(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        path: &Path,
        track: &str,
        part: Part,
        far: Far<SubscriptionState>,
    ) {
        match part.ask(node, now, path, track) {
            Ok(id) => {
                self.ids.readers.insert(id, key);
                let mut entry = SubscriptionEntry {
                    id,
                    path: path.clone(),
                    track: track.to_owned(),
                    part,
                    far,
                    appetite: Appetite::Fed,
                    orphan: false,
                    groups: HashMap::new(),
                    last: None,
                    floor: 0,
                    rejoin: None,
                };
                let standing = self.away.or(self.settling.then_some(Standing::Lost));
                if let Some(standing) = standing.filter(|_| self.resume) {
                    entry.away(node, now, key, standing, &mut self.ids);
                }
                self.subscriptions.insert(key, entry);
            }
            Err(error) => far.update(|state| state.end = Some(Err(SubscribeError::Misuse(error)))),
        }
    }

    pub(super) fn update(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        options: SubscribeOptions,
    ) {
        if let Some(subscription) = self.subscriptions.get_mut(&key) {
            subscription.update(node, now, options);
        }
    }

    /// A handle wants groups: its reader, which is to be looked at after the events that are there.
    pub(super) fn more_groups(&mut self, key: Key) -> Option<Id<Reader>> {
        let subscription = self.subscriptions.get_mut(&key)?;
        subscription.appetite = Appetite::Hungry;
        Some(subscription.id)
    }

    pub(super) fn more_chunks(&mut self, node: &mut Recorder, key: Key, group: Key) {
        if let Some(subscription) = self.subscriptions.get_mut(&key) {
            subscription.feed_group(node, group);
        }
    }

    pub(super) fn readable(&mut self, node: &mut Recorder, now: Time, reader: Id<Reader>) {
        let key = self.ids.readers.get(&reader);
        let Some(subscription) = key.and_then(|key| self.subscriptions.get_mut(key)) else {
            return;
        };
        if subscription.appetite == Appetite::Hungry {
            subscription.feed(node, now, &mut self.next_group, &mut self.ids);
        }
        let groups = subscription.groups.iter();
        let hungry = groups.filter(|(_, group)| group.appetite == Appetite::Hungry);
        for key in hungry.map(|(key, _)| *key).collect::<Vec<_>>() {
            subscription.feed_group(node, key);
        }
    }

    pub(super) fn unsubscribe(&mut self, node: &mut Recorder, now: Time, key: Key) {
        let Some(subscription) = self.subscriptions.get_mut(&key) else {
            return;
        };
        subscription.orphan = true;
        subscription.appetite = Appetite::Fed;
        subscription.give_up(node, now, &mut self.ids);
        // A group that nobody took has no handle which could drop it.
        if let Some(group) = subscription.far.with(|state| state.next.take()) {
            subscription.drop_group(node, now, group.key, &mut self.ids);
        }
        self.end_if_unused(node, now, key);
    }

    pub(super) fn drop_group(&mut self, node: &mut Recorder, now: Time, key: Key, group: Key) {
        if let Some(subscription) = self.subscriptions.get_mut(&key) {
            subscription.drop_group(node, now, group, &mut self.ids);
            self.end_if_unused(node, now, key);
        }
    }

    fn end_if_unused(&mut self, node: &mut Recorder, now: Time, key: Key) {
        let unused = |entry: &SubscriptionEntry| entry.orphan && entry.groups.is_empty();
        if self.subscriptions.get(&key).is_some_and(unused)
            && let Some(subscription) = self.subscriptions.remove(&key)
        {
            self.ids.readers.remove(&subscription.id);
            let _ = node.unsubscribe(now, subscription.id);
        }
    }
}

impl WatchEntry {
    fn feed(&mut self, node: &mut Recorder, lost: Option<&Reason>) {
        let room = ANNOUNCED_AHEAD.saturating_sub(self.far.with(|state| state.queue.len()));
        let mut news: VecDeque<Announced> = VecDeque::new();
        while news.len() < room {
            match node.poll_announced(self.id) {
                Ok(Some(announced)) => news.push_back(announced),
                Ok(None) | Err(_) => break,
            }
        }
        let end = lost.filter(|_| news.len() < room).cloned();
        if news.is_empty() && room > 0 && end.is_none() {
            return;
        }
        // The next change comes with an event only after there was nothing more.
        if news.len() == room {
            self.appetite = Appetite::Fed;
        }
        let asked = self.appetite == Appetite::Hungry;
        self.far.update(|state| {
            state.queue.append(&mut news);
            state.asked = asked;
            state.end = end.map(Error::Disconnected);
        });
    }
}

impl SubscriptionEntry {
    /// Takes the next group, and what is known of the track, out of the node.
    fn feed(&mut self, node: &mut Recorder, now: Time, next_key: &mut Key, ids: &mut Ids) {
        let mut next = None;
        let mut end = None;
        match self.next(node, now, ids) {
            Ok(NextGroup::Group { id, sequence }) => {
                *next_key += 1;
                let (inbox, far) = slot(Inbox::default());
                let (reader, appetite) = (self.id, Appetite::Fed);
                self.groups.insert(*next_key, GroupEntry { id, reader, far, appetite });
                next = Some(NewGroup { key: *next_key, sequence, inbox });
            }
            Ok(NextGroup::Pending) => {}
            Ok(NextGroup::End) => end = Some(Ok(())),
            Ok(NextGroup::Failed(code)) => end = Some(Err(SubscribeError::Failed(code))),
            Err(error) => end = Some(Err(SubscribeError::Misuse(error))),
        }
        let known = self.far.with(|state| state.info.is_some());
        let info = if known { None } else { self.info(node) };
        if end.is_some() {
            self.give_up(node, now, ids);
        }
        if next.is_some() || end.is_some() {
            self.appetite = Appetite::Fed;
        } else if info.is_none() {
            return;
        }
        let asked = self.appetite == Appetite::Hungry;
        self.far.update(|state| {
            state.info = state.info.take().or(info);
            // There was none: a handle asks when it has neither a group nor an end, and for `info` only
            // before the first group, since core has no group ready before it knows that.
            state.next = next;
            state.end = end;
            state.asked = asked;
        });
    }

    /// Takes chunks of one group out of the node, as many as its inbox has room for.
    fn feed_group(&mut self, node: &mut Recorder, key: Key) {
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        let mut room = group.far.with(|inbox| inbox.room());
        let mut chunks = Vec::new();
        let mut end = None;
        group.appetite = Appetite::Fed;
        while room > 0 && end.is_none() {
            match node.read(group.id, room) {
                Ok(Read::Chunk(chunk)) => {
                    room = room.saturating_sub(weight(&chunk));
                    chunks.push(chunk);
                }
                Ok(Read::Pending) => {
                    group.appetite = Appetite::Hungry;
                    break;
                }
                Ok(Read::End) => end = Some(Ok(())),
                Ok(Read::Reset(code)) => end = Some(Err(GroupError::Reset(code))),
                Err(_) => end = Some(Err(GroupError::Reset(StreamCode::CANCEL))),
            }
        }
        let full = group.appetite == Appetite::Fed;
        if chunks.is_empty() && end.is_none() && !full {
            return;
        }
        group.far.update(|inbox| inbox.add(chunks.into_iter(), end, full));
    }

    fn drop_group(&mut self, node: &mut Recorder, now: Time, key: Key, ids: &mut Ids) {
        if let Some(group) = self.groups.remove(&key) {
            // One that was read to its end is stale already.
            let _ = node.skip_group(now, group.id);
            self.release(node, now, group.reader, ids);
        }
    }
}

//! What is announced, for the application.

use alloc::collections::BTreeMap;

use super::{Changes, Node};
use crate::{Announced, Event, Id, Misuse, Path, Time, route::Viewer};

/// Somebody who watches what is announced below a prefix. Outside, only its id is seen.
#[derive(Clone, Debug)]
pub struct Watcher {
    pub(crate) prefix: Path,
    /// What it knows: which announcement of each path.
    told: BTreeMap<Path, u64>,
    changes: Changes,
    signalled: bool,
}

impl Node {
    /// Watches what is announced at and below a prefix. What is there already comes first.
    pub fn watch(&mut self, now: Time, prefix: &Path) -> Id<Watcher> {
        self.advance(now);
        let mut changes = Changes::default();
        self.routes.below(prefix).cloned().for_each(|path| changes.add(path));
        let told = BTreeMap::new();
        let watcher = Watcher { prefix: prefix.clone(), told, changes, signalled: true };
        let id = self.watchers.insert(watcher);
        self.events.push_back(Event::Announced { watcher: id });
        self.request_prefix(prefix);
        id
    }

    /// Stops watching. Fails with [`Misuse::Stale`].
    pub fn unwatch(&mut self, now: Time, watcher: Id<Watcher>) -> Result<(), Misuse> {
        self.advance(now);
        let watcher = self.watchers.remove(watcher).ok_or(Misuse::Stale)?;
        self.end_prefix(&watcher.prefix);
        Ok(())
    }

    /// The next change that a watcher does not know; `None` until the next
    /// [`Event::Announced`]. A broadcast that came and went meanwhile is left out; one that was
    /// replaced by another of the same path ends and comes again.
    ///
    /// Fails with [`Misuse::Stale`].
    pub fn poll_announced(&mut self, watcher: Id<Watcher>) -> Result<Option<Announced>, Misuse> {
        let watcher = self.watchers.get_mut(watcher).ok_or(Misuse::Stale)?;
        watcher.signalled = false;
        while let Some(path) = watcher.changes.next() {
            let route = self.routes.best(&path, Viewer::LOCAL);
            let told = watcher.told.get(&path).copied();
            let replaced = told.filter(|epoch| !self.routes.has_epoch(&path, *epoch));
            match (route, told) {
                (None, None) => {}
                (Some(route), None) => {
                    watcher.told.insert(path.clone(), route.epoch);
                    return Ok(Some(Announced::Active { path, hops: route.hops.clone() }));
                }
                (Some(_), Some(_)) if replaced.is_none() => {}
                (route, Some(_)) => {
                    watcher.told.remove(&path);
                    if route.is_some() {
                        watcher.changes.add(path.clone());
                    }
                    return Ok(Some(Announced::Ended { path }));
                }
            }
        }
        Ok(None)
    }

    /// The ways to a broadcast have changed: lets everybody know who wants to.
    pub(crate) fn route_changed(&mut self, path: &Path) {
        for id in self.watchers.ids() {
            let Some(watcher) = self.watchers.get_mut(id) else { continue };
            if !path.starts_with(&watcher.prefix) {
                continue;
            }
            watcher.changes.add(path.clone());
            if !core::mem::replace(&mut watcher.signalled, true) {
                self.events.push_back(Event::Announced { watcher: id });
            }
        }
        self.offer_announcement(path);
    }
}

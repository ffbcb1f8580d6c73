//! The handles that make tracks when somebody asks for them.

use std::collections::HashMap;

use smoq_core::{Id, Requests as Served, Serve, Time};
use smoq_quic::tape::Recorder;

use crate::{
    error::{Error, Reason},
    mailbox::Key,
    slot::Far,
    state::RequestState,
};

struct Entry {
    id: Id<Served>,
    far: Far<RequestState>,
    /// The handle waits: what comes next is for it.
    hungry: bool,
}

/// Handles by their keys. Nothing is taken out of the node for one that did not ask.
#[derive(Default)]
pub(super) struct Requests {
    entries: HashMap<Key, Entry>,
    keys: HashMap<Id<Served>, Key>,
}

impl Requests {
    pub(super) fn serve(
        &mut self,
        node: &mut Recorder,
        now: Time,
        key: Key,
        place: Result<Serve, Error>,
        far: Far<RequestState>,
    ) {
        let result = place.and_then(|place| Ok(node.serve(now, place)?));
        far.update(|state| state.begun = Some(result.clone().map(|_| ())));
        if let Ok(id) = result {
            self.keys.insert(id, key);
            self.entries.insert(key, Entry { id, far, hungry: false });
        }
    }

    pub(super) fn more(&mut self, node: &mut Recorder, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.hungry = true;
            entry.feed(node);
        }
    }

    pub(super) fn wanted(&mut self, node: &mut Recorder, requests: Id<Served>) {
        let key = self.keys.get(&requests);
        if let Some(entry) = key.and_then(|key| self.entries.get_mut(key)) {
            entry.feed(node);
        }
    }

    pub(super) fn unserve(&mut self, node: &mut Recorder, now: Time, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.keys.remove(&entry.id);
            // A broadcast that is withdrawn takes them with it.
            let _ = node.unserve(now, entry.id);
        }
    }

    /// The only connection is over.
    pub(super) fn lose(&mut self, reason: &Reason) {
        for entry in self.entries.values() {
            let error = Error::Disconnected(reason.clone());
            entry.far.update(|state| state.end = Some(error));
        }
    }
}

impl Entry {
    fn feed(&mut self, node: &mut Recorder) {
        if !self.hungry {
            return;
        }
        match node.poll_wanted(self.id) {
            Ok(None) => {}
            Ok(Some(wanted)) => {
                self.hungry = false;
                self.far.update(|state| {
                    state.next = Some(wanted);
                    state.asked = false;
                });
            }
            Err(error) => self.far.update(|state| state.end = Some(error.into())),
        }
    }
}

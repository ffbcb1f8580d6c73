//! Paths that changed and that somebody has to be told of.

use alloc::collections::{BTreeSet, VecDeque};

use crate::Path;

/// A queue of paths without repetitions: what is told is decided when a path is taken out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    queue: VecDeque<Path>,
    queued: BTreeSet<Path>,
}

impl Changes {
    pub(crate) fn add(&mut self, path: Path) {
        if self.queued.insert(path.clone()) {
            self.queue.push_back(path);
        }
    }

    pub(crate) fn next(&mut self) -> Option<Path> {
        let path = self.queue.pop_front()?;
        self.queued.remove(&path);
        Some(path)
    }
}

//! The streams whose bytes are looked at, and what is kept for them.

use alloc::{collections::BTreeMap, vec::Vec};

use bytes::BytesMut;

use super::{control::Control, exchange::Exchange};
use crate::{Code, StreamId, frame::Pair};

/// A stream whose bytes are looked at.
#[derive(Clone, Debug)]
pub(super) enum Stream {
    /// The peer's; what it is is not known yet.
    New(New),
    /// The peer's control stream.
    Control(Control),
    /// QPACK instructions. Without a dynamic table they change nothing.
    Qpack,
    /// A request and its answer.
    Exchange(Exchange),
    /// It names a session that is not there yet.
    Early(Early),
}

/// A stream that has not said what it is.
#[derive(Clone, Debug, Default)]
pub(super) struct New {
    pub(super) pair: Pair,
    /// The peer wants no answer on it.
    pub(super) stopped: Option<Code>,
}

/// A stream that came before its session.
#[derive(Clone, Debug)]
pub(super) struct Early {
    pub(super) session: StreamId,
    pub(super) data: BytesMut,
    pub(super) fin: bool,
    /// The peer wants no answer on it.
    pub(super) stopped: Option<Code>,
}

impl Stream {
    /// Bytes kept for it.
    fn buffered(&self) -> usize {
        match self {
            Self::Control(control) => control.buffered(),
            Self::Exchange(exchange) => exchange.buffered(),
            Self::Early(early) => early.data.len(),
            Self::New(_) | Self::Qpack => 0,
        }
    }
}

/// All of them. What they keep is counted as it changes, so that asking costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    known: BTreeMap<StreamId, Known>,
    buffered: usize,
    new: usize,
    early: usize,
}

#[derive(Clone, Debug)]
struct Known {
    stream: Stream,
    /// What of `buffered` it is.
    charged: usize,
}

impl Streams {
    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.known.contains_key(&id)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.known.get(&id).map(|known| &known.stream)
    }

    /// To change what a stream keeps; [`charge`](Self::charge) has to follow.
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.known.get_mut(&id).map(|known| &mut known.stream)
    }

    /// Counts what a stream keeps now.
    pub(super) fn charge(&mut self, id: StreamId) {
        if let Some(known) = self.known.get_mut(&id) {
            let now = known.stream.buffered();
            self.buffered = self.buffered - known.charged + now;
            known.charged = now;
        }
    }

    /// Takes the place of what was there under the id.
    pub(super) fn insert(&mut self, id: StreamId, stream: Stream) {
        self.remove(id);
        match stream {
            Stream::New(_) => self.new += 1,
            Stream::Early(_) => self.early += 1,
            Stream::Control(_) | Stream::Qpack | Stream::Exchange(_) => {}
        }
        self.known.insert(id, Known { stream, charged: 0 });
        self.charge(id);
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let Known { stream, charged } = self.known.remove(&id)?;
        self.buffered -= charged;
        match stream {
            Stream::New(_) => self.new -= 1,
            Stream::Early(_) => self.early -= 1,
            Stream::Control(_) | Stream::Qpack | Stream::Exchange(_) => {}
        }
        Some(stream)
    }

    /// Bytes kept for all of them.
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// How many have not said what they are.
    pub(super) fn new_count(&self) -> usize {
        self.new
    }

    /// How many came before their session.
    pub(super) fn early_count(&self) -> usize {
        self.early
    }

    /// Those that came before their session.
    pub(super) fn early(&self) -> Vec<StreamId> {
        let early = |known: &Known| matches!(known.stream, Stream::Early(_));
        self.known.iter().filter(|(_, known)| early(known)).map(|(id, _)| *id).collect()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}

//! What handles ask of the driver.

use bytes::Bytes;
use smoq_core::{
    Batch, Grant, Id, Path, Session, Stats, SubscribeOptions, Track,
    wire::{Probe, SessionCode, StreamCode, TrackInfo},
};

use smoq_quic::Misdirected;

use crate::{
    error::Error,
    mailbox::{Key, Sender},
    requests::Place,
    slot::Far,
    state::{Answer, Backlog, GroupState, RequestState, SubscriptionState, TrackState, WatchState},
};

/// Which part of a track is asked for.
#[derive(Clone)]
pub(crate) enum Part {
    /// What a subscription gives.
    Subscription(SubscribeOptions),
    /// One group.
    Group { sequence: u64, priority: u8 },
}

/// One message in the mailbox. Keys name handles, so that no handle waits for an id.
pub(crate) enum Op {
    Create {
        broadcast: Key,
        path: Path,
        far: Far<Answer<()>>,
    },
    Announce {
        broadcast: Key,
        far: Far<Answer<()>>,
    },
    Unpublish {
        broadcast: Key,
    },

    Track {
        track: Key,
        broadcast: Key,
        name: String,
        info: TrackInfo,
        far: Far<TrackState>,
    },
    Serve {
        requests: Key,
        place: Place,
        far: Far<RequestState>,
    },
    MoreWanted {
        requests: Key,
    },
    Unserve {
        requests: Key,
    },
    Accept {
        track: Key,
        id: Id<Track>,
        info: TrackInfo,
        far: Far<TrackState>,
    },
    Decline {
        id: Id<Track>,
    },
    FinishTrack {
        track: Key,
    },
    DropTrack {
        track: Key,
        abort: Option<StreamCode>,
    },
    Drain {
        track: Key,
        ticket: u64,
        backlog: Backlog,
    },

    Group {
        group: Key,
        track: Key,
        sequence: u64,
        far: Far<GroupState>,
    },
    Datagram {
        track: Key,
        sequence: u64,
        timestamp: u64,
        payload: Bytes,
    },
    Frame {
        group: Key,
        timestamp: u64,
        payload: Bytes,
    },
    StartFrame {
        group: Key,
        timestamp: u64,
        size: u64,
    },
    Chunk {
        group: Key,
        data: Bytes,
    },
    DropGroup {
        group: Key,
        abort: Option<StreamCode>,
    },

    Watch {
        watch: Key,
        prefix: Path,
        far: Far<WatchState>,
    },
    MoreAnnounced {
        watch: Key,
    },
    Unwatch {
        watch: Key,
    },

    Subscribe {
        subscription: Key,
        path: Path,
        track: String,
        part: Part,
        far: Far<SubscriptionState>,
    },
    Update {
        subscription: Key,
        options: SubscribeOptions,
    },
    MoreGroups {
        subscription: Key,
    },
    Unsubscribe {
        subscription: Key,
    },
    MoreChunks {
        subscription: Key,
        group: Key,
    },
    DropReader {
        subscription: Key,
        group: Key,
    },

    Grant {
        session: Id<Session>,
        grant: Grant,
        far: Far<Answer<()>>,
    },
    CloseSession {
        session: Id<Session>,
        code: SessionCode,
        reason: String,
    },
    Leave {
        uri: String,
        far: Far<Answer<()>>,
    },
    Stats {
        far: Far<Answer<Stats>>,
    },
    Probe {
        estimates: Key,
        far: Far<Option<Probe>>,
    },
    Unprobe {
        estimates: Key,
    },
    Pause,
    Resume,
    Shutdown {
        code: SessionCode,
        reason: String,
    },

    /// From another shard, over the link to it.
    Link {
        from: u8,
        batch: Batch,
    },
    /// Datagrams of this shard that another one got.
    Datagrams(Vec<Misdirected>),
}

/// A handle's way to its driver.
pub(crate) type Ops = Sender<Op>;

impl Ops {
    /// Sends what waits for room, and says whether the driver is there to take it.
    pub(crate) async fn send(&mut self, op: Op) -> Result<(), Error> {
        Ok(self.push_when_room(0, op).await?)
    }
}

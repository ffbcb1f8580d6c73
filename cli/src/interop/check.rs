//! Whether a peer's broadcast is the known one.

use std::{collections::BTreeSet, time::Duration};

use smoq_core::{Path, Start, SubscribeOptions, wire::GroupOrder};
use smoq_tokio::{Error, GroupError, GroupReader, Origin, SubscribeError, Subscription};
use thiserror::Error as ThisError;
use tokio::time::timeout;

use super::tracks::{Known, LIVE, UNKNOWN};

/// Groups of the live track to take.
const LIVE_GROUPS: usize = 5;

/// The group that is fetched.
const FETCHED: u64 = 3;

/// What is wrong.
#[derive(Debug, ThisError)]
pub(super) enum Wrong {
    #[error("nothing for {0:?}")]
    Silence(Duration),
    #[error(transparent)]
    Handle(#[from] Error),
    #[error("the subscription failed: {0}")]
    Subscription(#[from] SubscribeError),
    #[error("group {group} was cut off: {error}")]
    Group { group: u64, error: GroupError },
    #[error("frame {frame} of group {group} is not as it was sent")]
    Bytes { group: u64, frame: u64 },
    #[error("group {group} has {got} frames instead of {sent}")]
    Frames { group: u64, got: u64, sent: u64 },
    #[error("there is a group {0}")]
    Excess(u64),
    #[error("group {0} came twice")]
    Twice(u64),
    #[error("the track ended, and {got} of {sent} groups had come")]
    Missing { got: u64, sent: u64 },
    #[error("the track has ended")]
    Ended,
    #[error("all groups came, but no end of the track within {0:?}")]
    Endless(Duration),
    #[error("a track that there is not is accepted")]
    Accepted,
}

/// The peer's broadcast.
pub(super) struct Theirs<'a> {
    pub(super) origin: &'a Origin,
    pub(super) path: &'a Path,
    /// For each thing that is waited for.
    pub(super) patience: Duration,
}

impl Theirs<'_> {
    /// Takes a track that ends, from its first group on: each byte of each group, and the end.
    pub(super) async fn all(&self, known: &Known) -> Result<(), Wrong> {
        let options = SubscribeOptions {
            max_age: Duration::MAX,
            order: GroupOrder::OldestFirst,
            start: Start::From(0),
            ..SubscribeOptions::default()
        };
        let subscription = self.origin.subscribe(self.path, known.name, options).await?;
        self.take_all(known, subscription, 0..known.groups.unwrap_or(0)).await
    }

    /// Fetches one group.
    pub(super) async fn fetch(&self, known: &Known) -> Result<(), Wrong> {
        let fetch = self.origin.fetch(self.path, known.name, FETCHED, 0).await?;
        self.take_all(known, fetch, FETCHED..FETCHED + 1).await
    }

    async fn take_all(
        &self,
        known: &Known,
        mut subscription: Subscription,
        due: std::ops::Range<u64>,
    ) -> Result<(), Wrong> {
        let (mut seen, sent) = (BTreeSet::new(), due.end - due.start);
        loop {
            let got = seen.len() as u64;
            let next = timeout(self.patience, subscription.next_group()).await;
            let group = match next {
                Err(_) if got == sent => return Err(Wrong::Endless(self.patience)),
                Err(_) => return Err(Wrong::Silence(self.patience)),
                Ok(group) => group?,
            };
            let Some(group) = group else {
                return if got == sent { Ok(()) } else { Err(Wrong::Missing { got, sent }) };
            };
            if !due.contains(&group.sequence()) {
                return Err(Wrong::Excess(group.sequence()));
            }
            if !seen.insert(group.sequence()) {
                return Err(Wrong::Twice(group.sequence()));
            }
            self.frames(known, group).await?;
        }
    }

    /// Takes some groups as they come, and leaves.
    pub(super) async fn live(&self) -> Result<(), Wrong> {
        // None of them is to be left out because this machine is slow.
        let options = SubscribeOptions {
            max_age: self.patience,
            order: GroupOrder::OldestFirst,
            ..SubscribeOptions::default()
        };
        let mut subscription = self.origin.subscribe(self.path, LIVE.name, options).await?;
        // In any order: each comes on a stream of its own.
        let mut seen = BTreeSet::new();
        for _ in 0..LIVE_GROUPS {
            let group = self.patiently(subscription.next_group()).await??.ok_or(Wrong::Ended)?;
            if !seen.insert(group.sequence()) {
                return Err(Wrong::Twice(group.sequence()));
            }
            self.frames(&LIVE, group).await?;
        }
        Ok(())
    }

    /// Subscribes to what there is not.
    pub(super) async fn unknown(&self) -> Result<(), Wrong> {
        let options = SubscribeOptions::default();
        let mut subscription = self.origin.subscribe(self.path, UNKNOWN, options).await?;
        match self.patiently(subscription.next_group()).await? {
            // Peers do not agree on the code for this.
            Err(SubscribeError::Failed(_)) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(Wrong::Accepted),
        }
    }

    /// Each byte of one group.
    async fn frames(&self, known: &Known, mut group: GroupReader) -> Result<(), Wrong> {
        let sequence = group.sequence();
        if !known.has(sequence) {
            return Err(Wrong::Excess(sequence));
        }
        let mut sent = known.frames(sequence);
        let mut got = 0;
        loop {
            let frame = self.patiently(group.next_frame()).await?;
            let frame = frame.map_err(|error| Wrong::Group { group: sequence, error })?;
            match (frame, sent.next()) {
                (Some(frame), Some(payload)) if frame.payload == payload => got += 1,
                (Some(_), Some(_)) => return Err(Wrong::Bytes { group: sequence, frame: got }),
                (None, None) => return Ok(()),
                (Some(_), None) => {
                    return Err(Wrong::Frames { group: sequence, got: got + 1, sent: got });
                }
                (None, Some(_)) => {
                    let sent = got + 1 + sent.count() as u64;
                    return Err(Wrong::Frames { group: sequence, got, sent });
                }
            }
        }
    }

    async fn patiently<T>(&self, wait: impl Future<Output = T>) -> Result<T, Wrong> {
        timeout(self.patience, wait).await.map_err(|_| Wrong::Silence(self.patience))
    }
}

//! One subscription compared with what was published.

use std::collections::BTreeMap;

use smoq_core::{Time, wire::StreamCode};

use super::{
    Broken, Invariant, Ledger,
    ledger::{byte, timestamp},
};

/// From here on, codes belong to applications.
const APPLICATION: u64 = 64;

/// How much of a group has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Frames begun, those before the first one delivered included.
    pub(crate) frames: u64,
    /// Bytes of the last frame that have come, and that are still to come.
    at: u64,
    missing: u64,
    pub(crate) end: Option<Result<(), StreamCode>>,
}

/// What a subscription has delivered so far, on the wire or to an application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// The broadcasts that it can be.
    candidates: Vec<usize>,
    pub(crate) groups: BTreeMap<u64, Progress>,
}

impl Delivery {
    /// The broadcast that it is, if only one remains.
    pub(crate) fn instance(&self) -> Option<usize> {
        <[usize; 1]>::try_from(self.candidates.as_slice()).ok().map(|[instance]| instance)
    }

    /// A group comes: before the first one it can be of any broadcast of its path.
    pub(crate) fn begin(&mut self, ledger: &Ledger, path: &str) {
        if self.groups.is_empty() {
            self.candidates = ledger.of(path);
        }
    }

    /// A group begins, with its frame `first`.
    pub(crate) fn open(&mut self, ledger: &Ledger, group: u64, first: u64) -> Result<(), Broken> {
        let progress = Progress { frames: first, ..Progress::default() };
        let twice = self.groups.insert(group, progress).is_some();
        Invariant::NoInvention.holds(!twice, || format!("group {group} came twice"))?;
        self.candidates.retain(|at| ledger.group(*at, group).is_some());
        let some = !self.candidates.is_empty();
        Invariant::NoInvention.holds(some, || format!("group {group} was never published"))
    }

    /// A frame begins. Where frames have no timestamp of the publisher it is not compared.
    pub(crate) fn frame(
        &mut self,
        ledger: &Ledger,
        group: u64,
        size: u64,
        stamp: Option<u64>,
    ) -> Result<(), Broken> {
        let progress = self.groups.entry(group).or_default();
        let frame = progress.frames;
        let whole = progress.missing == 0;
        Invariant::Prefix.holds(whole, || format!("frame {frame} began inside another"))?;
        (progress.frames, progress.at, progress.missing) = (frame + 1, 0, size);
        let right = stamp.is_none_or(|stamp| stamp == timestamp(group, frame));
        Invariant::Prefix
            .holds(right, || format!("frame {frame} of group {group} has timestamp {stamp:?}"))?;
        let published = |at: &usize| {
            let sizes = ledger.group(*at, group).map(|written| &written.sizes);
            sizes.and_then(|sizes| sizes.get(usize::try_from(frame).ok()?)) == Some(&size)
        };
        self.candidates.retain(published);
        let some = !self.candidates.is_empty();
        Invariant::Prefix.holds(some, || {
            format!("frame {frame} of group {group} with {size} bytes is not there")
        })
    }

    /// Bytes of the frame begun last.
    pub(crate) fn bytes(&mut self, group: u64, data: &[u8]) -> Result<(), Broken> {
        let progress = self.groups.entry(group).or_default();
        let Some(missing) = progress.missing.checked_sub(data.len() as u64) else {
            return Err(Invariant::Prefix.broken(format!("a frame of group {group} is too long")));
        };
        let (frame, at) = (progress.frames.saturating_sub(1), progress.at);
        let is = |instance: &usize| {
            let mut bytes = (at..).zip(data);
            bytes.all(|(at, found)| byte(*instance, group, frame, at) == *found)
        };
        self.candidates.retain(is);
        (progress.at, progress.missing) = (at + data.len() as u64, missing);
        let some = !self.candidates.is_empty();
        Invariant::Prefix.holds(some, || {
            format!("frame {frame} of group {group} has other bytes than published")
        })
    }

    /// A group ends.
    pub(crate) fn end(
        &mut self,
        ledger: &Ledger,
        group: u64,
        end: Result<(), StreamCode>,
    ) -> Result<(), Broken> {
        let progress = self.groups.entry(group).or_default();
        progress.end = Some(end);
        let frames = progress.frames;
        let whole = progress.missing == 0;
        match end {
            Ok(()) => {
                Invariant::Prefix
                    .holds(whole, || format!("group {group} is complete inside a frame"))?;
                let written = |at: &usize| ledger.group(*at, group);
                let cut = |at: &usize| {
                    written(at).is_some_and(|written| matches!(written.end, Some(Err(_))))
                };
                let all_cut = self.candidates.iter().all(cut);
                Invariant::Codes.holds(!all_cut, || {
                    format!("group {group} was cut off by its publisher and ended in good order")
                })?;
                let complete = |at: &usize| {
                    written(at).is_some_and(|written| {
                        written.end == Some(Ok(())) && written.sizes.len() as u64 == frames
                    })
                };
                self.candidates.retain(complete);
                let some = !self.candidates.is_empty();
                Invariant::Prefix
                    .holds(some, || format!("group {group} is complete after {frames} frames"))
            }
            Err(code) if code.0 >= APPLICATION => {
                let cut = |at: &usize| {
                    ledger.group(*at, group).is_some_and(|written| written.end == Some(Err(code)))
                };
                let right = self.candidates.iter().any(cut);
                Invariant::Codes
                    .holds(right, || format!("group {group} was not cut off with {code}"))
            }
            Err(code) if code == StreamCode::OLD || code == StreamCode::EVICTED && ledger.roomy => {
                let newer =
                    |at: &usize| ledger.instance(*at).groups.range(group + 1..).next().is_some();
                let right = self.candidates.iter().any(newer);
                Invariant::Expiry
                    .holds(right, || format!("group {group} was given up, the newest there is"))
            }
            Err(_) => Ok(()),
        }
    }

    /// Whether a group that began at `since` or later has come completely.
    pub(crate) fn has_since(&self, ledger: &Ledger, since: Time) -> bool {
        let complete = self.groups.iter().filter(|(_, progress)| progress.end == Some(Ok(())));
        let new = |group: u64| {
            let mut begun = self.candidates.iter().filter_map(|at| ledger.group(*at, group));
            begun.any(|written| written.begun >= since)
        };
        complete.map(|(group, _)| *group).any(new)
    }
}

//! Running checks.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use smoq_core::{Carrier, Version};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    areas::checks,
    check::{Check, Cx, Level},
    dial::Target,
    verdict::Unmet,
};

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Versions to check. Those that the relay does not agree on are left out; if there are no others, the run
    /// fails.
    pub versions: Vec<Version>,
    /// Only checks whose name contains this.
    pub only: String,
    /// How long each step of a check may take: the time in which a relay answers. A whole check may take sixty
    /// times as long.
    pub patience: Duration,
    /// How many checks run beside each other.
    pub at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        let versions = Version::ALL.to_vec();
        Self { versions, only: String::new(), patience: Duration::from_secs(5), at_once: 8 }
    }
}

/// What came of one check on one version.
pub struct Outcome {
    /// The check.
    pub check: &'static Check,
    /// The version that it was run on.
    pub version: Version,
    /// Whether the rule holds.
    pub verdict: Result<(), Unmet>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether it makes the run fail.
    pub fn is_fault(&self) -> bool {
        self.check.level == Level::Must && matches!(self.verdict, Err(Unmet::Failed { .. }))
    }
}

/// What came of a run.
pub struct Report {
    /// What lies between streams and UDP.
    pub carrier: Carrier,
    /// Versions that the relay has not agreed on, in the handshake or in the choice of a protocol, and what came
    /// instead. What it does wrong afterwards is in the outcomes.
    pub unspoken: Vec<(Version, Unmet)>,
    /// Versions that it has neither agreed on nor refused, which is a fault.
    pub unanswered: Vec<(Version, Unmet)>,
    /// In the order of [`checks`], and of versions from new to old.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether every rule that must hold does, and there was anything to check.
    pub fn is_good(&self) -> bool {
        !self.outcomes.is_empty() && self.faults() == 0
    }

    /// How many rules that must hold do not.
    pub fn faults(&self) -> usize {
        let broken = self.outcomes.iter().filter(|outcome| outcome.is_fault()).count();
        broken + self.unanswered.len()
    }
}

/// Runs the checks that fit. To be called within a tokio runtime with time and IO.
pub async fn run(target: Target, options: &Options) -> Report {
    let carrier = target.carrier;
    let target = Arc::new(target);
    let prefix = format!("conformance-{:x}", RandomState::new().hash_one(0) >> 32);
    let (mut spoken, mut unspoken, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
    for version in &options.versions {
        match target.speaks(*version, options.patience).await {
            Ok(Ok(())) => spoken.push(*version),
            Ok(Err(unmet)) => unspoken.push((*version, unmet)),
            Err(unmet) => unanswered.push((*version, unmet)),
        }
    }
    let spoken: Arc<[Version]> = spoken.into();
    let mut names = 0..;
    let mut cx = |version| {
        let name = format!("{prefix}-{}", names.next().unwrap_or(0));
        Cx::new(target.clone(), spoken.clone(), version, options.patience, &name)
    };
    let slots = Arc::new(Semaphore::new(options.at_once.max(1)));
    let mut running = JoinSet::new();
    let wanted = checks().iter().filter(|check| check.name.contains(&options.only));
    for (index, check) in wanted.enumerate() {
        for version in spoken.iter().copied().filter(|version| check.applies(*version, carrier)) {
            let (cx, slots) = (cx(version), slots.clone());
            running.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let begin = Instant::now();
                // A check that panics is a bug of this crate, and no reason to lose the others.
                let verdict = tokio::spawn(check.run(cx)).await.unwrap_or_else(|error| {
                    Err(Unmet::failed("a check without bugs; please report it", error))
                });
                (index, Outcome { check, version, verdict, took: begin.elapsed() })
            });
        }
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(index, outcome)| (*index, std::cmp::Reverse(outcome.version)));
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Report { carrier, unspoken, unanswered, outcomes }
}

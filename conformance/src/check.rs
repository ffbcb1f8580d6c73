//! One rule, and how it is checked.

use std::{
    ops::RangeInclusive,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use smoq_core::{Carrier, Path, Version};

use crate::{
    dial::{Dial, Target},
    peer::Peer,
    stage::Stage,
    stream::within,
    verdict::Result,
};

/// Versions 03 to 06.
pub(crate) const ALL: RangeInclusive<Version> = Version::Lite03..=Version::Lite06;
/// What was replaced in 05.
pub(crate) const TO_04: RangeInclusive<Version> = Version::Lite03..=Version::Lite04;
/// What was replaced in 06.
pub(crate) const TO_05: RangeInclusive<Version> = Version::Lite03..=Version::Lite05;
/// What came with 04.
pub(crate) const FROM_04: RangeInclusive<Version> = Version::Lite04..=Version::Lite06;
/// What came with 05.
pub(crate) const FROM_05: RangeInclusive<Version> = Version::Lite05..=Version::Lite06;
/// What came with 06.
pub(crate) const FROM_06: RangeInclusive<Version> = Version::Lite06..=Version::Lite06;

/// How much it weighs when a rule does not hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Peers break, or media is lost: it fails the run.
    Must,
    /// Peers cope, or implementations differ with reason: a warning.
    Should,
}

/// A check may take as long as so many steps: a relay that says a little, again and again, holds nobody up.
const STEPS: u32 = 60;

type Run = dyn Fn(Cx) -> Pin<Box<dyn Future<Output = Result> + Send>> + Send + Sync;

/// A rule of the protocol, with what checks it.
pub struct Check {
    /// Its name, which does not change: `area/what`.
    pub name: &'static str,
    /// What must hold, in one sentence.
    pub rule: &'static str,
    /// Where the draft says so. Names are those of draft-lcurley-moq-lite.
    pub section: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// First and last version that has the rule.
    pub versions: RangeInclusive<Version>,
    /// What it is about, if that is not every carrier.
    pub carrier: Option<Carrier>,
    run: Box<Run>,
}

fn check<F: Future<Output = Result> + Send + 'static>(
    level: Level,
    name: &'static str,
    versions: RangeInclusive<Version>,
    section: &'static str,
    rule: &'static str,
    run: fn(Cx) -> F,
) -> Check {
    let run = Box::new(move |cx| Box::pin(run(cx)) as Pin<Box<_>>);
    Check { name, rule, section, level, versions, carrier: None, run }
}

/// A rule that fails the run.
pub(crate) fn must<F: Future<Output = Result> + Send + 'static>(
    name: &'static str,
    versions: RangeInclusive<Version>,
    section: &'static str,
    rule: &'static str,
    run: fn(Cx) -> F,
) -> Check {
    check(Level::Must, name, versions, section, rule, run)
}

/// A rule that warns.
pub(crate) fn should<F: Future<Output = Result> + Send + 'static>(
    name: &'static str,
    versions: RangeInclusive<Version>,
    section: &'static str,
    rule: &'static str,
    run: fn(Cx) -> F,
) -> Check {
    check(Level::Should, name, versions, section, rule, run)
}

impl Check {
    /// The rule is about one carrier only.
    pub(crate) fn on(self, carrier: Carrier) -> Self {
        Self { carrier: Some(carrier), ..self }
    }

    /// What its name begins with.
    pub fn area(&self) -> &'static str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether a relay that is reached like this has to keep the rule.
    pub fn applies(&self, version: Version, carrier: Carrier) -> bool {
        self.versions.contains(&version) && self.carrier.is_none_or(|only| only == carrier)
    }

    /// Checks it, and ends its sessions.
    pub(crate) async fn run(&self, cx: Cx) -> Result {
        let deadline = cx.patience * STEPS;
        let outcome = within(deadline, "the end of the check", (self.run)(cx.clone())).await;
        let peers = std::mem::take(&mut *cx.peers.lock().expect("nobody panics with it"));
        for peer in peers {
            peer.close().await;
        }
        outcome?
    }
}

/// What a check has to work with.
#[derive(Clone)]
pub(crate) struct Cx {
    target: Arc<Target>,
    /// Versions that the relay speaks, of those that are checked.
    spoken: Arc<[Version]>,
    version: Version,
    patience: Duration,
    /// What names begin with: a relay may be used by others, or by an earlier run.
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
    peers: Arc<Mutex<Vec<Peer>>>,
}

impl Cx {
    pub(crate) fn new(
        target: Arc<Target>,
        spoken: Arc<[Version]>,
        version: Version,
        patience: Duration,
        prefix: &str,
    ) -> Self {
        Self {
            target,
            spoken,
            version,
            patience,
            prefix: prefix.into(),
            next: Arc::default(),
            peers: Arc::default(),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn spoken(&self) -> &[Version] {
        &self.spoken
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// A path that nobody else uses.
    pub(crate) fn name(&self) -> Path {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Path::new(&format!("{}-{number}", self.prefix)).unwrap_or_default()
    }

    /// A session as it should be.
    pub(crate) async fn connect(&self) -> Result<Peer> {
        self.dial(Dial::default()).await
    }

    /// A session that begins differently.
    pub(crate) async fn dial(&self, dial: Dial) -> Result<Peer> {
        self.dial_in(self.version, dial).await
    }

    /// A session of another version.
    pub(crate) async fn dial_in(&self, version: Version, dial: Dial) -> Result<Peer> {
        let peer = self.target.dial(version, &dial, self.patience).await?;
        self.peers.lock().expect("nobody panics with it").push(peer.clone());
        Ok(peer)
    }

    /// A publisher with a broadcast that a viewer has been told of.
    pub(crate) async fn stage(&self) -> Result<Stage> {
        Stage::new(self, self.connect().await?, self.connect().await?).await
    }

    /// How long the relay may take for each step.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }
}

//! What both sides do, whoever has called the other.

use std::time::Duration;

use smoq_core::{Announced, Path, Version};
use smoq_tokio::{Announcements, Error, Origin};
use tokio::time::timeout;

use super::{
    check::{Theirs, Wrong},
    publish::Published,
    tracks::{DONE, ENDING},
    verdict::{Report, Verdict},
};
use crate::{announced::until_active, failure::Failure};

/// Both broadcasts, as seen from here.
pub(super) struct Exchange<'a> {
    pub(super) origin: Origin,
    pub(super) mine: &'a Path,
    pub(super) theirs: &'a Path,
    /// For each thing that is waited for.
    pub(super) patience: Duration,
    pub(super) version: Version,
    pub(super) report: &'a Report,
}

impl Exchange<'_> {
    /// Publishes, checks what the peer publishes, and ends the announcement when the peer has checked too.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let mut published = Published::new(&self.origin, self.mine).await?;
        // gomoqt has nothing to tell of the very prefix that it is asked for, only of what lies below.
        let prefix = self.theirs.parent().unwrap_or_default();
        let mut announced = self.origin.announced(&prefix).await?;
        let found = timeout(self.patience, until_active(&mut announced, self.theirs)).await;
        let found = match found {
            Ok(result) => {
                result?;
                true
            }
            Err(_) => false,
        };
        if found {
            self.report.step("announce", Verdict::Pass);
            self.check().await;
        } else {
            let why = format!("the peer announces no {:?}", self.theirs.as_str());
            self.report.step("announce", Verdict::Fail(why));
        }
        let checked = published.checked(self.patience).await;
        self.report.step("unsubscribe", published.left(self.patience).await);
        let served = match checked {
            true => Verdict::Pass,
            false => Verdict::Fail(format!("the peer takes no track {:?}", DONE.name)),
        };
        self.report.step("served", served);
        drop(published);
        if found {
            self.report.step("unannounce", self.ended(&mut announced).await);
        }
        Ok(())
    }

    async fn check(&self) {
        let theirs = Theirs { origin: &self.origin, path: self.theirs, patience: self.patience };
        let mut endless = Ok(());
        for known in &ENDING {
            let result = theirs.all(known).await;
            // That is a step of its own.
            let result = match result {
                Err(wrong @ Wrong::Endless(_)) => {
                    endless = Err(wrong);
                    Ok(())
                }
                result => result,
            };
            self.report.step(known.name, result);
        }
        self.report.step("end", endless);
        self.report.step("live", theirs.live().await);
        self.report.step("unknown", theirs.unknown().await);
        let [small, ..] = &ENDING;
        let fetched = match self.version.serves_fetch() {
            true => theirs.fetch(small).await.into(),
            false => Verdict::NotOffered(format!("smoq asks for none on {}", self.version)),
        };
        self.report.step("fetch", fetched);
        // A peer that does not have it does not want to know.
        let _ = theirs.all(&DONE).await;
    }

    async fn ended(&self, announced: &mut Announcements) -> Verdict {
        let end = async {
            while !matches!(announced.next().await?, Announced::Ended { path } if path == *self.theirs)
            {
            }
            Ok::<_, Error>(())
        };
        match timeout(self.patience, end).await {
            Ok(result) => result.into(),
            Err(_) => Verdict::Fail(format!("still announced after {:?}", self.patience)),
        }
    }
}

//! Groups that nobody wants any more: the viewer takes little, and old groups wait at the relay.

use std::time::Duration;

use smoq_core::wire::{StreamCode, SubscribeParams, TrackInfo};
use tokio::time::sleep;

use super::priorities::{full, narrow};
use crate::{
    check::{ALL, Check, Cx, FROM_05, must, should},
    peer::Group,
    stage::{Feed, Stage, Sub, TRACK, everything, info},
    stream::End,
    verdict::{Result, Unmet, same},
};

const EXPIRY: &str = "Max Latency";

/// What does not fit.
const LARGE: usize = 1 << 20;

/// Beyond this a group is too old, in milliseconds.
const AGE: u64 = 100;

fn aged(max_age_ms: u64) -> SubscribeParams {
    SubscribeParams { max_age_ms, ..everything() }
}

/// A group that waits at the relay, and two newer ones, each ten seconds later by timestamps and, up to 04
/// where there are none, later than the age by the clock. It reaches to where the second one begins, so the third
/// one makes it too old.
async fn outdated(stage: &Stage, params: SubscribeParams) -> Result<(Sub, Feed, Group)> {
    let (sub, mut feed) = stage.subscribe_to(TRACK, params).await?;
    full(&mut feed, 0, LARGE).await?;
    let group = sub.group().await?;
    for newer in [1000, 2000] {
        sleep(Duration::from_millis(3 * AGE)).await;
        full(&mut feed, newer, 1000).await?;
    }
    Ok((sub, feed, group))
}

/// How the old group ends when the viewer reads on.
async fn old_ends(cx: &Cx, params: SubscribeParams) -> Result<End> {
    let stage = narrow(cx).await?;
    let (_sub, _feed, mut group) = outdated(&stage, params).await?;
    Ok(group.recv.rest().await?.1)
}

fn cut(end: End) -> Result {
    match end {
        End::Reset(_) => Ok(()),
        end => Err(Unmet::failed("a reset of the group that is too old", end)),
    }
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        should(
            "expiry/old-is-reset",
            ALL,
            EXPIRY,
            "a group that waits and is older than the viewer's age is reset",
            |cx| async move { cut(old_ends(&cx, aged(AGE)).await?) },
        ),
        should(
            "expiry/code",
            ALL,
            "Error Codes",
            "the reset says that the group is too old",
            |cx| async move {
                match old_ends(&cx, aged(AGE)).await? {
                    End::Reset(code) => same("the code", code, StreamCode::OLD),
                    end => cut(end),
                }
            },
        ),
        should(
            "expiry/update",
            ALL,
            "SUBSCRIBE_UPDATE",
            "a lower age counts for groups that are on their way",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (mut sub, _feed, mut group) = outdated(&stage, everything()).await?;
                sub.update(aged(AGE)).await?;
                stage.viewer.alive().await?;
                cut(group.recv.rest().await?.1)
            },
        ),
        should(
            "expiry/publisher-age",
            FROM_05,
            "TRACK_INFO",
            "the publisher's age limits that of the viewer",
            |cx| async move {
                let stage = narrow(&cx).await?;
                stage.publisher.answer_tracks(Some(TrackInfo { max_age_ms: AGE, ..info() }));
                let (_sub, _feed, mut group) = outdated(&stage, everything()).await?;
                cut(group.recv.rest().await?.1)
            },
        ),
        must(
            "expiry/newest-arrives",
            ALL,
            EXPIRY,
            "the newest group arrives whole, whatever has become of older ones",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (sub, _feed, mut group) = outdated(&stage, aged(AGE)).await?;
                let (old, new) =
                    tokio::join!(group.recv.rest(), async { sub.group().await?.recv.rest().await });
                old?;
                same("the end of the newest group", new?.1, End::Fin)
            },
        ),
        must(
            "expiry/latest-stays",
            ALL,
            EXPIRY,
            "the latest group does not get too old, however long the viewer takes",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (sub, mut feed) = stage.subscribe_to(TRACK, aged(0)).await?;
                full(&mut feed, 0, LARGE).await?;
                sleep(Duration::from_millis(3 * AGE)).await;
                same("its end", sub.group().await?.recv.rest().await?.1, End::Fin)
            },
        ),
        must(
            "expiry/within-age",
            ALL,
            EXPIRY,
            "a group within the age is delivered whole, also behind a newer one",
            |cx| async move { same("its end", old_ends(&cx, everything()).await?, End::Fin) },
        ),
    ]
}

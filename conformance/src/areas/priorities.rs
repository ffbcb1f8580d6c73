//! What goes first when not everything fits: the viewer takes little at a time, and reads only when all is
//! waiting at the relay.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use smoq_core::wire::{BidiType, Fetch, GroupOrder, SubscribeParams};

use crate::{
    check::{ALL, Check, Cx, FROM_05, TO_05, must, should},
    dial::Dial,
    peer::Group,
    stage::{Feed, Stage, Sub, TRACK, everything},
    stream::{End, Recv},
    verdict::{Result, Unmet, holds},
};

const PRIORITY: &str = "Prioritization";

/// What the viewer takes before it reads.
const WINDOW: u32 = 64 << 10;

/// What is in the way, and what wants to pass it.
const LARGE: usize = 1 << 20;
const SMALL: usize = 100 << 10;

/// So much of the large one may have come when the small one is complete: two windows that were on their way,
/// and plenty.
const SLACK: usize = LARGE / 2;

/// A stage whose viewer takes little.
pub(super) async fn narrow(cx: &Cx) -> Result<Stage> {
    let viewer = cx.dial(Dial { window: Some(WINDOW), ..Dial::default() }).await?;
    Stage::new(cx, cx.connect().await?, viewer).await
}

/// A group of one frame, all of which the relay has when this returns.
pub(super) async fn full(feed: &mut Feed, sequence: u64, size: usize) -> Result {
    let payload = vec![sequence as u8; size];
    let mut group = feed.send(sequence, &[&payload]).await?;
    group.acknowledged().await?;
    feed.peer.alive().await
}

/// A track with a large group that is on its way to the viewer and does not fit.
async fn jam(stage: &Stage, params: SubscribeParams) -> Result<(Sub, Feed, Group)> {
    let (sub, mut feed) = stage.subscribe_to("large", params).await?;
    full(&mut feed, 0, LARGE).await?;
    let group = sub.group().await?;
    Ok((sub, feed, group))
}

/// Reads to the end, which has to be FIN, and counts meanwhile.
async fn count(recv: &mut Recv, bytes: &AtomicUsize) -> Result {
    loop {
        match recv.some().await? {
            Ok(more) => _ = bytes.fetch_add(more, Relaxed),
            Err(End::Fin) => return Ok(()),
            Err(end) => return Err(Unmet::failed("FIN of the large group", end)),
        }
    }
}

/// Reads both: `first` has to come before much of the group, and then the rest of it comes too.
async fn overtakes(mut large: Group, first: impl Future<Output = Result>) -> Result {
    let bytes = AtomicUsize::new(0);
    let mut large = pin!(count(&mut large.recv, &bytes));
    let mut first = pin!(first);
    tokio::select! {
        biased;
        done = &mut first => done?,
        done = &mut large => {
            done?;
            return Err(Unmet::failed("the urgent one first", "all of the large group before it"));
        }
    }
    let came = bytes.load(Relaxed);
    holds("the urgent one before half of the large group", came < SLACK, came)?;
    large.await
}

fn priority(priority: u8) -> SubscribeParams {
    SubscribeParams { priority, ..everything() }
}

/// Reads a whole group of a subscription.
async fn small(sub: &Sub, sequence: u64) -> Result {
    let mut group = sub.group().await?;
    while group.header.sequence != sequence {
        group = sub.group().await?;
    }
    match group.recv.rest().await? {
        (_, End::Fin) => Ok(()),
        (_, end) => Err(Unmet::failed("FIN", end)),
    }
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "priorities/higher-first",
            ALL,
            PRIORITY,
            "a group of a higher priority overtakes one of a lower priority that is on its way",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (_low, _feed, large) = jam(&stage, priority(10)).await?;
                let (high, mut feed) = stage.subscribe_to(TRACK, priority(200)).await?;
                full(&mut feed, 0, SMALL).await?;
                overtakes(large, small(&high, 0)).await
            },
        ),
        must(
            "priorities/lower-waits",
            ALL,
            PRIORITY,
            "a group of a lower priority does not overtake",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (_high, _feed, mut large) = jam(&stage, priority(200)).await?;
                let (low, mut feed) = stage.subscribe_to(TRACK, priority(10)).await?;
                full(&mut feed, 0, LARGE).await?;
                let (bytes, other) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let mut first = pin!(count(&mut large.recv, &bytes));
                let mut second = pin!(async { count(&mut low.group().await?.recv, &other).await });
                tokio::select! {
                    done = &mut first => done?,
                    done = &mut second => {
                        done?;
                        return Err(Unmet::failed("the urgent group first", "all of the other one"));
                    }
                }
                holds(
                    "less than half of the other group",
                    other.load(Relaxed) < SLACK,
                    other.load(Relaxed),
                )?;
                second.await
            },
        ),
        must(
            "priorities/newest-first",
            ALL,
            PRIORITY,
            "a newer group of the same track overtakes an older one",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (sub, mut feed, large) = jam(&stage, priority(10)).await?;
                full(&mut feed, 1, SMALL).await?;
                overtakes(large, small(&sub, 1)).await
            },
        ),
        should(
            "priorities/oldest-first",
            TO_05,
            PRIORITY,
            "for a viewer that wants the oldest group first a newer one waits",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let wanted = SubscribeParams { order: GroupOrder::OldestFirst, ..everything() };
                let (sub, mut feed, mut large) = jam(&stage, wanted).await?;
                full(&mut feed, 1, LARGE).await?;
                let (bytes, other) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let mut second = pin!(async { count(&mut sub.group().await?.recv, &other).await });
                tokio::select! {
                    done = count(&mut large.recv, &bytes) => done?,
                    done = &mut second => done?,
                }
                holds(
                    "less than half of the newer group",
                    other.load(Relaxed) < SLACK,
                    other.load(Relaxed),
                )
            },
        ),
        must(
            "priorities/update",
            ALL,
            "SUBSCRIBE_UPDATE",
            "a new priority counts for groups that are on their way",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (_first, _feed, large) = jam(&stage, priority(100)).await?;
                let (mut second, mut feed) = stage.subscribe_to(TRACK, priority(50)).await?;
                full(&mut feed, 0, SMALL).await?;
                second.update(priority(200)).await?;
                stage.viewer.alive().await?;
                overtakes(large, small(&second, 0)).await
            },
        ),
        must(
            "priorities/control-first",
            ALL,
            PRIORITY,
            "announcements overtake media",
            |cx| async move {
                let mut stage = narrow(&cx).await?;
                let (_sub, _feed, large) = jam(&stage, priority(255)).await?;
                let next = smoq_core::Path::new("next").unwrap_or_default();
                stage.announcer.start(&stage.name.join(&next).unwrap_or_default()).await?;
                stage.publisher.alive().await?;
                overtakes(large, async { stage.watcher.started(&next).await.map(|_| ()) }).await
            },
        ),
        should(
            "priorities/fetch",
            FROM_05,
            PRIORITY,
            "a FETCH of a higher priority overtakes groups of a lower one",
            |cx| async move {
                let stage = narrow(&cx).await?;
                // The relay holds it, for another viewer.
                let other =
                    Sub::new(&cx.connect().await?, &stage.name, TRACK, everything()).await?;
                let mut feed = Feed::new(&stage.publisher).await?;
                full(&mut feed, 0, SMALL).await?;
                small(&other, 0).await?;
                let (_low, _feed, large) = jam(&stage, priority(10)).await?;
                let fetch = Fetch {
                    broadcast: stage.name.clone(),
                    track: TRACK.into(),
                    priority: 200,
                    group: 0,
                    frame_start: 0,
                    frame_end: None,
                };
                let mut bi = stage.viewer.ask(BidiType::Fetch, &fetch).await?;
                overtakes(large, bi.recv.ended()).await
            },
        ),
        must(
            "priorities/nothing-lost",
            ALL,
            PRIORITY,
            "whatever its priority, everything arrives whole in the end",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let sent = async |track, level| {
                    let (sub, mut feed) = stage.subscribe_to(track, priority(level)).await?;
                    full(&mut feed, 0, 2 * SMALL).await?;
                    Ok((sub, feed))
                };
                let (a, b, c) = (sent("a", 0).await?, sent("b", 127).await?, sent("c", 255).await?);
                let (a, b, c) = tokio::join!(small(&a.0, 0), small(&b.0, 0), small(&c.0, 0));
                a.and(b).and(c)
            },
        ),
    ]
}

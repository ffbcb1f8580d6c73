//! Subscriptions: where they begin and end in the track.

use smoq_core::wire::{StreamCode, SubscribeParams, SubscribeResponse};

use super::hostile::{costs_subscribe, subscribe_with};
use crate::{
    check::{ALL, Check, Cx, FROM_05, FROM_06, TO_05, must, should},
    stage::{Feed, Stage, Sub, TRACK, everything},
    stream::End,
    verdict::{Result, Unmet, holds, same},
};

const SUBSCRIBE: &str = "Subscribe";
const UPDATE: &str = "SUBSCRIBE_UPDATE";

/// A stage whose relay holds these groups, each of a frame with its number and another one, and the subscription that
/// brought them.
async fn held(cx: &Cx, groups: &[u64]) -> Result<(Stage, Sub, Feed)> {
    let stage = cx.stage().await?;
    let (sub, mut feed) = stage.subscribe().await?;
    feed.start(groups.first().copied().unwrap_or(0)).await?;
    for group in groups {
        feed.send(*group, &[group.to_string().as_bytes(), b"+"]).await?;
    }
    sub.collect(groups.len()).await?;
    Ok((stage, sub, feed))
}

/// What a second viewer gets of those groups, before a further one with the number `mark`.
async fn late(cx: &Cx, groups: &[u64], params: SubscribeParams, mark: u64) -> Result<Vec<u64>> {
    let (stage, _first, mut feed) = held(cx, groups).await?;
    let mut second = stage.watch(TRACK, params).await?;
    second.started().await?;
    feed.send(mark, &[b"mark"]).await?;
    let mut got = Vec::new();
    loop {
        let group = second.group().await?.header.sequence;
        got.push(group);
        if group == mark {
            // Groups travel on streams of their own: those before may be a little behind.
            second.peer.alive().await?;
            while let Some(group) = second.peer.group_now(second.id) {
                got.push(group.header.sequence);
            }
            got.sort_unstable();
            return Ok(got);
        }
    }
}

fn params(start: Option<u64>, end: Option<u64>) -> SubscribeParams {
    SubscribeParams { start, end, ..everything() }
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "subscribe/start",
            FROM_05,
            "SUBSCRIBE_OK",
            "START names the first group that is served",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.send(7, &[b"a"]).await?;
                same("START", sub.started().await?, Some(7))?;
                sub.expect(7, &[b"a"]).await
            },
        ),
        must(
            "subscribe/end",
            FROM_05,
            "SUBSCRIBE_END",
            "END names the first group that does not exist, and FIN follows",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                feed.send(1, &[b"b"]).await?;
                sub.collect(2).await?;
                feed.end(2).await?;
                sub.started().await?;
                same("the answer", sub.response().await?, SubscribeResponse::End { group: 2 })?;
                sub.bi.recv.fin().await
            },
        ),
        must(
            "subscribe/end-empty",
            FROM_05,
            "SUBSCRIBE_END",
            "a track that ends without a group ends with END 0",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.end(0).await?;
                let end = SubscribeResponse::End { group: 0 };
                let came = match sub.response().await? {
                    SubscribeResponse::Start { .. } => sub.response().await?,
                    response => response,
                };
                same("the answer", came, end)?;
                sub.bi.recv.fin().await
            },
        ),
        must(
            "subscribe/fin-at-the-end",
            ALL,
            SUBSCRIBE,
            "when the publisher ends a track, and all groups are there, the relay ends the subscription with FIN",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                feed.end(1).await?;
                sub.expect(0, &[b"a"]).await?;
                match sub.bi.recv.rest().await? {
                    (_, End::Fin) => Ok(()),
                    (_, end) => Err(Unmet::failed("FIN", end)),
                }
            },
        ),
        must(
            "subscribe/groups-before-end",
            ALL,
            SUBSCRIBE,
            "a group that is still open when the track ends is delivered",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                feed.end(1).await?;
                let mut came = sub.group().await?;
                came.recv.expect(b"a").await?;
                group.frame(1, b"b").await?;
                group.fin();
                came.recv.expect(b"b").await?;
                came.recv.fin().await
            },
        ),
        must(
            "subscribe/latest",
            TO_05,
            SUBSCRIBE,
            "a subscription without a start begins with the latest group",
            |cx| async move {
                let got = late(&cx, &[0, 1, 2], params(None, None), 3).await?;
                same("groups", got, vec![2, 3])
            },
        ),
        must(
            "subscribe/start-group",
            TO_05,
            SUBSCRIBE,
            "a subscription begins with the group that it names",
            |cx| async move {
                let got = late(&cx, &[0, 1, 2], params(Some(1), None), 3).await?;
                same("groups", got, vec![1, 2, 3])
            },
        ),
        must(
            "subscribe/no-age",
            FROM_06,
            SUBSCRIBE,
            "with an age of 0 a subscription begins with the latest group",
            |cx| async move {
                let params = SubscribeParams { max_age_ms: 0, ..params(None, None) };
                let got = late(&cx, &[0, 1, 2], params, 3).await?;
                holds("no group before the latest", got.first() >= Some(&2), got)
            },
        ),
        must(
            "subscribe/age",
            FROM_06,
            SUBSCRIBE,
            "a subscription begins with the oldest group that its age reaches, by timestamps",
            |cx| async move {
                // Groups begin every 10 ms: 1 ends 11 ms before the last frame, and 0 ends 21 ms before it.
                let params = SubscribeParams { max_age_ms: 15, ..params(None, None) };
                let got = late(&cx, &[0, 1, 2, 3], params, 4).await?;
                holds("groups from 1 or 2 on", matches!(got.first(), Some(1 | 2)), got)
            },
        ),
        must(
            "subscribe/floor",
            FROM_06,
            SUBSCRIBE,
            "no group below the floor is served",
            |cx| async move {
                let got = late(&cx, &[0, 1, 2], params(Some(2), None), 3).await?;
                same("groups", got, vec![2, 3])
            },
        ),
        must(
            "subscribe/future-floor",
            FROM_06,
            SUBSCRIBE,
            "a floor above the latest group waits for it",
            |cx| async move {
                let (stage, _first, mut feed) = held(&cx, &[0, 1]).await?;
                let second = stage.watch(TRACK, params(Some(3), None)).await?;
                stage.viewer.alive().await?;
                feed.send(2, &[b"2"]).await?;
                feed.send(3, &[b"3"]).await?;
                second.expect(3, &[b"3"]).await
            },
        ),
        must(
            "subscribe/end-group",
            ALL,
            SUBSCRIBE,
            "no group after the last one that is wanted is served",
            |cx| async move {
                let (stage, first, mut feed) = held(&cx, &[0, 1]).await?;
                let second = stage.watch(TRACK, params(Some(0), Some(1))).await?;
                second.collect(2).await?;
                feed.send(2, &[b"2"]).await?;
                first.expect(2, &[b"2"]).await?;
                second.nothing_more().await
            },
        ),
        must(
            "subscribe/update-raises-end",
            ALL,
            UPDATE,
            "a later last group, by SUBSCRIBE_UPDATE, lets more groups come",
            |cx| async move {
                let (stage, _first, mut feed) = held(&cx, &[0, 1]).await?;
                let mut second = stage.watch(TRACK, params(Some(0), Some(0))).await?;
                second.expect(0, &[b"0", b"+"]).await?;
                second.update(params(Some(0), Some(2))).await?;
                feed.send(2, &[b"2"]).await?;
                let got = second.collect(2).await?;
                same("groups", got.into_keys().collect(), vec![1, 2])
            },
        ),
        must(
            "subscribe/late-joiner",
            ALL,
            SUBSCRIBE,
            "a viewer that comes within a group gets it from its first frame",
            |cx| async move {
                let stage = cx.stage().await?;
                let (first, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                first.group().await?.recv.expect(b"a").await?;
                let second = stage.watch(TRACK, everything()).await?;
                let mut came = second.group().await?;
                came.recv.expect(b"a").await?;
                group.frame(1, b"b").await?;
                group.fin();
                came.recv.expect(b"b").await?;
                came.recv.fin().await
            },
        ),
        must(
            "subscribe/first-frame",
            FROM_06,
            "Subscribe: Frame Start",
            "a first frame leaves out those before it, and the header says so",
            |cx| async move {
                let stage = cx.stage().await?;
                let (first, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a", b"b", b"c"]).await?;
                first.expect(0, &[b"a", b"b", b"c"]).await?;
                let wanted = SubscribeParams { frame_start: 1, ..everything() };
                let mut group = stage.watch(TRACK, wanted).await?.group().await?;
                same("the first frame", group.header.first_frame, 1)?;
                group.recv.expect(b"b").await
            },
        ),
        must(
            "subscribe/last-frame",
            FROM_06,
            "Subscribe: Frame End",
            "a last frame leaves out those after it",
            |cx| async move {
                let stage = cx.stage().await?;
                let (first, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a", b"b", b"c"]).await?;
                first.expect(0, &[b"a", b"b", b"c"]).await?;
                let wanted = SubscribeParams { end: Some(0), frame_end: Some(1), ..everything() };
                stage.watch(TRACK, wanted).await?.expect(0, &[b"a", b"b"]).await
            },
        ),
        must(
            "subscribe/frame-without-group",
            FROM_06,
            "Subscribe: Frame End",
            "a last frame without a last group is refused",
            |cx| async move {
                // Priority 0, age 0, floor 0, no end, frame 0, but a last frame.
                let params = [0, 0, 0, 0, 0, 2];
                costs_subscribe(&cx, |name| subscribe_with(name, TRACK.as_bytes(), &params)).await
            },
        ),
        should(
            "subscribe/drop-told",
            ALL,
            "SUBSCRIBE_DROP",
            "groups that the publisher drops are told to the viewer",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.start(0).await?;
                feed.send(0, &[b"0"]).await?;
                sub.expect(0, &[b"0"]).await?;
                sub.started().await?;
                let code = StreamCode::OLD.0;
                feed.answer(&SubscribeResponse::Drop { first: 1, last: 2, code }).await?;
                match sub.response().await? {
                    SubscribeResponse::Drop { first: 1, last: 2, .. } => Ok(()),
                    response => Err(Unmet::failed("DROP 1 to 2", format!("{response:?}"))),
                }
            },
        ),
    ]
}

//! Subscriptions: what is answered, where they begin and end.

use smoq_core::wire::{
    BidiType, StreamCode, Subscribe, SubscribeParams, SubscribeResponse, varint,
};

use crate::{
    check::{ALL, Check, Cx, FROM_05, FROM_06, TO_04, TO_05, must, should},
    peer::refuse,
    stage::{AGES, Feed, Stage, Sub, TRACK, everything, is_absent},
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
            "subscribe/unknown-broadcast",
            ALL,
            SUBSCRIBE,
            "a subscription to what nobody has announced is reset promptly",
            |cx| async move {
                let peer = cx.connect().await?;
                let mut sub = Sub::new(&peer, &cx.name(), TRACK, everything()).await?;
                sub.bi.recv.reset().await.map(|_| ())
            },
        ),
        should(
            "subscribe/unknown-broadcast-code",
            ALL,
            SUBSCRIBE,
            "the reset says that there is no such broadcast, or no way to it",
            |cx| async move {
                let peer = cx.connect().await?;
                let mut sub = Sub::new(&peer, &cx.name(), TRACK, everything()).await?;
                let code = sub.bi.recv.reset().await?;
                holds("not found or unroutable", is_absent(code), code)
            },
        ),
        must(
            "subscribe/refused",
            ALL,
            SUBSCRIBE,
            "a refusal of the publisher reaches the viewer as a reset",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                refuse(&mut feed.bi, StreamCode::NOT_FOUND);
                sub.bi.recv.reset().await.map(|_| ())
            },
        ),
        should(
            "subscribe/refused-code",
            ALL,
            "Error Codes",
            "the code of the publisher's refusal reaches the viewer",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                refuse(&mut feed.bi, StreamCode::application(7));
                same("the code", sub.bi.recv.reset().await?, StreamCode::application(7))
            },
        ),
        must(
            "subscribe/ok-first",
            TO_04,
            SUBSCRIBE,
            "SUBSCRIBE is answered by SUBSCRIBE_OK first",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, _feed) = stage.subscribe().await?;
                sub.started().await.map(|_| ())
            },
        ),
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
                stage.viewer.alive().await?;
                match second.peer.group_now(second.id) {
                    Some(group) => {
                        Err(Unmet::failed("no group after 1", format!("{:?}", group.header)))
                    }
                    None => Ok(()),
                }
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
            "subscribe/wishes-upstream",
            ALL,
            SUBSCRIBE,
            "the relay asks the publisher with the viewer's priority",
            |cx| async move {
                let stage = cx.stage().await?;
                let wanted = SubscribeParams { priority: 77, ..everything() };
                let (_sub, feed) = stage.subscribe_to(TRACK, wanted).await?;
                same("the priority", feed.subscribe.params.priority, 77)
            },
        ),
        must(
            "subscribe/update-upstream",
            ALL,
            UPDATE,
            "what a viewer wants from now on reaches the publisher",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                sub.update(SubscribeParams { priority: 99, ..everything() }).await?;
                same("the priority", feed.update().await?.priority, 99)
            },
        ),
        should(
            "subscribe/age-upstream",
            ALL,
            SUBSCRIBE,
            "the publisher is asked for an age that serves every viewer",
            |cx| async move {
                let stage = cx.stage().await?;
                let first = SubscribeParams { max_age_ms: 1000, ..params(None, None) };
                let (_first, mut feed) = stage.subscribe_to(TRACK, first).await?;
                let second = SubscribeParams { max_age_ms: 60_000, ..params(None, None) };
                let _second = stage.watch(TRACK, second).await?;
                let age = feed.update().await?.max_age_ms;
                holds("an age of at least 60 s", age >= 60_000, age)
            },
        ),
        must(
            "subscribe/one-upstream",
            ALL,
            SUBSCRIBE,
            "two viewers of a track are one subscription at the publisher",
            |cx| async move {
                let stage = cx.stage().await?;
                let (first, mut feed) = stage.subscribe().await?;
                let second =
                    Sub::new(&cx.connect().await?, &stage.name, TRACK, everything()).await?;
                second.peer.alive().await?;
                feed.send(0, &[b"a"]).await?;
                first.expect(0, &[b"a"]).await?;
                second.expect(0, &[b"a"]).await?;
                same("a second SUBSCRIBE", stage.publisher.has_come(BidiType::Subscribe), false)
            },
        ),
        must(
            "subscribe/two-tracks",
            ALL,
            SUBSCRIBE,
            "tracks of one broadcast are subscribed to apart, and do not mix",
            |cx| async move {
                let stage = cx.stage().await?;
                let (video, mut first) = stage.subscribe().await?;
                let (audio, mut second) = stage.subscribe_to("audio", everything()).await?;
                second.send(0, &[b"sound"]).await?;
                first.send(0, &[b"picture"]).await?;
                audio.expect(0, &[b"sound"]).await?;
                video.expect(0, &[b"picture"]).await
            },
        ),
        must(
            "subscribe/unsubscribe",
            ALL,
            "Termination",
            "a viewer that ends its side gets the end of the other one",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, _feed) = stage.subscribe().await?;
                sub.bi.send.fin();
                sub.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "subscribe/unsubscribe-upstream",
            ALL,
            "Termination",
            "when the last viewer leaves the relay leaves the publisher",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                sub.bi.send.fin();
                feed.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "subscribe/reset-upstream",
            ALL,
            "Termination",
            "a viewer that resets its subscription leaves it too",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                sub.bi.send.reset(StreamCode::CANCEL);
                sub.bi.recv.stop(StreamCode::CANCEL);
                feed.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "subscribe/viewer-gone",
            ALL,
            "Termination",
            "the subscriptions of a viewer end with its session",
            |cx| async move {
                let stage = cx.stage().await?;
                let (_sub, mut feed) = stage.subscribe().await?;
                stage.viewer.close().await;
                feed.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "subscribe/publisher-gone",
            ALL,
            SUBSCRIBE,
            "a viewer is told when the publisher's session ends: its subscription does not stay silent for ever",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await?;
                stage.publisher.close().await;
                sub.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "subscribe/again",
            ALL,
            SUBSCRIBE,
            "a track that everybody has left can be subscribed to again",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                sub.bi.send.fin();
                feed.bi.recv.rest().await?;
                feed.bi.send.fin();
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(5, &[b"again"]).await?;
                sub.expect(5, &[b"again"]).await
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
            "subscribe/large-id",
            ALL,
            "SUBSCRIBE",
            "the id of a subscription is any number, and groups carry it",
            |cx| async move {
                let stage = cx.stage().await?;
                let id = varint::MAX;
                let broadcast = stage.name.clone();
                let subscribe =
                    Subscribe { id, broadcast, track: TRACK.into(), params: everything() };
                let bi = stage.viewer.ask(BidiType::Subscribe, &subscribe).await?;
                let sub = Sub { id, bi, peer: stage.viewer.clone() };
                let mut feed = Feed::new(&stage.publisher).await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
            },
        ),
        should(
            "subscribe/id-in-use",
            ALL,
            "SUBSCRIBE",
            "an id that is in use is refused, and the subscription that has it goes on",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let broadcast = stage.name.clone();
                let again = Subscribe {
                    id: sub.id,
                    broadcast,
                    track: "other".into(),
                    params: everything(),
                };
                let mut bi = stage.viewer.ask(BidiType::Subscribe, &again).await?;
                bi.recv.reset().await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
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
                let peer = cx.connect().await?;
                // Id 0, no paths, priority 0, age 0, floor 0, no end, frame 0, but a last frame.
                let mut bi = peer.say(&[2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 2]).await?;
                bi.recv.reset().await?;
                peer.alive().await
            },
        ),
        must(
            "subscribe/malformed-update",
            ALL,
            UPDATE,
            "an update that cannot be read ends the subscription, and the session lives",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, _feed) = stage.subscribe().await?;
                sub.bi.send.bytes(&[1, 0]).await?;
                sub.bi.recv.reset().await?;
                stage.viewer.alive().await
            },
        ),
        must(
            "subscribe/truncated-update",
            ALL,
            UPDATE,
            "an update that is cut off by FIN ends the subscription",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                sub.bi.send.bytes(&[9, 0]).await?;
                sub.bi.send.fin();
                sub.bi.recv.rest().await?;
                feed.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "subscribe/priority-byte",
            ALL,
            "SUBSCRIBE",
            "every priority from 0 to 255 is taken",
            |cx| async move {
                let stage = cx.stage().await?;
                let wanted = SubscribeParams { priority: 255, ..everything() };
                let (high, mut feed) = stage.subscribe_to("high", wanted).await?;
                feed.send(0, &[b"a"]).await?;
                high.expect(0, &[b"a"]).await?;
                let (low, mut feed) = stage.subscribe_to("low", everything()).await?;
                feed.send(0, &[b"b"]).await?;
                low.expect(0, &[b"b"]).await
            },
        ),
        should(
            "subscribe/long-age",
            ALL,
            "SUBSCRIBE",
            "the largest age that fits is taken",
            |cx| async move {
                let stage = cx.stage().await?;
                let wanted = SubscribeParams { max_age_ms: varint::MAX, ..everything() };
                let (sub, mut feed) = stage.subscribe_to(TRACK, wanted).await?;
                holds(
                    "an age upstream that is as long",
                    feed.subscribe.params.max_age_ms >= AGES,
                    &feed.subscribe.params,
                )?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
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

//! Subscriptions: what is answered, what goes upstream, and how they end.

use smoq_core::wire::{BidiType, StreamCode, Subscribe, SubscribeParams, varint};

use crate::{
    check::{ALL, Check, TO_04, must, should},
    peer::refuse,
    stage::{AGES, Feed, Sub, TRACK, everything, is_absent},
    verdict::{holds, same},
};

const SUBSCRIBE: &str = "Subscribe";
const UPDATE: &str = "SUBSCRIBE_UPDATE";

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
                sub.bi.recv.ended().await?;
                stage.viewer.alive().await
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
                feed.bi.recv.ended().await?;
                stage.publisher.alive().await
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
                feed.bi.recv.ended().await?;
                stage.publisher.alive().await
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
                feed.bi.recv.ended().await?;
                stage.publisher.alive().await
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
                sub.bi.recv.ended().await?;
                stage.viewer.alive().await
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
                feed.bi.recv.ended().await?;
                feed.bi.send.fin();
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(5, &[b"again"]).await?;
                sub.expect(5, &[b"again"]).await
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
                sub.bi.recv.ended().await?;
                feed.bi.recv.ended().await?;
                stage.viewer.alive().await
            },
        ),
        must(
            "subscribe/priority-byte",
            ALL,
            "SUBSCRIBE",
            "the priorities 0 and 255 are taken",
            |cx| async move {
                let stage = cx.stage().await?;
                let wanted = SubscribeParams { priority: 255, ..everything() };
                let (high, mut feed) = stage.subscribe_to("high", wanted).await?;
                feed.send(0, &[b"a"]).await?;
                high.expect(0, &[b"a"]).await?;
                let wanted = SubscribeParams { priority: 0, ..everything() };
                let (low, mut feed) = stage.subscribe_to("low", wanted).await?;
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
    ]
}

//! What nobody should say: it costs its sender something, and nobody else.

use bytes::BytesMut;
use smoq_core::wire::{
    BidiType, FrameHeader, Message, StreamCode, SubscribeParams, SubscribeResponse, varint,
};

use crate::{
    check::{ALL, Check, Cx, FROM_05, TO_04, must, should},
    stage::{Feed, Stage, Sub, TRACK, everything},
    stream::{End, Send},
    verdict::{Result, Unmet, same},
};

const STREAMS: &str = "STREAM_TYPE";
const SUBSCRIBE: &str = "SUBSCRIBE";
const GROUP: &str = "Group";
const FRAME: &str = "FRAME";

/// A request that begins so is reset, and the session lives.
async fn costs_stream(cx: &Cx, bytes: &[u8], fin: bool) -> Result {
    let peer = cx.connect().await?;
    let mut bi = peer.say(bytes).await?;
    if fin {
        bi.send.fin();
    }
    bi.recv.reset().await?;
    peer.alive().await
}

/// A unidirectional stream that begins so is unwanted, and the session lives.
async fn unwanted(cx: &Cx, bytes: &[u8]) -> Result {
    let peer = cx.connect().await?;
    peer.say_uni(bytes).await?.stopped().await?;
    peer.alive().await
}

/// A SUBSCRIBE that names a broadcast which is there is reset, the session lives, and the publisher is asked for
/// nothing.
pub(super) async fn costs_subscribe(cx: &Cx, spoil: impl FnOnce(&[u8]) -> BytesMut) -> Result {
    let stage = cx.stage().await?;
    let mut bi = stage.viewer.say(&spoil(stage.name.as_str().as_bytes())).await?;
    bi.recv.reset().await?;
    stage.viewer.alive().await?;
    stage.publisher.alive().await?;
    same("SUBSCRIBE at the publisher", stage.publisher.has_come(BidiType::Subscribe), false)
}

/// SUBSCRIBE with these bytes for the broadcast and the track.
fn subscribe(cx: &Cx, broadcast: &[u8], track: &[u8]) -> BytesMut {
    let mut params = BytesMut::new();
    SubscribeParams::default().encode_body(&mut params, cx.version());
    subscribe_with(broadcast, track, &params)
}

/// The same with these bytes for what is wanted of it.
pub(super) fn subscribe_with(broadcast: &[u8], track: &[u8], params: &[u8]) -> BytesMut {
    let mut body = BytesMut::new();
    varint::encode(7, &mut body);
    for bytes in [broadcast, track] {
        varint::encode(bytes.len() as u64, &mut body);
        body.extend_from_slice(bytes);
    }
    body.extend_from_slice(params);
    let mut out = BytesMut::new();
    varint::encode(BidiType::Subscribe.to_varint(), &mut out);
    varint::encode(body.len() as u64, &mut out);
    out.extend_from_slice(&body);
    out
}

/// A publisher breaks a rule inside a group: the viewer must not take it for complete.
async fn cut_off(cx: Cx, ruin: impl AsyncFnOnce(&mut Send) -> Result) -> Result {
    let stage = cx.stage().await?;
    let (sub, mut feed) = stage.subscribe().await?;
    let mut group = feed.open(0).await?;
    group.frame(100, b"good").await?;
    let mut came = sub.group().await?;
    came.recv.expect(b"good").await?;
    ruin(&mut group).await?;
    came.recv.reset().await?;
    // Only that group was lost.
    feed.send(1, &[b"next"]).await?;
    sub.expect(1, &[b"next"]).await?;
    stage.publisher.alive().await
}

/// A publisher breaks a rule in its answers: the subscription ends, and both sessions live.
async fn costs_feed(cx: &Cx, answer: impl AsyncFnOnce(&mut Feed) -> Result) -> Result {
    let stage = cx.stage().await?;
    let (mut sub, mut feed) = stage.subscribe().await?;
    answer(&mut feed).await?;
    sub.bi.recv.ended().await?;
    stage.publisher.alive().await?;
    stage.viewer.alive().await
}

/// Somebody else's session works.
async fn others_live(stage: &Stage, sub: &Sub, feed: &mut Feed) -> Result {
    feed.send(0, &[b"unharmed"]).await?;
    sub.expect(0, &[b"unharmed"]).await?;
    stage.viewer.alive().await
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "hostile/unknown-request",
            ALL,
            STREAMS,
            "a bidirectional stream of an unknown type is reset, and the session lives",
            |cx| async move { costs_stream(&cx, &[0x3f, 1, 2, 3], false).await },
        ),
        must(
            "hostile/unknown-stream",
            ALL,
            STREAMS,
            "a unidirectional stream of an unknown type is stopped, and the session lives",
            |cx| async move { unwanted(&cx, &[0x3f, 1, 2, 3]).await },
        ),
        must(
            "hostile/largest-type",
            ALL,
            STREAMS,
            "the largest number as a type is an unknown type",
            |cx| async move { costs_stream(&cx, &[0xff; 8], false).await },
        ),
        should(
            "hostile/many-unknown",
            ALL,
            STREAMS,
            "forty unknown streams do not end a session",
            |cx| async move {
                let peer = cx.connect().await?;
                for kind in 0..40 {
                    peer.say(&[0x40, 0x80 + kind]).await?.recv.reset().await?;
                }
                peer.alive().await
            },
        ),
        must(
            "hostile/empty-streams",
            ALL,
            STREAMS,
            "streams that end before they say what they are harm nothing",
            |cx| async move {
                let peer = cx.connect().await?;
                let mut bi = peer.open_bi().await?;
                bi.send.fin();
                peer.open_uni().await?.fin();
                let mut half = peer.say(&[0x40]).await?;
                half.send.fin();
                peer.alive().await
            },
        ),
        must(
            "hostile/silent-stream",
            ALL,
            STREAMS,
            "a stream that says nothing holds nothing up",
            |cx| async move {
                let peer = cx.connect().await?;
                let _silent = (peer.open_bi().await?, peer.open_uni().await?);
                let stage = Stage::new(&cx, cx.connect().await?, peer).await?;
                let (sub, mut feed) = stage.subscribe().await?;
                others_live(&stage, &sub, &mut feed).await
            },
        ),
        must(
            "hostile/truncated",
            ALL,
            SUBSCRIBE,
            "a request that ends within its message is reset",
            |cx| async move { costs_stream(&cx, &[2, 20, 0, 1, b'a'], true).await },
        ),
        must(
            "hostile/too-short",
            ALL,
            SUBSCRIBE,
            "a message that ends before its fields is reset",
            |cx| async move { costs_stream(&cx, &[2, 3, 0, 1, b'a'], false).await },
        ),
        must(
            "hostile/trailing-bytes",
            ALL,
            SUBSCRIBE,
            "a message with bytes behind its fields is reset",
            |cx| async move {
                costs_subscribe(&cx, |name| {
                    let mut bytes = subscribe(&cx, name, TRACK.as_bytes());
                    bytes[1] += 1;
                    bytes.extend_from_slice(&[0]);
                    bytes
                })
                .await
            },
        ),
        must(
            "hostile/huge-length",
            ALL,
            SUBSCRIBE,
            "a message that declares 2^61 bytes is reset at once",
            |cx| async move { costs_stream(&cx, &[2, 0xe0, 0, 0, 0, 0, 0, 0, 0, 1], false).await },
        ),
        must(
            "hostile/inner-length",
            ALL,
            SUBSCRIBE,
            "a text that is longer than its message is refused",
            |cx| async move { costs_stream(&cx, &[2, 5, 0, 0x7f, 0xff, b'a', b'b'], false).await },
        ),
        must(
            "hostile/broadcast-no-text",
            ALL,
            SUBSCRIBE,
            "the name of a broadcast that is no UTF-8 is refused",
            |cx| async move { costs_stream(&cx, &subscribe(&cx, b"\xff\xfe", b"t"), false).await },
        ),
        must(
            "hostile/track-no-text",
            ALL,
            SUBSCRIBE,
            "the name of a track that is no UTF-8 is refused",
            |cx| async move { costs_subscribe(&cx, |name| subscribe(&cx, name, b"\xc3\x28")).await },
        ),
        must(
            "hostile/deep-path",
            ALL,
            SUBSCRIBE,
            "a path of 33 segments is refused",
            |cx| async move {
                costs_stream(&cx, &subscribe(&cx, "a/".repeat(33).as_bytes(), b"t"), false).await
            },
        ),
        must(
            "hostile/reset-request",
            ALL,
            "Termination",
            "a request that is reset within its message harms nothing",
            |cx| async move {
                let peer = cx.connect().await?;
                peer.say(&[2, 20, 0]).await?.send.reset(StreamCode::CANCEL);
                peer.alive().await
            },
        ),
        must(
            "hostile/stopped-answer",
            ALL,
            "Termination",
            "a subscriber that stops the answers has left",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                sub.bi.recv.stop(StreamCode::CANCEL);
                sub.bi.send.fin();
                feed.bi.recv.ended().await?;
                stage.viewer.alive().await
            },
        ),
        must(
            "hostile/unknown-group",
            ALL,
            "GROUP",
            "a group of a subscription that never was is stopped",
            |cx| async move {
                let tail: &[u8] = if cx.version().has_frame_bounds() { &[0] } else { &[] };
                let body = [&[0x32, 0], tail].concat();
                unwanted(&cx, &[&[0, body.len() as u8][..], &body].concat()).await
            },
        ),
        must(
            "hostile/group-header",
            ALL,
            "GROUP",
            "a header of a group that cannot be read is stopped",
            |cx| async move { unwanted(&cx, &[0, 1, 5]).await },
        ),
        must(
            "hostile/group-header-truncated",
            ALL,
            "GROUP",
            "a header of a group that ends early harms nothing",
            |cx| async move {
                let peer = cx.connect().await?;
                peer.say_uni(&[0, 5, 0]).await?.fin();
                peer.alive().await
            },
        ),
        must(
            "hostile/short-frame",
            ALL,
            FRAME,
            "a frame that is shorter than it said is not passed on as a whole group",
            |cx| async move {
                cut_off(cx, async |group| {
                    group.frame_header(101, 100).await?;
                    group.bytes(b"short").await?;
                    group.fin();
                    Ok(())
                })
                .await
            },
        ),
        must(
            "hostile/frame-header-cut",
            ALL,
            FRAME,
            "a group that ends within the header of a frame is not passed on as a whole group",
            |cx| async move {
                cut_off(cx, async |group| {
                    group.bytes(&[0x80]).await?;
                    group.fin();
                    Ok(())
                })
                .await
            },
        ),
        must(
            "hostile/endless-frame",
            ALL,
            FRAME,
            "a frame that declares 2^61 bytes is given up",
            |cx| async move {
                cut_off(cx, async |group| {
                    let header = FrameHeader { delta: 0, size: 1 << 61 };
                    group.put(|out, version| header.encode(out, version)).await
                })
                .await
            },
        ),
        must(
            "hostile/negative-time",
            FROM_05,
            FRAME,
            "a timestamp below 0 is not passed on",
            |cx| async move {
                cut_off(cx, async |group| {
                    let header = FrameHeader { delta: -1000, size: 0 };
                    group.put(|out, version| header.encode(out, version)).await
                })
                .await
            },
        ),
        must(
            "hostile/group-after-end",
            FROM_05,
            "SUBSCRIBE_END",
            "a group behind the END is not delivered",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                let mut first = feed.open(0).await?;
                first.frame(0, b"a").await?;
                sub.group().await?.recv.expect(b"a").await?;
                feed.answer(&SubscribeResponse::End { group: 1 }).await?;
                sub.started().await?;
                sub.response().await?;
                // It stays open: what is acknowledged before it is refused is not stopped any more.
                let mut late = feed.open(3).await?;
                late.stopped().await?;
                sub.nothing_more().await
            },
        ),
        must(
            "hostile/end-too-low",
            FROM_05,
            "SUBSCRIBE_END",
            "an END below what was delivered ends the subscription",
            |cx| async move {
                costs_feed(&cx, async |feed| {
                    feed.send(5, &[b"a"]).await?.acknowledged().await?;
                    feed.peer.alive().await?;
                    feed.answer(&SubscribeResponse::End { group: 2 }).await?;
                    feed.bi.recv.ended().await
                })
                .await
            },
        ),
        must(
            "hostile/unknown-answer",
            ALL,
            "Subscribe",
            "an answer of an unknown type ends the subscription",
            |cx| async move {
                costs_feed(&cx, async |feed| feed.bi.send.bytes(&[0x1f, 1, 0]).await).await
            },
        ),
        must(
            "hostile/drop-first",
            TO_04,
            "Subscribe",
            "a DROP before SUBSCRIBE_OK ends the subscription",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut sub = stage.watch(TRACK, everything()).await?;
                let mut bi = stage.publisher.accept(BidiType::Subscribe).await?;
                bi.send.bytes(&[1, 3, 0, 1, 0]).await?;
                sub.bi.recv.ended().await?;
                stage.viewer.alive().await?;
                stage.publisher.alive().await
            },
        ),
        must(
            "hostile/fin-without-end",
            FROM_05,
            "Subscribe",
            "a publisher that ends its answers without END has given the track back: the viewer is not told that it is complete",
            |cx| async move {
                let stage = cx.stage().await?;
                let (mut sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await?;
                feed.bi.send.fin();
                match sub.bi.recv.rest().await? {
                    (_, End::Reset(_)) => Ok(()),
                    (_, end) => Err(Unmet::failed("a reset", end)),
                }
            },
        ),
        must(
            "hostile/noise",
            ALL,
            GROUP,
            "noise on forty streams of one session harms no other session",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let noisy = cx.connect().await?;
                let mut state = 7u32;
                for number in 0..40u8 {
                    let mut noise = vec![number % 8];
                    noise.extend((0..200).map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 24) as u8
                    }));
                    // The relay may close the session at any of them.
                    let said = match number % 2 {
                        0 => noisy.say(&noise).await.map(|mut bi| bi.send.fin()),
                        _ => noisy.say_uni(&noise).await.map(|mut send| send.fin()),
                    };
                    if said.is_err() {
                        break;
                    }
                }
                others_live(&stage, &sub, &mut feed).await
            },
        ),
        must(
            "hostile/gone-in-the-middle",
            ALL,
            "Session",
            "a publisher that goes within a frame leaves no group that looks whole",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame_header(0, 1000).await?;
                group.bytes(&[1; 500]).await?;
                let mut came = sub.group().await?;
                came.recv.frame_header().await?;
                stage.publisher.close().await;
                match came.recv.rest().await? {
                    (_, End::Reset(_)) => stage.viewer.alive().await,
                    (_, end) => Err(Unmet::failed("a reset", end)),
                }
            },
        ),
    ]
}

//! FETCH: one group of the past.

use smoq_core::wire::{BidiType, Fetch, StreamCode};

use crate::{
    check::{Check, Cx, FROM_05, FROM_06, TO_04, must, should},
    peer::{Bi, Peer, refuse},
    stage::{Feed, Stage, Sub, TRACK, everything, is_absent},
    stream::End,
    verdict::{Result, Unmet, holds, same},
};

const FETCH: &str = "Fetch";

async fn fetch(stage: &Stage, viewer: &Peer, group: u64, frames: (u64, Option<u64>)) -> Result<Bi> {
    let (frame_start, frame_end) = frames;
    let (broadcast, track) = (stage.name.clone(), TRACK.into());
    let fetch = Fetch { broadcast, track, priority: 0, group, frame_start, frame_end };
    viewer.ask(BidiType::Fetch, &fetch).await
}

async fn whole(stage: &Stage, group: u64) -> Result<Bi> {
    fetch(stage, &stage.viewer, group, (0, None)).await
}

/// What the relay holds of group 0.
const HELD: [&[u8; 1]; 3] = [b"a", b"b", b"c"];

/// An answer with those frames, and no others.
async fn frames(bi: &mut Bi) -> Result {
    for payload in HELD {
        bi.recv.expect(payload).await?;
    }
    bi.recv.fin().await
}

/// A stage whose relay holds those, at 100 and on.
async fn held(cx: &Cx) -> Result<(Stage, Sub, Feed)> {
    let stage = cx.stage().await?;
    let (sub, mut feed) = stage.subscribe().await?;
    let mut group = feed.open(0).await?;
    for (timestamp, payload) in (100..).zip(HELD) {
        group.frame(timestamp, payload).await?;
    }
    group.fin();
    sub.expect(0, &HELD.map(|payload| &payload[..])).await?;
    Ok((stage, sub, feed))
}

/// What the relay asks the publisher for.
async fn asked(stage: &Stage) -> Result<(Fetch, Bi)> {
    let mut bi = stage.publisher.accept(BidiType::Fetch).await?;
    Ok((bi.recv.message("FETCH").await?, bi))
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "fetch/held",
            FROM_05,
            FETCH,
            "a group that the relay holds is answered by its frames and FIN, without a header",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                let mut bi = whole(&stage, 0).await?;
                frames(&mut bi).await
            },
        ),
        must(
            "fetch/timestamps",
            FROM_05,
            FETCH,
            "timestamps of fetched frames count from 0, and are those of the group",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                let mut bi = whole(&stage, 0).await?;
                bi.recv.expect_at(100, b"a").await?;
                bi.recv.expect_at(101, b"b").await
            },
        ),
        must(
            "fetch/first-frame",
            FROM_06,
            "FETCH",
            "a first frame leaves out those before it",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                let mut bi = fetch(&stage, &stage.viewer, 0, (1, None)).await?;
                bi.recv.expect_at(101, b"b").await?;
                bi.recv.expect_at(102, b"c").await?;
                bi.recv.fin().await
            },
        ),
        must(
            "fetch/last-frame",
            FROM_06,
            "FETCH",
            "a last frame leaves out those after it",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                let mut bi = fetch(&stage, &stage.viewer, 0, (1, Some(1))).await?;
                bi.recv.expect_at(101, b"b").await?;
                bi.recv.fin().await
            },
        ),
        must(
            "fetch/empty-range",
            FROM_06,
            "FETCH",
            "a last frame before the first one is refused",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                // The last frame is 0 (written as 1), the first one 2.
                let mut bi = fetch(&stage, &stage.viewer, 0, (2, Some(0))).await?;
                bi.recv.reset().await?;
                stage.viewer.alive().await
            },
        ),
        must(
            "fetch/upstream",
            FROM_05,
            FETCH,
            "a group that the relay does not hold is fetched at the publisher",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut viewer = whole(&stage, 7).await?;
                let (fetch, mut bi) = asked(&stage).await?;
                same("the group", (fetch.group, fetch.track.as_str()), (7, TRACK))?;
                bi.send.frame(9, b"old").await?;
                bi.send.fin();
                viewer.recv.expect_at(9, b"old").await?;
                viewer.recv.fin().await
            },
        ),
        should(
            "fetch/once-upstream",
            FROM_05,
            FETCH,
            "a group that several want at a time is fetched once",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut first = whole(&stage, 7).await?;
                let (_, mut bi) = asked(&stage).await?;
                bi.send.frame(9, b"old").await?;
                first.recv.expect(b"old").await?;
                let mut second = whole(&stage, 7).await?;
                second.recv.expect(b"old").await?;
                bi.send.fin();
                first.recv.fin().await?;
                second.recv.fin().await?;
                same("a second FETCH", stage.publisher.has_come(BidiType::Fetch), false)
            },
        ),
        must(
            "fetch/refused",
            FROM_05,
            FETCH,
            "what the publisher refuses is refused",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut viewer = whole(&stage, 7).await?;
                let (_, mut bi) = asked(&stage).await?;
                refuse(&mut bi, StreamCode::NOT_FOUND);
                viewer.recv.reset().await.map(|_| ())
            },
        ),
        must(
            "fetch/cut-off",
            FROM_05,
            FETCH,
            "a group that the publisher cuts off is cut off at the viewer",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut viewer = whole(&stage, 7).await?;
                let (_, mut bi) = asked(&stage).await?;
                bi.send.frame(9, b"old").await?;
                viewer.recv.expect(b"old").await?;
                bi.send.reset(StreamCode::OLD);
                viewer.recv.reset().await.map(|_| ())
            },
        ),
        must(
            "fetch/cancelled",
            FROM_05,
            "Termination",
            "a viewer that wants no more harms nobody else",
            |cx| async move {
                let (stage, sub, mut feed) = held(&cx).await?;
                let mut bi = whole(&stage, 0).await?;
                bi.recv.stop(StreamCode::CANCEL);
                bi.send.reset(StreamCode::CANCEL);
                feed.send(1, &[b"next"]).await?;
                sub.expect(1, &[b"next"]).await
            },
        ),
        must(
            "fetch/unknown-broadcast",
            FROM_05,
            FETCH,
            "what nobody has announced is refused",
            |cx| async move {
                let peer = cx.connect().await?;
                let (broadcast, track) = (cx.name(), TRACK.into());
                let fetch = Fetch {
                    broadcast,
                    track,
                    priority: 0,
                    group: 0,
                    frame_start: 0,
                    frame_end: None,
                };
                let code = peer.ask(BidiType::Fetch, &fetch).await?.recv.reset().await?;
                holds("not found or unroutable", is_absent(code), code)
            },
        ),
        should(
            "fetch/live",
            FROM_05,
            FETCH,
            "the group that is being published is answered as it comes",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                sub.group().await?.recv.expect(b"a").await?;
                let mut bi = whole(&stage, 0).await?;
                bi.recv.expect(b"a").await?;
                group.frame(1, b"b").await?;
                bi.recv.expect(b"b").await?;
                group.fin();
                bi.recv.fin().await
            },
        ),
        must(
            "fetch/other-viewer",
            FROM_05,
            FETCH,
            "a viewer without a subscription may fetch",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                let mut bi = fetch(&stage, &cx.connect().await?, 0, (0, None)).await?;
                bi.recv.expect(b"a").await
            },
        ),
        must(
            "fetch/malformed",
            FROM_05,
            FETCH,
            "a request that cannot be read is reset, and the session lives",
            |cx| async move {
                let peer = cx.connect().await?;
                peer.say(&[3, 2, 9, 9]).await?.recv.reset().await?;
                peer.alive().await
            },
        ),
        must(
            "fetch/not-served",
            TO_04,
            FETCH,
            "FETCH is answered by the frames of the group or, by a relay that does not serve it, reset; the session lives",
            |cx| async move {
                let (stage, _sub, _feed) = held(&cx).await?;
                let mut bi = whole(&stage, 0).await?;
                let answered = async {
                    match bi.recv.end().await {
                        Ok(End::Reset(_)) => Ok(()),
                        Ok(end) => Err(Unmet::failed("frames, or a reset", end)),
                        Err(_) => frames(&mut bi).await,
                    }
                };
                // A relay may have given its copy up.
                let upstream = async {
                    let (_, mut bi) = asked(&stage).await?;
                    for payload in HELD {
                        bi.send.frame(100, payload).await?;
                    }
                    bi.send.fin();
                    Ok::<_, Unmet>(())
                };
                tokio::pin!(answered, upstream);
                tokio::select! {
                    answered = &mut answered => answered?,
                    // It does not have to ask.
                    _ = &mut upstream => answered.await?,
                }
                stage.viewer.alive().await
            },
        ),
        must(
            "fetch/watch-beside",
            FROM_05,
            FETCH,
            "a group can be fetched while others are watched",
            |cx| async move {
                let (stage, sub, mut feed) = held(&cx).await?;
                let mut live = feed.open(1).await?;
                live.frame(10, b"x").await?;
                let mut came = sub.group().await?;
                came.recv.expect(b"x").await?;
                whole(&stage, 0).await?.recv.expect(b"a").await?;
                live.fin();
                came.recv.fin().await?;
                stage.watch(TRACK, everything()).await?.collect(2).await.map(|_| ())
            },
        ),
    ]
}

//! Groups and frames: nothing is lost, made up or held back.

use smoq_core::wire::{StreamCode, varint};

use crate::{
    check::{ALL, Check, Cx, FROM_05, FROM_06, must, should},
    stage::{Stage, Sub, TRACK, everything},
    stream::End,
    verdict::{Result, Unmet, holds, same},
};

const GROUP: &str = "Group";
const FRAME: &str = "FRAME";

/// Bytes that are the same in every run, and differ from place to place.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Frames at these timestamps pass as they are.
async fn timestamps(cx: &Cx, times: &[u64]) -> Result {
    let stage = cx.stage().await?;
    let (sub, mut feed) = stage.subscribe().await?;
    let mut group = feed.open(0).await?;
    for time in times {
        group.frame(*time, b"x").await?;
    }
    group.fin();
    let mut came = sub.group().await?;
    for time in times {
        came.recv.expect_at(*time, b"x").await?;
    }
    came.recv.fin().await
}

/// One group of frames of these sizes passes as it is.
async fn sizes(cx: &Cx, sizes: &[usize]) -> Result {
    let stage = cx.stage().await?;
    let (sub, mut feed) = stage.subscribe().await?;
    let frames: Vec<_> = sizes.iter().map(|size| bytes(*size)).collect();
    let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
    let sent = async { feed.send(0, &frames).await.map(|_| ()) };
    let (sent, read) = tokio::join!(sent, sub.expect(0, &frames));
    sent.and(read)
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "groups/whole",
            ALL,
            GROUP,
            "the frames of a group arrive in their order, and FIN behind the last one",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"one", b"two", b"three"]).await?;
                sub.expect(0, &[b"one", b"two", b"three"]).await
            },
        ),
        must(
            "groups/header",
            ALL,
            "GROUP",
            "the header of a group names the viewer's subscription, and the number that the publisher gave",
            |cx| async move {
                let stage = cx.stage().await?;
                let (other, mut first) = stage.subscribe_to("other", everything()).await?;
                let (sub, mut feed) = stage.subscribe().await?;
                first.send(3, &[b"other"]).await?;
                feed.send(3, &[b"this"]).await?;
                other.expect(3, &[b"other"]).await?;
                sub.expect(3, &[b"this"]).await
            },
        ),
        must(
            "groups/first-frame",
            FROM_06,
            "GROUP",
            "a group that is sent from its beginning says that its first frame is 0",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                same("the first frame", sub.group().await?.header.first_frame, 0)
            },
        ),
        must(
            "groups/empty",
            ALL,
            GROUP,
            "a group without frames is a header and FIN",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[]).await?;
                feed.send(1, &[b"a"]).await?;
                let groups = sub.collect(2).await?;
                same("group 0", groups.get(&0).cloned(), Some((Vec::new(), End::Fin)))
            },
        ),
        must(
            "groups/empty-frames",
            ALL,
            FRAME,
            "frames without bytes are frames",
            |cx| async move { sizes(&cx, &[0, 1, 0, 0]).await },
        ),
        must(
            "groups/sizes",
            ALL,
            FRAME,
            "frames of every size arrive whole, those at the edges of the encoding too",
            |cx| async move { sizes(&cx, &[1, 63, 64, 16_383, 16_384, 65_536]).await },
        ),
        must("groups/huge-frame", ALL, FRAME, "a frame of 4 MiB arrives whole", |cx| async move {
            sizes(&cx, &[4 << 20]).await
        }),
        must(
            "groups/many-frames",
            ALL,
            GROUP,
            "a group of 4000 frames arrives whole",
            |cx| async move { sizes(&cx, &[7; 4000]).await },
        ),
        must("groups/thousands", ALL, GROUP, "2000 groups arrive, each once", |cx| async move {
            let stage = cx.stage().await?;
            let (sub, mut feed) = stage.subscribe().await?;
            feed.start(0).await?;
            // Few at a time: a relay may give up on a group that too many others overtake.
            for first in (0..2000u64).step_by(50) {
                for number in first..first + 50 {
                    feed.send(number, &[&number.to_be_bytes()]).await?;
                }
                for (number, (frames, end)) in sub.collect(50).await? {
                    let whole = end == End::Fin && frames == [&number.to_be_bytes()[..]];
                    holds("each group with its own frame", whole, (number, frames, end))?;
                }
            }
            Ok(())
        }),
        must(
            "groups/gap",
            ALL,
            "GROUP",
            "a gap in the numbers is passed on as it is, and holds nothing back",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                for number in [0, 1, 5, 1000] {
                    feed.send(number, &[b"x"]).await?;
                }
                let groups = sub.collect(4).await?;
                same("groups", groups.into_keys().collect(), vec![0, 1, 5, 1000])
            },
        ),
        must(
            "groups/late-lower",
            ALL,
            "GROUP",
            "a group that comes after a higher one is delivered too",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.start(0).await?;
                feed.send(2, &[b"2"]).await?;
                sub.expect(2, &[b"2"]).await?;
                feed.send(1, &[b"1"]).await?;
                sub.expect(1, &[b"1"]).await
            },
        ),
        must(
            "groups/large-number",
            ALL,
            "GROUP",
            "numbers of groups beyond 32 bits pass",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(1 << 40, &[b"x"]).await?;
                sub.expect(1 << 40, &[b"x"]).await
            },
        ),
        must(
            "groups/reset",
            ALL,
            GROUP,
            "a group that the publisher cuts off is cut off at the viewer, not ended",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                let mut came = sub.group().await?;
                came.recv.expect(b"a").await?;
                group.reset(StreamCode::application(9));
                came.recv.reset().await.map(|_| ())
            },
        ),
        should(
            "groups/reset-code",
            ALL,
            "Error Codes",
            "the code of a group that was cut off reaches the viewer",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                let mut came = sub.group().await?;
                came.recv.expect(b"a").await?;
                group.reset(StreamCode::application(9));
                same("the code", came.recv.reset().await?, StreamCode::application(9))
            },
        ),
        must(
            "groups/reset-inside-frame",
            ALL,
            GROUP,
            "a frame that is cut off inside is not completed by anything",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame_header(0, 1000).await?;
                group.bytes(&[7; 400]).await?;
                let mut came = sub.group().await?;
                same("the size", came.recv.frame_header().await?.1, 1000)?;
                came.recv.exactly("the first bytes", 400).await?;
                group.reset(StreamCode::CANCEL);
                match came.recv.rest().await? {
                    (0, End::Reset(_)) => Ok(()),
                    (bytes, end) => {
                        Err(Unmet::failed("a reset", format_args!("{bytes} bytes, {end}")))
                    }
                }
            },
        ),
        must(
            "groups/live",
            ALL,
            GROUP,
            "a frame is passed on while its group is open",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                let mut came = sub.group().await?;
                came.recv.expect(b"a").await?;
                group.frame(1, b"b").await?;
                came.recv.expect(b"b").await?;
                group.fin();
                came.recv.fin().await
            },
        ),
        should(
            "groups/live-in-frame",
            ALL,
            FRAME,
            "the first bytes of a frame are passed on before the last ones have come",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame_header(0, 100_000).await?;
                group.bytes(&bytes(50_000)).await?;
                let mut came = sub.group().await?;
                same("the size", came.recv.frame_header().await?.1, 100_000)?;
                let half = came.recv.exactly("the first half of a frame", 50_000).await?;
                same("the bytes", half[..] == bytes(50_000), true)
            },
        ),
        must(
            "groups/in-pieces",
            ALL,
            FRAME,
            "frames that come byte by byte are put together",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                for number in 0..3 {
                    group.frame_header(number, 5).await?;
                    for byte in b"hello" {
                        group.bytes(&[*byte]).await?;
                        tokio::task::yield_now().await;
                    }
                }
                group.fin();
                sub.expect(0, &[b"hello", b"hello", b"hello"]).await
            },
        ),
        must(
            "groups/open-beside",
            ALL,
            GROUP,
            "groups that are open at the same time do not wait for each other",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut first = feed.open(0).await?;
                first.frame(0, b"0").await?;
                let mut came = sub.group().await?;
                came.recv.expect(b"0").await?;
                for number in 1..10 {
                    feed.send(number, &[b"x"]).await?;
                    sub.expect(number, &[b"x"]).await?;
                }
                first.fin();
                came.recv.fin().await
            },
        ),
        must("groups/fan-out", ALL, GROUP, "ten viewers get the same", |cx| async move {
            let stage = cx.stage().await?;
            let (first, mut feed) = stage.subscribe().await?;
            let mut subs = vec![first];
            for _ in 1..10 {
                subs.push(Sub::new(&cx.connect().await?, &stage.name, TRACK, everything()).await?);
            }
            let payload = bytes(20_000);
            feed.send(0, &[&payload, b"end"]).await?;
            for sub in &subs {
                sub.expect(0, &[&payload, b"end"]).await?;
            }
            Ok(())
        }),
        must(
            "groups/stopped",
            ALL,
            "Termination",
            "a viewer that wants no more of one group still gets the next one",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(0, b"a").await?;
                sub.group().await?.recv.stop(StreamCode::CANCEL);
                group.frame(1, b"b").await?;
                feed.send(1, &[b"c"]).await?;
                sub.expect(1, &[b"c"]).await
            },
        ),
        must(
            "groups/twice",
            ALL,
            "GROUP",
            "a group that the publisher sends twice arrives once",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await?;
                feed.send(0, &[b"a"]).await?;
                feed.send(1, &[b"b"]).await?;
                sub.expect(1, &[b"b"]).await?;
                stage.publisher.alive().await?;
                sub.nothing_more().await
            },
        ),
        must(
            "groups/timestamps",
            FROM_05,
            FRAME,
            "timestamps arrive as they were sent, backward steps too",
            |cx| async move { timestamps(&cx, &[5, 1000, 40, 40, 90_000, 0]).await },
        ),
        must(
            "groups/large-timestamps",
            FROM_05,
            FRAME,
            "timestamps beyond 32 bits arrive as they were sent",
            |cx| async move { timestamps(&cx, &[1 << 40, (1 << 40) + 1, varint::MAX >> 1]).await },
        ),
        must(
            "groups/late-viewer-timestamps",
            FROM_05,
            FRAME,
            "timestamps of a group that the relay had are counted from 0 again on a new stream",
            |cx| async move {
                let stage: Stage = cx.stage().await?;
                let (first, mut feed) = stage.subscribe().await?;
                let mut group = feed.open(0).await?;
                group.frame(500, b"a").await?;
                group.frame(700, b"b").await?;
                group.fin();
                first.expect(0, &[b"a", b"b"]).await?;
                let mut came = stage.watch(TRACK, everything()).await?.group().await?;
                came.recv.expect_at(500, b"a").await?;
                came.recv.expect_at(700, b"b").await
            },
        ),
    ]
}

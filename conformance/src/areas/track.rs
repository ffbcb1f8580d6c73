//! TRACK: what a track is like.

use smoq_core::wire::{BidiType, GroupOrder, StreamCode, Track, TrackInfo};

use crate::{
    check::{Check, Cx, FROM_05, must},
    peer::{Bi, Peer, refuse},
    stage::{Stage, Sub, TRACK, everything},
    stream::End,
    verdict::{Result, Unmet, same},
};

const TRACKS: &str = "Track";
const INFO: &str = "TRACK_INFO";

async fn ask(viewer: &Peer, stage: &Stage, track: &str) -> Result<Bi> {
    let track = Track { broadcast: stage.name.clone(), track: track.into() };
    viewer.ask(BidiType::Track, &track).await
}

/// A stage whose check answers TRACK itself.
async fn quiet(cx: &Cx) -> Result<Stage> {
    let stage = cx.stage().await?;
    stage.publisher.answer_tracks(None);
    Ok(stage)
}

/// What the relay asks the publisher.
async fn asked(stage: &Stage) -> Result<(Track, Bi)> {
    let mut bi = stage.publisher.accept(BidiType::Track).await?;
    Ok((bi.recv.message("TRACK").await?, bi))
}

/// What a viewer is told of a track that the publisher describes so.
async fn told(cx: &Cx, info: TrackInfo) -> Result {
    let stage = cx.stage().await?;
    stage.publisher.answer_tracks(Some(info));
    let mut bi = ask(&stage.viewer, &stage, TRACK).await?;
    same("TRACK_INFO", bi.recv.message::<TrackInfo>(INFO).await?, info)
}

/// The publisher answers TRACK with these bytes, and nobody gets what cannot be read.
async fn broken_info(cx: Cx, bytes: &[u8]) -> Result {
    let stage = quiet(&cx).await?;
    let mut viewer = ask(&stage.viewer, &stage, TRACK).await?;
    let (_, mut bi) = asked(&stage).await?;
    bi.send.bytes(bytes).await?;
    bi.send.fin();
    viewer.recv.reset().await?;
    stage.publisher.alive().await
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "track/passed-on",
            FROM_05,
            INFO,
            "what the publisher says of a track reaches a viewer",
            |cx| async move {
                told(
                    &cx,
                    TrackInfo {
                        priority: 3,
                        order: GroupOrder::NewestFirst,
                        max_age_ms: 1234,
                        timescale: 90_000,
                    },
                )
                .await
            },
        ),
        must(
            "track/timescale",
            FROM_05,
            INFO,
            "a timescale is passed on as it is",
            |cx| async move {
                told(&cx, TrackInfo { timescale: 1_000_000_007, ..TrackInfo::default() }).await
            },
        ),
        must(
            "track/fin",
            FROM_05,
            TRACKS,
            "TRACK_INFO is the only answer, and FIN follows",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut bi = ask(&stage.viewer, &stage, TRACK).await?;
                bi.recv.message::<TrackInfo>(INFO).await?;
                bi.recv.fin().await
            },
        ),
        must(
            "track/names",
            FROM_05,
            TRACKS,
            "the relay asks the publisher for the track that the viewer asked for",
            |cx| async move {
                let stage = quiet(&cx).await?;
                let _viewer = ask(&stage.viewer, &stage, "a name / with spaces").await?;
                let (track, _bi) = asked(&stage).await?;
                same("the track", track.track.as_str(), "a name / with spaces")
            },
        ),
        must(
            "track/before-subscribe",
            FROM_05,
            TRACKS,
            "a track is described to a viewer that has not subscribed, and can be subscribed to afterwards",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut bi = ask(&stage.viewer, &stage, TRACK).await?;
                bi.recv.message::<TrackInfo>(INFO).await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
            },
        ),
        must(
            "track/beside-subscribe",
            FROM_05,
            TRACKS,
            "TRACK and SUBSCRIBE may be sent at once",
            |cx| async move {
                let stage = cx.stage().await?;
                let sub = stage.watch(TRACK, everything()).await?;
                let mut bi = ask(&stage.viewer, &stage, TRACK).await?;
                bi.recv.message::<TrackInfo>(INFO).await?;
                let mut feed = crate::stage::Feed::new(&stage.publisher).await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
            },
        ),
        must(
            "track/same-for-all",
            FROM_05,
            INFO,
            "two viewers are told the same",
            |cx| async move {
                let stage = cx.stage().await?;
                let other = cx.connect().await?;
                let mut infos = Vec::new();
                for viewer in [&stage.viewer, &other, &stage.viewer] {
                    let mut bi = ask(viewer, &stage, TRACK).await?;
                    infos.push(bi.recv.message::<TrackInfo>(INFO).await?);
                }
                same("TRACK_INFO", infos[0] == infos[1] && infos[1] == infos[2], true)
            },
        ),
        must(
            "track/unknown-broadcast",
            FROM_05,
            TRACKS,
            "a track of what nobody has announced is refused",
            |cx| async move {
                let peer = cx.connect().await?;
                let track = Track { broadcast: cx.name(), track: TRACK.into() };
                peer.ask(BidiType::Track, &track).await?.recv.reset().await.map(|_| ())
            },
        ),
        must(
            "track/refused",
            FROM_05,
            TRACKS,
            "what the publisher refuses is refused",
            |cx| async move {
                let stage = quiet(&cx).await?;
                let mut viewer = ask(&stage.viewer, &stage, TRACK).await?;
                let (_, mut bi) = asked(&stage).await?;
                refuse(&mut bi, StreamCode::NOT_FOUND);
                viewer.recv.reset().await.map(|_| ())
            },
        ),
        must(
            "track/zero-timescale",
            FROM_05,
            INFO,
            "a timescale of 0 is not passed on: the request fails",
            |cx| async move {
                let order: &[u8] = if cx.version().track_info_has_order() { &[0] } else { &[] };
                let body = [&[1], order, &[0, 0]].concat();
                broken_info(cx, &[&[body.len() as u8][..], &body].concat()).await
            },
        ),
        must(
            "track/malformed-info",
            FROM_05,
            INFO,
            "a TRACK_INFO that cannot be read fails the request",
            |cx| async move { broken_info(cx, &[1, 0]).await },
        ),
        must(
            "track/no-info",
            FROM_05,
            TRACKS,
            "a publisher that ends its side without an answer fails the request",
            |cx| async move { broken_info(cx, &[]).await },
        ),
        must(
            "track/malformed",
            FROM_05,
            TRACKS,
            "a request that cannot be read is reset, and the session lives",
            |cx| async move {
                let peer = cx.connect().await?;
                peer.say(&[6, 2, 9, 9]).await?.recv.reset().await?;
                peer.alive().await
            },
        ),
        must(
            "track/frames-wait",
            FROM_05,
            TRACKS,
            "groups that come before TRACK_INFO are delivered once it is there",
            |cx| async move {
                let stage = quiet(&cx).await?;
                let sub: Sub = stage.watch(TRACK, everything()).await?;
                let (_, mut bi) = asked(&stage).await?;
                // A relay may wait for the answer before it subscribes.
                let Ok(mut feed) = crate::stage::Feed::new(&stage.publisher).await else {
                    stage.publisher.alive().await?;
                    return Unmet::skipped("the relay subscribes after TRACK_INFO");
                };
                feed.send(0, &[b"early"]).await?;
                bi.send.message(&crate::stage::info()).await?;
                bi.send.fin();
                sub.expect(0, &[b"early"]).await
            },
        ),
        must(
            "track/unanswered-is-cancelled",
            FROM_05,
            "Termination",
            "a viewer that no longer wants an answer harms nobody",
            |cx| async move {
                let stage = quiet(&cx).await?;
                let mut viewer = ask(&stage.viewer, &stage, TRACK).await?;
                let (_, _bi) = asked(&stage).await?;
                viewer.send.reset(StreamCode::CANCEL);
                viewer.recv.stop(StreamCode::CANCEL);
                stage.publisher.answer_tracks(Some(crate::stage::info()));
                stage.viewer.alive().await?;
                let mut other = ask(&stage.viewer, &stage, "other").await?;
                match other.recv.message::<TrackInfo>(INFO).await {
                    Ok(_) => Ok(()),
                    Err(_) => Err(Unmet::failed("TRACK_INFO of another track", End::Lost)),
                }
            },
        ),
    ]
}

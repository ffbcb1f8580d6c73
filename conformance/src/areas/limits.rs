//! How much of everything: what is used up comes back, and one who takes too long takes it from nobody.

use smoq_core::{Carrier, Path, wire::SubscribeParams};

use super::priorities::{full, narrow};
use crate::{
    check::{ALL, Check, Cx, must},
    dial::Dial,
    stage::{Feed, Stage, Sub, TRACK, everything},
    stream::End,
    verdict::{Result, holds, same},
};

const LIMITS: &str = "Resource Limits";

/// A track of a broadcast with these names works.
async fn named(cx: &Cx, broadcast: &str, track: &str) -> Result {
    let mut stage = cx.stage().await?;
    let suffix = Path::new(broadcast).unwrap_or_default();
    let name = stage.name.join(&suffix).unwrap_or_default();
    if !suffix.is_root() {
        stage.announcer.start(&name).await?;
        stage.watcher.started(&suffix).await?;
        stage.name = name;
    }
    let (sub, mut feed) = stage.subscribe_to(track, everything()).await?;
    feed.send(0, &[b"a"]).await?;
    sub.expect(0, &[b"a"]).await
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "limits/requests-come-back",
            ALL,
            LIMITS,
            "600 requests one after another are answered: a stream that is over gives room for another one",
            |cx| async move {
                let peer = cx.connect().await?;
                for _ in 0..600 {
                    peer.alive().await?;
                }
                Ok(())
            },
        ),
        must(
            "limits/few-streams",
            ALL,
            LIMITS,
            "a viewer that allows few streams gets all groups, one after another",
            |cx| async move {
                // HTTP/3 has three of its own, and SETUP is one.
                let own = if cx.target().carrier == Carrier::WebTransport { 4 } else { 1 };
                let viewer = cx.dial(Dial { uni_streams: own + 1, ..Dial::default() }).await?;
                let stage = Stage::new(&cx, cx.connect().await?, viewer).await?;
                let (sub, mut feed) = stage.subscribe().await?;
                for number in 0..20 {
                    feed.send(number, &[b"x"]).await?;
                }
                let groups = sub.collect(20).await?;
                same("groups", groups.into_keys().collect::<Vec<_>>(), (0..20).collect())
            },
        ),
        must(
            "limits/many-tracks",
            ALL,
            LIMITS,
            "a session may subscribe to 100 tracks at a time",
            |cx| async move {
                let stage = cx.stage().await?;
                let mut all = Vec::new();
                for number in 0..100 {
                    all.push(stage.subscribe_to(&number.to_string(), everything()).await?);
                }
                for (number, (sub, feed)) in all.iter_mut().enumerate() {
                    let payload = number.to_string();
                    feed.send(0, &[payload.as_bytes()]).await?;
                    sub.expect(0, &[payload.as_bytes()]).await?;
                }
                Ok(())
            },
        ),
        must("limits/many-sessions", ALL, LIMITS, "30 sessions live at a time", |cx| async move {
            let mut peers = Vec::new();
            for _ in 0..30 {
                peers.push(cx.connect().await?);
            }
            for peer in peers {
                peer.alive().await?;
            }
            Ok(())
        }),
        must(
            "limits/session-churn",
            ALL,
            LIMITS,
            "30 publishers that come and go leave nothing behind",
            |cx| async move {
                let name = cx.name();
                let mut watcher = crate::stage::Watcher::new(&cx.connect().await?, &name).await?;
                for _ in 0..30 {
                    let peer = cx.connect().await?;
                    let mut announcer =
                        crate::stage::Announcer::new(&peer, Default::default()).await?;
                    announcer.start(&name).await?;
                    watcher.started(&Path::root()).await?;
                    peer.close().await;
                    watcher.ended(&Path::root()).await?;
                }
                Ok(())
            },
        ),
        must(
            "limits/subscribe-churn",
            ALL,
            LIMITS,
            "100 subscriptions that come and go leave the last one working",
            |cx| async move {
                let stage = cx.stage().await?;
                for _ in 0..100 {
                    stage.watch(TRACK, everything()).await?.bi.send.fin();
                }
                stage.viewer.alive().await?;
                let sub = stage.watch("last", everything()).await?;
                let mut feed = Feed::new(&stage.publisher).await?;
                while feed.subscribe.track != "last" {
                    // One of those may have got through.
                    feed = Feed::new(&stage.publisher).await?;
                }
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
            },
        ),
        must(
            "limits/long-track-name",
            ALL,
            LIMITS,
            "the name of a track may have 500 bytes",
            |cx| async move { named(&cx, "", &"t".repeat(500)).await },
        ),
        must(
            "limits/long-broadcast-name",
            ALL,
            LIMITS,
            "the name of a broadcast may have 500 bytes",
            |cx| async move { named(&cx, &"b".repeat(500), TRACK).await },
        ),
        must(
            "limits/empty-track-name",
            ALL,
            LIMITS,
            "the name of a track may be empty",
            |cx| async move { named(&cx, "", "").await },
        ),
        must("limits/names-in-any-script", ALL, LIMITS, "names are any UTF-8", |cx| async move {
            named(&cx, "größe/日本", "трек 🎥").await
        }),
        must(
            "limits/slow-viewer",
            ALL,
            LIMITS,
            "a viewer that does not read holds up no other one",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (_slow, mut feed) = stage.subscribe().await?;
                let fast = Sub::new(&cx.connect().await?, &stage.name, TRACK, everything()).await?;
                for number in 0..4 {
                    let read = async { fast.group().await?.recv.rest().await };
                    let (sent, read) = tokio::join!(full(&mut feed, number, 500_000), read);
                    sent?;
                    let (bytes, end) = read?;
                    holds("a whole group", bytes > 500_000 && end == End::Fin, (bytes, end))?;
                }
                Ok(())
            },
        ),
        must(
            "limits/slow-viewer-resumes",
            ALL,
            LIMITS,
            "a viewer that begins to read late gets what the relay still has",
            |cx| async move {
                let stage = narrow(&cx).await?;
                let (slow, mut feed) = stage.subscribe().await?;
                full(&mut feed, 0, 500_000).await?;
                let (bytes, end) = slow.group().await?.recv.rest().await?;
                holds("a whole group", bytes > 500_000 && end == End::Fin, (bytes, end))
            },
        ),
        must(
            "limits/unread-answers",
            ALL,
            LIMITS,
            "a viewer that does not read its answers holds up no other one",
            |cx| async move {
                let stage = cx.stage().await?;
                let (_unread, mut feed) = stage.subscribe().await?;
                let wanted = SubscribeParams { priority: 1, ..everything() };
                let other = Sub::new(&cx.connect().await?, &stage.name, TRACK, wanted).await?;
                for number in 0..50 {
                    feed.send(number, &[b"x"]).await?;
                }
                other.collect(50).await.map(|_| ())
            },
        ),
    ]
}

//! GOAWAY: a peer is about to leave.

use smoq_core::{
    Path,
    wire::{BidiType, Goaway, SessionCode},
};

use crate::{
    check::{Check, FROM_04, TO_04, must, should},
    peer::Peer,
    stage::{Feed, Stage, TRACK, everything},
    stream::End,
    verdict::{Result, Unmet, same},
};

const GOAWAY: &str = "Goaway";

/// Tells the relay that this peer is about to go, and waits until it knows.
async fn leave(peer: &Peer) -> Result {
    let mut bi = peer.ask(BidiType::Goaway, &Goaway::default()).await?;
    bi.send.fin();
    bi.recv.ended().await
}

/// The viewer gets a group of a subscription that was there before.
async fn goes_on(stage: &Stage, sub: &crate::stage::Sub, feed: &mut Feed) -> Result {
    feed.send(1, &[b"after"]).await?;
    sub.expect(1, &[b"after"]).await?;
    stage.publisher.alive().await
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        should(
            "goaway/read",
            FROM_04,
            GOAWAY,
            "GOAWAY is read, its stream ended, and the session lives",
            |cx| async move {
                let peer = cx.connect().await?;
                leave(&peer).await?;
                peer.alive().await
            },
        ),
        must(
            "goaway/with-uri",
            FROM_04,
            "GOAWAY",
            "after a GOAWAY with a URI, which means nothing of a client, the session lives, or is closed in good order",
            |cx| async move {
                let peer = cx.connect().await?;
                let goaway = Goaway { uri: "https://127.0.0.1:1/elsewhere".into() };
                let mut bi = peer.ask(BidiType::Goaway, &goaway).await?;
                bi.send.fin();
                if bi.recv.ended().await.is_ok() && peer.alive().await.is_ok() {
                    return Ok(());
                }
                same("the code", peer.closed().await?, SessionCode::NO_ERROR)
            },
        ),
        must(
            "goaway/publisher-goes-on",
            FROM_04,
            GOAWAY,
            "what a publisher serves goes on after its GOAWAY",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"before"]).await?;
                sub.expect(0, &[b"before"]).await?;
                leave(&stage.publisher).await?;
                goes_on(&stage, &sub, &mut feed).await
            },
        ),
        must(
            "goaway/viewer-goes-on",
            FROM_04,
            GOAWAY,
            "what a viewer gets goes on after its GOAWAY",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                feed.send(0, &[b"before"]).await?;
                sub.expect(0, &[b"before"]).await?;
                leave(&stage.viewer).await?;
                goes_on(&stage, &sub, &mut feed).await
            },
        ),
        must(
            "goaway/no-new-requests",
            FROM_04,
            GOAWAY,
            "after a publisher's GOAWAY the relay opens no new request to it",
            |cx| async move {
                let stage = cx.stage().await?;
                leave(&stage.publisher).await?;
                let mut sub = stage.watch(TRACK, everything()).await?;
                sub.bi.recv.reset().await?;
                same("a new SUBSCRIBE", stage.publisher.has_come(BidiType::Subscribe), false)
            },
        ),
        should(
            "goaway/other-publisher",
            FROM_04,
            GOAWAY,
            "new viewers are sent to another publisher of the same broadcast",
            |cx| async move {
                let mut stage = cx.stage().await?;
                let other = cx.connect().await?;
                other.answer_tracks(Some(crate::stage::info()));
                let mut announcer =
                    crate::stage::Announcer::new(&other, Default::default()).await?;
                announcer.start_via(&stage.name, &[11]).await?;
                let mark =
                    stage.name.join(&Path::new("mark").unwrap_or_default()).unwrap_or_default();
                announcer.start(&mark).await?;
                crate::stage::Watcher::new(&stage.viewer, &mark)
                    .await?
                    .started(&Path::root())
                    .await?;
                leave(&stage.publisher).await?;
                // The viewer's part of the relay knows of it when it has heard what was said later.
                let mark =
                    stage.name.join(&Path::new("gone").unwrap_or_default()).unwrap_or_default();
                stage.announcer.start(&mark).await?;
                crate::stage::Watcher::new(&stage.viewer, &mark)
                    .await?
                    .started(&Path::root())
                    .await?;
                let sub = stage.watch(TRACK, everything()).await?;
                let mut feed = Feed::new(&other).await?;
                feed.send(0, &[b"a"]).await?;
                sub.expect(0, &[b"a"]).await
            },
        ),
        should(
            "goaway/twice",
            FROM_04,
            GOAWAY,
            "a second GOAWAY closes the session, protocol violation",
            |cx| async move {
                let peer = cx.connect().await?;
                leave(&peer).await?;
                peer.ask(BidiType::Goaway, &Goaway::default()).await?.send.fin();
                peer.violation().await
            },
        ),
        must(
            "goaway/malformed",
            FROM_04,
            GOAWAY,
            "a GOAWAY that cannot be read costs its stream alone",
            |cx| async move {
                let peer = cx.connect().await?;
                let mut bi = peer.say(&[5, 2, 5, b'a']).await?;
                bi.send.fin();
                bi.recv.ended().await?;
                peer.alive().await
            },
        ),
        should(
            "goaway/long-uri",
            FROM_04,
            "GOAWAY",
            "a URI of more than 8192 bytes is refused",
            |cx| async move {
                let peer = cx.connect().await?;
                let goaway = Goaway { uri: "a".repeat(Goaway::MAX_URI + 1) };
                let mut bi = peer.ask(BidiType::Goaway, &goaway).await?;
                bi.send.fin();
                bi.recv.reset().await.map(|_| ())
            },
        ),
        must(
            "goaway/unknown-before-04",
            TO_04.start().to_owned()..=TO_04.start().to_owned(),
            "STREAM_TYPE",
            "a version without GOAWAY takes its stream for one of an unknown type",
            |cx| async move {
                let peer = cx.connect().await?;
                let mut bi = peer.say(&[5, 1, 0]).await?;
                match bi.recv.rest().await? {
                    (0, End::Reset(_)) => peer.alive().await,
                    (bytes, end) => {
                        Err(Unmet::failed("a reset", format_args!("{bytes} bytes, {end}")))
                    }
                }
            },
        ),
    ]
}

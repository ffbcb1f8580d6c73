//! Announcements that break a rule: they cost the session, for the two ends no longer agree on what there is.

use super::announce::{live, publisher, root, watch};
use bytes::BytesMut;
use smoq_core::{
    Version,
    wire::{Announce, AnnounceRequest, BidiType, Cost, Hop, varint},
};

use crate::{
    check::{ALL, Check, Cx, FROM_04, FROM_06, TO_04, TO_05, must},
    peer::Peer,
    stage::Stage,
    verdict::Result,
};

const ANNOUNCE: &str = "Announce";

/// Says bytes that are no announcement where one should be.
async fn announcing(cx: &Cx, bytes: &[u8]) -> Result<Peer> {
    let (peer, mut announcer) = publisher(cx).await?;
    announcer.bi.send.bytes(bytes).await?;
    Ok(peer)
}

/// An announcement of 04 or 05 with a status and hops, or of 06 with a type and hops, whatever they are.
pub(super) fn by_hand(version: Version, kind: u64, name: &str, hops: &[u64]) -> BytesMut {
    let mut body = BytesMut::new();
    if !version.has_announce_ids() {
        // START is status 1 there.
        varint::encode(if kind == 0 { 1 } else { kind }, &mut body);
    }
    varint::encode(name.len() as u64, &mut body);
    body.extend_from_slice(name.as_bytes());
    varint::encode(hops.len() as u64, &mut body);
    hops.iter().for_each(|hop| varint::encode(*hop, &mut body));
    if version.has_announce_ids() {
        body.extend_from_slice(&[0, 0]);
    }
    let mut out = BytesMut::new();
    if version.has_announce_ids() {
        varint::encode(kind, &mut out);
    }
    varint::encode(body.len() as u64, &mut out);
    out.extend_from_slice(&body);
    out
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "announce/unknown-type",
            FROM_06,
            ANNOUNCE,
            "an announcement of an unknown type is passed over, and takes no id",
            |cx| async move {
                let (peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                announcer.bi.send.bytes(&[0x21, 3, 1, 2, 3]).await?;
                let id = announcer.start(&name).await?;
                let mut watcher = watch(&cx, &name).await?;
                watcher.started(&root()).await?;
                announcer.end(&peer, &name, id).await?;
                watcher.ended(&root()).await
            },
        ),
        must(
            "announce/twice",
            TO_04,
            ANNOUNCE,
            "a second announcement of what is there closes the session",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.start(&live.name).await?;
                live.publisher.violation().await
            },
        ),
        must(
            "announce/start-twice",
            FROM_06,
            "ANNOUNCE_START",
            "a second START of what is there closes the session",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.start(&live.name).await?;
                live.publisher.violation().await
            },
        ),
        must(
            "announce/unknown-id",
            FROM_06,
            "ANNOUNCE_END",
            "the END of an id that was never given closes the session",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.say(&Announce::EndId { id: 5 }).await?;
                live.publisher.violation().await
            },
        ),
        must(
            "announce/retired-id",
            FROM_06,
            "ANNOUNCE_END",
            "a second END of an id closes the session",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.say(&Announce::EndId { id: 0 }).await?;
                live.announcer.say(&Announce::EndId { id: 0 }).await?;
                live.publisher.violation().await
            },
        ),
        must(
            "announce/unknown-update",
            FROM_06,
            "ANNOUNCE_UPDATE",
            "an UPDATE of an id that was never given closes the session",
            |cx| async move {
                let mut live = live(&cx).await?;
                let cost = Cost { warm: 0, cold: 0 };
                live.announcer
                    .say(&Announce::Update { id: 5, hops: Default::default(), cost })
                    .await?;
                live.publisher.violation().await
            },
        ),
        must(
            "announce/bad-status",
            TO_05,
            ANNOUNCE,
            "an announcement whose status is none closes the session",
            |cx| async move {
                let peer = announcing(&cx, &by_hand(cx.version(), 9, "a", &[])).await?;
                peer.violation().await
            },
        ),
        must(
            "announce/trailing-bytes",
            ALL,
            ANNOUNCE,
            "an announcement with bytes behind its fields closes the session",
            |cx| async move {
                let mut bytes = by_hand(cx.version(), 0, "a", &[]);
                bytes[usize::from(cx.version().has_announce_ids())] += 1;
                bytes.extend_from_slice(&[0]);
                announcing(&cx, &bytes).await?.violation().await
            },
        ),
        must(
            "announce/hop-twice",
            FROM_04,
            ANNOUNCE,
            "a list that has one hop twice closes the session",
            |cx| async move {
                let peer = announcing(&cx, &by_hand(cx.version(), 0, "a", &[7, 7])).await?;
                peer.violation().await
            },
        ),
        must(
            "announce/too-many-hops",
            FROM_04,
            ANNOUNCE,
            "a list of more than 32 hops closes the session",
            |cx| async move {
                let ids: Vec<_> = (100..133).collect();
                let peer = announcing(&cx, &by_hand(cx.version(), 0, "a", &ids)).await?;
                peer.violation().await
            },
        ),
        must(
            "announce/malformed-request",
            ALL,
            "ANNOUNCE_REQUEST",
            "a request that is cut short is reset, and the session lives",
            |cx| async move {
                let peer = cx.connect().await?;
                let mut bi = peer.say(&[1, 9, 4, b'r']).await?;
                bi.send.fin();
                bi.recv.reset().await?;
                peer.alive().await
            },
        ),
        must(
            "announce/request-cancelled",
            ALL,
            "Termination",
            "a request that is reset at once harms nothing",
            |cx| async move {
                let (peer, name) = (cx.connect().await?, cx.name());
                let request = AnnounceRequest { prefix: name.clone(), exclude_hop: Hop::UNKNOWN };
                let mut bi = peer.ask(BidiType::Announce, &request).await?;
                bi.send.reset(smoq_core::wire::StreamCode::CANCEL);
                bi.recv.stop(smoq_core::wire::StreamCode::CANCEL);
                Stage::new(&cx, cx.connect().await?, peer).await.map(|_| ())
            },
        ),
    ]
}

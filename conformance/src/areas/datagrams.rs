//! Datagrams: groups of one frame, of which any may be lost.

use bytes::{Bytes, BytesMut};
use smoq_core::wire::DatagramHeader;

use crate::{
    check::{Check, Cx, FROM_05, must, should},
    peer::Peer,
    stage::{Feed, Stage, Sub},
    stream::{End, within},
    verdict::{Result, Unmet, holds, same},
};

const DATAGRAMS: &str = "Datagrams";

fn datagram(subscribe: u64, sequence: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    DatagramHeader { subscribe, sequence, timestamp: 1000 + sequence }.encode(&mut out);
    out.extend_from_slice(payload);
    out.freeze()
}

/// A relay that passes datagrams on: a stage, and the first that has come through.
struct Passing {
    stage: Stage,
    sub: Sub,
    feed: Feed,
    first: (DatagramHeader, Bytes),
}

/// Any may be lost, so several are sent, and one has to come through.
async fn passing(cx: &Cx, payload: &[u8]) -> Result<Passing> {
    let stage = cx.stage().await?;
    let (sub, mut feed) = stage.subscribe().await?;
    feed.send(0, &[b"a"]).await?;
    sub.expect(0, &[b"a"]).await?;
    for sequence in 1..6 {
        if !stage.publisher.datagram(&datagram(feed.subscribe.id, sequence, payload)) {
            return Unmet::skipped("its transport takes no datagrams");
        }
    }
    feed.send(6, &[b"b"]).await?;
    sub.expect(6, &[b"b"]).await?;
    let what = "one of five datagrams";
    let first = within(cx.patience(), what, stage.viewer.read_datagram()).await?;
    let bytes = first.ok_or_else(|| Unmet::failed(what, End::Lost))?;
    let (header, at) = DatagramHeader::take(&bytes)
        .map_err(|error| Unmet::failed("a datagram that reads", error))?;
    Ok(Passing { stage, sub, feed, first: (header, bytes.slice(at..)) })
}

/// The session takes these bytes and lives.
async fn dropped(peer: &Peer, bytes: &[u8]) -> Result {
    if !peer.datagram(bytes) {
        return Unmet::skipped("its transport takes no such datagrams");
    }
    peer.alive().await
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "datagrams/passed-on",
            FROM_05,
            DATAGRAMS,
            "a datagram reaches the viewer with the viewer's id, and its number, time and bytes",
            |cx| async move {
                let passing = passing(&cx, b"hello").await?;
                let (header, payload) = passing.first;
                same("the id", header.subscribe, passing.sub.id)?;
                holds("a number that was sent", (1..6).contains(&header.sequence), header)?;
                same("the time", header.timestamp, 1000 + header.sequence)?;
                same("the bytes", &payload[..], b"hello")
            },
        ),
        must(
            "datagrams/empty",
            FROM_05,
            DATAGRAMS,
            "a datagram without a payload is a group with an empty frame",
            |cx| async move {
                let passing = passing(&cx, b"").await?;
                same("the bytes", passing.first.1.len(), 0)
            },
        ),
        should(
            "datagrams/large",
            FROM_05,
            DATAGRAMS,
            "a datagram of 1100 bytes passes",
            |cx| async move {
                let passing = passing(&cx, &[7; 1100]).await?;
                same("the bytes", passing.first.1.len(), 1100)
            },
        ),
        must(
            "datagrams/once",
            FROM_05,
            DATAGRAMS,
            "a group that has come as a datagram and comes as a stream too is delivered once",
            |cx| async move {
                let mut passing = passing(&cx, b"hello").await?;
                let sequence = passing.first.0.sequence;
                passing.feed.send(sequence, &[b"hello"]).await?;
                passing.feed.send(7, &[b"c"]).await?;
                passing.sub.expect(7, &[b"c"]).await?;
                passing.stage.publisher.alive().await?;
                passing.sub.nothing_more().await
            },
        ),
        must(
            "datagrams/unknown-subscription",
            FROM_05,
            DATAGRAMS,
            "a datagram for a subscription that does not exist is dropped without a word",
            |cx| async move { dropped(&cx.connect().await?, &datagram(12_345, 0, b"x")).await },
        ),
        must(
            "datagrams/malformed",
            FROM_05,
            DATAGRAMS,
            "a datagram that cannot be read is dropped without a word",
            |cx| async move {
                let peer = cx.connect().await?;
                dropped(&peer, &[0xc0]).await?;
                dropped(&peer, &[]).await
            },
        ),
        must(
            "datagrams/beside-streams",
            FROM_05,
            DATAGRAMS,
            "groups on streams go on between datagrams",
            |cx| async move {
                let stage = cx.stage().await?;
                let (sub, mut feed) = stage.subscribe().await?;
                for sequence in 0..10 {
                    stage.publisher.datagram(&datagram(feed.subscribe.id, 100 + sequence, b"x"));
                    feed.send(sequence, &[b"y"]).await?;
                    sub.expect(sequence, &[b"y"]).await?;
                }
                Ok(())
            },
        ),
    ]
}

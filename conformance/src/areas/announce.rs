//! Announcements: what there is, and when it is told.

use bytes::BytesMut;
use smoq_core::{
    Path, Version,
    wire::{Announce, AnnounceRequest, BidiType, Cost, Hop, varint},
};

use crate::{
    check::{ALL, Check, Cx, FROM_04, FROM_05, FROM_06, TO_04, TO_05, must, should},
    dial::{Dial, Opening, setup_stream},
    peer::Peer,
    stage::{Announcer, News, Stage, Watcher, hop},
    stream::LIMIT,
    verdict::{Result, Unmet, holds, same},
};

const ANNOUNCE: &str = "Announce";
const ROUTING: &str = "Routing";

fn root() -> Path {
    Path::root()
}

fn path(text: &str) -> Path {
    Path::new(text).unwrap_or_default()
}

fn below(name: &Path, text: &str) -> Path {
    name.join(&path(text)).unwrap_or_default()
}

async fn publisher(cx: &Cx) -> Result<(Peer, Announcer)> {
    let peer = cx.connect().await?;
    let announcer = Announcer::new(&peer, Hop::UNKNOWN).await?;
    Ok((peer, announcer))
}

async fn watch(cx: &Cx, prefix: &Path) -> Result<Watcher> {
    Watcher::new(&cx.connect().await?, prefix).await
}

/// A broadcast that is announced and watched.
struct Live {
    name: Path,
    publisher: Peer,
    announcer: Announcer,
    id: u64,
    watcher: Watcher,
}

async fn live(cx: &Cx) -> Result<Live> {
    let (publisher, mut announcer) = publisher(cx).await?;
    let name = cx.name();
    let id = announcer.start(&name).await?;
    let mut watcher = watch(cx, &name).await?;
    watcher.started(&root()).await?;
    Ok(Live { name, publisher, announcer, id, watcher })
}

/// Hops of a broadcast that a publisher with the hop 5 announces with these.
async fn hops_told(cx: &Cx, ids: &[u64]) -> Result<smoq_core::wire::Hops> {
    let peer = cx.connect().await?;
    let mut announcer = Announcer::new(&peer, hop(5)).await?;
    let name = cx.name();
    announcer.start_via(&name, ids).await?;
    let (hops, _) = watch(cx, &name).await?.started(&root()).await?;
    Ok(hops)
}

/// Says bytes that are no announcement where one should be.
async fn announcing(cx: &Cx, bytes: &[u8]) -> Result<Peer> {
    let (peer, mut announcer) = publisher(cx).await?;
    announcer.bi.send.bytes(bytes).await?;
    Ok(peer)
}

/// An announcement of 04 or 05 with a status and hops, or of 06 with a type and hops, whatever they are.
fn by_hand(version: Version, kind: u64, name: &str, hops: &[u64]) -> BytesMut {
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

/// What the relay calls itself on a session, which may be a name for a part of it.
async fn relay_hop(cx: &Cx, peer: &Peer) -> Result<Hop> {
    let name = cx.name();
    let own = match cx.version().has_announce_ok() {
        true => Watcher::new(peer, &name).await?.ok.map(|ok| ok.hop),
        false => {
            let (_other, mut announcer) = publisher(cx).await?;
            announcer.start_via(&name, &[7]).await?;
            let (hops, _) = Watcher::new(peer, &name).await?.started(&root()).await?;
            hops.as_slice().last().copied()
        }
    };
    match own.filter(|own| own.is_known() && *own != hop(7)) {
        Some(own) => Ok(own),
        None => Unmet::skipped("the relay does not name its hop"),
    }
}

/// Two broadcasts are announced in a row: the first must not be told, the second must.
async fn left_out(
    mut announcer: Announcer,
    mut watcher: Watcher,
    prefix: &Path,
    ids: &[u64],
) -> Result {
    announcer.start_via(&below(prefix, "hidden"), ids).await?;
    announcer.start(&below(prefix, "shown")).await?;
    watcher.started(&path("shown")).await.map(|_| ())
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "announce/ok-first",
            FROM_05,
            "ANNOUNCE_OK",
            "ANNOUNCE_REQUEST is answered by ANNOUNCE_OK at once, whether or not there is anything below the prefix",
            |cx| async move { watch(&cx, &cx.name()).await.map(|_| ()) },
        ),
        must(
            "announce/what-is-there",
            ALL,
            ANNOUNCE,
            "a viewer is told of a broadcast that was there before it asked",
            |cx| async move {
                let (publisher, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                announcer.start(&name).await?;
                publisher.alive().await?;
                watch(&cx, &name).await?.started(&root()).await.map(|_| ())
            },
        ),
        must(
            "announce/what-comes",
            ALL,
            ANNOUNCE,
            "a viewer is told of a broadcast that comes after it asked",
            |cx| async move {
                let name = cx.name();
                let mut watcher = watch(&cx, &name).await?;
                let (_peer, mut announcer) = publisher(&cx).await?;
                announcer.start(&name).await?;
                watcher.started(&root()).await.map(|_| ())
            },
        ),
        must(
            "announce/end",
            ALL,
            ANNOUNCE,
            "a viewer is told of the end of a broadcast",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.end(&live.publisher, &live.name, live.id).await?;
                live.watcher.ended(&root()).await
            },
        ),
        must(
            "announce/again",
            ALL,
            ANNOUNCE,
            "a broadcast that ended can be announced again, and is told again",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.end(&live.publisher, &live.name, live.id).await?;
                live.watcher.ended(&root()).await?;
                live.announcer.start(&live.name).await?;
                live.watcher.started(&root()).await.map(|_| ())
            },
        ),
        must("announce/once", ALL, ANNOUNCE, "one announcement is told once", |cx| async move {
            let mut live = live(&cx).await?;
            live.announcer.start(&below(&live.name, "next")).await?;
            live.watcher.started(&path("next")).await.map(|_| ())
        }),
        must(
            "announce/publisher-gone",
            ALL,
            ANNOUNCE,
            "the broadcasts of a session end with it",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.publisher.close().await;
                live.watcher.ended(&root()).await
            },
        ),
        must(
            "announce/stream-fin",
            ALL,
            ANNOUNCE,
            "broadcasts end when the publisher ends the stream that announced them",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.bi.send.fin();
                live.watcher.ended(&root()).await
            },
        ),
        must(
            "announce/stream-reset",
            ALL,
            ANNOUNCE,
            "broadcasts end when the publisher resets the stream that announced them",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.bi.send.reset(smoq_core::wire::StreamCode::CANCEL);
                live.watcher.ended(&root()).await
            },
        ),
        must(
            "announce/prefix-by-segment",
            ALL,
            "ANNOUNCE_REQUEST",
            "a prefix covers whole segments: what only begins with the same letters is not told",
            |cx| async move {
                let name = cx.name();
                let mut watcher = watch(&cx, &below(&name, "foo")).await?;
                let (_peer, mut announcer) = publisher(&cx).await?;
                announcer.start(&below(&name, "foobar")).await?;
                announcer.start(&below(&name, "foo/bar")).await?;
                watcher.started(&path("bar")).await.map(|_| ())
            },
        ),
        must(
            "announce/suffix",
            ALL,
            ANNOUNCE,
            "names are told without the prefix that was asked for; that of the prefix itself is empty",
            |cx| async move {
                let name = cx.name();
                let mut watcher = watch(&cx, &name).await?;
                let (_peer, mut announcer) = publisher(&cx).await?;
                announcer.start(&below(&name, "a/b")).await?;
                watcher.started(&path("a/b")).await?;
                announcer.start(&name).await?;
                watcher.started(&root()).await.map(|_| ())
            },
        ),
        must(
            "announce/everything",
            ALL,
            "ANNOUNCE_REQUEST",
            "the empty prefix covers everything",
            |cx| async move {
                let name = cx.name();
                let mut watcher = watch(&cx, &root()).await?;
                let (_peer, mut announcer) = publisher(&cx).await?;
                announcer.start(&name).await?;
                loop {
                    // Others may be publishing.
                    if let News::Start { suffix, .. } = watcher.next().await?
                        && suffix == name
                    {
                        return Ok(());
                    }
                }
            },
        ),
        should(
            "announce/active-count",
            FROM_05,
            "ANNOUNCE_OK",
            "ANNOUNCE_OK says how many announcements follow at once",
            |cx| async move {
                let (_peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                let mut first = watch(&cx, &name).await?;
                let names = [path("a"), path("b"), path("c")];
                for suffix in &names {
                    announcer.start(&below(&name, suffix.as_str())).await?;
                }
                first.started_all(&names).await?;
                let second = watch(&cx, &name).await?;
                same("the count", second.ok.map(|ok| ok.active), Some(3))
            },
        ),
        must(
            "announce/many",
            ALL,
            ANNOUNCE,
            "200 broadcasts are told, and the end of each",
            |cx| async move {
                let (peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                let mut watcher = watch(&cx, &name).await?;
                let suffixes: Vec<_> = (0..200).map(|number| path(&number.to_string())).collect();
                let mut ids = Vec::new();
                for suffix in &suffixes {
                    ids.push(announcer.start(&below(&name, suffix.as_str())).await?);
                }
                watcher.started_all(&suffixes).await?;
                for (suffix, id) in suffixes.iter().zip(ids) {
                    announcer.end(&peer, &below(&name, suffix.as_str()), id).await?;
                }
                for _ in &suffixes {
                    let news = watcher.next().await?;
                    holds("an end", matches!(news, News::End { .. }), news)?;
                }
                Ok(())
            },
        ),
        must(
            "announce/two-requests",
            ALL,
            "ANNOUNCE_REQUEST",
            "one session may ask for several prefixes",
            |cx| async move {
                let (viewer, name) = (cx.connect().await?, cx.name());
                let mut one = Watcher::new(&viewer, &below(&name, "a")).await?;
                let mut two = Watcher::new(&viewer, &name).await?;
                let (_peer, mut announcer) = publisher(&cx).await?;
                announcer.start(&below(&name, "a/x")).await?;
                one.started(&path("x")).await?;
                two.started(&path("a/x")).await.map(|_| ())
            },
        ),
        must(
            "announce/request-fin",
            ALL,
            "Termination",
            "when the viewer ends its request the relay ends its side too",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.watcher.bi.send.fin();
                live.watcher.bi.recv.rest().await.map(|_| ())
            },
        ),
        must(
            "announce/normal-paths",
            ALL,
            ANNOUNCE,
            "slashes around a path or doubled in it mean nothing",
            |cx| async move {
                let (peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                let suffix = announcer.suffix(&below(&name, "a/b"));
                let text = format!("/{}/", suffix.as_str().replace("a/b", "a//b"));
                announcer.bi.send.bytes(&by_hand(peer.version(), 0, &text, &[])).await?;
                watch(&cx, &name).await?.started(&path("a/b")).await.map(|_| ())
            },
        ),
        must(
            "announce/long-path",
            ALL,
            ANNOUNCE,
            "a path of 32 segments is told",
            |cx| async move {
                let name = cx.name();
                let deep = path(&"s/".repeat(32 - name.segments().count()));
                let mut watcher = watch(&cx, &name).await?;
                let (_peer, mut announcer) = publisher(&cx).await?;
                announcer.start(&below(&name, deep.as_str())).await?;
                watcher.started(&deep).await.map(|_| ())
            },
        ),
        must(
            "announce/two-publishers",
            ALL,
            ROUTING,
            "of two publishers of one path, the end of one leaves the other: a viewer that comes then is told of it",
            |cx| async move {
                let mut live = live(&cx).await?;
                let (_other, mut announcer) = publisher(&cx).await?;
                announcer.start(&live.name).await?;
                announcer.start(&below(&live.name, "mark")).await?;
                loop {
                    if matches!(live.watcher.next().await?, News::Start { suffix, .. } if !suffix.is_root())
                    {
                        break;
                    }
                }
                live.announcer.end(&live.publisher, &live.name, live.id).await?;
                live.publisher.alive().await?;
                watch(&cx, &live.name).await?.started_all(&[root(), path("mark")]).await
            },
        ),
        should(
            "announce/not-echoed",
            ALL,
            ROUTING,
            "a session is not told of what it announces itself",
            |cx| async move {
                let (peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                let mut watcher = Watcher::new(&peer, &name).await?;
                announcer.start(&below(&name, "own")).await?;
                let (_other, mut other) = publisher(&cx).await?;
                // The own one is told to others before the other's is made.
                watch(&cx, &name).await?.started(&path("own")).await?;
                other.start(&below(&name, "other")).await?;
                watcher.started(&path("other")).await.map(|_| ())
            },
        ),
        must(
            "announce/hops-kept",
            FROM_04,
            ROUTING,
            "the hops that a publisher names are told in their order, from the start of the list",
            |cx| async move {
                let hops = hops_told(&cx, &[7, 9]).await?;
                let ids: Vec<_> = hops.iter().map(Hop::get).take(2).collect();
                same("the first hops", ids, vec![7, 9])
            },
        ),
        must(
            "announce/hop-of-publisher",
            FROM_05,
            "ANNOUNCE_OK",
            "the relay adds the hop that the publisher named in ANNOUNCE_OK",
            |cx| async move {
                let hops = hops_told(&cx, &[7]).await?;
                same("the first hops", hops.iter().map(Hop::get).take(2).collect(), vec![7, 5])
            },
        ),
        must(
            "announce/hop-of-relay",
            TO_04,
            ROUTING,
            "the relay counts itself as a hop",
            |cx| async move {
                let hops = hops_told(&cx, &[7]).await?;
                holds("a list that is longer than the publisher's", hops.len() > 1, hops)
            },
        ),
        must(
            "announce/own-hop-discarded",
            FROM_04,
            ROUTING,
            "an announcement that has passed through the relay already is left out",
            |cx| async move {
                let (peer, announcer) = publisher(&cx).await?;
                let own = relay_hop(&cx, &peer).await?;
                let name = cx.name();
                left_out(announcer, watch(&cx, &name).await?, &name, &[own.get()]).await
            },
        ),
        must(
            "announce/exclude-hop",
            Version::Lite04..=Version::Lite05,
            "ANNOUNCE_REQUEST",
            "what has passed through the hop to exclude is not told",
            |cx| async move {
                let name = cx.name();
                let watcher = Watcher::excluding(&cx.connect().await?, &name, hop(7)).await?;
                let (_peer, announcer) = publisher(&cx).await?;
                left_out(announcer, watcher, &name, &[7]).await
            },
        ),
        must(
            "announce/origin-excluded",
            FROM_06,
            "Origin Parameter; Routing",
            "what has passed through the hop that a viewer named in SETUP is not told to it",
            |cx| async move {
                let path = (!cx.target().path.is_empty()
                    && cx.target().carrier == smoq_core::Carrier::Raw)
                    .then(|| cx.target().path.clone());
                let setup =
                    smoq_core::wire::Setup { hop: Some(hop(7)), path, ..Default::default() };
                let opening = Opening::Bytes(setup_stream(&setup, cx.version()));
                let viewer = cx.dial(Dial { opening, ..Dial::default() }).await?;
                let name = cx.name();
                let watcher = Watcher::new(&viewer, &name).await?;
                let (_peer, announcer) = publisher(&cx).await?;
                left_out(announcer, watcher, &name, &[7]).await
            },
        ),
        must(
            "announce/ids-in-order",
            FROM_06,
            "ANNOUNCE_START",
            "the n-th START of a stream has the id n, and END names it",
            |cx| async move {
                let (peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                let mut watcher = watch(&cx, &name).await?;
                let names = [path("a"), path("b"), path("c")];
                for suffix in &names {
                    announcer.start(&below(&name, suffix.as_str())).await?;
                }
                watcher.started_all(&names).await?;
                announcer.end(&peer, &below(&name, "b"), 1).await?;
                watcher.ended(&names[1]).await
            },
        ),
        must(
            "announce/id-not-reused",
            FROM_06,
            "ANNOUNCE_END",
            "the id of a broadcast that ended is not used again",
            |cx| async move {
                let mut live = live(&cx).await?;
                for _ in 0..3 {
                    live.announcer.end(&live.publisher, &live.name, live.id).await?;
                    live.watcher.ended(&root()).await?;
                    live.id = live.announcer.start(&live.name).await?;
                    live.watcher.started(&root()).await?;
                }
                let take = |bytes: &[u8], version| Announce::take(bytes, LIMIT, version);
                live.announcer.end(&live.publisher, &live.name, live.id).await?;
                let last = live.watcher.bi.recv.take("END", take).await?;
                same("the last END", last, Announce::EndId { id: 3 })
            },
        ),
        must(
            "announce/update",
            FROM_06,
            "ANNOUNCE_UPDATE",
            "a route that changes is told, by UPDATE or by END and START",
            |cx| async move {
                let mut live = live(&cx).await?;
                let cost = Cost { warm: 0, cold: 0 };
                let hops = crate::stage::hops(&[7, 9]);
                live.announcer.say(&Announce::Update { id: live.id, hops, cost }).await?;
                loop {
                    match live.watcher.next().await? {
                        News::Start { hops, .. } | News::Update { hops, .. }
                            if hops.contains(hop(9)) =>
                        {
                            return Ok(());
                        }
                        News::End { .. } | News::Update { .. } => {}
                        news => return Err(Unmet::failed("the new hops", format!("{news:?}"))),
                    }
                }
            },
        ),
        must(
            "announce/restart",
            Version::Lite05..=Version::Lite05,
            ANNOUNCE,
            "a second announcement of a path replaces the first, and one end ends it",
            |cx| async move {
                let mut live = live(&cx).await?;
                live.announcer.start_via(&live.name, &[7]).await?;
                live.announcer.end(&live.publisher, &live.name, 0).await?;
                live.watcher.ended(&root()).await
            },
        ),
        should(
            "announce/cost-grows",
            FROM_06,
            "Route Cost",
            "the price of a link is added to the cost of a route",
            |cx| async move {
                let (_peer, mut announcer) = publisher(&cx).await?;
                let name = cx.name();
                announcer.start(&name).await?;
                let (_, cost) = watch(&cx, &name).await?.started(&root()).await?;
                holds("a cold cost above 0", cost.cold > 0, cost)
            },
        ),
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
                // The status and the path of a broadcast with too many bytes, which END of 06 is too.
                announcing(&cx, &[1, 5, 1, 0, 0, 0, 0]).await?.violation().await
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

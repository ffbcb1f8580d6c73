//! Announcements: what there is, and when it is told.

use std::collections::BTreeSet;

use super::announce_broken::by_hand;
use smoq_core::{
    Path,
    wire::{Announce, Hop},
};

use crate::{
    check::{ALL, Check, Cx, FROM_05, FROM_06, must, should},
    peer::Peer,
    stage::{Announcer, News, Watcher},
    stream::LIMIT,
    verdict::{Result, Unmet, same},
};

const ANNOUNCE: &str = "Announce";

pub(super) fn root() -> Path {
    Path::root()
}

pub(super) fn path(text: &str) -> Path {
    Path::new(text).unwrap_or_default()
}

pub(super) fn below(name: &Path, text: &str) -> Path {
    name.join(&path(text)).unwrap_or_default()
}

pub(super) async fn publisher(cx: &Cx) -> Result<(Peer, Announcer)> {
    let peer = cx.connect().await?;
    let announcer = Announcer::new(&peer, Hop::UNKNOWN).await?;
    Ok((peer, announcer))
}

pub(super) async fn watch(cx: &Cx, prefix: &Path) -> Result<Watcher> {
    Watcher::new(&cx.connect().await?, prefix).await
}

/// A broadcast that is announced and watched.
pub(super) struct Live {
    pub(super) name: Path,
    pub(super) publisher: Peer,
    pub(super) announcer: Announcer,
    pub(super) id: u64,
    pub(super) watcher: Watcher,
}

pub(super) async fn live(cx: &Cx) -> Result<Live> {
    let (publisher, mut announcer) = publisher(cx).await?;
    let name = cx.name();
    let id = announcer.start(&name).await?;
    let mut watcher = watch(cx, &name).await?;
    watcher.started(&root()).await?;
    Ok(Live { name, publisher, announcer, id, watcher })
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
                let mut ended = BTreeSet::new();
                for _ in &suffixes {
                    match watcher.next().await? {
                        News::End { suffix } => ended.insert(suffix),
                        news => return Err(Unmet::failed("an end", format!("{news:?}"))),
                    };
                }
                same("those that ended", ended, suffixes.into_iter().collect())
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
                let mut stage = cx.stage().await?;
                stage.watcher.bi.send.fin();
                stage.watcher.bi.recv.ended().await?;
                stage.viewer.alive().await
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
    ]
}

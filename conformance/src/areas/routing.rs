//! Where announcements have passed: hops, loops and costs.

use super::announce::{below, live, path, publisher, root, watch};
use smoq_core::{
    Path, Version,
    wire::{Announce, Cost, Hop},
};

use crate::{
    check::{ALL, Check, Cx, FROM_04, FROM_05, FROM_06, TO_04, must, should},
    dial::{Dial, Opening, setup_stream},
    peer::Peer,
    stage::{Announcer, News, Watcher, hop},
    verdict::{Result, Unmet, holds, same},
};

const ANNOUNCE: &str = "Announce";
const ROUTING: &str = "Routing";

/// Hops of a broadcast that a publisher with the hop 5 announces with these.
async fn hops_told(cx: &Cx, ids: &[u64]) -> Result<smoq_core::wire::Hops> {
    let peer = cx.connect().await?;
    let mut announcer = Announcer::new(&peer, hop(5)).await?;
    let name = cx.name();
    announcer.start_via(&name, ids).await?;
    let (hops, _) = watch(cx, &name).await?.started(&root()).await?;
    Ok(hops)
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
                let path = cx.target().setup_path(&cx.target().path);
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
    ]
}

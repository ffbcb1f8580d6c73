//! PROBE: how fast the connection is.

use smoq_core::wire::{BidiType, Probe, ProbeLevel, Setup, StreamCode};

use crate::{
    check::{ALL, Check, Cx, FROM_04, FROM_05, must, should},
    peer::{Bi, Peer},
    stream::End,
    verdict::{Result, Unmet, holds},
};

const PROBE: &str = "Probe";

/// A stream of PROBE and the first report on it.
async fn report(peer: &Peer) -> Result<(Bi, Probe)> {
    let mut bi = peer.begin(BidiType::Probe).await?;
    let report = bi.recv.message("a PROBE").await;
    match report {
        Ok(report) => Ok((bi, report)),
        Err(unmet) => match bi.recv.end().await? {
            End::Fin | End::Lost => Err(unmet),
            End::Reset(_) => {
                peer.alive().await?;
                Unmet::skipped("the relay does not report")
            }
        },
    }
}

async fn reporting(cx: &Cx) -> Result<(Peer, Bi, Probe)> {
    let peer = cx.connect().await?;
    let (bi, probe) = report(&peer).await?;
    Ok((peer, bi, probe))
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "probe/answered",
            ALL,
            PROBE,
            "a Probe Stream is answered by a report, or reset",
            |cx| async move {
                match reporting(&cx).await {
                    Err(Unmet::Skipped(_)) => Ok(()),
                    other => other.map(|_| ()),
                }
            },
        ),
        must(
            "probe/as-setup-says",
            FROM_05,
            "Probe Parameter",
            "a relay whose SETUP promises reports gives them",
            |cx| async move {
                let peer = cx.connect().await?;
                let setup: Setup = peer.setup_stream().await?.message("SETUP").await?;
                if setup.probe == ProbeLevel::None {
                    return Unmet::skipped("its SETUP promises none");
                }
                match report(&peer).await {
                    Err(Unmet::Skipped(reason)) => Err(Unmet::failed("a report", reason)),
                    other => other.map(|_| ()),
                }
            },
        ),
        must(
            "probe/plausible",
            ALL,
            PROBE,
            "a bitrate is a number of bits per second: between 1 kbit/s and 10 Tbit/s, or unknown",
            |cx| async move {
                let (_peer, _bi, probe) = reporting(&cx).await?;
                let plausible =
                    probe.bitrate.is_none_or(|rate| (1_000..10_000_000_000_000).contains(&rate));
                holds("a plausible bitrate", plausible, probe)
            },
        ),
        should(
            "probe/round-trip",
            FROM_04,
            PROBE,
            "a report has the round trip time, in milliseconds",
            |cx| async move {
                let (_peer, _bi, probe) = reporting(&cx).await?;
                holds(
                    "a round trip below a minute",
                    probe.rtt_ms.is_some_and(|rtt| rtt < 60_000),
                    probe,
                )
            },
        ),
        must(
            "probe/fin",
            ALL,
            "Termination",
            "a viewer that ends its side gets the end of the other one",
            |cx| async move {
                let (peer, mut bi, _) = reporting(&cx).await?;
                bi.send.fin();
                bi.recv.ended().await?;
                peer.alive().await
            },
        ),
        must(
            "probe/cancelled",
            ALL,
            "Termination",
            "a Probe Stream that is reset harms nothing",
            |cx| async move {
                let (peer, mut bi, _) = reporting(&cx).await?;
                bi.send.reset(StreamCode::CANCEL);
                bi.recv.stop(StreamCode::CANCEL);
                peer.alive().await
            },
        ),
        should(
            "probe/target",
            ALL,
            PROBE,
            "a target is read, also by a relay that only reports",
            |cx| async move {
                let (peer, mut bi, _) = reporting(&cx).await?;
                bi.send.message(&Probe { bitrate: Some(1_000_000), rtt_ms: None }).await?;
                peer.alive().await?;
                bi.send.fin();
                match bi.recv.rest().await? {
                    (_, End::Fin) => Ok(()),
                    (_, end) => Err(Unmet::failed("FIN", end)),
                }
            },
        ),
        must(
            "probe/malformed-target",
            ALL,
            PROBE,
            "a target that cannot be read costs the stream alone",
            |cx| async move {
                let (peer, mut bi, _) = reporting(&cx).await?;
                bi.send.bytes(&[0]).await?;
                bi.recv.reset().await?;
                peer.alive().await
            },
        ),
        must(
            "probe/second",
            ALL,
            PROBE,
            "a second Probe Stream of a session is answered or reset, and harms nothing",
            |cx| async move {
                let (peer, _first, _) = reporting(&cx).await?;
                match report(&peer).await {
                    Ok(_) => peer.alive().await,
                    Err(Unmet::Skipped(_)) => Ok(()),
                    Err(unmet) => Err(unmet),
                }
            },
        ),
        should(
            "probe/one-report-at-first",
            ALL,
            PROBE,
            "what has not changed is not reported again at once",
            |cx| async move {
                let (peer, mut bi, _) = reporting(&cx).await?;
                for _ in 0..10 {
                    peer.alive().await?;
                }
                bi.send.fin();
                let (bytes, _) = bi.recv.rest().await?;
                holds("a few reports at most", bytes < 100, bytes)
            },
        ),
        must(
            "probe/many-sessions",
            ALL,
            PROBE,
            "each session has its own reports",
            |cx| async move {
                let mut all = Vec::new();
                for _ in 0..3 {
                    all.push(reporting(&cx).await?);
                }
                for (peer, ..) in &all {
                    peer.alive().await?;
                }
                Ok(())
            },
        ),
    ]
}

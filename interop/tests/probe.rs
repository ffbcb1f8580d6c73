//! PROBE with moq-tokio: each side tells the other how fast it could send.

#[path = "support/pair.rs"]
mod pair;

use moq_peer::{Role, Server, Sink, Source};
use pair::{dial, ours, step, versions};
use smoq_tokio::core::wire::Probe;

/// Between nothing and what loopback could be taken for.
fn assert_plausible(bits: u64, version: &str) {
    assert!((10_000..1 << 50).contains(&bits), "{version}: {bits} bit/s");
}

#[tokio::test]
async fn the_peer_hears_how_fast_smoq_is() {
    for (version, theirs) in versions() {
        for scheme in ["moqt", "https"] {
            let (_server, dial) = ours(scheme, theirs);
            let sink = Sink::new();
            let link = step("the peer to connect", dial.connect(Role::Subscribe(&sink))).await;
            let bits = step("an estimate of smoq's", link.estimate()).await;
            assert_plausible(bits, &format!("{version} over {scheme}"));
        }
    }
}

#[tokio::test]
async fn smoq_hears_how_fast_the_peer_is() {
    for (version, theirs) in versions() {
        for scheme in ["moqt", "https"] {
            let source = Source::new("room/cam", "video").expect("announce the broadcast");
            let start = Server::start(Some(theirs), Role::Publish(&source));
            let server = step("the peer to listen", start).await;
            let client = dial(scheme, &server, version).await;
            let mut estimates = step("smoq to ask", client.estimates()).await;
            let next = async { estimates.next().await.ok_or("the peer gives none") };
            let Probe { bitrate, rtt_ms } = step("an estimate of the peer's", next).await;
            let name = format!("{version} over {scheme}");
            assert_plausible(bitrate.expect("a bitrate"), &name);
            assert_eq!(rtt_ms.is_some(), version.has_probe_rtt(), "{name}");
        }
    }
}

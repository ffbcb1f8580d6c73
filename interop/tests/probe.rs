//! PROBE with moq-tokio: each side tells the other how fast it could send.

mod direct;
mod support;

use moq_peer::{Role, Sink, Source};
use smoq_tokio::core::wire::Probe;
use support::{BROADCAST, Case, Deadline, TRACK, matrix};

/// Between nothing and what loopback could be taken for.
fn assert_plausible(bits: u64) {
    assert!((10_000..1 << 50).contains(&bits), "{bits} bit/s");
}

async fn the_peer_hears_how_fast_smoq_is(case: Case) {
    let deadline = Deadline::without_binary();
    let server = direct::listen();
    let sink = Sink::new();
    let link = direct::dial(&deadline, &server, case, Role::Subscribe(&sink)).await;
    assert_plausible(deadline.step("an estimate of smoq's", link.estimate()).await);
}

async fn smoq_hears_how_fast_the_peer_is(case: Case) {
    let deadline = Deadline::without_binary();
    let source = Source::new(BROADCAST, TRACK).expect("announce the broadcast");
    let (client, _server) = direct::connect(&deadline, case, Role::Publish(&source)).await;
    let mut estimates = deadline.step("smoq to ask", client.estimates()).await;
    let next = async { estimates.next().await.ok_or("the peer gives none") };
    let Probe { bitrate, rtt_ms } = deadline.step("an estimate of the peer's", next).await;
    assert_plausible(bitrate.expect("a bitrate"));
    assert_eq!(rtt_ms.is_some(), client.version().has_probe_rtt());
}

matrix! {
    [the_peer_hears_how_fast_smoq_is, smoq_hears_how_fast_the_peer_is]
    lite_03 => "moq-lite-03" over "moqt",
    lite_04 => "moq-lite-04" over "moqt",
    lite_05 => "moq-lite-05" over "moqt",
    lite_06 => "moq-lite-06" over "moqt",
    lite_03_web => "moq-lite-03" over "https",
    lite_04_web => "moq-lite-04" over "https",
    lite_05_web => "moq-lite-05" over "https",
    lite_06_web => "moq-lite-06" over "https",
}

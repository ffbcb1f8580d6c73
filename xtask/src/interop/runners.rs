//! What the lines of test runners say.

use super::cell::{Cell, QUIC, Verdict, WEB};

/// The peer of the tests in Rust, as `interop/Cargo.toml` pins it.
pub(super) const MOQ_TOKIO: &str = "moq-net 0.3.18, moq-tokio 0.19.31";

/// The peer of the tests in a browser, as `interop/browser/package.json` pins it.
pub(super) const MOQ_JS: &str = "@moq/net 0.3.4";

/// Tests of `interop/tests`, with their role and step.
const RUST: [(&str, &str, &str); 13] = [
    ("peer_to_smoq", "its publisher, smoq's relay, smoq's subscriber", "each byte"),
    (
        "smoq_to_peer",
        "smoq's publisher, smoq's relay, its subscriber",
        "each byte, announced and back",
    ),
    (
        "peer_to_peer",
        "its publisher, smoq's relay, its subscriber",
        "each byte, announced and back",
    ),
    ("smoq_to_server", "smoq's publisher, its server", "each byte"),
    ("server_to_smoq", "its server, smoq's subscriber", "each byte"),
    ("refusal_by_peer", "its publisher, smoq's relay, its subscriber", "unknown track refused"),
    ("refusal_by_smoq", "smoq's publisher, smoq's relay, its subscriber", "unknown track refused"),
    ("the_peer_fetches_from_smoq", "its client, smoq's server", "fetch"),
    ("smoq_fetches_from_the_peer", "smoq's client, its server", "fetch"),
    ("the_peer_receives_a_datagram_of_smoq", "its client, smoq's server", "datagram"),
    ("smoq_receives_a_datagram_of_the_peer", "smoq's client, its server", "datagram"),
    ("the_peer_hears_how_fast_smoq_is", "its client, smoq's server", "probe"),
    ("smoq_hears_how_fast_the_peer_is", "smoq's client, its server", "probe"),
];

/// Tests of `interop/browser`: how their names go on after the version, with role and step.
const BROWSER: [(&str, &str, &str); 3] = [
    ("from a page to `smoq subscribe`", "a page, smoq's relay, smoq's subscriber", "each byte"),
    ("from `smoq publish` to a page", "smoq's publisher, smoq's relay, a page", "each byte"),
    ("from page to page", "a page, smoq's relay, a page", "each byte"),
];

/// A line of cargo's test runner: `test MODULE::NAME ... ok`.
pub(super) fn rust(line: &str) -> Option<Cell> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (module, name) = name.split_once("::")?;
    let (_, role, step) = RUST.iter().find(|(test, ..)| *test == name)?;
    let (number, transport) = match module.strip_prefix("lite_")?.split_once('_') {
        Some((number, "web")) => (number, WEB),
        Some(_) => return None,
        None => (module.strip_prefix("lite_")?, QUIC),
    };
    let verdict = match result {
        "ok" => Verdict::Pass,
        _ => Verdict::Fail(format!("test {module}::{name}: {result}")),
    };
    let version = format!("moq-lite-{number}");
    Some(cell(MOQ_TOKIO, version, transport, role, step, verdict))
}

/// A line of TAP: `ok 1 - NAME` or `not ok 1 - NAME`.
pub(super) fn browser(line: &str) -> Option<Cell> {
    let (result, name) = line.split_once(" - ")?;
    let (version, rest) = name.split_once(' ')?;
    let (_, role, step) = BROWSER.iter().find(|(test, ..)| *test == rest)?;
    let verdict = match result.starts_with("ok ") {
        true => Verdict::Pass,
        false => Verdict::Fail(format!("test {name}")),
    };
    Some(cell(MOQ_JS, version.into(), WEB, role, step, verdict))
}

/// What there is to say of the browser if no test has run.
pub(super) fn without_browser(why: &str) -> impl Iterator<Item = Cell> {
    BROWSER.iter().map(move |(_, role, step)| {
        cell(MOQ_JS, "all".into(), WEB, role, step, Verdict::NotRun(why.into()))
    })
}

fn cell(
    peer: &str,
    version: String,
    transport: &'static str,
    role: &str,
    step: &str,
    verdict: Verdict,
) -> Cell {
    Cell { peer: peer.into(), version, transport, role: role.into(), step: step.into(), verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_are_read() {
        let cell = rust("test lite_04_web::smoq_to_peer ... ok").expect("a cell");
        assert_eq!((&*cell.version, cell.transport), ("moq-lite-04", WEB));
        assert_eq!(cell.verdict, Verdict::Pass);
        let cell = rust("test lite_06::peer_to_peer ... FAILED").expect("a cell");
        assert_eq!(cell.transport, QUIC);
        assert!(matches!(cell.verdict, Verdict::Fail(_)));
        assert_eq!(rust("test lite_06_agrees ... ok"), None);
        assert_eq!(rust("test result: ok. 3 passed"), None);
    }

    #[test]
    fn lines_of_node_are_read() {
        let cell = browser("ok 7 - moq-lite-05 from page to page").expect("a cell");
        assert_eq!((&*cell.version, cell.verdict), ("moq-lite-05", Verdict::Pass));
        let cell = browser("not ok 2 - moq-lite-03 from `smoq publish` to a page").expect("a cell");
        assert!(matches!(cell.verdict, Verdict::Fail(_)));
        assert_eq!(browser("ok 1 - a page calls and sees and hears"), None);
    }

    /// A test that is renamed would be missed in the matrix.
    #[test]
    fn the_tests_are_there() {
        let rust = [
            include_str!("../../../interop/tests/relay.rs"),
            include_str!("../../../interop/tests/datagram.rs"),
            include_str!("../../../interop/tests/fetch.rs"),
            include_str!("../../../interop/tests/probe.rs"),
        ];
        for (name, ..) in RUST {
            assert!(rust.iter().any(|file| file.contains(&format!("async fn {name}("))), "{name}");
        }
        let browser = include_str!("../../../interop/browser/test/moq-net.js");
        for (name, ..) in BROWSER {
            assert!(browser.contains(&name.replace('`', "\\`")), "{name}");
        }
        let manifest = include_str!("../../../interop/Cargo.toml");
        for version in ["0.3.18", "0.19.31"] {
            assert!(MOQ_TOKIO.contains(version) && manifest.contains(&format!("={version}")));
        }
        let package = include_str!("../../../interop/browser/package.json");
        assert!(package.contains("\"@moq/net\": \"0.3.4\"") && MOQ_JS.ends_with(" 0.3.4"));
    }
}

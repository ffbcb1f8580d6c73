//! Our relay keeps every rule: on both carriers, in each version.

mod support;

use std::{collections::BTreeSet, time::Duration};

use smoq_conformance::{Options, Unmet, checks, junit, reach, run, table, tap};
use smoq_core::{Carrier, Version};

async fn green(carrier: Carrier) {
    // What is slow here is the machine.
    let patience = Duration::from_secs(30);
    let report = run(support::relay(carrier), &Options { patience, ..Options::default() }).await;
    let text = table(&report);
    assert!(report.is_good() && report.unspoken.is_empty(), "{text}");
    // Nothing is skipped, and no warning is left.
    assert!(report.outcomes.iter().all(|outcome| outcome.verdict.is_ok()), "{text}");
    for version in Version::ALL {
        let ran = report.outcomes.iter().filter(|outcome| outcome.version == version).count();
        let wanted = checks().iter().filter(|check| check.applies(version, carrier)).count();
        assert_eq!(ran, wanted, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_quic() {
    green(Carrier::Raw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_transport() {
    green(Carrier::WebTransport).await;
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_no_good_one() {
    let mut target = support::relay(Carrier::Raw);
    target.address = ([127, 0, 0, 1], 9).into();
    let patience = Duration::from_millis(100);
    let report = run(target, &Options { patience, ..Options::default() }).await;
    assert!(!report.is_good());
    let versions = || report.unspoken.iter().chain(&report.unanswered);
    assert_eq!(versions().count(), Version::ALL.len());
    let came = |unmet: &Unmet| matches!(unmet, Unmet::Failed { came, .. } if !came.is_empty());
    assert!(versions().all(|(_, unmet)| came(unmet)));
    assert!(tap(&report).contains("1..1\nnot ok 1 - "));
    assert!(junit(&report).contains("tests=\"1\" failures=\"1\""));
}

#[tokio::test]
async fn of_several_addresses_one_that_answers_is_taken() {
    let there = support::relay(Carrier::Raw);
    let mut dead = there.clone();
    dead.address = ([127, 0, 0, 1], 9).into();
    let found = reach(vec![dead.clone(), there.clone()], Duration::from_secs(30)).await;
    assert_eq!(found.map(|target| target.address), Some(there.address));
    let found = reach(vec![dead.clone()], Duration::from_millis(100)).await;
    assert_eq!(found.map(|target| target.address), Some(dead.address));
}

#[test]
fn names_are_unique_and_areas_stand_together() {
    let names: Vec<_> = checks().iter().map(|check| check.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(names.len() >= 120);
    let mut areas: Vec<_> = checks().iter().map(|check| check.area()).collect();
    areas.dedup();
    assert_eq!(areas.iter().collect::<BTreeSet<_>>().len(), areas.len());
}

#[test]
fn the_document_lists_what_is_checked() {
    let text = include_str!("../../docs/conformance.md");
    assert!(
        text.contains(&smoq_conformance::list()),
        "paste what `smoq conformance --list` writes"
    );
}

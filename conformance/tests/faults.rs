//! The checks notice every fault that is planted.

mod support;

use std::time::Duration;

use smoq_conformance::{
    FAULTS, Fault, Level, Options, ProxyError, Unmet, checks, plant, run, table,
};
use smoq_core::{Carrier, Version};
use tokio::task::JoinSet;

/// What a check says of our relay with this fault.
async fn verdict(name: &str, fault: Option<&Fault>, patience: Duration) -> Result<(), Unmet> {
    let target = plant(support::relay(Carrier::Raw), fault).unwrap();
    let versions = vec![Version::Lite06];
    let options = Options { versions, only: name.into(), patience, ..Options::default() };
    let report = run(target, &options).await;
    if let Some((_, unmet)) = report.unspoken.into_iter().chain(report.unanswered).next() {
        // No fault is in the way of a handshake.
        return Err(Unmet::Skipped(unmet.to_string()));
    }
    let outcome = report.outcomes.into_iter().find(|outcome| outcome.check.name == name);
    outcome.expect("a check of that name").verdict
}

/// What most faults need to be noticed.
const FIRST: Duration = Duration::from_secs(2);

/// What is wrong about a fault that is not noticed, or by a check that notices it without the fault too.
async fn unnoticed(fault: &'static Fault) -> Option<String> {
    let check = checks().iter().find(|check| check.name == fault.noticed_by).unwrap();
    assert_eq!(check.level, Level::Must, "{}", fault.name);
    let mut slow = None;
    // What comes late does not count as noticed: beside it, so much patience has to be enough without the fault.
    for patience in [FIRST, Duration::from_secs(8), Duration::from_secs(30)] {
        let faulty = verdict(check.name, Some(fault), patience);
        match tokio::join!(faulty, verdict(check.name, None, patience)) {
            // At first, silence may only be slowness that the other one was spared.
            (Err(Unmet::Failed { came, .. }), Ok(()))
                if patience > FIRST || !came.starts_with("nothing for") =>
            {
                return None;
            }
            (Ok(()), Ok(())) => {
                return Some(format!("{}: {} does not notice it", fault.name, check.name));
            }
            both => slow = Some(both),
        }
    }
    Some(format!("{}: {} says {slow:?} with and without it", fault.name, check.name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_noticed() {
    let mut running = JoinSet::new();
    let mut wrong = Vec::new();
    for fault in FAULTS {
        running.spawn(unnoticed(fault));
        if running.len() >= 6 {
            wrong.push(running.join_next().await.unwrap().unwrap());
        }
    }
    wrong.extend(running.join_all().await);
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn faults_are_planted_on_raw_quic_alone() {
    let target = support::relay(Carrier::WebTransport);
    assert!(matches!(plant(target, FAULTS.first()), Err(ProxyError::Carrier)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_the_server_is_not_noticed() {
    let target = plant(support::relay(Carrier::Raw), None).unwrap();
    let mut areas: Vec<_> = checks().iter().map(|check| check.area()).collect();
    areas.dedup();
    // What waits there waits behind the relay, which cannot put anything in front of it.
    areas.retain(|area| !["priorities", "expiry"].contains(area));
    for area in areas {
        let (only, patience) = (format!("{area}/"), Duration::from_secs(30));
        let options = Options { only, patience, ..Options::default() };
        let report = run(target.clone(), &options).await;
        assert!(report.is_good() && report.unspoken.is_empty(), "{}", table(&report));
    }
}

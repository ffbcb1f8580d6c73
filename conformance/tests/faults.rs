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
    if let Some((_, unmet)) = report.unspoken.first() {
        return Err(unmet.clone());
    }
    let outcome = report.outcomes.into_iter().find(|outcome| outcome.check.name == name);
    outcome.expect("a check of that name").verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_noticed() {
    let mut running = JoinSet::new();
    for fault in FAULTS {
        let check = checks().iter().find(|check| check.name == fault.noticed_by).unwrap();
        assert_eq!(check.level, Level::Must, "{}", fault.name);
        running.spawn(async move {
            // What comes late does not count as noticed: so much patience has to be enough without a fault.
            let faulty = verdict(fault.noticed_by, Some(fault), Duration::from_secs(2)).await;
            let Err(Unmet::Failed { .. }) = faulty else {
                return Some(format!("{}: {} does not notice it", fault.name, fault.noticed_by));
            };
            let sound = verdict(fault.noticed_by, None, Duration::from_secs(30)).await;
            let unmet = sound.err()?;
            Some(format!(
                "{}: {} notices it without a fault: {unmet}",
                fault.name, fault.noticed_by
            ))
        });
        if running.len() >= 8 {
            let wrong = running.join_next().await.unwrap().unwrap();
            assert_eq!(wrong, None);
        }
    }
    let wrong: Vec<_> = running.join_all().await.into_iter().flatten().collect();
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

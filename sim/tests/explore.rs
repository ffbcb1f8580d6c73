//! Every interleaving of small worlds. `smoq explore` goes further.

use smoq_core::Version;
use smoq_sim::{
    Bug, Invariant,
    explore::{Bounds, Explored, Scenario, explore},
};

fn scenario(version: Version) -> Scenario {
    Scenario {
        version,
        cut_off: false,
        unsubscribe: false,
        restart: false,
        one_group: false,
        late_acks: false,
    }
}

fn holds(scenario: Scenario, states: usize) -> Explored {
    let found = explore(&scenario, None, Bounds { depth: usize::MAX, states });
    if let Some((broken, way)) = &found.broken {
        panic!("{scenario:?}: {broken}\n{}", way.join("\n"));
    }
    found
}

/// 03 and 04 have few messages, so nothing has to be left out.
#[test]
fn old_versions_in_every_order() {
    let (new, old) = (scenario(Version::Lite04), scenario(Version::Lite03));
    for scenario in [old, new, Scenario { cut_off: true, ..new }, Scenario { restart: true, ..new }]
    {
        let found = holds(scenario, 100_000);
        assert!(found.complete && found.ends > 0, "{scenario:?}: {found:?}");
    }
}

/// 05 and 06 ask with two streams each time, and who may leave may do so at any time: 10,000 states each.
#[test]
fn the_rest_in_every_order_to_some_depth() {
    let one = |version| Scenario { one_group: true, ..scenario(version) };
    for scenario in [
        Scenario { cut_off: true, ..one(Version::Lite06) },
        Scenario { cut_off: true, ..one(Version::Lite05) },
        Scenario { unsubscribe: true, ..one(Version::Lite04) },
    ] {
        let found = holds(scenario, 10_000);
        assert!(found.depth >= 12, "{found:?}");
    }
}

#[test]
fn a_planted_bug_is_found_by_the_shortest_way() {
    for (version, unsubscribe, bug, invariant) in [
        (Version::Lite05, false, Bug::WrongEnd, Invariant::NoInvention),
        (Version::Lite04, false, Bug::LostReset, Invariant::Answered),
        (Version::Lite03, true, Bug::LeakedSubscription, Invariant::FanIn),
    ] {
        let scenario =
            Scenario { one_group: true, cut_off: true, unsubscribe, ..scenario(version) };
        let bounds = Bounds { depth: usize::MAX, states: 60_000 };
        let found = explore(&scenario, Some(bug), bounds);
        let (broken, way) = found.broken.unwrap_or_else(|| panic!("{} is not found", bug.name()));
        assert_eq!(broken.invariant, invariant, "{}: {broken}", bug.name());
        assert!(!way.is_empty());
    }
}

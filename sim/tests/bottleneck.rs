//! What a viewer has of sound and pictures behind a link that is too narrow for both.

use std::{collections::BTreeMap, time::Duration};

use smoq_sim::bottleneck::{END, Kind, NARROW, Outcome, Policy, made, run};

const MS: Duration = Duration::from_millis(1);

/// The narrow time but for what the changes at its ends have to do with.
const SETTLED: [Duration; 2] = [
    NARROW[0].saturating_add(Duration::from_secs(1)),
    NARROW[1].saturating_sub(Duration::from_secs(1)),
];

/// The second half of the time in which the link is wide again.
const WIDE: [Duration; 2] = [NARROW[1].saturating_add(Duration::from_millis(2500)), END];

fn late(outcome: &Outcome, kind: Kind, span: [Duration; 2], share: usize) -> Duration {
    outcome.late(kind, span, share).expect("some of it came")
}

#[test]
fn sound_is_on_time_and_pictures_are_new() {
    for seed in 1..4 {
        let outcome = run(seed, Policy::Fresh);
        // All of the sound, as late as the way and the queue of the router make it.
        for span in [SETTLED, WIDE] {
            let sound = outcome.of(Kind::Audio, span).count();
            assert_eq!(sound, made(Kind::Audio, span), "seed {seed}: sound is missing");
        }
        let sound = late(&outcome, Kind::Audio, SETTLED, 99);
        assert!(sound < 350 * MS, "seed {seed}: sound is {sound:?} late");
        // Pictures fill what is left of the link, and are of the group that is being made.
        let pictures: Vec<_> = outcome.of(Kind::Video, SETTLED).collect();
        assert!(pictures.len() > made(Kind::Video, SETTLED) / 6, "seed {seed}: {}", pictures.len());
        let picture = late(&outcome, Kind::Video, SETTLED, 100);
        assert!(picture < 1000 * MS, "seed {seed}: a picture is {picture:?} late");
        // Each group begins before the next one is made, and gives way to it.
        let mut groups = BTreeMap::new();
        for picture in &pictures {
            *groups.entry(picture.group).or_insert(0) += 1;
            if picture.index == 0 {
                assert!(picture.late < 800 * MS, "seed {seed}: {picture:?}");
            }
        }
        let all = made(Kind::Video, SETTLED) / 15;
        assert!(groups.len() >= all - 1, "seed {seed}: of {all} groups {} came", groups.len());
        assert!(groups.values().all(|frames| *frames < 15), "seed {seed}: {groups:?}");
        assert!(outcome.cut >= all - 2, "seed {seed}: {} were cut off", outcome.cut);
        // Nothing is left over for the time after.
        assert_eq!(outcome.of(Kind::Video, WIDE).count(), made(Kind::Video, WIDE), "seed {seed}");
        let picture = late(&outcome, Kind::Video, WIDE, 99);
        assert!(picture < 350 * MS, "seed {seed}: a picture is {picture:?} late again");
    }
}

/// The same without an age: everything comes, and most of it when nobody wants it any more.
#[test]
fn without_an_age_pictures_come_that_nobody_waits_for() {
    for policy in [Policy::Everything, Policy::InOrder] {
        let outcome = run(1, policy);
        let pictures = outcome.of(Kind::Video, NARROW).count();
        assert_eq!((pictures, outcome.cut), (made(Kind::Video, NARROW), 0), "{policy:?}");
        let half = late(&outcome, Kind::Video, NARROW, 50);
        assert!(half > Duration::from_secs(3), "{policy:?}: half were less than {half:?} late");
    }
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    assert!(run(1, Policy::Fresh) == run(1, Policy::Fresh));
}

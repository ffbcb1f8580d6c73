//! Seeds and past crashes run through their bodies with every `cargo test`, and so do their neighbours.

use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use smoq_fuzz::{BODIES, Body, SLOW};

/// Runs a body, and names the input if it panics.
fn run((name, body): Body, from: &Path, data: &[u8]) {
    if catch_unwind(|| body(data)).is_err() {
        panic!("{name} fails on {data:?}, which comes from {}", from.display());
    }
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What lies in a folder; nothing if it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn all() -> impl Iterator<Item = &'static Body> {
    BODIES.iter().chain(SLOW)
}

#[test]
fn past_crashes_stay_mended() {
    for body in all() {
        for file in files(&home().join("crashes").join(body.0)) {
            run(*body, &file, &fs::read(&file).unwrap());
        }
    }
}

/// Seeds, and every `step`th of those that are shorter or have one bit changed.
fn hold(bodies: &[Body], step: impl Fn(usize) -> usize) {
    for body in bodies {
        let seeds = files(&home().join("seeds").join(body.0));
        assert!(!seeds.is_empty(), "{} has no seeds", body.0);
        for file in seeds {
            let mut data = fs::read(&file).unwrap();
            run(*body, &file, &data);
            for cut in (0..data.len()).step_by(step(data.len())) {
                run(*body, &file, &data[..cut]);
            }
            for bit in (0..8 * data.len()).step_by(step(8 * data.len())) {
                data[bit / 8] ^= 1 << (bit % 8);
                run(*body, &file, &data);
                data[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn seeds_and_their_neighbours_break_nothing() {
    hold(BODIES, |_| 1);
}

#[test]
fn seeds_and_a_few_neighbours_break_no_slow_body() {
    hold(SLOW, |length| length / 5 + 1);
}

#[test]
fn every_folder_and_binary_has_a_body_and_every_body_a_binary() {
    let mut names: BTreeSet<_> = all().map(|(name, _)| (*name).to_owned()).collect();
    // Its body lies beside moq-net, in `interop/oracle`, and is replayed there.
    names.insert("core_oracle".to_owned());
    let found = |folder: &str| -> BTreeSet<_> {
        let stem = |file: PathBuf| file.file_stem().unwrap().to_string_lossy().into_owned();
        files(&home().join(folder)).into_iter().map(stem).collect()
    };
    assert_eq!(found("targets/fuzz_targets"), names);
    assert_eq!(found("seeds"), names);
    assert!(found("crashes").is_subset(&names));
}

//! Seeds and past crashes run through their bodies with every `cargo test`, and so do their neighbours.

use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use smoq_fuzz::{BODIES, Body};

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

#[test]
fn past_crashes_stay_mended() {
    for body in BODIES {
        for file in files(&home().join("crashes").join(body.0)) {
            run(*body, &file, &fs::read(&file).unwrap());
        }
    }
}

#[test]
fn seeds_and_their_neighbours_break_nothing() {
    for body in BODIES {
        let seeds = files(&home().join("seeds").join(body.0));
        assert!(!seeds.is_empty(), "{} has no seeds", body.0);
        for file in seeds {
            let mut data = fs::read(&file).unwrap();
            for cut in 0..=data.len() {
                run(*body, &file, &data[..cut]);
            }
            for bit in 0..8 * data.len() {
                data[bit / 8] ^= 1 << (bit % 8);
                run(*body, &file, &data);
                data[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn every_folder_and_binary_has_a_body_and_every_body_a_binary() {
    let names: BTreeSet<_> = BODIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let found = |folder: &str| -> BTreeSet<_> {
        let stem = |file: PathBuf| file.file_stem().unwrap().to_string_lossy().into_owned();
        files(&home().join(folder)).into_iter().map(stem).collect()
    };
    assert_eq!(found("targets/fuzz_targets"), names);
    assert_eq!(found("seeds"), names);
    assert!(found("crashes").is_subset(&names));
}

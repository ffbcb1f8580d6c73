//! `smoq generate` as a process: what is in the files.
#![cfg(unix)]

mod support;

use support::User;

#[test]
fn a_tone_is_a_wav_file_of_the_promised_size() {
    let user = User::new();
    let path = user.path("tone.wav");
    let done = user.run(&["generate", "audio", "--output", &path]).expect(0);
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.contains("960044 bytes") && told.contains("440 Hz"), "{told}");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 960_044);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((&bytes[..4], word(4)), (&b"RIFF"[..], 960_036));
    assert_eq!((word(24), word(28), word(40)), (48_000, 192_000, 960_000));
    let samples = bytes[44..].chunks(4).map(|frame| i16::from_le_bytes([frame[0], frame[1]]));
    let samples: Vec<_> = samples.collect();
    let rises = samples.windows(2).filter(|two| two[0] < 0 && two[1] >= 0).count();
    assert!((2199..=2200).contains(&rises), "440 turns a second, not {rises} in all");
    assert_eq!(samples.iter().max(), Some(&9830));
}

#[test]
fn pictures_have_no_header_and_go_to_a_pipe() {
    let small = ["--width", "64", "--height", "48", "--fps", "10", "--duration", "2s"];
    let start = ["generate", "video", "--output", "-", "--pattern", "color"];
    let user = User::new();
    let done = user.run(&[&start[..], &small].concat()).expect(0);
    let picture = 64 * 48 * 3 / 2;
    assert_eq!(done.stdout.len(), 20 * picture);
    // Red first, yellow from the second second on: Y of the first pixel, U and V of the first.
    let at = |number: usize, offset: usize| done.stdout[number * picture + offset];
    let colour = |number| [at(number, 0), at(number, 64 * 48), at(number, 64 * 48 * 5 / 4)];
    assert_eq!((colour(0), colour(19)), ([81, 90, 240], [210, 16, 146]));
    user.run(&["generate", "video", "--width", "63"]).expect(2).says("even");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let user = User::new();
    let mut running = user.start(&["generate", "video", "--output", "-", "--duration", "1day"]);
    assert_eq!(running.read(10), [16; 10]);
    drop(running.stdout.take());
    running.done().expect(0);
}

#[test]
fn what_cannot_be_is_refused() {
    let user = User::new();
    let audio = |args: &[&str]| user.run(&[&["generate", "audio"], args].concat());
    audio(&["--duration", "10h"]).expect(2).says("4 GiB");
    audio(&["--frequency", "30000"]).expect(2).says("24000 Hz");
    audio(&["--frequency", "nan"]).expect(2).says("--frequency");
    audio(&["--output", "/nonexistent/x.wav"]).expect(1).says("/nonexistent/x.wav");
}

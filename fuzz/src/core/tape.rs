//! Recordings: anything may be in one, and a node that is fed with it lives.

use bytes::Bytes;
use smoq_core::Config;
use smoq_tape::{Recorder, Replay};

use super::session::small;

/// The inputs of a node, as a recording has them behind its beginning, but each length once.
pub fn core_tape(data: &[u8]) {
    // A change of the beginning would be noticed by its check and end the matter.
    let mut recording = Recorder::recording(Config::default(), u64::MAX).take_recording();
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first_chunk() {
        // Bytes that a fuzzer changes are not inverted again by it.
        recording.extend_from_slice(length);
        recording.extend(length.map(|byte| !byte));
        let length = u32::from_le_bytes(*length) as usize;
        let body;
        (body, rest) = behind.split_at(length.saturating_add(4).min(behind.len()));
        recording.extend_from_slice(body);
    }
    let limits = small();
    let made = Replay::with(Bytes::from(recording), |config| config.limits = limits.clone());
    let mut replay = made.expect("the beginning is good");
    while let Ok(Some(_)) = replay.step() {
        assert!(replay.node().stats().store_bytes <= limits.store_bytes);
    }
}

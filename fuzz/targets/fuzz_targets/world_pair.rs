#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smoq_fuzz::worlds::world_pair(data));

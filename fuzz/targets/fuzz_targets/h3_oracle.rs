#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smoq_fuzz::h3::h3_oracle(data));

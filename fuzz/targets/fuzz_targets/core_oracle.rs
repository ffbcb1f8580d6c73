#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moq_oracle::core_oracle(data));

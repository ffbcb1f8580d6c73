#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smoq_fuzz::signal::signal_client(data));

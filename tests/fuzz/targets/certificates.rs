#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| birthcert_tests::fuzz::certificates(data));

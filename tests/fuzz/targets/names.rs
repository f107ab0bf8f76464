#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| birthcert_tests::fuzz::names(text));

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| birthcert_tests::fuzz::table_items(text));

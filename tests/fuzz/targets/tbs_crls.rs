#![no_main]

libfuzzer_sys::fuzz_target!(|tbs: &[u8]| birthcert_tests::fuzz::tbs_crls(tbs));

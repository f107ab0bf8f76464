#![no_main]

libfuzzer_sys::fuzz_target!(|info: &[u8]| birthcert_tests::fuzz::certificate_request_infos(info));

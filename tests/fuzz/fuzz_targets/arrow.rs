#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tureen::hostile::dataset(bytes, "arrow"));

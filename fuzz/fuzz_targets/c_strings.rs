#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slotmux_fuzz::c_strings::check(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slotmux_properties::config::check(data));

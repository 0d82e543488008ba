#![no_main]

extern crate engine as slotmux;

use slotmux_fuzz::choices;

#[path = "../src/engine/joined.rs"]
mod joined;

libfuzzer_sys::fuzz_target!(|data: &[u8]| joined::check(data));

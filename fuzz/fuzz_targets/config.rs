#![no_main]

extern crate engine as slotmux;

use slotmux_fuzz::choices;

#[path = "../src/engine/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::check(data));

#![no_main]

extern crate engine as slotmux;

#[path = "../../tests/both_sides/sides/mod.rs"]
mod sides;
#[path = "../src/engine/worker.rs"]
mod worker;

libfuzzer_sys::fuzz_target!(|data: &[u8]| worker::check(data));

//! The part of slotmux that is fuzzed, built from its own sources.

#![forbid(unsafe_code)]

#[path = "../../src/resp/mod.rs"]
pub mod resp;

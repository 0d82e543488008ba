//! The part of slotmux that is fuzzed, built from its own sources.

#![forbid(unsafe_code)]

#[path = "../../src/c_string.rs"]
pub mod c_string;
pub mod client;
pub mod cluster;
#[path = "../../src/command/mod.rs"]
pub mod command;
pub mod config;
#[path = "../../src/policy/mod.rs"]
pub mod policy;
pub mod pubsub;
#[path = "../../src/resp/mod.rs"]
pub mod resp;
pub mod route;
#[path = "../../src/slot.rs"]
pub mod slot;

//! Shared by the load generator and the ledger: writing requests, reading replies, and the slot of a key.
//!
//! All of it uses external libraries, so that the tools share no mistake with the proxy under test. The hot loop of the load
//! generator has its own encoder and boundary finder (`mix.rs` and `check.rs` of `slotmux-bench`).

pub mod frames;
pub mod slot;

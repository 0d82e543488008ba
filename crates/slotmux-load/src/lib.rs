//! What the load generator and the ledger share: how requests and replies are written and read, and the slot of a key.
//!
//! Both use the libraries of others, so that they share no mistake with what they test. The hot loop of the load
//! generator has an encoder and a boundary finder of its own (`mix.rs` and `check.rs` of `slotmux-bench`).

pub mod frames;
pub mod slot;

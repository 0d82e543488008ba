//! Real Redis processes on this machine: for `slotmux demo`, the integration tests and the load benchmark.

pub mod cluster;
mod guard;
pub mod migrate;
pub mod ports;
pub mod server;

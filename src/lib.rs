//! slotmux: a Redis Cluster behind one address.

pub mod demo;
pub mod slot;

//! slotmux: a Redis Cluster behind one address.

pub mod config;
pub mod demo;
pub mod proxy;
pub mod slot;

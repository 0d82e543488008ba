//! Commands that wait at a node: blocking pops and reads, WAIT and WAITAOF. Each has a dedicated lane while it waits.

pub mod wait;
pub mod wait_replicas;

//! Where commands go: topology, slots, and commands about all keys.

mod cluster_personality;
mod commands;
mod identity;
mod keyspace;
mod order;
mod refresh;
mod scan;
mod topology;

//! Where commands go: topology, slots, and commands about all keys.

mod cluster_personality;
mod cluster_scan;
mod commands;
mod habits;
mod identity;
mod keyspace;
mod order;
mod refresh;
mod scan;
mod topology;

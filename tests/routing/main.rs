//! Where commands go: topology, slots, and commands about all keys.

mod cluster_personality;
mod cluster_scan;
mod commands;
mod cross_slot;
mod habits;
mod identity;
mod keyspace;
mod modules;
mod order;
mod refresh;
mod scan;
mod topology;

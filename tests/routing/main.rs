//! Where commands go: topology, slots, and commands about all keys.

mod cluster_personality;
mod commands;
mod keyspace;
mod modules;
mod order;
mod refresh;
mod scan;
mod topology;

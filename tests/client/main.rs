//! Clients and their connections: each behaves as if it were alone on one Redis.

mod blocking;
mod connection;
mod death;
mod monitor;
mod pause;
mod pubsub;
mod slotmux_command;
mod tracking;
mod transactions;

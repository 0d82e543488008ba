//! Discovery: finds the cluster's topology and keeps it fresh. The topology itself is in [`slotmux_core::cluster`].

mod ask;
mod commands;
mod describe;
pub mod dial;
pub mod discover;
pub mod libraries;
mod no_topology;
mod open;
mod other_databases;
mod output_limit;
pub mod refresh;
mod rights;

pub use ask::error_text;
pub use slotmux_core::cluster::{addr, merge, mode, parameters, redirect, server, topology, view};

//! The cluster behind slotmux: how it is discovered and kept fresh. What it looks like is in [`slotmux_core::cluster`].

mod ask;
pub mod dial;
pub mod discover;
mod no_topology;
mod open;
mod output_limit;
pub mod refresh;
mod rights;

pub use ask::words;
pub use slotmux_core::cluster::{addr, merge, mode, redirect, settings, topology, view};

//! The cluster behind slotmux: its topology, how it is discovered and kept fresh, and what redirects mean.

pub mod addr;
mod ask;
pub mod dial;
pub mod discover;
pub mod merge;
mod mode;
mod no_topology;
mod open;
mod output_limit;
pub mod redirect;
pub mod refresh;
mod rights;
mod settings;
pub mod topology;
pub mod view;

pub use ask::words;

//! Of the configuration only what policies are made of.

#[path = "../../src/config/commands.rs"]
mod commands;
#[path = "../../src/config/namespace.rs"]
mod namespace;

pub use commands::*;
pub use namespace::*;

/// The part of slotmux' own that [`crate::policy::Policies::new`] reads.
#[derive(Default)]
pub struct Config {
    pub namespaces: Vec<Namespace>,
    pub unmatched: Unmatched,
    pub multi: Multi,
    pub retry_writes: RetryWrites,
    pub commands: Commands,
}

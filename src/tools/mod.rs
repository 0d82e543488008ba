//! The command line and the tools behind it: the demo, the audit of lifetimes, explanations without a running slotmux.

pub mod audit;
pub mod cli;
pub mod demo;
pub mod explain;

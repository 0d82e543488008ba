//! The workers' counters, and the operating system's figures. Each counter has one writer; the admin page, INFO and the
//! `SLOTMUX` command read them.

pub mod counters;
pub mod namespaces;
pub mod observed;
pub mod outages;
pub mod sample;
pub mod since_reset;
pub mod unmatched;
pub mod usage;

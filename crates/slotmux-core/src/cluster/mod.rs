//! What a cluster looks like: its nodes and slots, read from replies and merged, and what its redirects say. No I/O.

pub mod addr;
pub mod merge;
pub mod mode;
pub mod redirect;
pub mod settings;
pub mod topology;
pub mod view;

//! The shape of a cluster: nodes and slots, read from replies and merged, and the meaning of redirects. No I/O.

pub mod addr;
pub mod merge;
pub mod mode;
pub mod parameters;
pub mod redirect;
pub mod server;
pub mod topology;
pub mod view;

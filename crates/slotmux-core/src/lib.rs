//! The decisions of slotmux, as functions of bytes and values: no sockets, no threads.
//!
//! A request's bytes are cut by [`resp`] and named by [`command`]; [`route`] plans where it goes, asking [`policy`] what
//! the namespace of its keys makes of it; [`answer`] words the replies that slotmux gives itself, and [`cluster`] reads
//! the topology that routes are looked up in. [`config`] is what all of it is configured by.

pub mod answer;
pub mod c_string;
pub mod cluster;
pub mod command;
pub mod config;
pub mod explain;
pub mod glob;
pub mod parameters;
pub mod policy;
pub mod resp;
pub mod route;
pub mod scripts;
pub mod slot;
pub mod units;

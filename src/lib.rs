//! slotmux: a Redis Cluster behind one address.
//!
//! The way of a request is one line through this crate: [`client`] reads bytes, [`resp`] finds where a request
//! ends, [`command`] says what it is, [`route`] decides where it goes, [`upstream`] sends it and delivers the reply.

pub mod cli;
pub mod config;
pub mod demo;
pub mod logging;
pub mod proxy;
pub mod resp;
pub mod route;
pub mod slot;
pub mod sweep;
pub mod transport;
pub mod turn;
pub mod upstream;
pub mod worker;

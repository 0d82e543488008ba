//! slotmux: a Redis Cluster behind one address.
//!
//! The way of a request is one line through this crate: [`client`] reads bytes, [`resp`] finds where a request
//! ends, [`command`] says what it is, [`route`] decides where it goes, [`upstream`] sends it and delivers the reply.

pub mod admin;
pub mod audit;
pub mod cli;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod contain;
pub mod demo;
pub mod drain;
pub mod explain_offline;
pub mod fan_out;
pub mod first_words;
pub mod handshake;
pub mod listener;
pub mod logging;
pub mod mail;
pub mod metrics;
pub mod monitor;
pub mod namespace_stats;
pub mod observed;
pub mod operator;
pub mod outages;
pub mod pause;
pub mod pool;
pub mod process;
pub mod proxy;
pub mod pubsub;
pub mod refresh_requests;
pub mod resources;
pub mod sabotage;
pub mod sample;
pub mod signals;
pub mod since_reset;
pub mod sweep;
pub mod transport;
pub mod turn;
pub mod unmatched;
pub mod upstream;
pub mod usage;
pub mod worker;

pub use slotmux_core::{
    answer, c_string, command, config, explain, glob, parameters, policy, resp, route, scripts,
    slot, time_argument,
};

//! slotmux: a Redis Cluster behind one address.
//!
//! The way of a request is one line through this crate: [`client`] reads bytes, [`resp`] finds where a request
//! ends, [`command`] says what it is, [`route`] decides where it goes, [`upstream`] sends it and delivers the reply.

pub mod admin;
pub mod answer;
pub mod audit;
pub mod c_string;
pub mod cli;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod contain;
pub mod demo;
pub mod drain;
pub mod explain;
pub mod first_words;
pub mod glob;
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
pub mod parameters;
pub mod pause;
pub mod policy;
pub mod pool;
pub mod process;
pub mod proxy;
pub mod pubsub;
pub mod resources;
pub mod resp;
pub mod route;
pub mod sabotage;
pub mod sample;
pub mod scripts;
pub mod signals;
pub mod since_reset;
pub mod slot;
pub mod sweep;
pub mod time_argument;
pub mod transport;
pub mod turn;
pub mod unmatched;
pub mod upstream;
pub mod worker;

//! slotmux: a Redis Cluster behind one address.
//!
//! Dependencies point one way: [`slotmux_core`] decides and has no sockets; [`engine`] carries decisions out;
//! [`control`] starts the engine and gives it the topology; [`tools`] use both. A request passes these modules:
//!
//! ```text
//! client socket -> engine::client::read -> slotmux_core::resp      where a request ends
//!                  engine::client::dispatch
//!                     -> slotmux_core::command                      what it is, where its keys are
//!                     -> slotmux_core::route, slotmux_core::policy  where it goes, and as what
//!                  engine::client::forward -> engine::upstream::lane -> node socket
//! client socket <- engine::client::write <- engine::upstream::read <- node socket
//! ```

pub mod control;
pub mod engine;
pub mod tools;

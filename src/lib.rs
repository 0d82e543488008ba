//! slotmux: a Redis Cluster behind one address.
//!
//! The way of a request is one line. Arrows upwards do not exist: the decisions are in [`slotmux_core`], which has no
//! sockets; [`engine`] carries them out; [`control`] starts the engine and tells it of the cluster.
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

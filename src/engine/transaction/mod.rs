//! Transactions of clients: MULTI, EXEC and DISCARD, the keys that a client watches, and the reply of EXEC.

pub mod commands;
pub mod exec_reply;
pub mod execute;
mod held_groups;
pub mod lanes;
pub mod local_elements;
pub mod queued;
mod send;
pub mod state;
pub mod watch;

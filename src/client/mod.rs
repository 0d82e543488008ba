//! The downstream side: one accepted connection and its state.

pub mod session;

//! The process around the engine: start and drain, discovery of the cluster, the admin page, signals, logs.

pub mod admin;
pub mod discovery;
pub mod logging;
pub mod proxy;
pub mod resources;
pub mod signals;

//! Stand-in of this branch; the demo itself replaces it.

use std::net::SocketAddr;

/// What `slotmux demo` starts.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where slotmux listens; `None`: 127.0.0.1:6379 or the next free port.
    pub listen: Option<SocketAddr>,
    /// Shards.
    pub primaries: usize,
    /// Replicas of each primary.
    pub replicas: usize,
}

/// Why the demo ended.
#[derive(Debug, thiserror::Error)]
#[error("the demo is not in this build")]
pub struct DemoError;

/// Runs until Ctrl-C.
pub fn run(_options: &DemoOptions) -> Result<(), DemoError> {
    Err(DemoError)
}

//! Stand-in of this branch; the proxy itself replaces it.

use crate::config::Config;

/// Why slotmux could not start.
#[derive(Debug, thiserror::Error)]
#[error("the proxy is not in this build")]
pub struct StartupError;

/// Serves clients until told to stop.
pub fn run(_config: Config) -> Result<(), StartupError> {
    Err(StartupError)
}

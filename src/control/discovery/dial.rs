//! Connections to nodes for tools that work beside the proxy, with the names, credentials and limits of the discovery.

use redis::aio::MultiplexedConnection;

use super::addr::Addr;
use super::ask::Access;
use super::open::open;
use slotmux_core::config::Config;

/// Connects to nodes as configured.
#[derive(Debug)]
pub struct Dialer(Access);

/// Why a connection failed; the text completes `host:port: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DialError(String);

impl Dialer {
    /// From the configuration.
    pub fn new(config: &Config) -> Dialer {
        // The tool serves no INFO, so that its run id cannot appear at an upstream.
        Dialer(Access::new(config, ""))
    }

    /// An authenticated connection.
    pub async fn dial(&self, node: &Addr) -> Result<MultiplexedConnection, DialError> {
        open(&self.0, node)
            .await
            .map_err(|reason| DialError(reason.to_string()))
    }

    /// Where to connect for an address that a node announced.
    pub fn reached_at(&self, announced: Addr) -> Addr {
        self.0.map.apply(announced)
    }
}

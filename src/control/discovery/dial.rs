//! Connections of their own to nodes, for tools that work beside the proxy. Names, credentials and limits are those of
//! the discovery.

use redis::aio::MultiplexedConnection;

use super::addr::Addr;
use super::ask::Access;
use super::open::open;
use slotmux_core::config::Config;

/// Connects to nodes as the configuration says.
#[derive(Debug)]
pub struct Dialer(Access);

/// Why a node gave no connection; the text completes `host:port: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DialError(String);

impl Dialer {
    /// By the configuration.
    pub fn new(config: &Config) -> Dialer {
        // A dialling program answers no INFO, so its run id cannot appear at an upstream.
        Dialer(Access::new(config, ""))
    }

    /// An authenticated connection.
    pub async fn dial(&self, node: &Addr) -> Result<MultiplexedConnection, DialError> {
        open(&self.0, node)
            .await
            .map_err(|refusal| DialError(refusal.to_string()))
    }

    /// Where to connect for an address that a node announced.
    pub fn reached_at(&self, announced: Addr) -> Addr {
        self.0.map.apply(announced)
    }
}

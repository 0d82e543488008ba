//! The cluster bus, over which a message reaches the nodes that it was not published at: some time after PUBLISH is
//! answered. Nothing of that is slotmux' doing, and one Redis has no bus.

use slotmux_testing::RawClient;

/// A channel that nobody else listens to.
const MARKS: &str = "marks of the bus";

/// Two connections to each node of the cluster.
pub struct Bus {
    publishers: Vec<RawClient>,
    listeners: Vec<RawClient>,
}

impl Bus {
    /// Connects to the nodes.
    pub fn connect(ports: impl Iterator<Item = u16> + Clone) -> Bus {
        Bus {
            publishers: ports.clone().map(RawClient::connect).collect(),
            listeners: ports.map(RawClient::connect).collect(),
        }
    }

    /// Waits until every node has every message that was published before, and has passed it on to its subscribers: the
    /// bus keeps the order of what one node sends another, so that a mark comes behind all of them.
    pub fn drain(&mut self) {
        for listener in &mut self.listeners {
            listener.call(&["SUBSCRIBE", MARKS]);
        }
        for publisher in &mut self.publishers {
            publisher.call(&["PUBLISH", MARKS, ""]);
        }
        for listener in &mut self.listeners {
            for _ in &self.publishers {
                listener.read();
            }
            // PUBSUB is to find no trace of it. And a node that answers has sent all that it had to send before.
            listener.call(&["UNSUBSCRIBE", MARKS]);
        }
    }
}

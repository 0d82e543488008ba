//! The cluster bus, which carries a message to the other nodes some time after PUBLISH is answered. slotmux has no
//! influence on it, and a plain Redis has no bus.

use slotmux_testing::RawClient;

/// A channel for this test alone.
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

    /// Waits until every node has every earlier message, and has passed it on to its subscribers: the bus keeps the
    /// order of one node's messages to another, so that a mark comes behind all of them.
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
            // It must not show in PUBSUB. And a node that answers has sent everything that was due before.
            listener.call(&["UNSUBSCRIBE", MARKS]);
        }
    }
}

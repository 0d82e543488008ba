//! The nodes as a worker knows them, for an explanation to one of its clients.

use crate::engine::client::Client;
use crate::engine::worker::Worker;
use slotmux_core::explain::NodeDirectory;
use slotmux_core::resp::request::Request;
use slotmux_core::route::all_nodes::Recipients;
use slotmux_core::slot::Slot;

/// The nodes as a worker knows them.
pub(super) struct WorkerNodes<'a> {
    pub worker: &'a Worker,
    pub client: &'a Client,
}

const NONE_YET: &str = "no node of the upstream has been reached yet";

fn not_known() -> String {
    format!("not known: {NONE_YET}")
}

impl WorkerNodes<'_> {
    fn addresses(&self, reach: Recipients) -> Vec<String> {
        let nodes = self.worker.nodes_of(reach).into_iter();
        let addresses: Vec<String> = nodes
            .map(|node| self.worker.address_of(node).to_string())
            .collect();
        if addresses.is_empty() {
            vec![not_known()]
        } else {
            addresses
        }
    }
}

impl NodeDirectory for WorkerNodes<'_> {
    fn of_slot(&self, slot: Slot) -> Result<String, String> {
        match self.worker.map.slots.owner(slot) {
            Some(node) => Ok(self.worker.address_of(node).to_string()),
            None if self.worker.map.primaries().is_empty() => Err(NONE_YET.to_owned()),
            None => Err("no node is known to serve the slot".to_owned()),
        }
    }

    fn any(&self) -> String {
        let node = self.worker.any_node(self.client);
        node.map_or_else(not_known, |node| self.worker.address_of(node).to_string())
    }

    fn primaries(&self) -> Vec<String> {
        self.addresses(Recipients::Primaries)
    }

    fn all(&self) -> Vec<String> {
        self.addresses(Recipients::NodesDedicated)
    }

    fn expects_big_reply(&self, request: &Request) -> bool {
        self.worker.traffic.big_replies.expected(request).is_some()
    }
}

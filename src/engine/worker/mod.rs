//! One worker: a thread with its own clients, its own lanes and its own copy of the slot map. It shares nothing that
//! is written on the way of a request.

pub mod buffers;
pub mod clients;
pub mod clock;
pub mod cluster_map;
pub mod drain;
pub mod interception;
pub mod listener;
pub mod mail;
pub mod panics;
pub mod scratch;
pub mod slot_map;
pub mod sweep;
pub mod traffic;
pub mod turn;

use std::rc::Rc;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::engine::announcing::Announcements;
use crate::engine::client::Client;
use crate::engine::client::read::ClientTask;
use crate::engine::cross_slot::CrossSlotState;
use crate::engine::fan_out::random_key::DrawQueue;
use crate::engine::pubsub::hub::Hub;
use crate::engine::refresh_requests::RefreshHandle;
use crate::engine::shared::Shared;
use crate::engine::stats::counters::WorkerStats;
use crate::engine::transport::Transport;
use crate::engine::upstream::node_table::{NodeId, NodeTable};
use crate::engine::upstream::retry::Retries;
use crate::engine::upstream::retry::lost::reroute;
use crate::engine::worker::buffers::Memory;
use crate::engine::worker::clients::Clients;
use crate::engine::worker::clock::{Clock, Timeouts, unix_milliseconds};
use crate::engine::worker::cluster_map::ClusterMap;
use crate::engine::worker::interception::Interception;
use crate::engine::worker::scratch::Scratch;
use crate::engine::worker::traffic::Traffic;
use crate::engine::worker::turn::Turn;
use slotmux_core::cluster::topology::{Topology, UpstreamKind};
use slotmux_core::config::{
    AdminCommands, ClientLimits, Config, Listener, Personality, UnknownCommands,
};
use slotmux_core::resp::Limits;
use slotmux_core::route::Knowledge;
use slotmux_core::route::all_nodes::Recipients;

/// The state of a worker thread. Every task of the thread has an `Rc` of it.
pub struct Worker {
    /// Its number, from 0.
    pub id: usize,
    /// State shared by all workers: configuration, counters, mailboxes.
    pub shared: Arc<Shared>,
    /// The configuration.
    pub config: Arc<Config>,
    /// This worker's counters.
    pub stats: Arc<WorkerStats>,
    /// Asks the control thread for a new topology.
    pub refresh: RefreshHandle,
    /// Time for deadlines.
    pub clock: Clock,
    /// The configured deadlines.
    pub timeouts: Timeouts,
    /// Lanes and clients with something to write at the end of this turn.
    pub turn: Turn,
    /// Its copy of the slot map.
    pub map: ClusterMap,
    /// Nodes and the lanes to them.
    pub nodes: NodeTable,
    /// Commands that wait for a retry, and their order.
    pub retries: Retries,
    /// RANDOMKEYs whose next draw waits for room.
    pub draws: DrawQueue,
    /// Commands over several slots that are under way.
    pub cross_slot: CrossSlotState,
    /// Its clients.
    pub clients: Clients,
    /// Its clients' subscriptions.
    pub hub: Hub,
    /// Changes of keys that no lane brings.
    pub announcements: Announcements,
    /// `CLIENT PAUSE` and `MONITOR`.
    pub interception: Interception,
    /// Facts learned from requests and replies.
    pub traffic: Traffic,
    /// Memory that is used for one request after the other.
    pub scratch: Scratch,
    /// Bytes that clients hold.
    pub memory: Memory,
    /// Cancelled when the drain begins.
    pub drained: CancellationToken,
}

impl Worker {
    /// The worker with number `id`.
    pub fn new(id: usize, shared: Arc<Shared>) -> Rc<Worker> {
        let config = shared.config.clone();
        let worker = Rc::new(Worker {
            id,
            stats: shared.stats[id].clone(),
            refresh: shared.refresh.clone(),
            clock: Clock::start(),
            timeouts: Timeouts::of(&config.cluster),
            turn: Turn::default(),
            map: ClusterMap::new(&config),
            nodes: NodeTable::new(&config),
            retries: Retries::default(),
            draws: DrawQueue::default(),
            cross_slot: CrossSlotState::default(),
            clients: Clients::default(),
            hub: Hub::default(),
            announcements: Announcements::default(),
            interception: Interception::default(),
            traffic: Traffic::default(),
            scratch: Scratch::default(),
            memory: Memory::new(shared.memory_limit / config.server.workers),
            drained: CancellationToken::new(),
            shared,
            config,
        });
        let topology = worker.shared.topology.borrow().clone();
        worker.apply(topology);
        worker
    }

    /// Takes a new topology into use. Commands on lanes without a connection follow their slots.
    pub fn apply(self: &Rc<Self>, topology: Arc<Topology>) {
        let primaries: Vec<NodeId> = topology
            .shards
            .iter()
            .map(|shard| self.node_at(shard.primary.addr.clone()))
            .collect();
        let moved = self.map.set_owners(&topology, primaries);
        self.slots_have_moved(&moved);
        let is_known = !topology.is_empty();
        self.map.replace_topology(topology);
        for lane in self.lanes() {
            reroute(self, &lane);
        }
        self.retire_unneeded_lanes();
        self.hub.check_all(self);
        self.announcements.settle(self);
        if is_known {
            self.found_upstream();
        }
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drained.is_cancelled()
    }

    /// Whether clients may administer the nodes.
    pub fn administers(&self) -> bool {
        self.config.commands.admin == AdminCommands::Fanout
    }

    /// The nodes that a command for all of them reaches.
    pub fn nodes_of(&self, recipients: Recipients) -> Vec<NodeId> {
        let mut nodes = self.map.primaries();
        if recipients == Recipients::NodesDedicated {
            let topology = self.map.topology.borrow();
            let replicas = topology.shards.iter().flat_map(|shard| &shard.replicas);
            nodes.extend(replicas.map(|node| self.node_at(node.addr.clone())));
        }
        nodes
    }

    /// The node for a command without keys: always the same for a client, so that its order holds.
    pub fn any_node(&self, client: &Client) -> Option<NodeId> {
        self.map.primary_for(client.id)
    }

    /// The knowledge that a plan depends on.
    pub fn with_knowledge<T>(&self, f: impl FnOnce(&Knowledge) -> T) -> T {
        let topology = self.map.topology.borrow();
        f(&Knowledge {
            learned: (self.config.commands.unknown == UnknownCommands::Learn)
                .then_some(&*topology.learned),
            server: self.map.server.get(),
            // While nothing is known, nothing is refused for its slots.
            is_one_node: topology.kind == UpstreamKind::Standalone || topology.is_empty(),
            as_cluster: false,
            policies: &self.shared.policies,
            commands: &self.config.commands,
            now: unix_milliseconds,
        })
    }

    /// The knowledge that a plan for a request of `client` depends on.
    pub fn with_knowledge_for<T>(&self, client: &Client, f: impl FnOnce(&Knowledge) -> T) -> T {
        let as_cluster = self.listener_of(client).personality == Personality::Cluster;
        self.with_knowledge(|knowledge| {
            f(&Knowledge {
                as_cluster,
                ..*knowledge
            })
        })
    }

    /// The listener that a client came in by.
    pub fn listener_of(&self, client: &Client) -> &Listener {
        &self.config.listeners[client.session.listener()]
    }

    /// The configured limits of a client.
    pub fn limits(&self, client: &Client) -> &ClientLimits {
        &self.listener_of(client).limits
    }

    /// The limits of a request of an authenticated client.
    pub fn request_limits(&self, client: &Client) -> Limits {
        let limits = self.limits(client);
        Limits {
            max_request: limits.max_request,
            max_args: limits.max_args,
            max_bulk: limits.max_request,
            max_inline: limits.max_inline,
        }
    }

    /// Whether a request or reply of so many bytes is a big value.
    pub fn is_big(&self, bytes: usize) -> bool {
        bytes > self.config.cluster.connections.bulk_threshold
    }

    /// Takes an accepted connection as a client.
    pub fn welcome(self: &Rc<Self>, transport: Transport, listener: u8) {
        let id = self.shared.next_client_id();
        let is_open = self.config.is_open();
        let now = self.clock.now();
        let client = self.clients.add(|place| {
            let client = Client::new(id, place, listener, transport, now);
            client.session.set_authenticated(is_open);
            client
        });
        self.stats.accepted.inc();
        self.stats.clients.inc();
        tokio::task::spawn_local(ClientTask::new(self.clone(), client));
    }

    /// A client's task has ended.
    pub fn forget(&self, client: &Rc<Client>) {
        self.clients.remove(client);
        self.stats.clients.dec();
        self.shared.client_left(self.id);
    }
}

//! One worker: a thread with its own clients, its own lanes and its own copy of the slot map. It shares nothing that
//! is written on the way of a request.

pub mod buffers;
pub mod clock;
pub mod drain;
pub mod listener;
pub mod mail;
pub mod panics;
pub mod sweep;
pub mod turn;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use slab::Slab;
use tokio_util::sync::CancellationToken;

use crate::engine::client::Client;
use crate::engine::client::before_topology::Upstream;
use crate::engine::client::read::ClientTask;
use crate::engine::fan_out::random_key::Redraws;
use crate::engine::fan_out::slots::Slots;
use crate::engine::monitor::Monitors;
use crate::engine::pause::ClientPause;
use crate::engine::pubsub::hub::Hub;
use crate::engine::refresh_requests::RefreshHandle;
use crate::engine::shared::Shared;
use crate::engine::stats::counters::WorkerStats;
use crate::engine::stats::observed::Observed;
use crate::engine::stats::unmatched::Unmatched;
use crate::engine::transport::Transport;
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::lane_pool::Bounds;
use crate::engine::upstream::retry::lost::reroute;
use crate::engine::upstream::retry::order::Carried;
use crate::engine::upstream::retry::overtaken::HaveRun;
use crate::engine::upstream::retry::queue::RetryQueue;
use crate::engine::upstream::retry::resend::Waiting;
use crate::engine::upstream::{NodeId, Nodes};
use crate::engine::worker::buffers::{Buffers, HeldPool, Memory};
use crate::engine::worker::clock::{Clock, Tick, ticks, unix_milliseconds};
use crate::engine::worker::panics::NOBODY;
use crate::engine::worker::turn::Turn;
use slotmux_core::cluster::addr::{Addr, AddressMap};
use slotmux_core::cluster::topology::{Topology, UpstreamKind};
use slotmux_core::config::{
    AdminCommands, ClientLimits, Config, Listener, Personality, UnknownCommands,
};
use slotmux_core::resp::{Limits, Span};
use slotmux_core::route::Knowledge;
use slotmux_core::route::big_replies::BigReplies;
use slotmux_core::route::scan::Itinerary;
use slotmux_core::route::whole::Recipients;
use slotmux_core::scripts::NotedScripts;
use slotmux_core::slot::{SLOTS, Slot};

/// Scratch for reads from clients: one read takes what a client can have sent in a turn.
const CLIENT_SCRATCH: usize = 64 * 1024;
/// Scratch for reads from nodes: many clients' replies come in one read.
const LANE_SCRATCH: usize = 256 * 1024;
/// Argument positions kept between requests; a request of a million arguments gives its memory back.
const SPANS_KEPT: usize = 4096;

/// Bytes kept for rewritten requests.
const REWRITTEN_KEPT: usize = 64 * 1024;

/// The state of a worker thread. Every task of the thread has an `Rc` of it.
pub struct Worker {
    /// Its number, from 0.
    pub id: usize,
    /// What all workers share: configuration, counters, mailboxes.
    pub shared: Arc<Shared>,
    /// The configuration.
    pub config: Arc<Config>,
    /// This worker's counters.
    pub stats: Arc<WorkerStats>,
    /// Asks the control thread for a new topology.
    pub refresh: RefreshHandle,
    /// Time for deadlines.
    pub clock: Clock,
    /// When it began to serve clients.
    pub started: Tick,
    /// Whether there is an upstream.
    pub upstream: Cell<Upstream>,
    /// Lanes and clients with something to write at the end of this turn.
    pub turn: Turn,
    /// Its copy of the slot map.
    pub slots: Slots,
    /// Which requests are likely to bring a big reply.
    pub big_replies: BigReplies,
    /// Which scripts it has noted already.
    pub scripts: NotedScripts,
    /// The topology that the slot map was made from.
    pub topology: RefCell<Arc<Topology>>,
    /// The order in which SCAN visits its shards.
    pub itinerary: RefCell<Itinerary>,
    /// The primaries of that topology.
    primaries: RefCell<Vec<NodeId>>,
    /// Nodes and the lanes to them.
    pub nodes: RefCell<Nodes>,
    /// Every lane, for the sweep.
    pub lanes: RefCell<Vec<Weak<Lane>>>,
    /// Commands that wait for a retry.
    pub waiting: RefCell<RetryQueue<Waiting>>,
    /// Whether a task looks after them.
    pub waiting_is_looked_after: Cell<bool>,
    /// RANDOMKEYs whose next draw waits for room.
    pub redraws: Redraws,
    /// The commands that lanes carry, recorded while their order is queried.
    pub carried: Carried,
    /// Commands that have run, after which older ones must not run any more.
    pub have_run: RefCell<HaveRun>,
    /// Number of the next lane.
    pub next_lane: Cell<u64>,
    /// Its clients' subscriptions.
    pub hub: Hub,
    /// Whether requests are held or shown just now: the one thing that is looked at for each of them.
    pub attention: Cell<bool>,
    /// `CLIENT PAUSE`.
    pub client_pause: ClientPause,
    /// `MONITOR`.
    pub monitors: Monitors,
    /// Connected clients.
    pub clients: RefCell<Slab<Rc<Client>>>,
    /// Clients that were sent everything and may take a moment to close; until when.
    pub lingering: RefCell<VecDeque<(Rc<Client>, Tick)>>,
    /// Whether this worker is draining.
    pub is_draining: Cell<bool>,
    /// Cancelled when the drain begins.
    pub drained: CancellationToken,
    /// Where bytes from clients are read into.
    pub client_scratch: RefCell<Box<[u8]>>,
    /// Where bytes from nodes are read into.
    pub lane_scratch: RefCell<Box<[u8]>>,
    /// Argument positions of the request that is being taken.
    pub spans: Cell<Vec<Span>>,
    /// What a policy made of the request that is being taken.
    pub rewritten: Cell<Vec<u8>>,
    /// Prefixes of keys that no namespace claims.
    pub unmatched: Unmatched,
    /// What observing policies would have changed.
    pub observed: Observed,
    /// Reply buffers.
    pub buffers: Buffers,
    /// Holders of early replies.
    pub held: HeldPool,
    /// Bytes that clients hold.
    pub memory: Memory,
    /// Closed connections whose nodes have not closed their side yet.
    pub departing: Cell<usize>,
    /// Which of the configured passwords a node took last.
    pub password: Cell<usize>,
    /// Id of the client whose command was dequeued and is being processed, for the repair after a panic.
    pub in_hand: Cell<u64>,
    /// `timeouts.command` in ticks.
    pub command_timeout: u64,
    /// `timeouts.response` in ticks.
    pub response_timeout: u64,
    /// `connections.dedicated_idle` in ticks.
    pub dedicated_idle: u64,
    /// `connections.health_interval` in ticks.
    pub health_interval: Option<u64>,
    /// Limits of dedicated lanes, which serve one client at a time.
    pub own_lanes: Bounds,
    address_map: AddressMap,
}

impl Worker {
    /// The worker with number `id`.
    pub fn new(id: usize, shared: Arc<Shared>) -> Rc<Worker> {
        let config = shared.config.clone();
        let cluster = &config.cluster;
        let clock = Clock::start();
        let worker = Rc::new(Worker {
            id,
            stats: shared.stats[id].clone(),
            refresh: shared.refresh.clone(),
            started: clock.now(),
            clock,
            upstream: Cell::new(Upstream::Awaited),
            turn: Turn::default(),
            slots: Slots::default(),
            big_replies: BigReplies::default(),
            scripts: NotedScripts::default(),
            topology: RefCell::new(Arc::new(Topology::empty())),
            itinerary: RefCell::default(),
            primaries: RefCell::default(),
            nodes: RefCell::default(),
            lanes: RefCell::default(),
            waiting: RefCell::default(),
            attention: Cell::new(false),
            client_pause: ClientPause::default(),
            monitors: Monitors::default(),
            waiting_is_looked_after: Cell::new(false),
            redraws: Redraws::default(),
            carried: Carried::default(),
            have_run: RefCell::default(),
            next_lane: Cell::new(0),
            hub: Hub::default(),
            clients: RefCell::default(),
            lingering: RefCell::default(),
            is_draining: Cell::new(false),
            drained: CancellationToken::new(),
            client_scratch: RefCell::new(vec![0; CLIENT_SCRATCH].into()),
            lane_scratch: RefCell::new(vec![0; LANE_SCRATCH].into()),
            spans: Cell::default(),
            rewritten: Cell::default(),
            unmatched: Unmatched::default(),
            observed: Observed::default(),
            buffers: Buffers::default(),
            held: HeldPool::default(),
            memory: Memory::new(shared.memory_limit / config.server.workers),
            departing: Cell::new(0),
            password: Cell::new(0),
            in_hand: Cell::new(NOBODY),
            command_timeout: ticks(cluster.timeouts.command),
            response_timeout: ticks(cluster.timeouts.response),
            dedicated_idle: ticks(cluster.connections.dedicated_idle),
            health_interval: cluster.connections.health_interval.map(ticks),
            own_lanes: Bounds::of(&config),
            address_map: AddressMap::new(cluster.address_map.clone()),
            shared,
            config,
        });
        let topology = worker.shared.topology.borrow().clone();
        worker.apply(topology);
        worker
    }

    /// Takes a new topology into use. What waits on lanes without a connection follows its slots.
    pub fn apply(self: &Rc<Self>, topology: Arc<Topology>) {
        let primaries: Vec<NodeId> = topology
            .shards
            .iter()
            .map(|shard| self.node_at(shard.primary.addr.clone()))
            .collect();
        let mut moved = Vec::new();
        for slot in 0..SLOTS as u16 {
            let owner = topology
                .shard_index(Slot(slot))
                .and_then(|shard| primaries.get(usize::from(shard)));
            // A slot that the topology does not cover keeps the owner that a redirect named.
            if let Some(&owner) = owner
                && self.slots.set(Slot(slot), Some(owner))
            {
                moved.push(Slot(slot));
            }
        }
        *self.primaries.borrow_mut() = primaries;
        *self.itinerary.borrow_mut() = Itinerary::new(&topology);
        self.slots_have_moved(&moved);
        let is_known = !topology.is_empty();
        *self.topology.borrow_mut() = topology;
        for lane in self.lanes() {
            reroute(self, &lane);
        }
        self.retire_unneeded_lanes();
        self.hub.look_at_all(self);
        if is_known {
            self.found_upstream();
        }
    }

    /// Where to connect for an announced address.
    pub fn reachable(&self, announced: Addr) -> Addr {
        self.address_map.apply(announced)
    }

    /// Whether clients may administer the nodes.
    pub fn administers(&self) -> bool {
        self.config.commands.admin == AdminCommands::Fanout
    }

    /// The nodes that a command for the whole keyspace goes to.
    pub fn primaries(&self) -> Vec<NodeId> {
        self.primaries.borrow().clone()
    }

    /// Whether this is one of them.
    pub fn is_primary(&self, node: NodeId) -> bool {
        self.primaries.borrow().contains(&node)
    }

    /// The nodes that a command for all of them reaches.
    pub fn nodes_of(&self, reach: Recipients) -> Vec<NodeId> {
        let mut nodes = self.primaries();
        if reach == Recipients::Nodes {
            let topology = self.topology.borrow();
            let replicas = topology.shards.iter().flat_map(|shard| &shard.replicas);
            nodes.extend(replicas.map(|node| self.node_at(node.addr.clone())));
        }
        nodes
    }

    /// The node for a command without keys: always the same for a client, so that its order holds.
    pub fn any_node(&self, client: &Client) -> Option<NodeId> {
        let primaries = self.primaries.borrow();
        let place = client.id.checked_rem(primaries.len() as u64)?;
        primaries.get(place as usize).copied()
    }

    /// What a plan depends on.
    pub fn with_knowledge<T>(&self, f: impl FnOnce(&Knowledge) -> T) -> T {
        let topology = self.topology.borrow();
        f(&Knowledge {
            learned: (self.config.commands.unknown == UnknownCommands::Learn)
                .then_some(&*topology.learned),
            // While nothing is known, nothing is refused for its slots.
            is_one_node: topology.kind == UpstreamKind::Standalone || topology.is_empty(),
            as_cluster: false,
            policies: &self.shared.policies,
            commands: &self.config.commands,
            now: unix_milliseconds,
        })
    }

    /// What a plan for a request of `client` depends on.
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
        &self.config.listeners[usize::from(client.listener)]
    }

    /// The configured limits of a client.
    pub fn limits(&self, client: &Client) -> &ClientLimits {
        &self.listener_of(client).limits
    }

    /// What a request of an authenticated client may announce.
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

    /// Gives the argument positions back for the next request.
    pub fn give_spans(&self, mut spans: Vec<Span>) {
        spans.clear();
        spans.shrink_to(SPANS_KEPT);
        self.spans.set(spans);
    }

    /// Gives the buffer for rewritten requests back; a big one gives its memory back.
    pub fn give_rewritten(&self, mut rewritten: Vec<u8>) {
        rewritten.clear();
        rewritten.shrink_to(REWRITTEN_KEPT);
        self.rewritten.set(rewritten);
    }

    /// Takes an accepted connection as a client.
    pub fn welcome(self: &Rc<Self>, transport: Transport, listener: u8) {
        let id = self.shared.next_client_id();
        let mut clients = self.clients.borrow_mut();
        let place = clients.vacant_entry();
        let client = Rc::new(Client::new(
            id,
            place.key(),
            listener,
            transport,
            self.clock.now(),
        ));
        client.authenticated.set(self.config.is_open());
        place.insert(client.clone());
        drop(clients);
        self.stats.accepted.inc();
        self.stats.clients.inc();
        tokio::task::spawn_local(ClientTask::new(self.clone(), client));
    }

    /// A client's task has ended.
    pub fn forget(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().try_remove(client.key);
        self.stats.clients.dec();
        self.shared.client_left(self.id);
    }

    /// Every client, for the sweep and for CLIENT LIST.
    pub fn all_clients(&self) -> Vec<Rc<Client>> {
        self.clients
            .borrow()
            .iter()
            .map(|(_, client)| client.clone())
            .collect()
    }
}

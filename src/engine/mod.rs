//! The engine carries decisions out: workers with their clients and lanes. Clients and lanes hold each other, so the modules
//! of this room import each other in a circle; nothing outside of it does.
//!
//! # The state machines
//!
//! | state | in | changed by | invariant |
//! |---|---|---|---|
//! | phase and pause of a client | [`client`] | the client's own task, and code that resumes or closes it | a paused client is not read |
//! | order of a client's replies | [`client::early_replies`] | every delivery | each request has one place, filled once |
//! | long request of a client | [`client::long_request`] | the client's task, a slice in a turn | its memory is counted before it is allocated |
//! | link of a lane | [`upstream::lane`] | the lane's task ([`upstream::connect`]) | a retired lane is never used again |
//! | queue and ring of a lane | [`upstream::lane`] | a send at one end, a reply at the other | one entry per reply to come; bytes stay until their reply is scanned |
//! | expected reply of a block | [`upstream::block`] | each reply of its lane | the client gets one reply, and only EXEC ends the block |
//! | nodes and lanes of a worker | [`upstream::node_table`] | [`upstream::lane_lifecycle`] | the number of an address never changes |
//! | slot map | [`worker::cluster_map`] | redirects and new topologies | each change of an owner has a number |
//! | order while slots move | [`upstream::retry::order`], [`upstream::retry::queue`] | lanes and retries | no command overtakes an older one of its client and slot |
//! | places of dedicated lanes | [`upstream::lane_pool`] | [`upstream::lane_lifecycle`], [`upstream::half_closed`] | a place is free once the node has closed its side |
//! | topics of subscriptions | [`pubsub::hub`] | feeds, and clients that come and go | one subscription per worker and name |
//!
//! A predicate changes nothing; a function that changes a state has a verb in its name. `RefCell` borrows end before
//! anything is sent, delivered or closed, since that may come back to the same cell.

pub mod announcing;
pub mod blocking;
pub mod client;
pub mod cross_slot;
pub mod fan_out;
pub mod first_words;
pub mod handshake;
pub mod library_requests;
pub mod monitor;
pub mod operator;
pub mod pause;
pub mod pubsub;
pub mod refresh_requests;
pub mod sabotage;
pub mod shared;
pub mod stats;
pub mod transaction;
pub mod transport;
pub mod upstream;
pub mod worker;

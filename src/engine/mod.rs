//! What carries decisions out: workers with their clients and lanes. Clients and lanes hold each other, so the modules of
//! this room import each other in a circle; nothing outside of it does.
//!
//! # The state machines
//!
//! | state | in | changed by | invariant |
//! |---|---|---|---|
//! | phase and pause of a client | [`client`] | the client's own task, and what resumes or closes it | a paused client is not read |
//! | order of a client's replies | [`client::early_replies`] | every delivery | each request has one place, filled once |
//! | work of a client | [`client::long_request`] | the client's task, a slice in a turn | what it holds is counted before it is allocated |
//! | link of a lane | [`upstream::lane`] | the lane's task ([`upstream::connect`]) | a retired lane is never used again |
//! | queue and ring of a lane | [`upstream::lane`] | a send at one end, a reply at the other | one entry per reply to come; bytes stay until their reply is scanned |
//! | order while slots move | [`upstream::retry::order`], [`upstream::retry::queue`] | lanes and retries | no command overtakes an older one of its client and slot |
//! | places of dedicated lanes | [`upstream::lane_pool`] | whoever takes or gives back a lane | a place is free once the node has let go |
//! | topics of subscriptions | [`pubsub::hub`] | feeds, and clients that come and go | one subscription per worker and name |
//!
//! A predicate changes nothing; what changes a state says so in its name. `RefCell` borrows end before anything is sent,
//! delivered or closed: those may come back to the same cell.

pub mod blocking;
pub mod client;
pub mod fan_out;
pub mod first_words;
pub mod handshake;
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

//! slotmux: a Redis Cluster behind one address.
//!
//! Four parts, which depend on each other in one direction: [`slotmux_core`] decides and has neither sockets nor clocks;
//! [`engine`] carries decisions out; [`control`] starts the engine and keeps its map of the cluster fresh; [`tools`] are
//! the command line, the demo and the audit.
//!
//! # The way of a request
//!
//! ```text
//!  client ── socket ──┐                                    ┌── socket ── client
//!                     ▼                                    │
//!                client::read                        client::write      one write per client and turn
//!                     │ bytes                              ▲
//!                     ▼                                    │
//!                resp::scan      where a request ends      │
//!                     │                                    │
//!                     ▼                              client::early_replies   in request order
//!              client::dispatch                            ▲
//!    ┌────────────────┼────────────────┐                   │
//!    ▼                ▼                ▼                   │
//! command           slot         route::plan         upstream::deliver ◄─ fan_out::gather
//! what it is,    of its keys     where it goes             ▲             several replies, one merged
//! its keys                             │                   │
//!                                      ▼                   │ other replies
//!                                policy::govern      upstream::read ─ errors ─► upstream::retry
//!                                what its TTL            ▲ resp::reply             │ MOVED, ASK,
//!                                policy makes of it      │ where a reply ends      │ lost connections
//!                     ┌────────────────┘                 │                         │
//!                     ▼                                  │                         │
//!              client::forward   order, barrier          │                         │
//!                     │                                  │                         │
//!                     ▼                                  │                         │
//!              upstream::lane ◄──────────────────────────┼─────────────────────────┘
//!                     │ one write per lane and turn      │
//!                     └─────── socket ── node ── socket ─┘
//! ```
//!
//! | step | module | what it does |
//! |---|---|---|
//! | read | [`engine::client::read`] | reads into a buffer of the worker, so that an idle client has none |
//! | scan | [`slotmux_core::resp`] | finds the end of each request and the spans of its arguments; copies nothing |
//! | dispatch | [`engine::client::dispatch`] | asks for a plan, checks it against the state of the client, carries it out |
//! | command | [`slotmux_core::command`] | the table of all commands: arity, flags, where the keys are |
//! | slot | [`slotmux_core::slot`] | the slot of a key |
//! | plan | [`slotmux_core::route`] | where the request goes; a pure function |
//! | govern | [`slotmux_core::policy`] | what the policy of its namespace makes of it; a pure function |
//! | forward | [`engine::client::forward`] | chooses the lane; pauses the client where its order is at stake |
//! | lane | [`engine::upstream::lane`] | one connection to a node: a ring of bytes, and a queue of the replies to come |
//! | reply | [`engine::upstream::read`] | finds the end of each reply; takes the oldest entry of the queue |
//! | retry | [`engine::upstream::retry`] | follows redirects, sends again what certainly did not run |
//! | deliver | [`engine::upstream::deliver`] | gives the reply to its client, or to the [`gather`](engine::fan_out::gather) of a split request |
//! | order | [`engine::client::early_replies`] | holds replies back until those of older requests have come |
//! | write | [`engine::client::write`] | the output of a client, written once in each [`turn`](engine::worker::turn) |
//!
//! Transactions ([`engine::transaction`]), blocking commands ([`engine::blocking`]), publish and subscribe
//! ([`engine::pubsub`]) and MONITOR ([`engine::monitor`]) leave this way where they must. ARCHITECTURE.md has the rest.

pub mod control;
pub mod engine;
pub mod tools;

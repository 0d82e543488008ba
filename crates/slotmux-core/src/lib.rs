//! The decisions of slotmux, as functions of bytes and values: no sockets, no threads, no clock.
//!
//! ```text
//! bytes of a client ──► resp::scan_request     where the request ends, and its arguments
//!                           │
//!                           ▼
//!                       command::resolve       which command it is
//!                           │
//!                           ▼
//!                       route::plan ─────────► policy::govern    as it is, rewritten, in a block, or refused
//!                           │
//!       ┌───────────────┬───┴───────────┬────────────────┐
//!       ▼               ▼               ▼                ▼
//!   to one slot     to many slots    to all nodes    answer: slotmux replies itself
//!       │               │               │
//!       ▼               └──► route::merge, route::joined: one reply of several
//!   bytes of a node ──► resp::ReplyScanner     where the reply ends
//!                           │ an error
//!                           ▼
//!                       cluster::redirect      MOVED, ASK, TRYAGAIN, …: what it means
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`resp`] | where requests and replies end; how replies are written |
//! | [`command`] | what a request is, and where its keys are |
//! | [`slot`] | which slot a key belongs to |
//! | [`route`] | where a request goes ([`route::plan`]), and how several replies become one |
//! | [`policy`] | what the rules of a namespace make of a request ([`policy::govern`](fn@policy::govern)) |
//! | [`answer`] | the replies that slotmux makes itself; some are about [`parameters`], [`functions`] or [`scripts`] |
//! | [`cluster`] | the topology, read from what nodes say; the meaning of redirects |
//! | [`config`] | one validated configuration from file, environment and flags |
//! | [`explain`] | what would be done with a request, and why |
//!
//! [`glob`] and [`c_string`] read patterns and words as Redis reads them; [`units`] reads the durations and sizes of command
//! lines and configurations.

pub mod answer;
pub mod c_string;
pub mod cluster;
pub mod command;
pub mod config;
pub mod explain;
pub mod functions;
pub mod glob;
pub mod parameters;
pub mod policy;
pub mod resp;
pub mod route;
pub mod scripts;
pub mod slot;
pub mod units;

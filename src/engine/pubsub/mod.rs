//! Publish and subscribe: the names that clients listen to, and the connections that bring the messages.
//!
//! Each worker has one subscription per channel, however many of its clients listen ([`hub`]), over one connection per
//! node that carries nothing else ([`feed`]). A message comes as a push frame of RESP3 and is fanned out as it is; for a
//! client of RESP2 its first byte differs, and nothing else.

pub mod census;
pub mod counts;
pub mod feed;
mod feed_connection;
pub mod frame;
pub mod hub;
mod listeners;
mod names;
pub mod ordered_names;
pub mod publish;
pub mod subscriber;
pub mod subscribing;
pub mod subscriptions;
pub mod topic;
pub mod unsubscribing;

pub use slotmux_core::command::listening::{
    SubscriptionChange, SubscriptionKind, is_notification, may_match_notifications,
};

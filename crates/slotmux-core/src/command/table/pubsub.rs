//! Publish and subscribe.

use super::row::*;
use crate::command::listening::{SubscriptionChange, SubscriptionKind};

const fn on(kind: SubscriptionKind) -> Route {
    let subscribes = true;
    Route::Subscribe(SubscriptionChange { kind, subscribes })
}

const fn off(kind: SubscriptionKind) -> Route {
    let subscribes = false;
    Route::Subscribe(SubscriptionChange { kind, subscribes })
}

#[rustfmt::skip]
pub(super) static PUBSUB: &[Command] = &[
    cmd("psubscribe",   -2, NONE,            on(SubscriptionKind::Pattern),      "2.0.0", "pubsub noscript loading stale"),
    cmd("publish",       3, NONE,            Publish(SubscriptionKind::Channel), "2.0.0", "pubsub loading stale fast"),
    container("pubsub", -2, NONE,            AnyNode,                "2.8.0", "", PUBSUB_SUBCOMMANDS),
    cmd("punsubscribe", -1, NONE,            off(SubscriptionKind::Pattern),     "2.0.0", "pubsub noscript loading stale"),
    cmd("spublish",      3, KEY,             Publish(SubscriptionKind::Shard),   "7.0.0", "pubsub loading stale fast"),
    cmd("ssubscribe",   -2, range(1, -1, 1), on(SubscriptionKind::Shard),        "7.0.0", "pubsub noscript loading stale"),
    cmd("subscribe",    -2, NONE,            on(SubscriptionKind::Channel),      "2.0.0", "pubsub noscript loading stale"),
    cmd("sunsubscribe", -1, range(1, -1, 1), off(SubscriptionKind::Shard),       "7.0.0", "pubsub noscript loading stale"),
    cmd("unsubscribe",  -1, NONE,            off(SubscriptionKind::Channel),     "2.0.0", "pubsub noscript loading stale"),
];

#[rustfmt::skip]
static PUBSUB_SUBCOMMANDS: &[Command] = &[
    cmd("pubsub|channels",      -2, NONE, AllPrimaries(Names(SubscriptionKind::Channel)),       "2.8.0", "pubsub loading stale"),
    cmd("pubsub|help",           2, NONE, AnyNode,                                   "6.2.0", "loading stale"),
    cmd("pubsub|numpat",         2, NONE, AllPrimaries(Patterns),                   "2.8.0", "pubsub loading stale"),
    cmd("pubsub|numsub",        -2, NONE, AllPrimaries(Subscribers(SubscriptionKind::Channel)), "2.8.0", "pubsub loading stale"),
    cmd("pubsub|shardchannels", -2, NONE, AllPrimaries(Names(SubscriptionKind::Shard)),         "7.0.0", "pubsub loading stale"),
    cmd("pubsub|shardnumsub",   -2, NONE, AllPrimaries(Subscribers(SubscriptionKind::Shard)),   "7.0.0", "pubsub loading stale"),
];

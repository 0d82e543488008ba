//! Commands on the cluster and on a connection's relation to it.

use super::row::*;

#[rustfmt::skip]
pub(super) static CLUSTER: &[Command] = &[
    cmd("asking",         1, NONE, Answer(A::Cluster),  "3.0.0",        "fast"),
    container("cluster", -2, NONE, Answer(A::Cluster),  "3.0.0",        "", CLUSTER_SUBCOMMANDS),
    cmd("clusterscan",   -2, KEY,  ClusterScan,         "valkey 9.1.0", "readonly"),
    cmd("readonly",       1, NONE, Answer(A::Cluster),  "3.0.0",        "loading stale fast"),
    cmd("readwrite",      1, NONE, Answer(A::Cluster),  "3.0.0",        "loading stale fast"),
];

#[rustfmt::skip]
static CLUSTER_SUBCOMMANDS: &[Command] = &[
    cmd("cluster|addslots",              -3, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|addslotsrange",         -4, NONE, Answer(A::Cluster), "7.0.0", "admin stale no_async_loading"),
    cmd("cluster|bumpepoch",             2, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|cancelslotmigrations",  2, NONE, Answer(A::Cluster), "valkey 9.0.0", "admin stale no_async_loading"),
    cmd("cluster|count-failure-reports",  3, NONE, Answer(A::Cluster), "3.0.0",               "admin stale"),
    cmd("cluster|countkeysinslot",        3, NONE, Answer(A::Cluster), "3.0.0",               "stale"),
    cmd("cluster|delslots",              -3, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|delslotsrange",         -4, NONE, Answer(A::Cluster), "7.0.0", "admin stale no_async_loading"),
    cmd("cluster|failover",              -2, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|flushslot",             -3, NONE, Answer(A::Cluster), "valkey 9.0.0", "write admin no_async_loading"),
    cmd("cluster|flushslots",            2, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|forget",                3, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|getkeysinslot",          4, NONE, Answer(A::Cluster), "3.0.0",               "stale"),
    cmd("cluster|getslotmigrations",     2, NONE, Answer(A::Cluster), "valkey 9.0.0", "admin stale no_async_loading"),
    cmd("cluster|help",                   2, NONE, Answer(A::Cluster), "5.0.0",               "loading stale"),
    cmd("cluster|info",                   2, NONE, Answer(A::Cluster), "3.0.0",               "loading stale"),
    cmd("cluster|keyslot",                3, NONE, Answer(A::Cluster), "3.0.0",               "stale"),
    cmd("cluster|links",                  2, NONE, Answer(A::Cluster), "7.0.0",               "stale"),
    cmd("cluster|meet",                  -4, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|migrateslots",          -4, NONE, Answer(A::Cluster), "valkey 9.0.0", "admin stale no_async_loading"),
    cmd("cluster|migration",             -4, NONE, Answer(A::Cluster), "8.4.0", "admin stale no_async_loading"),
    cmd("cluster|myid",                   2, NONE, Answer(A::Cluster), "3.0.0",               "loading stale"),
    cmd("cluster|myshardid",              2, NONE, Answer(A::Cluster), "7.2.0",               "loading stale"),
    cmd("cluster|nodes",                  2, NONE, Answer(A::Cluster), "3.0.0",               "loading stale"),
    cmd("cluster|replicas",               3, NONE, Answer(A::Cluster), "5.0.0",               "admin stale"),
    cmd("cluster|replicate",             -3, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|reset",                 -2, NONE, Answer(A::Cluster), "3.0.0",               "admin noscript stale"),
    cmd("cluster|saveconfig",            2, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|set-config-epoch",      3, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|setslot",               -4, NONE, Answer(A::Cluster), "3.0.0", "admin stale no_async_loading"),
    cmd("cluster|shards",                 2, NONE, Answer(A::Cluster), "7.0.0",               "loading stale"),
    cmd("cluster|slaves",                 3, NONE, Answer(A::Cluster), "3.0.0",               "admin stale"),
    cmd("cluster|slot-stats",            -4, NONE, Answer(A::Cluster), "8.2.0, valkey 8.0.0", "loading stale"),
    cmd("cluster|slots",                  2, NONE, Answer(A::Cluster), "3.0.0",               "loading stale"),
    cmd("cluster|syncslots",             -3, NONE, Answer(A::Cluster), "8.4.0", "admin stale no_async_loading"),
];

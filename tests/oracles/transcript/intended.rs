//! All intended differences between slotmux and one plain Redis, with their reasons. `alike.rs` of `slotmux-testing`
//! has the replies for which Redis itself promises no order or no exact form.

/// Commands that one plain Redis runs and a cluster does not: the reply is the one here and Redis is not asked.
pub const OF_A_CLUSTER: &[(&str, &str)] = &[
    // A script runs where its keys are.
    ("EVAL \"return 1\" 2 a b", CROSS_SLOT),
    ("FCALL f 2 a b", CROSS_SLOT),
    // As in a cluster, with any upstream.
    (
        "COPY {c}a {c}b DB 1",
        "ERR slotmux: 'copy' is refused: slotmux shows one database only, and DB names another one",
    ),
    // The node's own error.
    (
        "SORT k BY w_*",
        "ERR BY option of SORT denied in Cluster mode.",
    ),
    (
        "SORT k GET w_*",
        "ERR GET option of SORT denied in Cluster mode.",
    ),
];

const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// Commands that are not implemented yet: an implemented one moves from here to the tables of `lines`.
pub const NOT_YET: &[(&str, &str)] = &[];

/// Commands that slotmux always refuses: they are about one server, or would change the state of a shared connection.
pub const REFUSED: &[(&str, &str)] = &[
    ("ACL DELUSER x", ONE_NODE),
    ("ACL DRYRUN default get x", ONE_NODE),
    ("ACL GETUSER default", ONE_NODE),
    ("ACL LIST", ONE_NODE),
    ("ACL LOAD", ONE_NODE),
    ("ACL LOG", ONE_NODE),
    ("ACL SAVE", ONE_NODE),
    ("ACL SETUSER x", ONE_NODE),
    ("ACL USERS", ONE_NODE),
    ("debug segfault", ONE_NODE),
    ("FAILOVER", ONE_NODE),
    ("MODULE LOAD x", ONE_NODE),
    ("MODULE LOADEX x", ONE_NODE),
    ("MODULE UNLOAD x", ONE_NODE),
    ("PFSELFTEST", ONE_NODE),
    ("REPLICAOF NO ONE", ONE_NODE),
    ("Shutdown", ONE_NODE),
    ("SLAVEOF NO ONE", ONE_NODE),
    ("MOVE k 0", ONE_DATABASE),
    ("MOVE k 1", ONE_DATABASE),
    ("SWAPDB 0 1", ONE_DATABASE),
    ("CONFIG RESETSTAT", ADMIN),
    ("CONFIG REWRITE", ADMIN),
    ("CONFIG SET maxmemory 0", ADMIN),
    ("DEBUG SLEEP 0", ADMIN),
    ("PSYNC ? -1", BETWEEN_NODES),
    ("REPLCONF", BETWEEN_NODES),
    ("RESTORE-ASKING k 0 x", BETWEEN_NODES),
    ("SYNC", BETWEEN_NODES),
    ("SCRIPT DEBUG NO", CONNECTION_STATE),
];

const ONE_NODE: &str =
    "ERR slotmux: '%' is refused: it concerns a single server; send it to that server directly";
const ONE_DATABASE: &str = "ERR slotmux: '%' is refused: slotmux shows one database only";
const ADMIN: &str = "ERR slotmux: '%' is refused: \
    it administers the nodes, and commands.admin = \"reject\"; \"fanout\" sends it";
const BETWEEN_NODES: &str = "ERR slotmux: '%' is refused: only servers send it to each other";
const CONNECTION_STATE: &str = "ERR slotmux: '%' is refused: \
    it changes the state of a connection that is shared with other clients";

/// Commands that 7.2 knows and 7.0 does not: newer libraries send them at once, so slotmux accepts them.
pub const NEWER: &[(&str, &str)] = &[
    ("CLIENT SETINFO LIB-NAME transcript", "OK"),
    ("CLIENT SETINFO FOO x", "ERR Unrecognized option 'FOO'"),
    ("CLIENT NO-TOUCH ON", "OK"),
    ("CLIENT NO-TOUCH OFF", "OK"),
];

/// Commands, by their full names, that no line can make succeed, and why.
pub const NEVER_SUCCEEDS: &[(&str, &str)] = &[
    ("move", "there is one database"),
    (
        "bgsave",
        "a second one while the first still saves is refused; tests/routing/keyspace has it",
    ),
    (
        "bgrewriteaof",
        "a second one while the first still runs is refused; tests/routing/keyspace has it",
    ),
    (
        "script|kill",
        "nothing runs; tests/routing/keyspace/functions.rs has it",
    ),
    (
        "function|kill",
        "nothing runs; tests/routing/keyspace/functions.rs has it",
    ),
    (
        "latency|graph",
        "no latency is measured; tests/routing/keyspace/reports.rs has it",
    ),
    (
        "function|restore",
        "its payload is binary; tests/routing/keyspace/functions.rs has it",
    ),
    (
        "object|freq",
        "frequencies are counted under an LFU policy only",
    ),
];

//! Problems of files and variables, and the lines about them.

use slotmux_core::config::{Sources, load};

use crate::{CLUSTER, lines, loaded, sources};

#[track_caller]
pub(crate) fn refused(sources: &Sources, expected: &[&str]) {
    let said = load(sources)
        .map(|_| ())
        .map_err(|problems| lines(&problems))
        .unwrap_err();
    assert_eq!(said, expected);
}

/// `file` comes before a good [[cluster]].
#[track_caller]
pub(crate) fn bad(file: &str, expected: &[&str]) {
    refused(&sources(&format!("{file}\n{CLUSTER}"), &[]), expected);
}

/// `cluster` continues a good [[cluster]], from line 3.
#[track_caller]
fn bad_cluster(cluster: &str, expected: &[&str]) {
    refused(&sources(&format!("{CLUSTER}{cluster}"), &[]), expected);
}

/// Pairs of the input and the report about it, separated by an arrow.
pub(crate) fn pairs(table: &str) -> Vec<(String, &str)> {
    let mut pairs = Vec::new();
    let mut given = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("-> ") {
            Some(said) => pairs.push((std::mem::take(&mut given).join("\n"), said)),
            None => given.push(line),
        }
    }
    assert!(given.is_empty() && !pairs.is_empty());
    pairs
}

#[test]
fn all_problems_at_once_in_the_order_of_the_file() {
    bad(
        "[server]\nworker = 4\nbacklog = \"many\"\ndrain_timeout = 30\n[log]\n  level = \"inof\"\n[colour]\nx = 1\n",
        &[
            "f.toml:2:1: server.worker: unknown key; did you mean `workers`?",
            "f.toml:3:11: server.backlog: expected a whole number, got the string \"many\"",
            "f.toml:4:17: server.drain_timeout: expected a duration such as \"250ms\", \"5s\" or \"12h\", \
             got an integer",
            "f.toml:6:11: log.level: expected one of off, error, warn, info, debug, trace, or target=level \
             directives, got \"inof\"",
            "f.toml:7:2: colour: unknown section; known here: server, listener, user, cluster, \
             namespace, defaults, commands, admin, log",
        ],
    );
}

const UNKNOWN: &str = r#"
servr.workers = 1
-> f.toml:1:1: servr: unknown section; did you mean `server`?
[log]
backlog = 1
-> f.toml:2:1: log.backlog: unknown key here; it belongs to section `server`
[log]
x = 1
-> f.toml:2:1: log.x: unknown key; known here: level, format
[[listener]]
[listener.limit]
-> f.toml:2:11: listener.limit: unknown section; did you mean `limits`?
[[listener]]
[[listener]]
name = "b"
bnd = "127.0.0.1:1"
bind = "127.0.0.1:1"
-> f.toml:4:1: listener.bnd: unknown key; did you mean `bind`?
"#;

#[test]
fn unknown_keys() {
    for (file, said) in pairs(UNKNOWN) {
        bad(&file, &[said]);
    }
}

/// On the first line of a file, at the stated column.
const VALUES: &str = r#"
server.workers = 0
-> 18: server.workers: 0 is out of range: 1 to 1024
server.workers = true
-> 18: server.workers: expected a whole number or "auto", got a boolean
server.workers = 1.5
-> 18: server.workers: expected a whole number or "auto", got a fraction
server.workers = "4"
-> 18: server.workers: expected a whole number or "auto", got the string "4"
server.backlog = -1
-> 18: server.backlog: -1 is out of range: 1 to 65535
server.backlog = 99999999999999999999
-> 18: server.backlog: expected a whole number, got a number beyond 64 bits
server.memory_limit = "1KiB"
-> 23: server.memory_limit: 1KiB is out of range: 16MiB to 1024GiB
server.memory_limit = "64MB"
-> 23: server.memory_limit: expected a size such as "64KiB" or "8MiB", got "64MB"
server.drain_timeout = "2h"
-> 24: server.drain_timeout: 2h is out of range: 0s to 1h
server.max_clients = []
-> 22: server.max_clients: expected a whole number or "auto", got a list
server = 1
-> 10: server: expected a section, got an integer
listener = 1
-> 12: listener: expected sections, got an integer
log.format = "jsn"
-> 14: log.format: expected one of "text", "json", got "jsn"; did you mean "json"?
log.level = "${NO_SUCH}"
-> 13: log.level: the environment variable NO_SUCH is not set; "${NO_SUCH:-}" allows for that
admin.bind = "9121"
-> 14: admin.bind: expected "IP:port" or "none", got "9121"
commands.one_node = ["graph.list", "ft. search"]
-> 36: commands.one_node: expected a command's name such as "graph.config" or "graph.*", got "ft. search"
commands.one_node = ["KEYS"]
-> 22: commands.one_node: "KEYS" is a command that slotmux knows: the setting is for commands of modules
admin.hosts = ["slotmux:9121"]
-> 16: admin.hosts: expected a host name without scheme and port such as "slotmux", got "slotmux:9121"
admin.hosts = "a,"
-> 15: admin.hosts: expected a host name without scheme and port such as "slotmux", got ""
admin.max_connections = 0
-> 25: admin.max_connections: 0 is out of range: 1 to 4096
admin.bind = "localhost:6379"
-> 14: admin.bind: 127.0.0.1:6379 collides with a listener, 127.0.0.1:6379
listener = [{ bind = "*:6379" }]
-> 22: listener.bind: expected "IP:port" or "unix:path", got "*:6379"; every address is "0.0.0.0:6379"
listener = [{ bind = [] }]
-> 22: listener.bind: an empty list: no client could connect
listener = [{ name = "a b" }]
-> 22: listener.name: "a b" is not a name: a name has letters and no spaces
listener = [{ personality = "sentinel" }]
-> 29: listener.personality: expected one of "standalone", "cluster", got "sentinel"
listener = [{ announce = "here" }]
-> 26: listener.announce: expected "host:port" or "none", got "here"
listener = [{ personality = "cluster", bind = "unix:s" }]
-> 29: listener.personality: clients of a Unix socket can't be told where the cluster is; set listener.announce, or give the socket a listener of its own
commands.monitor_rate = 0
-> 25: commands.monitor_rate: 0 is out of range: 1 to 10000000
listener = [{ default_user = "x" }]
user = [{ name = "u", passwords = "p" }]
-> 30: listener.default_user: there is no [[user]] named "x"
listener = [{ limits = { output_soft = "1MiB" } }]
-> 40: listener.limits.output_soft: expected a size and a duration such as "8MiB/10s", or "none", got "1MiB"
listener = [{ limits = { output_soft = "65MiB/1s" } }]
-> 40: listener.limits.output_soft: 65MiB is above output_hard, 64MiB
listener = [{ limits = { max_request = "3GiB" } }]
-> 40: listener.limits.max_request: 3GiB is out of range: 1KiB to 2GiB
user = [{ name = "u" }]
-> 9: user.passwords: missing; a [[user]] has a name and passwords
user = [{ passwords = "p" }]
-> 9: user.name: missing; a [[user]] has a name and passwords
user = [{ name = "u", passwords = [] }]
-> 35: user.passwords: an empty list: no client could log in as this user
user = [{ name = "u", passwords = ["p", ""] }]
-> 41: user.passwords: an empty password would admit every client
user = [{ name = "u", passwords = 1234 }]
-> 35: user.passwords: expected a password in quotes, got an integer
user = [{ name = "u", passwords = "sha256:12" }]
-> 35: user.passwords: expected 64 hexadecimal digits after "sha256:"
user = [{ name = "u", passwords = "p" }, { name = "u", passwords = "q" }]
-> 51: user.name: there is another user named "u"
"#;

#[test]
fn invalid_values_are_reported() {
    for (line, said) in pairs(VALUES) {
        bad(&line, &[&format!("f.toml:1:{said}")]);
    }
    bad(
        "[[user]]",
        &[
            "f.toml:1:1: user.name: missing; a [[user]] has a name and passwords",
            "f.toml:1:1: user.passwords: missing; a [[user]] has a name and passwords",
        ],
    );
    let said = load(&sources(
        &format!("[[user]]\nname = \"u\"\npasswords = \"file:no/such\"\n{CLUSTER}"),
        &[],
    ));
    let said = lines(&said.unwrap_err()).join("\n");
    assert!(
        said.starts_with(
            "f.toml:3:13: user.passwords: cannot read the password from \"no/such\": "
        ),
        "{said}"
    );
}

/// On the third line of a file, in its [[cluster]].
const UPSTREAMS: &str = r#"
kind = "sentinel"
-> 3:8: cluster.kind: expected one of "auto", "cluster", "standalone", got "sentinel"
username = "u"
-> 3:12: cluster.username: a user without a password; set cluster.password too
address_map = { "a" = "b:1" }
-> 3:17: cluster.address_map: expected "host:port", got "a"
address_map = { "a:1" = "b" }
-> 3:25: cluster.address_map: expected "host:port", got "b"
connections.backoff = "2s..1s"
-> 3:23: cluster.connections.backoff: the first, 2s, is above the second, 1s
connections.backoff = "2s"
-> 3:23: cluster.connections.backoff: expected two durations such as "100ms..10s", got "2s"
connections.bulk_threshold = "32MiB"
-> 3:30: cluster.connections.bulk_threshold: 32MiB is above max_in_flight_bytes, 16MiB
topology.min_interval = "1m"
-> 3:25: cluster.topology.min_interval: 1m is above refresh, 30s
timeouts.command = "0s"
-> 3:20: cluster.timeouts.command: 0s is out of range: 1ms to 1h
[[cluster]]
-> 3:1: cluster: there is one cluster per slotmux; start another slotmux for another cluster
"#;

/// On the second line of a file without other content.
const SEEDS: &str = r#"
["rediss://h:1"]
-> 2:10: cluster.seeds: TLS is not built yet: rediss:// is refused rather than sent in the clear
["h:1", "redis://h:2/3"]
-> 2:17: cluster.seeds: database 3 is refused: a cluster has database 0 only
[]
-> 2:9: cluster.seeds: an empty list: there is nothing to connect to
"localhost"
-> 2:9: cluster.seeds: localhost:6379 is slotmux itself, which listens on 127.0.0.1:6379
"127.0.0.1:6379"
-> 2:9: cluster.seeds: 127.0.0.1:6379 is slotmux itself, which listens on 127.0.0.1:6379
"#;

#[test]
fn invalid_upstreams_are_reported() {
    for (line, said) in pairs(UPSTREAMS) {
        bad_cluster(&line, &[&format!("f.toml:{said}")]);
    }
    for (seeds, said) in pairs(SEEDS) {
        refused(
            &sources(&format!("[[cluster]]\nseeds = {seeds}"), &[]),
            &[&format!("f.toml:{said}")],
        );
    }
    refused(
        &sources("\n[[cluster]]\nname = \"c\"\n", &[]),
        &[
            "f.toml:2:1: cluster.seeds: no upstream; give --upstream redis://HOST:PORT, REDIS_URL, or seeds in a \
            [[cluster]] section",
        ],
    );
    refused(
        &sources("[cluster]\nseeds = [\"h\"]", &[("REDIS_URL", "h")]),
        &["f.toml:1:1: cluster: this section is written with two brackets: [[cluster]]"],
    );
}

#[test]
fn slotmux_as_its_own_upstream_is_found_behind_every_address() {
    for (bind, seed, is_own) in [
        ("0.0.0.0:6379", "127.0.0.1:6379", true),
        ("0.0.0.0:6379", "localhost:6379", true),
        ("[::]:6379", "[::1]:6379", true),
        ("10.0.0.5:6379", "10.0.0.5:6379", true),
        ("127.0.0.1:6379", "0.0.0.0:6379", true),
        ("0.0.0.0:6379", "127.0.0.1:6380", false),
        ("10.0.0.5:6379", "10.0.0.6:6379", false),
        ("10.0.0.5:6379", "127.0.0.1:6379", false),
        ("unix:s", "127.0.0.1:6379", false),
    ] {
        let result = load(&sources(
            "",
            &[("SLOTMUX_LISTEN", bind), ("REDIS_URL", seed)],
        ));
        assert_eq!(result.is_err(), is_own, "{seed} by {bind}");
    }
}

#[test]
fn names_and_addresses_of_listeners_are_unique() {
    bad(
        "[[listener]]\n[[listener]]\n",
        &[
            "f.toml:2:1: listener.name: there is another listener named \"main\"",
            "f.toml:2:1: listener.bind: 127.0.0.1:6379 is listened on already",
        ],
    );
    bad(
        "[[listener]]\nbind = \"0.0.0.0:1\"\n[[listener]]\nname = \"b\"\nbind = [\"[::]:1\", \"127.0.0.1:1\"]\n",
        &["f.toml:5:8: listener.bind: 127.0.0.1:1 is listened on already"],
    );
    let free = "[[listener]]\nbind = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n\
                [[listener]]\nname = \"b\"\nbind = \"unix:s\"\n";
    assert_eq!(loaded(&format!("{free}{CLUSTER}"), &[]).listeners.len(), 2);
}

#[test]
fn every_element_of_a_list_is_checked() {
    bad(
        "[[listener]]\nbind = [\"6379\", \"127.0.0.1:1\", \"x:1\"]\n[[user]]\nname = \"a\"\npasswords = [\"\", \"b\", \"sha256:1\"]\n",
        &[
            "f.toml:2:9: listener.bind: expected \"IP:port\" or \"unix:path\", got \"6379\"",
            "f.toml:2:32: listener.bind: expected \"IP:port\" or \"unix:path\", got \"x:1\"",
            "f.toml:5:14: user.passwords: an empty password would admit every client",
            "f.toml:5:23: user.passwords: expected 64 hexadecimal digits after \"sha256:\"",
        ],
    );
    let seeds = "[[cluster]]\nseeds = [\"rediss://h\", \"g\", \"redis://h/3\"]\npassword = [1, \"file:no/such\"]\n";
    let said = lines(&load(&sources(seeds, &[])).unwrap_err());
    assert_eq!(said.len(), 4, "{said:?}");
    for (said, expected) in said.iter().zip([
        "f.toml:2:10: cluster.seeds: TLS is not built yet",
        "f.toml:2:29: cluster.seeds: database 3 is refused",
        "f.toml:3:13: cluster.password: expected a password in quotes",
        "f.toml:3:16: cluster.password: cannot read the password",
    ]) {
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn syntax_errors_are_among_the_others_and_echo_nothing() {
    let said = load(&sources(
        "[server]\nworkers = \nbacklog = 0\n[log\nlevel = 1\n[admin]\nbind = 1\n",
        &[],
    ))
    .unwrap_err();
    let said = lines(&said);
    assert_eq!(
        said[0],
        "f.toml:2:11: string values must be quoted, expected literal string"
    );
    assert_eq!(
        said[1],
        "f.toml:3:11: server.backlog: 0 is out of range: 1 to 65535"
    );
    assert!(
        said[2].starts_with("f.toml:4:5: unclosed table"),
        "{said:?}"
    );
    assert_eq!(
        said[3],
        "f.toml:7:8: admin.bind: expected an address in quotes, got an integer"
    );
    assert_eq!(said.len(), 4, "{said:?}");
}

const VARIABLES: &str = r#"
SLOTMUX_WORKERS=many
-> server.workers: expected a whole number or "auto", got "many"
SLOTMUX_MAX_CLIENTS=0
-> server.max_clients: 0 is out of range: 1 to 10000000
REDIS_CONNECTION_TIMEOUT=5s
-> expected a number of seconds, got "5s"
REDIS_SOCKET_TIMEOUT=-1
-> expected a number of seconds, got "-1"
REDIS_SOCKET_TIMEOUT=NaN
-> expected a number of seconds, got "NaN"
REDIS_SOCKET_TIMEOUT=0
-> cluster.timeouts.response: 0s is out of range: 1ms to 1h
REDIS_HEALTH_CHECK_INTERVAL=-1
-> expected a number of seconds, got "-1"
REDIS_HEALTH_CHECK_INTERVAL=86401
-> cluster.connections.health_interval: 86401s is out of range: 1ms to 1d
REDIS_RETRY_ON_TIMEOUT=2
-> expected true or false, got "2"
REDIS_MAX_CONNECTIONS=fifty
-> expected a whole number, got "fifty"
REDIS_URL=rediss://h
-> cluster.seeds: TLS is not built yet: rediss:// is refused rather than sent in the clear
REDIS_USERNAME=u
-> cluster.username: a user without a password; set cluster.password too
SLOTMUX_LISTEN=6379
-> listener.bind: expected "IP:port" or "unix:path", got "6379"
SLOTMUX_PASSWORD=sha256:x
-> user.passwords: expected 64 hexadecimal digits after "sha256:"
SLOTMUX__SERVER__WORKER=1
-> server.worker: unknown key; did you mean `workers`?
SLOTMUX__SERVER=1
-> server: expected a section, got a string
SLOTMUX__USER__NAME=u
-> users are set in the file, the default user's password by SLOTMUX_PASSWORD
"#;

#[test]
fn invalid_variables_are_named() {
    for (assignment, said) in pairs(VARIABLES) {
        let (variable, text) = assignment.split_once('=').unwrap();
        refused(
            &sources(CLUSTER, &[(variable, text)]),
            &[&format!("{variable}: {said}")],
        );
    }
    refused(
        &sources(
            CLUSTER,
            &[("REDIS_MAX_CONNECTIONS", "7"), ("SLOTMUX_WORKERS", "4")],
        ),
        &[
            "REDIS_MAX_CONNECTIONS: 7 is too few: 4 workers with 1 lanes for each of two protocols need 8 connections \
           to a node; lower server.workers",
        ],
    );
    let two = "[[listener]]\n[[listener]]\nname = \"b\"\nbind = \"127.0.0.1:1\"\n";
    refused(
        &sources(
            &format!("{two}{CLUSTER}"),
            &[("SLOTMUX_LISTEN", "127.0.0.1:2")],
        ),
        &["SLOTMUX_LISTEN: there are 2 [[listener]] sections; set this in the file"],
    );
}

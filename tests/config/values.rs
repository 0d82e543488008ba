//! Every key reaches its field.

use std::time::Duration;

use slotmux_core::config::{
    AdminCommands, Config, ExpectedKind, KeysCommand, ListenAddress, LogFormat, Personality,
    ScriptCalls, UnknownCommands, keys,
};

use crate::{CLUSTER, loaded};

#[test]
fn the_minimal_file_has_the_defaults() {
    let mut expected = Config::default();
    expected.cluster.seeds = loaded(CLUSTER, &[]).cluster.seeds;
    assert_eq!(loaded(CLUSTER, &[]), expected);
    assert_eq!(expected.cluster.seeds[0].to_string(), "127.0.0.1:7000");
}

/// Every key but those of namespaces, with a value that is not its default.
pub(crate) const EVERY_KEY: &str = r#"
[server]
workers = 3
max_clients = 500
backlog = 128
memory_limit = "1GiB"
drain_timeout = "2s"
[[listener]]
name = "inside"
bind = ["127.0.0.1:6380", "[::1]:6380, unix:s.sock"]
personality = "cluster"
announce = "slotmux.example.net:7000"
idle_timeout = "5m"
tcp_keepalive = "none"
default_user = "app"
[listener.limits]
max_request = "1MiB"
max_args = 1000
max_inline = "2KiB"
max_pipeline = 7
output_soft = "1MiB/3s"
output_hard = "2MiB"
[[user]]
name = "app"
passwords = ["a", "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"]
[[cluster]]
name = "c"
seeds = ["redis://u:p@h1:1,h2:2", "[::1]:3"]
kind = "standalone"
username = "w"
password = ["x", "y"]
address_map = { "10.0.0.5:6379" = "node5:16379", "[::5]:1" = "[::6]:2" }
[cluster.connections]
shared = 2
dedicated_max = 9
kept_max = 7
dedicated_idle = "1m"
bulk_threshold = "8KiB"
max_in_flight = 11
max_in_flight_bytes = "1MiB"
connect_timeout = "1s"
backoff = "1ms..2ms"
health_interval = "none"
[cluster.timeouts]
command = "3s"
response = "4s"
[cluster.retry]
on_timeout = false
reads = 0
unsent_writes = 1
[cluster.topology]
refresh = "1m"
min_interval = "1s"
[commands]
unknown = "reject"
monitor = "off"
monitor_rate = 77
keys = "reject"
admin = "fanout"
scripts = "declared"
one_node = ["FT.*", "a.b,C|d"]
[admin]
bind = "none"
hosts = ["Metrics.Example.", "a,b"]
max_connections = 5
header_timeout = "1s"
idle_timeout = "2s"
write_timeout = "3s"
[log]
level = "debug"
format = "json"
"#;

#[test]
fn every_key_is_read() {
    let of_namespaces = |key: &String| {
        ["namespace.", "defaults."]
            .iter()
            .any(|s| key.starts_with(s))
    };
    for key in keys::all().into_iter().filter(|key| !of_namespaces(key)) {
        let name = key.rsplit('.').next().unwrap();
        assert!(
            EVERY_KEY.contains(&format!("{name} = ")),
            "this test lacks {key}"
        );
    }
    let config = loaded(EVERY_KEY, &[]);
    let (server, listener, user, cluster) = (
        &config.server,
        &config.listeners[0],
        &config.users[0],
        &config.cluster,
    );
    assert_eq!(
        (server.workers, server.max_clients, server.backlog),
        (3, Some(500), 128)
    );
    assert_eq!(
        (server.memory_limit, server.drain_timeout),
        (Some(1 << 30), Duration::from_secs(2))
    );
    assert_eq!(
        (listener.name.as_str(), listener.default_user.as_str()),
        ("inside", "app")
    );
    let tcp = |addr: &str| ListenAddress::Tcp(addr.parse().unwrap());
    assert_eq!(
        listener.bind,
        [
            tcp("127.0.0.1:6380"),
            tcp("[::1]:6380"),
            ListenAddress::Unix("s.sock".into())
        ]
    );
    assert_eq!(listener.personality, Personality::Cluster);
    let announced = listener.announce.as_ref().map(ToString::to_string);
    assert_eq!(announced.as_deref(), Some("slotmux.example.net:7000"));
    let commands = &config.commands;
    assert_eq!((commands.monitor, commands.monitor_rate), (false, 77));
    assert_eq!(commands.scripts, ScriptCalls::Declared);
    assert_eq!(commands.one_node, ["ft.*", "a.b", "c|d"]);
    assert_eq!(
        (listener.idle_timeout, listener.tcp_keepalive),
        (Some(Duration::from_secs(300)), None)
    );
    let limits = &listener.limits;
    assert_eq!(
        (limits.max_request, limits.max_args, limits.max_inline),
        (1 << 20, 1000, 2048)
    );
    assert_eq!((limits.max_pipeline, limits.output_hard), (7, 2 << 20));
    assert_eq!(limits.output_soft, Some((1 << 20, Duration::from_secs(3))));
    assert_eq!((user.name.as_str(), user.passwords.len()), ("app", 2));
    // The second is the digest of "b".
    let lets_in = |password: &[u8]| user.passwords.iter().any(|secret| secret.matches(password));
    assert!(lets_in(b"a") && lets_in(b"b") && !lets_in(b"c"));
    let seeds: Vec<String> = cluster.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(seeds, ["h1:1", "h2:2", "[::1]:3"]);
    assert_eq!(
        (
            cluster.name.as_str(),
            cluster.kind,
            cluster.username.as_str()
        ),
        ("c", ExpectedKind::Standalone, "w")
    );
    let passwords: Vec<&str> = cluster
        .passwords
        .iter()
        .map(|password| password.reveal())
        .collect();
    assert_eq!(passwords, ["x", "y"]);
    let mut map: Vec<String> = cluster
        .address_map
        .iter()
        .map(|(from, to)| format!("{from}>{to}"))
        .collect();
    map.sort();
    assert_eq!(map, ["10.0.0.5:6379>node5:16379", "[::5]:1>[::6]:2"]);
    let c = &cluster.connections;
    assert_eq!(
        (c.shared, c.dedicated_max, c.kept_max, c.dedicated_idle),
        (2, 9, Some(7), Duration::from_secs(60))
    );
    assert_eq!(
        (c.bulk_threshold, c.max_in_flight, c.max_in_flight_bytes),
        (8192, 11, 1 << 20)
    );
    assert_eq!(c.connect_timeout, Duration::from_secs(1));
    assert_eq!(
        c.backoff,
        (Duration::from_millis(1), Duration::from_millis(2))
    );
    assert_eq!(c.health_interval, None);
    assert_eq!(
        (cluster.timeouts.command, cluster.timeouts.response),
        (Duration::from_secs(3), Duration::from_secs(4))
    );
    let retry = &cluster.retry;
    assert_eq!(
        (retry.on_timeout, retry.reads, retry.unsent_writes),
        (false, 0, 1)
    );
    let topology = &cluster.topology;
    assert_eq!(
        (topology.refresh, topology.min_interval),
        (Duration::from_secs(60), Duration::from_secs(1))
    );
    assert_eq!(
        (config.commands.keys, config.commands.admin),
        (KeysCommand::Reject, AdminCommands::Fanout)
    );
    assert_eq!(
        (config.commands.unknown, config.admin.bind),
        (UnknownCommands::Reject, None)
    );
    let admin = &config.admin;
    assert_eq!(admin.hosts, ["metrics.example", "a", "b"]);
    assert_eq!(
        [
            admin.header_timeout,
            admin.idle_timeout,
            admin.write_timeout
        ],
        [1, 2, 3].map(Duration::from_secs)
    );
    assert_eq!(admin.max_connections, 5);
    assert_eq!(
        (config.log.level.as_str(), config.log.format),
        ("debug", LogFormat::Json)
    );
}

#[test]
fn zero_and_none_switch_off() {
    for text in ["0", "\"0\"", "\"0s\"", "\"none\""] {
        let config = loaded(
            &format!("[[listener]]\nidle_timeout = {text}\ntcp_keepalive = {text}\n{CLUSTER}"),
            &[],
        );
        let listener = &config.listeners[0];
        assert_eq!(
            (listener.idle_timeout, listener.tcp_keepalive),
            (None, None),
            "{text}"
        );
    }
}

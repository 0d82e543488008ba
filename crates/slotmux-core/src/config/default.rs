//! The default value of every key.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{
    Admin, ClientLimits, Cluster, Commands, Config, Connections, CrossSlot, ExpectedKind,
    ListenAddress, Listener, Log, LogFormat, Multi, Personality, Retry, RetryWrites,
    ServerSettings, Timeouts, TopologyRefresh, UnmatchedKeys,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Default for Config {
    fn default() -> Config {
        Config {
            server: ServerSettings::default(),
            listeners: vec![Listener::default()],
            users: Vec::new(),
            cluster: Cluster::default(),
            namespaces: Vec::new(),
            unmatched: UnmatchedKeys::default(),
            multi: Multi::default(),
            cross_slot: CrossSlot::default(),
            retry_writes: RetryWrites::default(),
            commands: Commands::default(),
            admin: Admin::default(),
            log: Log::default(),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_clients: None,
            backlog: 4096,
            memory_limit: None,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            name: "main".into(),
            bind: vec![ListenAddress::Tcp(
                (IpAddr::V4(Ipv4Addr::LOCALHOST), 6379).into(),
            )],
            personality: Personality::default(),
            announce: None,
            idle_timeout: None,
            tcp_keepalive: Some(Duration::from_secs(60)),
            limits: ClientLimits::default(),
            default_user: "default".into(),
        }
    }
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            // Redis' proto-max-bulk-len.
            max_request: 512 * MIB,
            // Redis' own bound on a multibulk header.
            max_args: 1024 * KIB,
            // Redis' PROTO_INLINE_MAX_SIZE.
            max_inline: 64 * KIB,
            max_pipeline: 1024,
            output_soft: Some((8 * MIB, Duration::from_secs(10))),
            output_hard: 64 * MIB,
        }
    }
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            name: "default".into(),
            seeds: Vec::new(),
            kind: ExpectedKind::default(),
            username: String::new(),
            passwords: Vec::new(),
            address_map: HashMap::new(),
            connections: Connections::default(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            topology: TopologyRefresh::default(),
        }
    }
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            shared: 1,
            dedicated_max: 256,
            kept_max: None,
            own_max: None,
            dedicated_idle: Duration::from_secs(30),
            bulk_threshold: 64 * KIB,
            max_in_flight: 16384,
            max_in_flight_bytes: 16 * MIB,
            connect_timeout: Duration::from_secs(5),
            backoff: (Duration::from_millis(100), Duration::from_secs(1)),
            health_interval: Some(Duration::from_secs(30)),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            command: Duration::from_secs(5),
            response: Duration::from_secs(5),
        }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            on_timeout: true,
            reads: 2,
            unsent_writes: 3,
        }
    }
}

impl Default for TopologyRefresh {
    fn default() -> TopologyRefresh {
        TopologyRefresh {
            refresh: Duration::from_secs(30),
            min_interval: Duration::from_millis(250),
        }
    }
}

impl Default for Admin {
    fn default() -> Admin {
        Admin {
            bind: Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 9121).into()),
            hosts: Vec::new(),
            max_connections: 64,
            header_timeout: Duration::from_secs(5),
            // By default Prometheus scrapes once a minute.
            idle_timeout: Duration::from_secs(75),
            // By then Prometheus has given up.
            write_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: "info".into(),
            format: LogFormat::default(),
        }
    }
}

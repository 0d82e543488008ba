//! Discovery of real clusters and servers: from any seed, past dead ones, by every kind of endpoint, with errors that
//! name the cause.

use std::net::TcpListener;
use std::time::Duration;

use slotmux::control::discovery::discover::DiscoverError;
use slotmux::control::discovery::refresh;
use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::ports::PortLease;
use slotmux::tools::demo::server::{LocalServer, ServerOptions, server_program};
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::topology::{Topology, UpstreamKind};
use slotmux_core::config::{self, Config};
use slotmux_core::slot::Slot;

use slotmux_testing::{CALM, PATIENCE, Peer, Step, calm_cluster, poll_for, shared_cluster};

const RUN_ID: &str = "0123456789012345678901234567890123456789";

fn local(port: u16) -> Addr {
    Addr::new("127.0.0.1", port)
}

fn config(seeds: &[Addr]) -> Config {
    let mut config = Config::default();
    config.cluster.seeds = seeds.to_vec();
    config
}

fn discover(config: &Config) -> Result<Topology, DiscoverError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(refresh::first(config, RUN_ID))
}

fn found(config: &Config) -> Topology {
    discover(config).expect("a topology")
}

fn refused(config: &Config) -> String {
    discover(config).expect_err("no topology").to_string()
}

/// A port without a listener; the kernel does not assign it again soon.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn port_of(topology: &Topology, slot: u16) -> u16 {
    topology.primary_of(Slot(slot)).expect("an owner").addr.port
}

#[test]
fn every_node_of_the_cluster_is_a_seed_with_the_same_result() {
    let cluster = calm_cluster(1);
    let mut first: Option<Topology> = None;
    for node in cluster.nodes() {
        // A node names a replica once it knows that the replica has data.
        let mut topology = poll_for(PATIENCE, "synchronized replicas", || {
            let topology = found(&config(&[local(node.port)]));
            (topology.nodes().count() == cluster.nodes().len()).then_some(topology)
        });
        assert_eq!(
            (topology.version, topology.kind),
            (1, UpstreamKind::Cluster)
        );
        assert_eq!((topology.shards.len(), topology.uncovered()), (3, 0));
        for slot in [0, 5460, 5461, 10922, 10923, 16383] {
            let owner = cluster.primary_of_slot(slot).unwrap();
            let primary = topology.primary_of(Slot(slot)).unwrap();
            assert_eq!(primary.addr, local(cluster.node(owner).port));
            assert_eq!(primary.id, cluster.node(owner).id);
            let replicas = &topology.shard_of(Slot(slot)).unwrap().replicas;
            let ports: Vec<u16> = replicas.iter().map(|replica| replica.addr.port).collect();
            let expected: Vec<u16> = cluster
                .replicas_of(owner)
                .unwrap()
                .into_iter()
                .map(|replica| cluster.node(replica).port)
                .collect();
            assert_eq!(ports, expected);
        }
        assert!(
            topology
                .server
                .version
                .starts_with(|c: char| c.is_ascii_digit())
        );
        assert!(topology.shards.iter().all(|shard| shard.epoch > 0));
        match &first {
            None => first = Some(topology),
            Some(first) => {
                topology.learned = first.learned.clone();
                assert!(topology.same_as(first), "{topology:?}\nis not\n{first:?}");
            }
        }
    }
}

#[test]
fn dead_seeds_are_skipped_and_names_are_resolved() {
    let alive = shared_cluster().node(0).port;
    let seeds = [local(dead_port()), Addr::new("localhost", alive)];
    let topology = found(&config(&seeds));
    assert_eq!(port_of(&topology, 0), alive);
    // The nodes announce addresses, not the name of the seed.
    assert!(topology.nodes().all(|node| &*node.addr.host == "127.0.0.1"));
}

#[test]
fn if_no_seed_works_the_error_names_each_with_its_reason() {
    let (one, two) = (dead_port(), dead_port());
    let error = discover(&config(&[local(one), local(two)])).unwrap_err();
    let text = error.to_string();
    assert!(!error.is_final(), "the seeds may still come up");
    for port in [one, two] {
        let at = text.find(&format!("127.0.0.1:{port}: ")).expect(&text);
        assert!(text[at..].to_lowercase().contains("refused"), "{text}");
    }
    assert!(
        text.find(&one.to_string()) < text.find(&two.to_string()),
        "{text}"
    );
}

#[test]
fn announced_hostnames_are_used_and_an_empty_host_is_the_queried_one() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 0,
        node_timeout: CALM,
        extra: vec![
            ("cluster-announce-hostname".into(), "localhost".into()),
            ("cluster-preferred-endpoint-type".into(), "hostname".into()),
        ],
        ..Options::default()
    })
    .unwrap();
    let seed = config(&[local(cluster.node(1).port)]);
    // Hostnames travel by gossip.
    let by_name = poll_for(PATIENCE, "all nodes to know all hostnames", || {
        let topology = found(&seed);
        let is_known = topology.nodes().all(|node| &*node.addr.host == "localhost");
        is_known.then_some(topology)
    });
    assert_eq!((by_name.shards.len(), by_name.uncovered()), (3, 0));
    assert!(
        by_name
            .nodes()
            .all(|node| node.hostname.as_deref() == Some("localhost"))
    );
    assert!(by_name.nodes().all(|node| node.announced_ip == "127.0.0.1"));

    for node in 0..3 {
        let words = [
            "CONFIG",
            "SET",
            "cluster-preferred-endpoint-type",
            "unknown-endpoint",
        ];
        cluster.query::<()>(node, &words).unwrap();
    }
    let topology = found(&seed);
    assert!(
        topology.nodes().all(|node| &*node.addr.host == "127.0.0.1"),
        "{topology:?}"
    );
    assert_eq!((topology.shards.len(), topology.uncovered()), (3, 0));
}

#[test]
fn the_address_map_replaces_announced_addresses() {
    let cluster = shared_cluster();
    let mapped = cluster.node(2).port;
    let mut config = config(&[local(cluster.node(0).port)]);
    config
        .cluster
        .address_map
        .insert(local(mapped), Addr::new("localhost", mapped));
    let topology = found(&config);
    for node in topology.nodes() {
        let host = if node.addr.port == mapped {
            "localhost"
        } else {
            "127.0.0.1"
        };
        assert_eq!(&*node.addr.host, host);
    }
    assert_eq!(topology.uncovered(), 0);
}

#[test]
fn passwords_are_tried_until_one_works() {
    let cluster = LocalCluster::start(Options {
        primaries: 1,
        replicas_per_primary: 0,
        node_timeout: CALM,
        password: Some("the-right-one".into()),
        ..Options::default()
    })
    .unwrap();
    let port = cluster.node(0).port;
    let with = |passwords: &[&str]| {
        let mut config = config(&[local(port)]);
        config.cluster.passwords = passwords.iter().map(|&password| password.into()).collect();
        config
    };
    assert_eq!(
        port_of(&found(&with(&["an-old-one", "the-right-one"])), 0),
        port
    );
    let mut named = with(&["the-right-one"]);
    named.cluster.username = "default".into();
    assert_eq!(port_of(&found(&named), 0), port);

    let wrong = refused(&with(&["an-old-one", "older"]));
    assert!(
        wrong.contains("the password was refused: WRONGPASS"),
        "{wrong}"
    );
    assert!(!wrong.contains("old"), "a password in an error: {wrong}");
    let none = refused(&with(&[]));
    assert!(
        none.contains("it asks for a password and none is configured"),
        "{none}"
    );
    assert!(discover(&with(&["an-old-one"])).unwrap_err().is_final());
    assert!(discover(&with(&[])).unwrap_err().is_final());
}

#[test]
fn a_user_with_few_rights_gets_the_missing_ones_named() {
    let server = LocalServer::start(&ServerOptions::default()).unwrap();
    let permit = |rules: &[&str]| {
        let words: Vec<&str> = ["ACL", "SETUSER", "proxy"]
            .iter()
            .chain(rules)
            .copied()
            .collect();
        server.query::<()>(&words).unwrap();
    };
    let mut config = config(&[local(server.port())]);
    config.cluster.username = "proxy".into();
    config.cluster.passwords = vec!["pw".into()];
    // HELLO needs no right: it states the mode where neither INFO nor CLUSTER is permitted.
    for rules in [
        &["on", ">pw", "-@all", "+info"][..],
        &["-@all"],
        &["-@all", "+cluster"],
    ] {
        permit(rules);
        let topology = found(&config);
        assert_eq!(topology.kind, UpstreamKind::Standalone, "{rules:?}");
        assert!(topology.server.version.contains('.'), "{rules:?}");
    }
}

#[test]
fn the_kind_of_a_server_is_not_guessed_from_refusals() {
    let cluster_without = |command: &str| {
        vec![
            ("cluster-enabled".to_owned(), "yes".to_owned()),
            ("rename-command".to_owned(), format!("{command} \"\"")),
        ]
    };
    let start = |extra| {
        LocalServer::start(&ServerOptions {
            extra,
            ..ServerOptions::default()
        })
        .unwrap()
    };
    let renamed = |server: &LocalServer| config(&[local(server.port())]);

    let server = start(cluster_without("CLUSTER"));
    for kind in [config::ExpectedKind::Auto, config::ExpectedKind::Cluster] {
        let mut config = renamed(&server);
        config.cluster.kind = kind;
        let error = refused(&config);
        assert!(
            error.contains("it refuses CLUSTER SLOTS: ERR unknown command 'CLUSTER'"),
            "{error}"
        );
        assert!(!discover(&config).unwrap_err().is_final());
    }

    // Each command alone states the mode.
    for command in ["HELLO", "INFO"] {
        let rename = vec![("rename-command".to_owned(), format!("{command} \"\""))];
        let server = start(rename);
        assert_eq!(
            found(&renamed(&server)).kind,
            UpstreamKind::Standalone,
            "{command}"
        );
        let server = start(cluster_without(command));
        let error = refused(&renamed(&server));
        assert!(error.contains("it knows no slots"), "{command}: {error}");
    }

    // Neither the server nor the configuration states the mode.
    let neither =
        ["HELLO", "INFO"].map(|command| ("rename-command".to_owned(), format!("{command} \"\"")));
    let server = start(neither.to_vec());
    let mut config = renamed(&server);
    let error = refused(&config);
    assert!(
        error.contains("it does not say whether it is a node of a cluster")
            && error.contains("unknown command 'INFO'")
            && error.contains("unknown command 'HELLO'")
            && error.contains("cluster.kind"),
        "{error}"
    );
    config.cluster.kind = config::ExpectedKind::Standalone;
    assert_eq!(found(&config).kind, UpstreamKind::Standalone);
    config.cluster.kind = config::ExpectedKind::Cluster;
    assert!(refused(&config).contains("it refuses CLUSTER SLOTS"));
}

#[test]
fn a_sentinel_is_not_a_data_server() {
    let sentinel = Sentinel::start();
    for kind in [
        config::ExpectedKind::Auto,
        config::ExpectedKind::Standalone,
        config::ExpectedKind::Cluster,
    ] {
        let mut config = config(&[local(sentinel.port.port())]);
        config.cluster.kind = kind;
        let error = refused(&config);
        assert!(error.contains("it is a Sentinel"), "{kind:?}: {error}");
        assert!(discover(&config).unwrap_err().is_final(), "{kind:?}");
    }
}

/// A real Sentinel without monitored servers.
struct Sentinel {
    process: std::process::Child,
    port: PortLease,
    _guard: Guard,
}

impl Sentinel {
    fn start() -> Sentinel {
        let guard = Guard::new().expect("a folder");
        let port = PortLease::any().expect("a port");
        let file = guard.folder().join("sentinel.conf");
        let text = format!("port {}\nbind 127.0.0.1\n", port.port());
        std::fs::write(&file, text).expect("written");
        let process = std::process::Command::new(server_program().expect("a server"))
            .arg(&file)
            .arg("--sentinel")
            .current_dir(guard.folder())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a sentinel");
        let sentinel = Sentinel {
            process,
            port,
            _guard: guard,
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", sentinel.port.port())).is_err() {
            assert!(std::time::Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        sentinel
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_single_server_owns_every_slot() {
    let server = LocalServer::start(&ServerOptions::default()).unwrap();
    let mut config = config(&[local(server.port())]);
    for kind in [config::ExpectedKind::Auto, config::ExpectedKind::Standalone] {
        config.cluster.kind = kind;
        let topology = found(&config);
        assert_eq!(
            (topology.kind, topology.uncovered()),
            (UpstreamKind::Standalone, 0)
        );
        assert_eq!(port_of(&topology, 16383), server.port());
        assert!(!topology.server.version.is_empty());
    }
    config.cluster.kind = config::ExpectedKind::Cluster;
    let error = discover(&config).unwrap_err();
    assert!(
        error.to_string().contains("it is not a node of a cluster"),
        "{error}"
    );
    assert!(error.is_final());
}

#[test]
fn a_plain_replica_is_skipped_for_its_primary() {
    let [primary, replica] = [0, 1].map(|_| LocalServer::start(&ServerOptions::default()).unwrap());
    replica
        .query::<()>(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])
        .unwrap();
    let both = config(&[local(replica.port()), local(primary.port())]);
    assert_eq!(port_of(&found(&both), 0), primary.port());
    let alone = config(&[local(replica.port())]);
    let topology = poll_for(
        PATIENCE,
        "a replica that is used for want of a primary",
        || discover(&alone).ok(),
    );
    assert_eq!(port_of(&topology, 0), replica.port());
}

#[test]
fn an_upstream_with_our_own_run_id_is_slotmux_itself() {
    let server = LocalServer::start(&ServerOptions::default()).unwrap();
    let info: String = server.query(&["INFO", "server"]).unwrap();
    let run_id = info
        .lines()
        .find_map(|line| line.strip_prefix("run_id:"))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = config(&[local(server.port())]);
    let error = runtime
        .block_on(refresh::first(&config, run_id))
        .unwrap_err();
    assert_eq!(error, DiscoverError::Ourselves(local(server.port())));
    assert!(
        error.is_final() && error.to_string().contains("is slotmux itself"),
        "{error}"
    );
}

#[test]
fn loading_slotless_and_silent_seeds_are_skipped() {
    let bulk = |text: &str| Step::reply(format!("${}\r\n{text}\r\n", text.len()));
    let loading = Peer::start(move |request| {
        (request.name() == "INFO").then(|| bulk("redis_version:7.0.15\r\nloading:1\r\n"))
    });
    let lonely =
        Peer::start(
            move |request| match (request.name().as_str(), request.word(1).as_str()) {
                ("INFO", _) => Some(bulk("redis_version:7.0.15\r\n")),
                ("CLUSTER", "SLOTS") => Some(Step::reply("*0\r\n")),
                ("CLUSTER", _) => Some(bulk("aa :1@2 myself,master - 0 0 0 connected\n")),
                _ => None,
            },
        );
    let mute = Peer::start(|_| Some(vec![]));
    let odd = Peer::start(move |request| match request.name().as_str() {
        "INFO" => Some(bulk("redis_version:7.0.15\r\n")),
        _ => Some(Step::reply(":1\r\n")),
    });
    let peers = [&loading, &lonely, &mute, &odd].map(|peer| local(peer.port()));
    let mut config = config(&peers);
    config.cluster.timeouts.response = Duration::from_millis(300);
    let error = discover(&config).unwrap_err();
    let text = error.to_string();
    for reason in [
        "it is loading its data set",
        "it belongs to no cluster yet",
        "no answer within 300ms",
        "CLUSTER SLOTS cannot be read: not an array",
    ] {
        assert!(text.contains(reason), "{text} lacks {reason:?}");
    }
    assert!(!error.is_final());
    let alive = shared_cluster().node(0).port;
    config.cluster.seeds.push(local(alive));
    assert_eq!(port_of(&found(&config), 0), alive);
}

#[test]
fn seeds_may_have_ipv6_addresses() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("no IPv6 loopback on this machine: skipped");
        return;
    }
    let options = ServerOptions {
        extra: vec![("bind".into(), "127.0.0.1 ::1".into())],
        ..ServerOptions::default()
    };
    let server = LocalServer::start(&options).unwrap();
    let topology = found(&config(&[Addr::new("::1", server.port())]));
    let addr = &topology.primary_of(Slot(0)).unwrap().addr;
    assert_eq!(addr.to_string(), format!("[::1]:{}", server.port()));
}

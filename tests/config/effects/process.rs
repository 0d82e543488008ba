//! The process as a whole: threads, clients, names, the admin page, the log.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use slotmux::tools::demo::ports::PortLease;

use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until, shared_cluster};

/// Threads of a process whose names begin with this.
fn threads(pid: u32, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.starts_with(name))
        .count()
}

#[test]
fn workers_are_threads() {
    for (in_file, variable, flag, expected) in [
        (1, None, None, 1),
        (1, Some("3"), None, 3),
        (1, Some("3"), Some("2"), 2),
    ] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("server.workers", in_file);
            if let Some(number) = variable {
                config.env("SLOTMUX_WORKERS", number);
            }
            for word in flag.iter().flat_map(|number| ["--workers", number]) {
                config.arguments.push(word.to_owned());
            }
        });
        assert_eq!(threads(proxy.pid(), "worker-"), expected);
        assert_eq!(proxy.metric("slotmux_workers"), Some(expected as f64));
    }
}

#[test]
fn clients_above_the_maximum_are_refused() {
    for variable in [None, Some("2")] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set(
                "server.max_clients",
                if variable.is_some() { 100 } else { 2 },
            );
            if let Some(number) = variable {
                config.env("SLOTMUX_MAX_CLIENTS", number);
            }
        });
        // The connection that waited for the start must be accepted and forgotten first.
        poll_until(PATIENCE, "the client count to be 0", || {
            proxy.metric("slotmux_accepted_total") > Some(0.0)
                && proxy.metric("slotmux_clients") == Some(0.0)
        });
        let mut clients = [proxy.client(), proxy.client()];
        for client in &mut clients {
            assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
        }
        let reply = proxy.client().read_to_close();
        assert_eq!(reply, b"-ERR max number of clients reached\r\n");
        let most = clients[0].call(&["CONFIG", "GET", "maxclients"]);
        assert_eq!(most.items()[1], Value::bulk("2"));
    }
}

/// How many of this many connections the kernel accepts for a slotmux that accepts none.
fn taken_by_the_kernel(proxy: &Proxy, tries: usize, limit: Duration) -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], proxy.port()));
    let streams: Vec<TcpStream> = (0..tries)
        .map_while(|_| TcpStream::connect_timeout(&address, limit).ok())
        .collect();
    streams.len()
}

#[test]
fn the_backlog_sets_the_queue_of_the_kernel() {
    for (backlog, limit) in [(1, Duration::from_millis(500)), (100, PATIENCE)] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("server.backlog", backlog);
            config.set("server.workers", 1);
        });
        // Earlier connections are accepted then, and no longer in the queue.
        let mut first = proxy.client();
        first.call(&["PING"]);
        proxy.signal("STOP");
        let taken = taken_by_the_kernel(&proxy, 20, limit);
        proxy.signal("CONT");
        // Linux admits one more than configured.
        assert_eq!(
            taken,
            if backlog == 1 { 2 } else { 20 },
            "backlog {backlog}"
        );
    }
}

#[test]
fn the_admin_page_is_only_at_its_address() {
    let lease = PortLease::any().expect("a port");
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let proxy = Proxy::launch(&shared_cluster().seeds(), None, |config| {
        config.set("admin.bind", local(lease.port()).to_string());
    });
    poll_until(PATIENCE, "the admin page", || {
        TcpStream::connect(local(lease.port())).is_ok()
    });
    assert!(
        proxy.admin_get("/healthz").is_none(),
        "only at this address"
    );
    drop(proxy);

    let proxy = Proxy::launch(&shared_cluster().seeds(), None, |config| {
        config.set("admin.bind", "none");
    });
    poll_until(PATIENCE, "slotmux to be ready", || {
        proxy.log().contains(" ready ")
    });
    assert_eq!(proxy.client().call(&["SET", "admin", "none"]), Value::ok());
    assert!(proxy.admin_get("/healthz").is_none());
    assert!(!proxy.log().contains("admin page"));
}

/// Starts with this level by the file, or by the variable, does something, ends, and returns the log.
fn log_at(level: &str, by_variable: bool) -> String {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", if by_variable { "error" } else { level });
        if by_variable {
            config.env("SLOTMUX_LOG", level);
        }
        // A reason for a warning: no user has a password.
        let lease = PortLease::any().expect("a port");
        config.add_listener("wide", &format!("0.0.0.0:{}", lease.port()));
    });
    // A reason for a line at debug.
    let mut client = proxy.client();
    client.send_raw(b"*1\r\n+no bulk\r\n");
    client.read_to_close();
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    proxy.log()
}

#[test]
fn the_level_selects_the_lines_of_the_log() {
    for by_variable in [false, true] {
        for (level, warns, informs, debugs) in [
            ("off", false, false, false),
            ("warn", true, false, false),
            ("info", true, true, false),
            ("debug", true, true, true),
            ("off,slotmux::engine::client=debug", false, false, true),
        ] {
            let log = log_at(level, by_variable);
            assert_eq!(
                log.contains("no user has a password"),
                warns,
                "{level}: {log}"
            );
            assert_eq!(log.contains("listening on"), informs, "{level}: {log}");
            assert_eq!(log.contains("protocol error"), debugs, "{level}: {log}");
        }
    }
}

#[test]
fn a_log_of_json_has_an_object_a_line() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.format", "json");
        config.set("listener.name", "front");
        config.set("cluster.name", "main");
    });
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    let lines: Vec<serde_json::Value> = proxy
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let said = |text: &str| {
        let has = |line: &&serde_json::Value| line["message"].as_str().unwrap_or("").contains(text);
        lines
            .iter()
            .find(has)
            .unwrap_or_else(|| panic!("no line contains {text}: {lines:?}"))
    };
    assert_eq!(said("listening on")["listener"], "front");
    assert_eq!(said("topology:")["span"]["name"], "cluster");
    assert_eq!(said("ready")["level"], "INFO");
}

#[test]
fn names_are_in_the_log_and_in_the_metrics() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.name", "front");
        config.set("cluster.name", "main");
    });
    let log = proxy.log();
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or("");
    assert!(line("listening on").contains("listener=\"front\""), "{log}");
    assert!(
        line("topology:").contains("cluster{cluster=\"main\"}"),
        "{log}"
    );
    let (_, page) = proxy.admin_get("/metrics").expect("the admin page");
    let info = page
        .lines()
        .find(|line| line.starts_with("slotmux_upstream_info{"));
    let info = info.unwrap_or_else(|| panic!("{page}"));
    assert!(
        info.contains("name=\"main\",kind=\"cluster\",server="),
        "{info}"
    );
    let _: RawClient = proxy.client();
}

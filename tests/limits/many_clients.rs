//! Ten thousand clients at once, all of them busy: over as many upstream connections as fifty need, with little memory
//! each, and every one of them can be listed and closed.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_testing::{PATIENCE, Proxy, Value, calm_cluster, poll_until};
use socket2::{Domain, Socket, Type};

const FEW: usize = 50;
const MANY: usize = 10_000;
/// Descriptors of this process besides its clients.
const SPARE: u64 = 200;
/// Allowed memory of an idle client that has worked; the goal is a quarter of it.
const PER_CLIENT: u64 = 4 * 1024;

/// Client number `i`, from one of several source addresses: the ports of one might not suffice.
fn connect(port: u16, i: usize) -> TcpStream {
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (i % 8) as u8));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::new(source, 0).into())
        .expect("a port");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())
        .expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    socket.set_tcp_nodelay(true).expect("set");
    socket.into()
}

/// Lets every client write and read a value of its own, all at the same time.
fn work(clients: &mut [TcpStream], round: usize) {
    for (i, client) in clients.iter_mut().enumerate() {
        let request = format!("SET many:{i} {i}.{round}\r\nGET many:{i}\r\n");
        client.write_all(request.as_bytes()).expect("sent");
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let value = format!("{i}.{round}");
        let expected = format!("+OK\r\n${}\r\n{value}\r\n", value.len());
        let mut reply = vec![0; expected.len()];
        client.read_exact(&mut reply).expect("a reply in time");
        assert_eq!(String::from_utf8_lossy(&reply), expected, "client {i}");
    }
}

/// Connections to the nodes, as slotmux and as the nodes themselves count them.
fn upstream(proxy: &Proxy, cluster: &LocalCluster) -> (usize, i64) {
    let told = (0..cluster.nodes().len()).map(|node| {
        let info: String = cluster.query(node, &["INFO", "clients"]).expect("a reply");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("connected_clients:"));
        line.expect("a line")
            .trim()
            .parse::<i64>()
            .expect("a number")
    });
    (proxy.upstream_connections(cluster), told.sum())
}

#[test]
fn ten_thousand_clients_are_served_like_fifty() {
    let _turn = crate::turn();
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    assert!(
        limit >= MANY as u64 + SPARE,
        "this test needs {MANY} descriptors and may have {limit}: raise `ulimit -n`"
    );
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("log.level", "warn");
        // No refresh comes between the counts of connections.
        config.set("cluster.topology.refresh", "1h");
    });
    let port = proxy.port();
    let mut clients: Vec<TcpStream> = (0..FEW).map(|i| connect(port, i)).collect();
    for round in 0..3 {
        work(&mut clients, round);
    }
    let few = upstream(&proxy, &cluster);
    assert!((1..=2 * 3).contains(&few.0), "{few:?}");
    let memory = proxy.rss();

    clients.extend((FEW..MANY).map(|i| connect(port, i)));
    for round in 0..3 {
        work(&mut clients, round);
        assert_eq!(proxy.metric("slotmux_clients"), Some(MANY as f64));
        assert_eq!(upstream(&proxy, &cluster), few, "round {round}");
    }
    let each = proxy.rss().saturating_sub(memory) / (MANY - FEW) as u64;
    assert!(each < PER_CLIENT, "{each} bytes for each idle client");

    let mut asker = proxy.client();
    let list = asker.call(&["CLIENT", "LIST"]).text();
    let ids: HashSet<&str> = list
        .lines()
        .filter_map(|line| line.split(' ').next()?.strip_prefix("id="))
        .collect();
    assert_eq!((list.lines().count(), ids.len()), (MANY + 1, MANY + 1));
    // A hundred such lists are hundreds of megabytes, of which only a few may exist at a time.
    let memory = proxy.rss();
    for _ in 0..100 {
        asker.send(&["CLIENT", "LIST"]);
    }
    for _ in 0..100 {
        assert_eq!(asker.read().text().lines().count(), MANY + 1);
    }
    let grown = proxy.rss().saturating_sub(memory);
    assert!(grown < 64 << 20, "{grown} bytes for a pipeline of lists");

    for client in clients.iter().step_by(1000) {
        let address = client.local_addr().expect("an address").to_string();
        let killed = asker.call(&["CLIENT", "KILL", "ADDR", &address]);
        assert_eq!(killed, Value::Integer(1), "{address}");
    }
    let killed = asker.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(killed, Value::Integer(MANY as i64 - 10));
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
    }
    poll_until(PATIENCE, "all clients to be forgotten", || {
        proxy.metric("slotmux_clients") == Some(1.0)
    });
    assert_eq!(
        upstream(&proxy, &cluster),
        few,
        "after all of them have left"
    );
    assert_eq!(proxy.metric("slotmux_panics_total"), Some(0.0));
}

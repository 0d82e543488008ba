//! Nodes that refuse a command when slotmux connects: one that refuses the connection is quoted to clients, in the log
//! and in readiness; one that merely refuses a command is used for all others.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::faults::{key_in, named, pair};
use slotmux_testing::peer::Request;
use slotmux_testing::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until};

/// A node that answers every GET, and commands of this name with this error while `refuses` is set.
fn refusing(name: &'static str, error: String, refuses: &Arc<AtomicBool>) -> Peer {
    Peer::start(answers(name, error, refuses))
}

fn answers(
    name: &'static str,
    error: String,
    refuses: &Arc<AtomicBool>,
) -> impl Fn(&Request) -> Option<Vec<Step>> + Send + Sync + 'static {
    let refuses = refuses.clone();
    move |request| match request.name() {
        command if command == name && refuses.load(Ordering::SeqCst) => {
            Some(Step::reply(format!("-{error}\r\n")))
        }
        command if command == "GET" => Some(named(request)),
        command if command == "WAIT" => Some(Step::reply(":0\r\n")),
        _ => None,
    }
}

fn readiness(proxy: &Proxy) -> (u16, String) {
    proxy.admin_get("/readyz").expect("the admin page")
}

fn get(client: &mut RawClient, key: &str) -> Value {
    client.call(&["GET", key])
}

#[test]
fn a_node_that_refuses_ping_is_used_all_the_same() {
    for error in [
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "NOPERM this user has no permissions to run the 'ping' command",
        "ERR unknown command 'PING', with args beginning with: ",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSYKEY of no kind that anybody knows",
    ] {
        let refuses = Arc::new(AtomicBool::new(true));
        let peer = refusing("PING", error.to_owned(), &refuses);
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "20s");
            config.set("cluster.connections.health_interval", "100ms");
        });
        for mut client in [proxy.client(), proxy.client_resp3()] {
            assert_eq!(get(&mut client, "a"), Value::Simple("a".into()), "{error}");
            assert_eq!(client.call(&["SET", "a", "1"]), Value::ok(), "{error}");
            assert_eq!(
                client.call(&["WAIT", "0", "0"]),
                Value::Integer(0),
                "{error}"
            );
        }
        let pings = peer.requests_named("PING").len();
        poll_until(PATIENCE, "health checks", || {
            peer.requests_named("PING").len() >= pings + 3
        });
        assert_eq!(get(&mut proxy.client(), "b"), Value::Simple("b".into()));
        assert_eq!(proxy.metric("slotmux_upstream_lost_total"), Some(0.0));
        assert_eq!(readiness(&proxy), (200, "ready\n".to_owned()), "{error}");
    }
}

#[test]
fn an_error_that_refuses_slotmux_is_quoted_everywhere() {
    for (error, said) in [
        (
            "NOAUTH Authentication required.",
            "NOAUTH Authentication required.",
        ),
        (
            "ERR max number of clients reached",
            "ERR max number of clients reached",
        ),
        (
            "DENIED Redis is running in protected mode because so. In this mode connections are only",
            "DENIED Redis is running in protected mode because so",
        ),
        ("WRONGPASS \u{1b}[2J evil", "WRONGPASS \\u{1b}[2J evil"),
    ] {
        let refuses = Arc::new(AtomicBool::new(true));
        let peer = refusing("PING", error.to_owned(), &refuses);
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "300ms");
        });
        let reply = get(&mut proxy.client(), "a");
        assert_eq!(
            reply.error(),
            format!(
                "ERR slotmux: node 127.0.0.1:{} is unreachable ({said}), the command was not executed",
                peer.port()
            )
        );
        let (status, text) = readiness(&proxy);
        let reason = format!("127.0.0.1:{} cannot be used: ", peer.port());
        assert_eq!(status, 503, "{text}");
        assert!(text.contains(&reason) && text.contains(said), "{text}");
        assert!(proxy.log().contains(said), "{}", proxy.log());
        refuses.store(false, Ordering::SeqCst);
        poll_until(PATIENCE, "slotmux to be ready again", || {
            readiness(&proxy) == (200, "ready\n".to_owned())
        });
        assert_eq!(get(&mut proxy.client(), "a"), Value::Simple("a".into()));
    }
}

#[test]
fn an_unusable_node_is_reported_while_slotmux_is_ready() {
    let refuses = Arc::new(AtomicBool::new(true));
    let error = "ERR max number of clients reached".to_owned();
    let (faulty, sound, _layout) = pair(answers("PING", error.clone(), &refuses));
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "300ms");
    });
    let mut client = proxy.client();
    assert_eq!(
        client.call(&["SET", &key_in(true, "k", 0), "1"]),
        Value::ok()
    );
    let reply = client.call(&["SET", &key_in(false, "k", 0), "1"]);
    assert!(reply.error().contains(&error), "{reply:?}");
    let (status, text) = readiness(&proxy);
    let reason = format!("127.0.0.1:{} cannot be used: ", faulty.port());
    assert!(
        status == 200 && text.contains(&reason) && text.contains(&error),
        "{status} {text}"
    );
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_node_without_resp3_is_used_with_resp2() {
    for error in [
        "ERR unknown command `HELLO`, with args beginning with: `3`, ",
        "NOPROTO unsupported protocol version",
        "NOPERM this user has no permissions to run the 'hello' command",
    ] {
        let refuses = Arc::new(AtomicBool::new(true));
        let peer = refusing("HELLO", error.to_owned(), &refuses);
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "1s");
        });
        let (mut plain, mut modern) = (proxy.client(), proxy.client_resp3());
        assert_eq!(get(&mut plain, "a"), Value::Simple("a".into()), "{error}");
        let reply = get(&mut modern, "a");
        let said = error.split(", with").next().expect("its start");
        assert!(
            reply.error().contains("it refuses HELLO 3: ") && reply.error().contains(said),
            "{reply:?}"
        );
        // Subscriptions use RESP3 for all clients.
        let reply = proxy.client().call(&["SUBSCRIBE", "channel"]);
        assert!(
            reply.error().contains("did not confirm") && reply.error().contains(said),
            "{reply:?}"
        );
        assert_eq!(get(&mut plain, "b"), Value::Simple("b".into()), "{error}");
        // A dedicated connection is new, and is not delayed because of the other protocol.
        let big = "b".repeat(1 << 20);
        assert_eq!(plain.call(&["SET", "a", &big]), Value::ok(), "{error}");
        assert_eq!(readiness(&proxy), (200, "ready\n".to_owned()), "{error}");
        let log = proxy.log();
        assert!(
            log.contains("refuses HELLO 3") && log.contains(said),
            "{log}"
        );
        refuses.store(false, Ordering::SeqCst);
        poll_until(PATIENCE, "RESP3", || {
            get(&mut modern, "a") == Value::Simple("a".into())
        });
    }
}

#[test]
fn no_password_is_ever_quoted() {
    const SECRET: &str = "the-secret-one";
    for (name, error) in [
        (
            "AUTH",
            format!("ERR unknown command 'AUTH', with args beginning with: '{SECRET}' "),
        ),
        ("AUTH", format!("ERR this {SECRET} is wrong")),
        (
            "HELLO",
            format!("ERR unknown command `HELLO`, with args beginning with: `3`, `{SECRET}`, "),
        ),
    ] {
        let refuses = Arc::new(AtomicBool::new(false));
        let peer = refusing(name, error, &refuses);
        let proxy = Proxy::start_at(&peer.seeds(), Some(SECRET), |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "1s");
        });
        refuses.store(true, Ordering::SeqCst);
        let mut client = if name == "AUTH" {
            proxy.client()
        } else {
            proxy.client_resp3()
        };
        let reply = get(&mut client, "a");
        assert!(reply.error().contains("is unreachable ("), "{reply:?}");
        assert!(!reply.error().contains(SECRET), "{reply:?}");
        assert!(!readiness(&proxy).1.contains(SECRET));
        assert!(!proxy.log().contains(SECRET), "{}", proxy.log());
    }
}

#[test]
fn a_real_node_that_cannot_save_is_read_and_answers_wait() {
    let folder = Guard::new().expect("a folder");
    let data = folder.folder().join("data");
    fs::create_dir(&data).expect("a folder");
    let server = LocalServer::start(&ServerOptions {
        extra: vec![("dir".to_owned(), data.display().to_string())],
        ..ServerOptions::default()
    })
    .expect("a server");
    let ask = |words: &[&str]| server.query::<redis::Value>(words);
    ask(&["SET", "key", "value"]).expect("written");
    let replica = LocalServer::start(&ServerOptions {
        extra: vec![(
            "replicaof".to_owned(),
            format!("127.0.0.1 {}", server.port()),
        )],
        ..ServerOptions::default()
    })
    .expect("a replica");
    poll_until(PATIENCE, "the replica to follow", || {
        let info: String = replica.query(&["INFO", "replication"]).expect("a reply");
        info.contains("master_link_status:up")
    });
    ask(&["CONFIG", "SET", "save", "3600 1"]).expect("it is to save");
    fs::remove_dir_all(&data).expect("it has nowhere to save");
    poll_until(PATIENCE, "the node to refuse PING", || {
        // Refused while the data for the replica is being saved.
        ask(&["BGSAVE"]).ok();
        ask(&["PING"]).is_err_and(|error| error.to_string().contains("MISCONF"))
    });
    let seeds = vec![format!("redis://{}", server.address())];
    let proxy = Proxy::start_at(&seeds, None, |config| {
        config.set("cluster.timeouts.command", "20s");
    });
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_eq!(get(&mut client, "key"), Value::bulk("value"));
        // The replica reports once a second how far it is.
        poll_until(PATIENCE, "the replica to have everything", || {
            client.call(&["WAIT", "1", "1000"]) == Value::Integer(1)
        });
        // More than there are: the node asks the replica, which it then has to report anew.
        let reply = client.call(&["WAIT", "2", "10"]);
        assert!(matches!(reply, Value::Integer(0 | 1)), "{reply:?}");
        let reply = client.call(&["SET", "key", "other"]);
        assert!(reply.error().starts_with("MISCONF "), "{reply:?}");
    }
    assert_eq!(readiness(&proxy), (200, "ready\n".to_owned()));
}

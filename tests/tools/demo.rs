//! The local clusters that the other tests run on: formed, moved, failed over, frozen, and removed completely.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options, Role};
use slotmux::tools::demo::ports::{PortLease, is_free};
use slotmux::tools::demo::server::{
    LocalServer, ServerOptions, TEST_SERVER, server_program, wait_until,
};
use slotmux_core::slot::slot_of;

use slotmux_testing::{Layout, Peer, RawClient, Step, Value};

const PATIENCE: Duration = slotmux_testing::PATIENCE;

#[test]
fn a_cluster_is_complete_when_started_and_gone_when_dropped() {
    let options = Options {
        password: Some("a secret".replace(' ', "-")),
        ..Options::default()
    };
    let cluster = LocalCluster::start(options).expect("a cluster");
    let ports: Vec<u16> = cluster.nodes().iter().map(|node| node.port).collect();
    let roles: Vec<Role> = cluster.nodes().iter().map(|node| node.role).collect();
    assert_eq!(roles, [[Role::Primary; 3], [Role::Replica; 3]].concat());
    assert_eq!(
        cluster.seeds()[0],
        format!("redis://127.0.0.1:{}", ports[0])
    );
    for (slot, owner) in [
        (0, 0),
        (5460, 0),
        (5461, 1),
        (10921, 1),
        (10922, 2),
        (16383, 2),
    ] {
        assert_eq!(
            cluster.primary_of_slot(slot).expect("an owner"),
            owner,
            "slot {slot}"
        );
    }
    for primary in 0..3 {
        assert_eq!(
            cluster.replicas_of(primary).expect("replicas"),
            [primary + 3]
        );
        cluster
            .query::<()>(primary, &["PING"])
            .expect("the password is used");
    }
    drop(cluster);
    assert!(
        ports
            .iter()
            .all(|&port| is_free(port) && is_free(port + 10_000))
    );
}

#[test]
fn a_slot_moves_with_its_keys_and_can_be_stopped_midway() {
    let mut cluster = LocalCluster::start(Options {
        replicas_per_primary: 0,
        ..Options::default()
    })
    .expect("a cluster");
    let slot = slot_of(b"{tag}").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    for number in 0..250 {
        cluster
            .query::<()>(
                from,
                &["SET", &format!("{{tag}}{number}"), &number.to_string()],
            )
            .expect("stored");
    }
    cluster.migrate_slot_begin(slot, from, to).expect("begun");
    assert_eq!(
        cluster
            .migrate_slot_step(slot, from, to, 40)
            .expect("a step"),
        40
    );
    let count = slot.to_string();
    assert_eq!(
        cluster
            .query::<usize>(to, &["CLUSTER", "COUNTKEYSINSLOT", &count])
            .expect("a count"),
        40
    );
    let asked = cluster
        .query::<String>(from, &["GET", "{tag}missing"])
        .expect_err("ASK");
    assert!(
        asked
            .to_string()
            .contains(&cluster.node(to).port.to_string()),
        "{asked}"
    );
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("finished");
    cluster.wait_owner(slot, to).expect("all know");
    assert_eq!(cluster.primary_of_slot(slot).expect("an owner"), to);
    assert_eq!(
        cluster
            .query::<usize>(to, &["CLUSTER", "COUNTKEYSINSLOT", &count])
            .expect("a count"),
        250
    );

    let added = cluster.add_node().expect("one more node");
    cluster.migrate_slot(slot, to, added).expect("moved on");
    assert_eq!(
        cluster
            .query::<String>(added, &["GET", "{tag}7"])
            .expect("a value"),
        "7"
    );
}

#[test]
fn primaries_die_fail_over_freeze_and_return() {
    let cluster = LocalCluster::start(Options::default()).expect("a cluster");
    cluster.failover(3).expect("asked for");
    assert_eq!(cluster.primary_of_slot(0).expect("an owner"), 3);

    cluster.kill(1);
    cluster
        .wait_for("the replica to take over", |view| {
            view.iter()
                .any(|line| line.id == cluster.node(4).id && line.owns(5461))
        })
        .expect("elected");
    cluster.restart(1).expect("back");
    cluster.wait_ok().expect("whole again");

    cluster.stop(2).expect("frozen");
    let frozen = cluster
        .node(2)
        .process
        .query_within::<String>(Duration::from_millis(50), &["PING"]);
    assert!(frozen.is_err(), "{frozen:?}");
    cluster.resume(2).expect("thawed");
    wait_until(PATIENCE, "the answer", || {
        Ok(cluster.query::<String>(2, &["PING"])? == "PONG")
    })
    .expect("answers");
}

#[test]
fn a_plain_server_takes_settings_and_a_password() {
    let server = LocalServer::start(&ServerOptions {
        password: Some("secret".to_owned()),
        extra: vec![("maxmemory".to_owned(), "64mb".to_owned())],
        ..ServerOptions::default()
    })
    .expect("a server");
    let value: Vec<String> = server
        .query(&["CONFIG", "GET", "maxmemory"])
        .expect("an answer");
    assert_eq!(value, ["maxmemory", "67108864"]);
    assert!(
        server
            .query::<i64>(&["CLUSTER", "COUNTKEYSINSLOT", "0"])
            .is_err()
    );

    let wrong = ServerOptions {
        extra: vec![("no-such-setting".to_owned(), "1".to_owned())],
        ..Default::default()
    };
    let refused = LocalServer::start(&wrong).expect_err("a bad setting");
    assert!(refused.to_string().contains("no-such-setting"), "{refused}");
}

/// `slotmux demo` as a user runs it, with a temporary folder of its own that must be empty at the end.
struct Demo {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    complaints: File,
    temporary: tempfile::TempDir,
    pids: Vec<u32>,
    text: String,
}

impl Demo {
    fn start(port: u16) -> Demo {
        Demo::start_with(port, &[])
    }

    fn start_with(port: u16, variables: &[(&str, &OsStr)]) -> Demo {
        let temporary = tempfile::tempdir().expect("a folder");
        let complaints = tempfile::tempfile().expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_slotmux"))
            .args(["demo", "--port", &port.to_string()])
            .env("TMPDIR", temporary.path())
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().expect("the same file"))
            // As a shell starts it, which sends Ctrl-C to the whole group.
            .process_group(0)
            .spawn()
            .expect("slotmux");
        let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut text = String::new();
        // The pipe closes when slotmux gives up, which it does by itself, so this loop ends.
        for line in output.by_ref() {
            text += &line.expect("text");
            text.push('\n');
            if text.ends_with("leaves nothing behind.\n") {
                break;
            }
        }
        let pids = text
            .split("(pid ")
            .skip(1)
            .filter_map(|rest| rest.split(')').next()?.parse().ok())
            .collect();
        Demo {
            child,
            output,
            complaints,
            temporary,
            pids,
            text,
        }
    }

    fn port(&self) -> u16 {
        let rest = self
            .text
            .split("redis-cli -p ")
            .nth(1)
            .expect("the line to try");
        rest.split(' ')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port")
    }

    /// Sends a signal to all processes of its terminal.
    fn signal(&self, name: &str) {
        let group = format!("kill -s {name} -- -{}", self.child.id());
        let sent = Command::new("sh").args(["-c", &group]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Its output on stderr.
    fn complaints(&mut self) -> String {
        let mut text = String::new();
        self.complaints.seek(SeekFrom::Start(0)).expect("the start");
        self.complaints.read_to_string(&mut text).expect("text");
        text
    }

    fn is_gone(&self) -> bool {
        let running = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        let left = std::fs::read_dir(self.temporary.path())
            .expect("the folder")
            .count();
        left == 0 && !self.pids.iter().any(running)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_answers_and_leaves_no_files_or_processes() {
    for signal in ["TERM", "INT", "HUP"] {
        let lease = PortLease::any().expect("a port");
        let mut demo = Demo::start(lease.port());
        assert_eq!(
            (demo.pids.len(), demo.port()),
            (6, lease.port()),
            "{}",
            demo.text
        );
        assert!(!demo.is_gone());
        let mut client = RawClient::connect(demo.port());
        let info = client.call(&["INFO", "slotmux"]).text();
        assert!(info.contains("\nslotmux_nodes:6\r\n"), "{info}");
        assert_eq!(client.call(&["SET", "key", "value"]), Value::ok());
        demo.signal(signal);
        let mut status = None;
        wait_until(PATIENCE, "the demo to end", || {
            status = demo.child.try_wait()?;
            Ok(status.is_some())
        })
        .expect("an end");
        let status = status.expect("an end");
        let rest: Vec<String> = demo.output.by_ref().map_while(Result::ok).collect();
        assert!(
            status.success() && rest.concat().contains("gone"),
            "{status} {rest:?}"
        );
        assert!(demo.is_gone(), "after SIG{signal}");
        assert_eq!(demo.complaints(), "");
    }
}

#[test]
fn a_killed_demo_is_cleaned_up_and_a_taken_port_is_skipped() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let wanted = taken.local_addr().expect("its address").port();
    let mut demo = Demo::start(wanted);
    assert!(
        demo.port() > wanted && demo.text.contains("is taken"),
        "{}",
        demo.text
    );
    demo.child.kill().expect("killed");
    demo.child.wait().expect("an end");
    wait_until(PATIENCE, "the guard to clean up", || Ok(demo.is_gone())).expect("gone");
}

#[test]
fn without_a_server_the_demo_names_the_package_to_install() {
    assert!(refusal(None).contains("redis-server is not on PATH; install it"));
}

#[test]
fn a_test_server_that_is_not_there_is_named() {
    let said = refusal(Some("/nowhere/valkey-server"));
    assert!(
        said.contains("SLOTMUX_TEST_SERVER=/nowhere/valkey-server: there is no such file"),
        "{said}"
    );
}

/// The error of a demo that has no server on PATH. Checks that the demo leaves no files.
fn refusal(server: Option<&str>) -> String {
    let (programs, temporary) = (tempfile::tempdir(), tempfile::tempdir());
    let (programs, temporary) = (programs.expect("a folder"), temporary.expect("a folder"));
    for program in ["sh", "cat", "rm"] {
        let to = programs.path().join(program);
        std::os::unix::fs::symlink(format!("/bin/{program}"), to).expect("a link");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_slotmux"))
        .arg("demo")
        .env_remove(TEST_SERVER)
        .envs(server.map(|server| (TEST_SERVER, server)))
        .env("PATH", programs.path())
        .env("TMPDIR", temporary.path())
        .output()
        .expect("slotmux");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(std::fs::read_dir(temporary.path()).expect("it").count(), 0);
    said
}

#[test]
fn every_node_of_the_demo_is_the_given_test_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = folder.path().join("another-server");
    std::os::unix::fs::symlink(server_program().expect("a server"), &given).expect("a link");
    let lease = PortLease::any().expect("a port");
    let demo = Demo::start_with(lease.port(), &[(TEST_SERVER, given.as_os_str())]);
    assert_eq!(demo.pids.len(), 6, "{}", demo.text);
    for pid in &demo.pids {
        let titled = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("its title");
        assert!(
            titled.starts_with(given.to_str().expect("text")),
            "{titled}"
        );
    }
}

#[test]
fn the_clients_of_these_tests_read_every_type_of_reply() {
    let extra = vec![("enable-debug-command".to_owned(), "yes".to_owned())];
    let server = LocalServer::start(&ServerOptions {
        extra,
        ..Default::default()
    })
    .expect("a server");
    let mut client = RawClient::connect_resp3(server.port());
    // Redis' own samples of its reply types.
    let mut sample = |kind: &str| client.call(&["DEBUG", "PROTOCOL", kind]);
    assert_eq!(sample("double"), Value::Double("3.141".to_owned()));
    assert_eq!(sample("null"), Value::Null);
    assert_eq!(sample("true"), Value::Boolean(true));
    assert_eq!(
        sample("verbatim"),
        Value::Verbatim(b"txt:This is a verbatim\nstring".to_vec())
    );
    assert_eq!(
        sample("bignum"),
        Value::BigNumber("1234567999999999999999999999999999999".to_owned())
    );
    assert_eq!(
        sample("array"),
        Value::Array((0..3).map(Value::Integer).collect())
    );
    assert!(matches!(sample("set"), Value::Set(items) if items.len() == 3));
    assert!(matches!(sample("map"), Value::Map(pairs) if pairs.len() == 3));
    assert!(matches!(sample("attrib"), Value::Attribute(pairs, _) if pairs.len() == 1));
    let commands: Vec<Vec<String>> = (0..5000)
        .map(|number| vec!["ECHO".to_owned(), number.to_string().repeat(100)])
        .collect();
    let echoes = client.pipeline(&commands);
    assert!(
        echoes
            .iter()
            .zip(&commands)
            .all(|(echo, command)| *echo == Value::bulk(&command[1]))
    );
    assert_eq!(client.call_bytes(&["SET", "key", "value"]), b"+OK\r\n");
    assert!(!client.has_news(Duration::from_millis(1)));
    assert_eq!(
        client.call(&["NOPE"]).error().split(' ').next(),
        Some("ERR")
    );
    client.send(&["QUIT"]);
    assert_eq!(client.read_to_close(), b"+OK\r\n");
}

#[test]
fn a_peer_passes_for_a_node_and_sends_the_bytes_of_its_script() {
    let cluster = LocalCluster::start(Options {
        primaries: 1,
        replicas_per_primary: 0,
        ..Options::default()
    })
    .expect("a cluster");
    let peer = Peer::start(|request| match request.name().as_str() {
        "GET" => Some(Step::cut(b"$5\r\nvalue\r\n", request.words[1].len())),
        "BYE" => Some(vec![Step::Bytes(b"$5\r\nva".to_vec()), Step::Close]),
        _ => None,
    });
    // The same queries to a real node and to the peer: replies of the same shape.
    let mut real = RawClient::connect(cluster.node(0).port);
    let mut fake = RawClient::connect(peer.port());
    for question in ["SLOTS", "SHARDS", "NODES", "MYID", "INFO"] {
        let (real, fake) = (
            real.call(&["CLUSTER", question]),
            fake.call(&["CLUSTER", question]),
        );
        assert_eq!(
            shape(&real),
            shape(&fake),
            "CLUSTER {question}: {real:?} {fake:?}"
        );
    }
    for cut in 0..11 {
        assert_eq!(fake.call(&["GET", &"k".repeat(cut)]), Value::bulk("value"));
    }
    assert_eq!(fake.call(&["SET", "key", "value"]), Value::ok());
    fake.send(&["BYE"]);
    assert_eq!(fake.read_to_close(), b"$5\r\nva");
    assert_eq!((peer.requests_named("GET").len(), peer.accepted()), (11, 1));

    let plain = Peer::start_in(&Layout::default(), |_| None);
    let info = RawClient::connect(plain.port()).call(&["INFO"]).text();
    assert!(info.contains("cluster_enabled:0"), "{info}");
}

/// The types in a reply: numbers of list elements count, texts do not.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(shape).collect::<String>()),
        Value::Bulk(_) => "$".to_owned(),
        Value::Integer(_) => ":".to_owned(),
        other => format!("{other:?}"),
    }
}

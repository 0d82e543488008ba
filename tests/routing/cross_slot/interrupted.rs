//! Moves that are interrupted after each of their steps: the keys that slotmux leaves when it is killed there, and its reply
//! to the client when a node is killed. docs/consistency.md has the table.

use std::path::Path;
use std::thread;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{
    PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until, shared_cluster,
};

use super::words;

/// slotmux that waits after steps as the files in `folder` say.
fn held_by(folder: &Path, cluster: &LocalCluster) -> Proxy {
    Proxy::start(cluster, |config| {
        config.set("defaults.namespace.cross_slot", "all");
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "1s");
        config.env("SABOTAGE", &folder.display().to_string());
        config.set("log.level", "warn");
    })
}

/// Lets the next program wait after a step; returns the file that holds it there.
fn hold(folder: &Path, step: usize) -> std::path::PathBuf {
    let file = folder.join(format!("cross_slot-after-{step}"));
    std::fs::write(&file, "").expect("a file");
    file
}

fn wait_for(file: &Path) {
    let reached = file.with_extension("reached");
    poll_until(PATIENCE, "the step", || reached.exists());
    std::fs::remove_file(reached).expect("the file");
}

/// All keys of a prefix, and parked elements, with their values.
fn left(cluster: &LocalCluster, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for node in cluster.nodes() {
        let Ok(mut direct) = RawClient::try_connect(node.port) else {
            continue;
        };
        for pattern in [format!("{prefix}*"), "slotmux:*".to_owned()] {
            for key in direct.call(&["KEYS", &pattern]).items() {
                let Value::Bulk(key) = key else { continue };
                let text = String::from_utf8_lossy(key).into_owned();
                // The names of slotmux' own keys without the parts that differ between runs.
                let name = match text.split(':').collect::<Vec<_>>()[..] {
                    ["slotmux", kind, ..] => kind.to_owned(),
                    _ => text.strip_prefix(prefix).unwrap_or(&text).to_owned(),
                };
                let kind = direct.call(&[&b"TYPE"[..], key]);
                let value = match kind {
                    Value::Simple(kind) if kind == "list" => {
                        direct.call(&[&b"LRANGE"[..], key, b"0", b"-1"])
                    }
                    Value::Simple(kind) if kind == "set" => direct.call(&[&b"SMEMBERS"[..], key]),
                    _ => direct.call(&[&b"GET"[..], key]),
                };
                let texts: Vec<String> = match &value {
                    Value::Bulk(text) => vec![String::from_utf8_lossy(text).into_owned()],
                    other => other
                        .items()
                        .iter()
                        .map(|item| match item {
                            Value::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
                            other => format!("{other:?}"),
                        })
                        .collect(),
                };
                found.push(format!("{name}={}", texts.join(",")));
            }
        }
    }
    found.sort();
    found
}

/// Command, its setup, and the remaining keys when slotmux is killed after each step that changes anything.
type Row = (
    &'static str,
    &'static str,
    &'static [(usize, &'static [&'static str])],
);

const ROWS: &[Row] = &[
    (
        "SET @{a} v",
        "RENAME @{a} @{b}",
        &[(1, &["{a}=v"]), (2, &["{a}=v", "{b}=v"]), (3, &["{b}=v"])],
    ),
    (
        "SET @{a} v",
        "RENAMENX @{a} @{b}",
        &[(1, &["{a}=v"]), (2, &["{a}=v", "{b}=v"])],
    ),
    (
        "SADD @{a} m",
        "SMOVE @{a} @{b} m",
        &[
            (2, &["{a}=m"]),
            (3, &["parked=m"]),
            (4, &["parked=m", "{b}=m"]),
            (5, &["{b}=m"]),
        ],
    ),
    (
        "RPUSH @{a} x y",
        "LMOVE @{a} @{b} LEFT LEFT",
        &[
            (2, &["{a}=x,y"]),
            (3, &["parked=x", "{a}=y"]),
            (4, &["parked=x", "{a}=y"]),
            (5, &["parked=x", "pushed=", "{a}=y", "{b}=x"]),
            (6, &["pushed=", "{a}=y", "{b}=x"]),
            (7, &["{a}=y", "{b}=x"]),
        ],
    ),
    (
        "SET @{c} old",
        "MSETNX @{a} 1 @{b} 2",
        &[(2, &["{c}=old"]), (4, &["{a}=1", "{b}=2", "{c}=old"])],
    ),
    (
        "SADD @{a} m",
        "SUNIONSTORE @{b} @{a} @{c}",
        &[(1, &["{a}=m"]), (2, &["{a}=m"])],
    ),
];

#[test]
fn what_is_left_when_slotmux_is_killed_after_a_step() {
    let cluster = calm_cluster(0);
    for (setup, line, steps) in ROWS {
        for (step, expected) in *steps {
            let folder = tempfile::TempDir::new().expect("a folder");
            let proxy = held_by(folder.path(), &cluster);
            let mut client = proxy.client();
            client.call(&["FLUSHALL"]);
            client.call(&words(setup, "int:"));
            let file = hold(folder.path(), *step);
            client.send(&words(line, "int:"));
            wait_for(&file);
            proxy.signal("KILL");
            proxy.wait_exit();
            assert_eq!(
                left(&cluster, "int:"),
                *expected,
                "{line} after step {step}"
            );
        }
    }
}

/// Which node is killed.
#[derive(Clone, Copy)]
enum Victim {
    Source,
    Destination,
}

/// A key whose slot is at this node.
fn key_at(cluster: &LocalCluster, node: usize) -> String {
    let mut keys = (0..1000).map(|number| format!("kill:{{{number}}}"));
    let is_there = |key: &String| {
        cluster
            .primary_of_slot(slot_of(key.as_bytes()).0)
            .expect("an owner")
            == node
    };
    keys.find(is_there).expect("a key of that node")
}

/// The step after which a node is killed, that node, the beginning of the reply, and the keys of the other node then.
#[test]
fn what_is_left_when_a_node_is_killed_after_a_step() {
    use Victim::{Destination, Source};
    for (setup, line, step, victim, reply, expected) in [
        (
            "SET A v",
            "RENAME A B",
            1,
            Destination,
            "-ERR slotmux: ",
            &["A=v"][..],
        ),
        (
            "SET A v",
            "RENAME A B",
            2,
            Source,
            "-TRYAGAIN slotmux: not completed, the destination has the value",
            &["B=v"],
        ),
        (
            "SADD A m",
            "SMOVE A B m",
            3,
            Destination,
            "-ERR slotmux: the element was taken",
            &["parked=m"],
        ),
        ("SADD A m", "SMOVE A B m", 3, Source, ":1", &["B=m"]),
        (
            "RPUSH A x y",
            "LMOVE A B LEFT LEFT",
            2,
            Destination,
            "-TRYAGAIN slotmux: not executed",
            &["A=x,y"],
        ),
        (
            "RPUSH A x y",
            "LMOVE A B LEFT LEFT",
            3,
            Destination,
            "-TRYAGAIN slotmux: not executed",
            &["A=x,y"],
        ),
        (
            "RPUSH A x y",
            "LMOVE A B LEFT LEFT",
            3,
            Source,
            "$1\r\nx",
            &["B=x", "pushed="],
        ),
        (
            "RPUSH A x y",
            "LMOVE A B LEFT LEFT",
            5,
            Source,
            "$1\r\nx",
            &["B=x", "pushed="],
        ),
        (
            "RPUSH A x y",
            "LMOVE A B LEFT LEFT",
            5,
            Destination,
            "$1\r\nx",
            &["A=y"],
        ),
        (
            "SADD A m",
            "SUNIONSTORE B A B",
            1,
            Destination,
            "-ERR slotmux: ",
            &["A=m"],
        ),
    ] {
        let cluster = calm_cluster(0);
        let folder = tempfile::TempDir::new().expect("a folder");
        let proxy = held_by(folder.path(), &cluster);
        let (a, b) = (key_at(&cluster, 0), key_at(&cluster, 1));
        let named = |line: &str| -> Vec<String> {
            let word = |word: &str| match word {
                "A" => a.clone(),
                "B" => b.clone(),
                word => word.to_owned(),
            };
            line.split(' ').map(word).collect()
        };
        let mut client = proxy.client();
        client.call(&named(setup));
        let file = hold(folder.path(), step);
        client.send(&named(line));
        wait_for(&file);
        cluster.kill(match victim {
            Source => 0,
            Destination => 1,
        });
        poll_until(PATIENCE, "the loss of the connection", || {
            proxy.log().contains("upstream connection lost")
        });
        std::fs::remove_file(&file).expect("the file");
        let got = String::from_utf8_lossy(&client.read_bytes()).into_owned();
        assert!(got.starts_with(reply), "{line} after step {step}: {got}");
        let names = [(a.as_str(), "A"), (b.as_str(), "B")];
        let left: Vec<String> = left(&cluster, "kill:")
            .into_iter()
            .map(|entry| {
                names.iter().fold(entry, |entry, (key, name)| {
                    entry.replace(
                        &format!("{}=", key.strip_prefix("kill:").expect("a prefix")),
                        &format!("{name}="),
                    )
                })
            })
            .collect();
        let mut left = left;
        left.sort();
        assert_eq!(left, expected, "{line} after step {step}: {got}");
    }
}

/// A key that changes after it was read makes the command start over: neither a read nor a write mixes two moments.
#[test]
fn a_change_after_the_read_is_seen() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let proxy = held_by(folder.path(), shared_cluster());
    let mut other = proxy.client();
    for line in [
        "SUNION mix:{a} mix:{b}",
        "SUNIONSTORE mix:{c} mix:{a} mix:{b}",
    ] {
        other.call(&["DEL", "mix:{a}", "mix:{b}", "mix:{c}"]);
        other.call(&["SADD", "mix:{a}", "token"]);
        let mut client = proxy.client();
        let file = hold(folder.path(), 1);
        client.send(&line.split(' ').collect::<Vec<_>>());
        wait_for(&file);
        other.call(&["SADD", "mix:{b}", "token"]);
        other.call(&["SREM", "mix:{a}", "token"]);
        std::fs::remove_file(&file).expect("the file");
        match client.read() {
            Value::Integer(stored) => assert_eq!(stored, 1, "{line}"),
            union => assert_eq!(union.items(), [Value::Bulk(b"token".to_vec())], "{line}"),
        }
    }
}

/// A client that leaves in the middle of a move does not stop it.
#[test]
fn a_move_goes_on_without_its_client() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let proxy = held_by(folder.path(), shared_cluster());
    let mut other = proxy.client();
    for (line, step) in [
        ("RENAME alone:{a} alone:{b}", 2),
        ("RENAME alone:{b} alone:{a}", 1),
    ] {
        other.call(&["SET", line.split(' ').nth(1).expect("a key"), "v"]);
        let mut client = proxy.client();
        let file = hold(folder.path(), step);
        client.send(&line.split(' ').collect::<Vec<_>>());
        wait_for(&file);
        drop(client);
        thread::sleep(std::time::Duration::from_millis(20));
        std::fs::remove_file(&file).expect("the file");
        let source = line.split(' ').nth(1).expect("a key");
        poll_until(PATIENCE, "the end of the move", || {
            other.call(&["EXISTS", source]) == Value::Integer(0)
        });
    }
    assert_eq!(
        other.call(&["GET", "alone:{a}"]),
        Value::Bulk(b"v".to_vec())
    );
    // A drain waits for a move in the middle.
    let mut client = proxy.client();
    let file = hold(folder.path(), 2);
    client.send(&["RENAME", "alone:{a}", "alone:{c}"]);
    wait_for(&file);
    proxy.terminate();
    std::fs::remove_file(&file).expect("the file");
    assert_eq!(client.read(), Value::ok());
    assert!(proxy.wait_exit().success());
}

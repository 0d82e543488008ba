//! Temporary errors: a command waits for the node, unless that would break its client's order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::faults::{key_in, pair};
use slotmux_testing::{Peer, Proxy, Step, Value};

#[test]
fn a_persistent_error_of_a_node_reaches_the_client_verbatim() {
    let key = key_in(false, "refused", 0);
    for words in [
        "LOADING Redis is loading the dataset in memory",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        let (_faulty, sound, _layout) = pair(move |request| {
            (request.name() == "GET").then(|| Step::reply(format!("-{words}\r\n")))
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            // Between two tries.
            config.set("cluster.timeouts.command", "400ms");
        });
        let mut client = proxy.client();
        assert_eq!(client.call(&["GET", &key]).error(), words);
    }
}

#[test]
fn temporary_errors_are_hidden_unless_that_would_break_the_order() {
    const TRIES: usize = 3;
    for words in [
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN Hash slot not served",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        let refused = AtomicUsize::new(TRIES + 1);
        let (faulty, sound, _layout) = pair(move |request| {
            let fewer = |left: usize| left.checked_sub(1);
            (request.name() == "INCR").then(|| {
                match refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
                    Ok(_) => Step::reply(format!("-{words}\r\n")),
                    Err(_) => Step::reply(format!("+{}\r\n", request.word(1))),
                }
            })
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "20s");
        });
        let (key, other) = (key_in(false, "a{passing}", 0), key_in(false, "b", 0));
        let mut client = proxy.client();
        // The INCR must not run behind the GET of its slot, which is not refused, so it does not run at all.
        let replies = client.pipeline(&[vec!["INCR", &key], vec!["GET", &key]]);
        let all_of_it = words.starts_with("CLUSTERDOWN") || words.starts_with("LOADING");
        match replies[0].error() {
            error if all_of_it => assert!(
                error.starts_with("TRYAGAIN slotmux: not executed"),
                "{error}"
            ),
            error => assert_eq!(error, words),
        }
        // Alone on its slot it is tried again, ahead of later commands.
        client.send(&["INCR", &other]);
        client.send(&["INCR", &key]);
        assert_eq!(client.read(), Value::Simple(other.clone()), "{words}");
        assert_eq!(client.read(), Value::Simple(key.clone()), "{words}");
        let asked = faulty.requests_named("INCR");
        assert_eq!(asked.len(), 1 + TRIES + 2, "{words}");
    }
}

#[test]
fn a_pipeline_waits_for_a_node_that_is_down_without_overtaking() {
    for refusals in 0..13 {
        let left = AtomicUsize::new(refusals);
        let ran = Arc::new(std::sync::Mutex::new(Vec::new()));
        let values = ran.clone();
        let (_faulty, sound, _layout) = pair(move |request| {
            let fewer = |left: usize| left.checked_sub(1);
            (request.name() == "SET").then(|| {
                match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
                    Ok(_) => Step::reply("-CLUSTERDOWN The cluster is down\r\n"),
                    Err(_) => {
                        values.lock().expect("a lock").push(request.word(2));
                        Step::reply(format!("+{}\r\n", request.word(2)))
                    }
                }
            })
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "20s");
        });
        let key = key_in(false, "down", 0);
        let pipeline: Vec<_> = ["0", "1", "2", "3"]
            .map(|value| vec!["SET", &*key, value])
            .to_vec();
        let replies = proxy.client().pipeline(&pipeline);
        let ran = ran.lock().expect("a lock").clone();
        assert!(ran.is_sorted(), "{refusals}: {ran:?}");
        assert_eq!(
            ran.last().map(String::as_str),
            Some("3"),
            "{refusals}: {replies:?}"
        );
        for (i, reply) in replies.iter().enumerate() {
            let value = i.to_string();
            if ran.contains(&value) {
                assert_eq!(*reply, Value::Simple(value), "{refusals}");
            } else {
                let error = reply.error();
                assert!(
                    error.starts_with("TRYAGAIN slotmux: not executed"),
                    "{refusals}: {error}"
                );
            }
        }
    }
}

#[test]
fn commands_for_the_whole_keyspace_keep_their_place() {
    let refused = AtomicBool::new(true);
    let (faulty, sound, _layout) = pair(move |request| {
        (request.name() == "SET" && refused.swap(false, Ordering::SeqCst))
            .then(|| Step::reply("-LOADING Redis is loading the dataset in memory\r\n"))
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut client = proxy.client();
    let key = key_in(false, "flushed", 0);
    let replies = client.pipeline(&[
        vec!["SET", &key, "1"],
        vec!["FLUSHALL"],
        vec!["SET", &key, "2"],
    ]);
    assert!(replies.iter().all(|reply| *reply == Value::ok()));
    let names = faulty.requests().into_iter().map(|one| one.name());
    let names: Vec<_> = names
        .filter(|name| name == "SET" || name == "FLUSHALL")
        .collect();
    assert_eq!(names, ["SET", "SET", "FLUSHALL", "SET"]);
}

#[test]
fn temporary_errors_are_hidden_without_a_key_too() {
    let refusals = AtomicUsize::new(5);
    let peer = Peer::start(move |request| {
        let fewer = |left: usize| left.checked_sub(1);
        matches!(request.name().as_str(), "DBSIZE" | "PUBLISH").then(|| {
            match refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
                Ok(_) => Step::reply("-LOADING Redis is loading the dataset in memory\r\n"),
                Err(_) => Step::reply(":7\r\n"),
            }
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "20s");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["GET", "k"]), Value::ok());
    let replies = client.pipeline(&[vec!["DBSIZE"], vec!["GET", "k"]]);
    assert!(
        replies[0].error().starts_with("LOADING "),
        "the order takes precedence over hiding the error"
    );
    client.send(&["DBSIZE"]);
    assert_eq!(client.read(), Value::Integer(7));
    assert_eq!(peer.requests_named("DBSIZE").len(), 6);
    assert_eq!(client.call(&["PUBLISH", "c", "m"]), Value::Integer(7));
}

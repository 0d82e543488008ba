//! Many blocked clients: their cost for others, and the bound of their connections.

use std::time::Duration;

use super::{bulks, call, key_on, send, until_blocked, until_counted};
use slotmux_testing::{Neighbour, PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

#[test]
fn others_on_the_slot_flow_while_fifty_are_blocked_longer_than_any_deadline() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "300ms");
        config.set("cluster.timeouts.response", "300ms");
        config.set("cluster.connections.health_interval", "200ms");
        config.set("listener.idle_timeout", "1s");
    });
    let key = key_on(&cluster, 0, "fifty");
    let mut blocked = Vec::new();
    for number in 0..50 {
        let mut client = proxy.client();
        let line = [
            format!("BLPOP {key} 0"),
            format!("BLMOVE {key} {{{key}}}to LEFT RIGHT 500"),
        ];
        send(&mut client, &line[number % 2]);
        blocked.push(client);
        // They are served in the order of their arrival.
        until_blocked(&cluster, 0, number + 1);
    }
    let neighbour = Neighbour::start(proxy.port(), &format!("{{{key}}}neighbour"));
    for _ in 0..5 {
        neighbour.goes_on();
        // Several deadlines pass.
        assert!(!blocked[0].has_news(Duration::from_millis(300)));
    }
    until_blocked(&cluster, 0, 50);
    let mut feeder = proxy.client();
    for number in 0..50 {
        call(&mut feeder, &format!("RPUSH {key} {number}"));
    }
    for (number, client) in blocked.iter_mut().enumerate() {
        let expected = if number % 2 == 0 {
            bulks(&[&key, &number.to_string()])
        } else {
            Value::bulk(number.to_string())
        };
        assert_eq!(client.read(), expected);
    }
    neighbour.finish();
}

#[test]
fn an_exhausted_pool_answers_an_error_and_recovers() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 3);
        config.set("cluster.timeouts.command", "3s");
    });
    let key = key_on(&cluster, 0, "pool");
    let mut blocked: Vec<RawClient> = (0..3).map(|_| proxy.client()).collect();
    for (number, client) in blocked.iter_mut().enumerate() {
        send(client, &format!("BLPOP {key} 0"));
        until_blocked(&cluster, 0, number + 1);
    }
    let mut late = proxy.client();
    let reply = call(&mut late, &format!("BLPOP {key} 0"));
    assert!(
        reply.error().contains("cluster.connections.kept_max"),
        "{reply:?}"
    );
    // Connections for big values are counted separately.
    let big = "b".repeat(1 << 20);
    assert_eq!(
        call(&mut late, &format!("SET {{{key}}}big {big}")),
        Value::ok()
    );
    assert_eq!(
        call(&mut late, &format!("GET {{{key}}}big")),
        Value::bulk(&big)
    );
    // Everything else continues, also on that node; other nodes have pools of their own.
    assert_eq!(call(&mut late, &format!("LLEN {key}")), Value::Integer(0));
    let elsewhere = key_on(&cluster, 1, "pool");
    assert_eq!(
        call(&mut late, &format!("BLPOP {elsewhere} 0.01")),
        Value::Null
    );
    // One leaves, and the next gets its connection.
    call(&mut late, &format!("RPUSH {key} x"));
    assert_eq!(blocked[0].read(), bulks(&[&key, "x"]));
    send(&mut late, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, 0, 3);
    // A client that waits for a connection gets the first free one.
    send(&mut blocked[0], &format!("BLPOP {key} 0"));
    let mut feeder = proxy.client();
    call(&mut feeder, &format!("RPUSH {key} x"));
    let mut served = blocked.remove(1);
    assert_eq!(served.read(), bulks(&[&key, "x"]));
    until_blocked(&cluster, 0, 3);
    until_counted(&proxy, 3);
    for _ in 0..3 {
        call(&mut feeder, &format!("RPUSH {key} x"));
    }
    for client in blocked.iter_mut().chain([&mut late]) {
        assert_eq!(client.read(), bulks(&[&key, "x"]));
    }
}

#[test]
fn two_hundred_that_come_and_go_leave_no_state() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.connections.dedicated_max", 1000);
        config.set("cluster.connections.dedicated_idle", "100ms");
    });
    let key = key_on(&cluster, 1, "many");
    let mut feeder = proxy.client();
    call(&mut feeder, &format!("LLEN {key}"));
    let descriptors = proxy.descriptors();
    let mut kept = None;
    for round in 0..3 {
        let mut blocked: Vec<RawClient> = (0..200).map(|_| proxy.client()).collect();
        for client in &mut blocked {
            send(client, &format!("BLPOP {key} 0"));
        }
        until_blocked(&cluster, 1, 200);
        until_counted(&proxy, 200);
        // Half of them are served, the others leave.
        for _ in 0..100 {
            call(&mut feeder, &format!("RPUSH {key} x"));
        }
        let mut served = 0;
        for client in &mut blocked {
            if client.has_news(Duration::from_millis(1)) {
                assert_eq!(client.read(), bulks(&[&key, "x"]));
                served += 1;
            }
        }
        assert!(served <= 100);
        drop(blocked);
        until_blocked(&cluster, 1, 0);
        until_counted(&proxy, 0);
        assert_eq!(call(&mut feeder, &format!("LLEN {key}")), Value::Integer(0));
        poll_until(PATIENCE, "all connections to be gone", || {
            proxy.descriptors() <= descriptors + 2
        });
        if round == 0 {
            kept = Some(proxy.rss());
        }
    }
    let (kept, now) = (kept.expect("a figure"), proxy.rss());
    assert!(now < kept + (8 << 20), "{kept} bytes, then {now}");
}

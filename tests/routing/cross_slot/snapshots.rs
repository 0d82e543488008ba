//! Commands over several slots beside other clients that change the same keys.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use slotmux_testing::{SetAtEnd, Value, shared_proxy, times};

use super::{call, running_all};

/// A member that is always in at least one of two sets is always in their union. The interleaving is random; `interrupted.rs`
/// has the one that matters.
#[test]
fn a_read_sees_all_keys_at_one_moment() {
    let proxy = shared_proxy();
    let mut client = proxy.client();
    call(&mut client, "DEL snap:{a} snap:{b}");
    call(&mut client, "SADD snap:{a} token");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetAtEnd(&over);
        scope.spawn(|| {
            let mut writer = proxy.client();
            while !over.load(Ordering::Relaxed) {
                for (to, from) in [("b", "a"), ("a", "b")] {
                    call(&mut writer, &format!("SADD snap:{{{to}}} token"));
                    call(&mut writer, &format!("SREM snap:{{{from}}} token"));
                    thread::sleep(Duration::from_micros(fastrand::u64(0..3000)));
                }
            }
        });
        let mut seen = 0;
        let mut tries = 0;
        while seen < times(200, 2000) && tries < times(2000, 20_000) {
            tries += 1;
            match call(&mut client, "SUNION snap:{a} snap:{b}") {
                Value::Error(error) => assert!(error.starts_with("TRYAGAIN slotmux: "), "{error}"),
                union => {
                    assert_eq!(union.items(), [Value::Bulk(b"token".to_vec())]);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, times(200, 2000));
    });
}

/// Elements that go round between two lists, and are taken by consumers, are taken once.
#[test]
fn a_moved_element_is_given_once() {
    const ELEMENTS: usize = 300;
    const MOVERS: usize = 4;
    let proxy = running_all();
    let mut client = proxy.client();
    call(&mut client, "DEL queue:{in} queue:{out}");
    for element in 0..ELEMENTS {
        call(&mut client, &format!("RPUSH queue:{{in}} {element}"));
    }
    let taken = AtomicUsize::new(0);
    let lists: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
        for _ in 0..MOVERS {
            scope.spawn(|| {
                let mut mover = proxy.client();
                while let Value::Bulk(_) =
                    call(&mut mover, "LMOVE queue:{in} queue:{out} LEFT RIGHT")
                {}
            });
        }
        let consumers: Vec<_> = (0..MOVERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut consumer = proxy.client();
                    let mut own = Vec::new();
                    while taken.load(Ordering::Relaxed) < ELEMENTS {
                        if let Value::Bulk(element) = call(&mut consumer, "LPOP queue:{out}") {
                            taken.fetch_add(1, Ordering::Relaxed);
                            own.push(element);
                        }
                    }
                    own
                })
            })
            .collect();
        consumers
            .into_iter()
            .map(|consumer| consumer.join().expect("a consumer"))
            .collect()
    });
    let all: Vec<Vec<u8>> = lists.into_iter().flatten().collect();
    let distinct: HashSet<&Vec<u8>> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (ELEMENTS, ELEMENTS));
    assert_eq!(
        call(&mut client, "EXISTS queue:{in} queue:{out}"),
        Value::Integer(0)
    );
}

/// Members that two clients move at the same time are in one set afterwards, and only one of the moves succeeds.
#[test]
fn a_member_that_two_clients_move_is_moved_once() {
    let proxy = running_all();
    let mut client = proxy.client();
    for round in 0..times(20, 200) {
        call(&mut client, "DEL race:{a} race:{b} race:{c}");
        call(&mut client, &format!("SADD race:{{a}} {round}"));
        let moved: i64 = thread::scope(|scope| {
            let movers: Vec<_> = ["b", "c"]
                .map(|to| {
                    let proxy = &proxy;
                    scope.spawn(move || {
                        let mut mover = proxy.client();
                        let line = format!("SMOVE race:{{a}} race:{{{to}}} {round}");
                        match call(&mut mover, &line) {
                            Value::Integer(moved) => moved,
                            other => panic!("{other:?}"),
                        }
                    })
                })
                .into();
            movers
                .into_iter()
                .map(|mover| mover.join().expect("a mover"))
                .sum()
        });
        let sets = ["a", "b", "c"].map(|set| call(&mut client, &format!("SCARD race:{{{set}}}")));
        let count = sets.iter().filter(|set| **set == Value::Integer(1)).count();
        assert_eq!((moved, count), (1, 1), "{sets:?}");
    }
}

/// A client that leaves in the middle, and commands behind the one over several slots.
#[test]
fn order_holds_behind_it() {
    let proxy = running_all();
    let mut client = proxy.client();
    for round in 0..times(50, 500) {
        let set = format!("order:{{{round}}}");
        let lines = [
            format!("SADD {set} a"),
            format!("SUNIONSTORE order:{{d}} {set} order:{{none}}"),
            "SCARD order:{d}".to_owned(),
            format!("SREM {set} a"),
            format!("SUNIONSTORE order:{{d}} {set} order:{{none}}"),
            "SCARD order:{d}".to_owned(),
        ];
        let commands: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
        let expected = [1, 1, 1, 1, 0, 0].map(Value::Integer);
        assert_eq!(client.pipeline(&commands), expected);
        let mut leaving = proxy.client();
        leaving.send(&["RENAME", "order:{gone}", "order:{d}"]);
    }
    // slotmux waits for no client that has left.
    assert_eq!(call(&mut client, "SCARD order:{d}"), Value::Integer(0));
}
